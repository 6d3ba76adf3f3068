"""The loopback endpoint, as LiteLLM sees it."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support import faults
from support.brain import role_of
from support.faults import Fault, Script, always, either, every, first, http_date, rate_limited, when
from support.server import LoopbackServer

from collab_sdk.models.base import CallRole
from collab_sdk.prompts import load_prompt

pytestmark = pytest.mark.slow

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

HELLO = [{"role": "user", "content": "hello there"}]


def ask(server: LoopbackServer, *, n: int = 1, provider: str = "hosted_vllm", **options: Any) -> list[Any]:
    """n calls at once; an exception stands where its reply would."""
    return asyncio.run(_ask(server, n, {"model": f"{provider}/x", "messages": HELLO, "timeout": 1, **options}))


async def _ask(server: LoopbackServer, n: int, options: dict[str, Any]) -> list[Any]:
    import litellm

    litellm.suppress_debug_info = True
    endpoint = {"api_base": server.api_base, "api_key": "sk-test", "max_retries": 0, "num_retries": 0}
    calls = [litellm.acompletion(**endpoint, **options) for _ in range(n)]
    try:
        return await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()  # closed clients stay in it


def hi(body: dict[str, Any]) -> str:
    return "hi you"


REWORDED = {("NotFoundError", 403): "APIError", ("ContentPolicyViolationError", 400): "BadRequestError"}
"""What LiteLLM calls an OpenAI server's answer since 1.110; the status is what counts here."""


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_a_request_is_answered_and_recorded(provider):
    with LoopbackServer(hi) as server:
        [reply] = ask(server, provider=provider, response_format={"type": "json_object"})
    assert reply.choices[0].message.content == "hi you"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 2)
    [request] = server.requests
    assert request.body == {"model": "x", "messages": HELLO, "response_format": {"type": "json_object"}}
    assert request.headers["authorization"] == "Bearer sk-test"


def test_the_peak_counts_requests_in_flight_together():
    with LoopbackServer(hi, latency=lambda: 0.2) as server:
        ask(server, n=5)
    assert (server.count, server.in_flight_peak) == (5, 5)


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
@pytest.mark.parametrize(
    ("fault", "exception", "status"),
    [
        pytest.param(rate_limited(), "RateLimitError", 429, id="rate limit"),
        pytest.param(faults.QUOTA, "RateLimitError", 429, id="quota"),
        pytest.param(faults.SERVER_ERROR, "InternalServerError", 500, id="500"),
        pytest.param(faults.BAD_GATEWAY, "BadGatewayError", 502, id="502"),
        pytest.param(faults.OVERLOADED, "ServiceUnavailableError", 503, id="503"),
        pytest.param(faults.BAD_KEY, "AuthenticationError", 401, id="401"),
        pytest.param(faults.FORBIDDEN, "NotFoundError", 403, id="403"),  # LiteLLM goes by the error's code
        pytest.param(faults.NO_SUCH_MODEL, "NotFoundError", 404, id="404"),
        pytest.param(faults.BAD_REQUEST, "BadRequestError", 400, id="400"),
        pytest.param(faults.CONTEXT_WINDOW, "ContextWindowExceededError", 400, id="context window"),
        pytest.param(faults.CONTENT_POLICY, "ContentPolicyViolationError", 400, id="content policy"),
        pytest.param(faults.DROP, "InternalServerError", 500, id="dropped"),
        pytest.param(faults.CUT, "InternalServerError", 500, id="cut"),
    ],
)
def test_a_fault_reaches_the_caller_as_litellm_words_it(fault, exception, status, provider):
    with LoopbackServer(hi, faults=always(fault)) as server:
        [error] = ask(server, provider=provider)
    worded = {exception, REWORDED.get((exception, status), exception)} if provider == "openai" else {exception}
    assert type(error).__name__ in worded
    assert error.status_code == status
    assert server.count == 1


@pytest.mark.parametrize(
    ("fault", "content", "finish_reason"),
    [
        pytest.param(faults.EMPTY, "", "stop", id="empty"),
        pytest.param(faults.NULL, None, "stop", id="null"),
        pytest.param(faults.TRUNCATED, "hi you", "length", id="truncated"),
        pytest.param(faults.FILTERED, "", "content_filter", id="filtered"),
        pytest.param(faults.BROKEN_JSON, '{"goal": {', "stop", id="broken JSON"),
    ],
)
def test_a_poor_reply_arrives_as_it_is(fault, content, finish_reason):
    with LoopbackServer(hi, faults=always(fault)) as server:
        [reply] = ask(server)
    [choice] = reply.choices
    assert (choice.message.content, choice.finish_reason) == (content, finish_reason)


def test_a_body_that_is_no_completion_arrives_as_it_is():
    with LoopbackServer(hi, faults=lambda number, body: [faults.NO_CHOICES, faults.NOT_JSON][number]) as server:
        [empty], [error] = ask(server), ask(server)
    assert empty.choices == []
    assert (type(error).__name__, error.status_code) == ("APIError", 200)


def test_retry_after_arrives_as_seconds_and_as_a_date():
    script = either(first(1, rate_limited(7)), rate_limited(http_date(30)))
    with LoopbackServer(hi, faults=script) as server:
        errors = ask(server) + ask(server)
    seconds, date = (error.litellm_response_headers["retry-after"] for error in errors)
    assert seconds == "7"
    assert 0 < (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() <= 30


def test_a_hanging_request_ends_with_the_clients_timeout():
    with LoopbackServer(hi, faults=always(faults.HANG)) as server:
        [error] = ask(server, timeout=0.2)
    assert type(error).__name__ == "Timeout"


def test_the_server_closes_at_once_while_requests_hang():
    all_hang = threading.Event()

    def script(number: int, body: dict[str, Any]) -> Fault:
        if number == 2:
            all_hang.set()
        return faults.HANG

    with ThreadPoolExecutor() as pool, LoopbackServer(hi, faults=script) as server:
        asked = pool.submit(ask, server, n=3, timeout=60)
        assert all_hang.wait(30)
        closing = time.monotonic()
    assert {type(error).__name__ for error in asked.result()} == {"InternalServerError"}
    assert time.monotonic() - closing < 2


def test_a_brain_that_raises_is_raised_where_the_server_ends():
    with pytest.raises(ZeroDivisionError), LoopbackServer(lambda body: str(1 / 0)) as server:
        [error] = ask(server)
        assert error.status_code == 500


def test_the_default_brain_is_the_offline_stand_in():
    with LoopbackServer() as server:
        replies = ask(server, n=2)
    contents = {reply.choices[0].message.content for reply in replies}
    assert len(contents) == 1 and contents.pop().strip()


def test_a_varying_brain_draws_again_for_a_body_it_has_seen():
    with LoopbackServer(vary=True) as server:
        replies = ask(server, n=8)
    assert len({reply.choices[0].message.content for reply in replies}) > 1


def hits(script: Script, models: str) -> str:
    return "".join("x" if script(n, {"model": model}) else "." for n, model in enumerate(models))


def test_scripts_say_which_requests_go_wrong():
    fault = Fault(status=500)
    assert hits(every(3, fault), "aaaaaaa") == "..x..x."
    assert hits(first(2, fault), "aaaa") == "xx.."
    assert hits(when(lambda body: body["model"] == "b", first(2, fault)), "abbbab") == ".xx..."
    assert hits(either(first(1, fault), every(2, fault)), "aaaaa") == "xx.x."


@pytest.mark.parametrize(
    ("prompt", "role"),
    [
        ("simulator", CallRole.SIMULATOR),
        ("judge", CallRole.JUDGE),
        ("extract", CallRole.JUDGE),
        ("goal", CallRole.GOAL),
        ("proactive", CallRole.ASSISTANT),
    ],
)
def test_the_system_message_tells_the_role(prompt, role):
    assert role_of({"messages": [{"role": "system", "content": load_prompt(prompt).text}, *HELLO]}) is role
    assert role_of({"messages": HELLO}) is CallRole.ASSISTANT
