"""The whole way through real HTTP, with LiteLLM and without, against a loopback server that also misbehaves."""

import asyncio
import json
import re
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from support.brain import made_by
from support.faults import (
    BAD_GATEWAY,
    BAD_KEY,
    BROKEN_JSON,
    CONTEXT_WINDOW,
    CUT,
    DROP,
    EMPTY,
    FORBIDDEN,
    HANG,
    NO_CHOICES,
    NO_SUCH_MODEL,
    NOT_JSON,
    NULL,
    QUOTA,
    SERVER_ERROR,
    TRUNCATED,
    Fault,
    Script,
    always,
    either,
    every,
    first,
    http_date,
    rate_limited,
    refusal,
    when,
)
from support.server import LoopbackServer

from collab_sdk import Engine, MRScorer, PreferenceExporter, Rollout, Simulator, as_chat_model, read_conversations
from collab_sdk.errors import EndpointError, FilteredError, ModelCallError, UsageError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatReply, ChatRequest
from collab_sdk.models.providers import load_litellm
from collab_sdk.offline import sample_chats_path
from collab_sdk.preferences import ExportReport
from collab_sdk.spec import Limits


async def no_wait(seconds: float) -> None:
    waits.append(seconds)


waits: list[float] = []
CHATS = 1
"""How many are exported: sixty calls, ten of them to the judge."""
STRAIGHT, THROUGH_LITELLM = "hosted_vllm/tiny", "litellm_proxy/tiny"
SLOWLY = pytest.param(THROUGH_LITELLM, marks=pytest.mark.slow, id="litellm")
both_ways = pytest.mark.parametrize("model", [pytest.param(STRAIGHT, id="straight"), SLOWLY])


@pytest.fixture(autouse=True)
def key_of_the_proxy(monkeypatch):
    load_litellm()  # so that no call with a short timeout waits for it
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-of-the-proxy")


def exporter(server: LoopbackServer, *, cache: Path | None = None, timeout: float = 60.0, model=STRAIGHT):
    engine = Engine(cache=cache, sleep=no_wait, limits=Limits(timeout=timeout, concurrency=8))
    bot = as_chat_model(model, api_base=server.api_base)
    scorer = MRScorer(Rollout(assistant=bot, simulator=Simulator(bot, engine=engine)))
    return PreferenceExporter(scorer)


def export(server: LoopbackServer, path: Path, **options) -> tuple[ExportReport, dict]:
    """The report, and the reward of every future by its place."""
    chats = islice(read_conversations([sample_chats_path()]), CHATS)
    report = exporter(server, **options).export(chats, path)
    rewards = {}
    for line in path.with_name(f"{path.stem}.turns.jsonl").read_text().splitlines():
        row = json.loads(line)
        for candidate in row["candidates"]:
            for future in candidate["futures"]:
                place = (row["conversation_id"], row["turn"], candidate["messages"][-1]["content"], future["sample"])
                rewards[place] = future["reward"]
                assert (future["reward"] is None) == (future["error"] is not None)
    return report, rewards


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> tuple[bytes, dict]:
    path = tmp_path_factory.mktemp("healthy") / "prefs.jsonl"
    with LoopbackServer() as server:
        report, rewards = export(server, path)
    assert report.pairs > 0
    assert all(reward is not None for reward in rewards.values())
    return path.read_bytes(), rewards


def once(n: int, fault: Fault) -> Script:
    """At the first try of every n-th call."""
    tried: dict[str, int] = {}

    def script(number: int, body: dict) -> Fault | None:
        call = json.dumps(body, sort_keys=True)
        first_try = call not in tried
        tried.setdefault(call, len(tried))
        return fault if first_try and tried[call] % n == 0 else None

    return script


PASSING = {
    "429 with Retry-After": once(4, rate_limited(3)),
    "429 with a date": once(4, rate_limited(http_date(2))),
    "429 without": once(4, rate_limited()),
    "500": once(3, SERVER_ERROR),
    "502 in HTML": once(4, BAD_GATEWAY),
    "cut connection": once(4, CUT),
    "dropped connection": once(4, DROP),
    "200 that is no JSON": once(4, NOT_JSON),
    "no choices": once(4, NO_CHOICES),
    "empty reply": once(4, EMPTY),
    "null reply": once(4, NULL),
    "broken JSON": when(
        lambda body: made_by(CallRole.JUDGE)(body) and len(body["messages"]) == 2, once(1, BROKEN_JSON)
    ),
}


@both_ways
@pytest.mark.parametrize("name", PASSING)
def test_a_passing_fault_changes_nothing(name, model, healthy, tmp_path):
    with LoopbackServer(faults=PASSING[name]) as server:
        report, rewards = export(server, tmp_path / "prefs.jsonl", model=model)
        agents = {request.headers["user-agent"] for request in server.requests}
    assert (agents == {"collab-sdk"}) is (model == STRAIGHT)
    assert rewards == healthy[1]
    assert (tmp_path / "prefs.jsonl").read_bytes() == healthy[0]
    assert report.samples_ok == report.samples


LASTING = {
    "truncated user": (CallRole.SIMULATOR, TRUNCATED),
    "truncated judge": (CallRole.JUDGE, TRUNCATED),
    "broken judge": (CallRole.JUDGE, BROKEN_JSON),
    "empty user": (CallRole.SIMULATOR, EMPTY),
    "context window": (CallRole.JUDGE, CONTEXT_WINDOW),
    "server error": (CallRole.JUDGE, SERVER_ERROR),
}


class Sick:
    """Every fifth prompt of a role fails, whenever it is tried, until healed."""

    def __init__(self, role: CallRole, fault: Fault) -> None:
        self.role, self.fault, self.healed = role, fault, False
        self.prompts: dict[str, int] = {}

    def __call__(self, number: int, body: dict) -> Fault | None:
        if self.healed or not made_by(self.role)(body):
            return None
        prompt = json.dumps(body["messages"][:2])
        return self.fault if self.prompts.setdefault(prompt, len(self.prompts)) % 5 == 4 else None


@both_ways
@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_fault_loses_samples_and_never_becomes_a_score(name, model, healthy, tmp_path):
    sickness = Sick(*LASTING[name])
    with LoopbackServer(faults=sickness) as server:
        report, rewards = export(server, tmp_path / "prefs.jsonl", cache=tmp_path / "cache", model=model)
        lost = {place for place, reward in rewards.items() if reward is None}
        assert lost
        assert report.samples_ok == report.samples - len(lost)
        assert all(reward == healthy[1][place] for place, reward in rewards.items() if place not in lost)

        sickness.healed = True  # what succeeded was kept: the same command later pays for the rest alone
        calls_before = server.count
        export(server, tmp_path / "prefs.jsonl", cache=tmp_path / "cache", model=model)
        calls_to_heal = server.count - calls_before
        export(server, tmp_path / "prefs.jsonl", model=model)
        calls_in_all = server.count - calls_before - calls_to_heal
    assert (tmp_path / "prefs.jsonl").read_bytes() == healthy[0]
    assert 0 < calls_to_heal < calls_in_all / 2


def test_a_server_that_hangs_at_a_call_loses_its_samples_and_holds_up_nothing(healthy, tmp_path):
    with LoopbackServer() as server:
        export(server, tmp_path / "prefs.jsonl")
        hanging = min(json.dumps(request.body) for request in server.requests if made_by(CallRole.JUDGE)(request.body))
    with LoopbackServer(faults=when(lambda body: json.dumps(body) == hanging, always(HANG))) as server:
        timeout = 4  # enough for what does not hang, on a busy machine too
        _, rewards = export(server, tmp_path / "prefs.jsonl", timeout=timeout)
    lost = [place for place, reward in rewards.items() if reward is None]
    assert 1 <= len(lost) <= 2
    assert all(reward == healthy[1][place] for place, reward in rewards.items() if place not in lost)


@both_ways
def test_the_wait_that_the_server_names_is_the_one_taken(model, tmp_path):
    waits.clear()
    dated = every(9, lambda *_: rate_limited(http_date(30)))  # from the moment it is sent
    with LoopbackServer(faults=either(first(1, rate_limited(7)), dated)) as server:
        export(server, tmp_path / "prefs.jsonl", model=model)
    assert 7.0 <= waits[0] <= 7.5  # and a little more, so that not all come back at once
    assert all(25 < wait <= 30.5 for wait in waits[1:])
    assert len(waits) > 2


NO_CREDITS = refusal(402, "Insufficient credits. Add more at https://example.com/credits")
UNKNOWN_MODEL = refusal(400, "The model `x` does not exist or is not supported")


@pytest.mark.parametrize("fault", [BAD_KEY, QUOTA, NO_SUCH_MODEL, FORBIDDEN, NO_CREDITS, UNKNOWN_MODEL])
@pytest.mark.parametrize("model", [STRAIGHT, SLOWLY, "openai/tiny", "tiny"])
def test_a_key_or_model_that_is_refused_stops_the_run_after_one_call(fault, model, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    with LoopbackServer(faults=always(fault)) as server, pytest.raises(EndpointError, match="refuses the request"):
        exporter(server, model=model).export(read_conversations([sample_chats_path()]), tmp_path / "prefs.jsonl")
    assert server.count == 1


FLAGGED = refusal(403, "Your input was flagged by our moderation")
UNSUPPORTED = refusal(400, "This model's image input is not supported")
GEMINI_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. "
    "* Quota exceeded for metric: generate_content_requests_per_minute, limit: 10. "
)
PER_MINUTE = refusal(429, f"{GEMINI_QUOTA} Please retry in 12.3s.", code="429", kind="RESOURCE_EXHAUSTED")
PER_MINUTE_IN_A_HEADER = refusal(429, GEMINI_QUOTA, code="429", headers={"Retry-After": "12"})


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [(FLAGGED, False), (UNSUPPORTED, False), (PER_MINUTE, True), (PER_MINUTE_IN_A_HEADER, True)],
)
@pytest.mark.parametrize("through", [STRAIGHT, THROUGH_LITELLM, "openai"])
def test_what_is_refused_for_one_chat_or_minute_does_not_stop_the_run(fault, retryable, through):
    with LoopbackServer(faults=always(fault)) as server:
        if through == "openai":
            bot = as_chat_model(openai.OpenAI(api_key="k", base_url=server.api_base), model="tiny")
        else:
            bot = as_chat_model(through, api_base=server.api_base)
        with pytest.raises(ModelCallError) as error:
            asyncio.run(bot.achat(HELLO))
    assert error.value.retryable == retryable


AZURE = refusal(
    400,
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    code="content_filter",
)


@pytest.mark.parametrize("fault", [AZURE, FLAGGED])
@pytest.mark.parametrize("through", [STRAIGHT, THROUGH_LITELLM])
def test_a_chat_that_a_content_filter_refuses_is_told_apart(fault, through):
    with LoopbackServer(faults=always(fault)) as server, pytest.raises(FilteredError):
        asyncio.run(as_chat_model(through, api_base=server.api_base).achat(HELLO))


def test_a_quota_that_is_used_up_is_told_by_its_code_whatever_the_words():
    fault = refusal(429, "No.", code="insufficient_quota", headers={"Retry-After": "1"})
    with LoopbackServer(faults=always(fault)) as server, pytest.raises(EndpointError):
        client = openai.OpenAI(api_key="k", base_url=server.api_base)
        asyncio.run(as_chat_model(client, model="tiny").achat(HELLO))


HELLO = ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content="Hello!"),))


@pytest.mark.parametrize("hide", [False, True], ids=["as it is", "behind a function"])
@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_openais_own_clients_are_bots(kind, hide):
    async def ask(client) -> ChatReply:
        create = client.chat.completions.create
        hidden = SimpleNamespace(completions=SimpleNamespace(create=lambda **arguments: create(**arguments)))
        reply = await as_chat_model(SimpleNamespace(chat=hidden) if hide else client, model="tiny").achat(HELLO)
        if kind is openai.AsyncOpenAI:
            await client.close()  # its connections belong to this loop
        return reply

    with LoopbackServer(lambda body: "Hi.") as server:
        reply = asyncio.run(ask(kind(api_key="k", base_url=server.api_base)))
    assert (reply.content, reply.finish_reason, reply.prompt_tokens) == ("Hi.", "stop", 1)


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "?api-version=1"])
def test_the_address_of_a_server_may_be_written_in_several_ways(end):
    with LoopbackServer(brain=lambda body: "Hi.") as server:
        bot = as_chat_model("Qwen/Qwen3-8B", api_base=f"http://me:pass@{server.api_base.removeprefix('http://')}{end}")
        assert asyncio.run(bot.achat(HELLO)).content == "Hi."
        assert server.requests[0].body["model"] == "Qwen/Qwen3-8B"
        assert server.requests[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("address", ["localhost:8000/v1", "host", "ftp://host/v1", "http://", "me:pass@host:80"])
def test_what_is_no_address_is_said_before_any_call_and_without_its_password(address):
    with pytest.raises(UsageError, match="write it like http://localhost:8000/v1") as error:
        as_chat_model("tiny", api_base=address)
    assert "pass" not in str(error.value)


def test_a_client_is_told_by_its_address_without_its_password():
    client = openai.OpenAI(api_key="k", base_url="https://me:hunter2@llm.example/v1?deployment=a&api_key=abc")
    assert as_chat_model(client, model="m").fingerprint["client"].startswith("https://llm.example/v1")
    assert not {"hunter2", "abc"} & set(re.split(r"\W", str(as_chat_model(client, model="m").fingerprint)))


def test_two_deployments_of_one_address_are_two_models_and_their_keys_are_not_kept():
    def base(query: str) -> str:
        return as_chat_model("hosted_vllm/m", api_base=f"http://me:pw@host/v1/?{query}").fingerprint["api_base"]

    assert re.fullmatch(r"http://host/v1\?deployment=~[0-9a-f]{8}", base("deployment=a"))
    assert base("deployment=a") != base("deployment=b")
    assert base("api-version=1&api_key=abc&x=sk-abcdefgh") == "http://host/v1?api-version=1&api_key=&x="


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("HOSTED_VLLM_API_BASE", "hosted_vllm/tiny"),
        ("OPENAI_BASE_URL", "openai/gpt-4o-mini"),
        ("OPENAI_API_BASE", "gpt-4o-mini"),
        ("ANTHROPIC_BASE_URL", "anthropic/claude-sonnet-4-5"),
        ("OLLAMA_API_BASE", "ollama_chat/llama3"),
    ],
)
def test_an_address_from_the_environment_is_another_model_of_unknown_price(variable, model, monkeypatch):
    monkeypatch.setenv(variable, "http://me:pw@host/v1")
    bot = as_chat_model(model)
    assert bot.fingerprint["api_base"] == "http://host/v1"
    assert bot.price is None


def test_an_address_of_another_provider_changes_nothing(monkeypatch):
    monkeypatch.setenv("GROQ_API_BASE", "http://host/v1")
    for model in ("openai/gpt-4o-mini", "gpt-4o-mini"):
        assert as_chat_model(model).fingerprint["api_base"] is None
        assert as_chat_model(model).price is not None


def test_an_azure_address_leaves_the_price_known(monkeypatch):
    monkeypatch.setenv("AZURE_API_BASE", "https://mine.openai.azure.com")
    bot = as_chat_model("azure/gpt-4o-mini")
    assert bot.fingerprint["api_base"] == "https://mine.openai.azure.com"
    assert bot.price is not None


def test_a_key_that_looks_like_nothing_is_not_printed(monkeypatch):
    secret = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", secret)
    monkeypatch.setenv("SHORT_TOKEN", "key")
    with LoopbackServer(faults=always(refusal(401, f"Wrong key {secret}"))) as server:
        bot = as_chat_model("hosted_vllm/tiny", api_base=server.api_base)
        with pytest.raises(EndpointError, match=r"Wrong key \[secret\]") as error:
            asyncio.run(bot.achat(HELLO))
    assert secret not in str(error.value)


def test_an_openai_name_goes_the_cheap_way_with_its_own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    with LoopbackServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.api_base)  # and so its own address
        export(server, tmp_path / "prefs.jsonl", model="openai/tiny", cache=tmp_path / "cache")
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-very-secret-key"}
        assert {request.body["model"] for request in server.requests} == {"tiny"}
        assert {request.headers["user-agent"] for request in server.requests} == {"collab-sdk"}
    assert not any(b"very-secret" in file.read_bytes() for file in (tmp_path / "cache").iterdir())


def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path):
    with LoopbackServer() as server:
        pass
    with pytest.raises(EndpointError, match="has never answered") as error:
        exporter(server).export(read_conversations([sample_chats_path()]), tmp_path / "prefs.jsonl")
    assert "\n" not in str(error.value)


def test_judges_are_asked_for_json_at_temperature_zero_and_nobody_else_sees_the_goal(tmp_path):
    with LoopbackServer() as server:
        export(server, tmp_path / "prefs.jsonl")
    judged = [request.body for request in server.requests if made_by(CallRole.JUDGE)(request.body)]
    answered = [request.body for request in server.requests if made_by(CallRole.ASSISTANT)(request.body)]
    assert {body["temperature"] for body in judged} == {0.0}
    assert {body["response_format"]["type"] for body in judged} == {"json_schema"}
    goals = [chat.goal.text for chat in islice(read_conversations([sample_chats_path()]), CHATS)]
    assert not any(goal in json.dumps(body) for goal in goals for body in answered)
    assert {body["temperature"] for body in answered} == {0.8}
