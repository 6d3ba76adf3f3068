"""What LiteLLM does is in the store, once, however it was called."""

import asyncio
import os
import threading
import time
from typing import Any

import pytest
from support import faults
from support.faults import Fault, always
from support.kept import Kept
from support.litellm_state import forget_litellm
from support.server import LoopbackServer

from collab_sdk.harvest import Recorder, conversation, suppress
from collab_sdk.logs import ConversationStore

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

# LiteLLM's own doing: types that pydantic remarks on, loops and sockets that nobody closes.
pytestmark = [
    pytest.mark.slow,  # since it loads LiteLLM
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
HELLO = [{"role": "user", "content": "hello there"}]
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}


class App:
    """LiteLLM with a logger as its only callback, a server to call, and what was recorded."""

    def __init__(self, litellm: Any, server: LoopbackServer, logger: Any, store: Kept) -> None:
        self.litellm = litellm
        self.server = server
        self.logger = logger
        self.store = store

    def options(self, **more: Any) -> dict[str, Any]:
        endpoint = {"api_base": self.server.api_base, "api_key": "sk-test-0123456789abcdef", "max_retries": 0}
        return {"model": "openai/x", "messages": HELLO, **endpoint, **more}

    def ask(self, **more: Any) -> Any:
        return self.litellm.completion(**self.options(**more))

    def run(self, main: Any) -> Any:
        async def within() -> Any:
            try:
                return await main(self.litellm.acompletion)
            finally:
                await self.settle()
                await self.litellm.close_litellm_async_clients()

        return asyncio.run(within())

    async def settle(self) -> None:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        await GLOBAL_LOGGING_WORKER.flush()

    def calls(self, count: int) -> list[Any]:
        """What was recorded, once `count` calls are: LiteLLM hands them over in a thread of its own."""
        deadline = time.monotonic() + 20
        while len(self.store) < count and time.monotonic() < deadline:
            self.logger.recorder.flush(1)
            time.sleep(0.01)
        assert self.logger.recorder.flush(10)
        assert self.logger.recorder.stats().failed == 0
        assert len(self.store) == count
        return self.store


@pytest.fixture
def app(request):
    import litellm
    from collab_litellm import CollabLogger

    litellm.suppress_debug_info = True
    store = Kept()
    logger = CollabLogger(Recorder(store))
    brain, script = getattr(request, "param", (lambda body: "hi, how are you?", None))
    with LoopbackServer(brain, faults=script) as server:
        litellm.callbacks = [logger]
        yield App(litellm, server, logger, store)
    forget_litellm()


def texts(call: Any) -> list[str]:
    return [reply["content"] for reply in call.replies]


def test_a_call_is_recorded_with_what_may_be_kept(app):
    app.ask(temperature=0.5, n=2, user="ann", extra_headers={"X-Key": "s"})
    [call] = app.calls(1)
    assert (call.messages, texts(call)) == (tuple(HELLO), ["hi, how are you?"] * 2)
    assert (call.status, call.source, call.model) == ("ok", "litellm", "x")
    assert call.parameters == {"temperature": 0.5, "n": 2}
    assert call.usage == {"prompt_tokens": 2, "completion_tokens": 8}
    assert call.ended >= call.started > 0
    assert "sk-test" not in str(call)
    assert "X-Key" not in str(call)


def test_async_calls_and_streams_are_recorded_once(app):
    async def main(acompletion: Any) -> None:
        await acompletion(**app.options())
        async for _ in await acompletion(**app.options(stream=True)):
            pass

    app.run(main)
    list(app.ask(stream=True))
    assert [texts(call) for call in app.calls(3)] == [["hi, how are you?"]] * 3
    assert len({call.run_id for call in app.calls(3)}) == 3


@pytest.mark.parametrize(
    "app", [(lambda body: "x", always(Fault(message={"content": None, "tool_calls": [TOOL_CALL]})))], indirect=True
)
def test_tool_calls_are_recorded_whole_and_streamed(app):
    app.ask()  # with `tools`, LiteLLM asks for an MCP library too
    list(app.ask(stream=True))
    for call in app.calls(2):
        assert call.replies[0]["tool_calls"] == [TOOL_CALL]


@pytest.mark.parametrize("app", [(lambda body: "x", always(faults.BAD_REQUEST))], indirect=True)
def test_a_failing_call_raises_what_it_always_did_and_is_recorded(app):
    async def main(acompletion: Any) -> None:
        with pytest.raises(app.litellm.BadRequestError):
            await acompletion(**app.options())

    app.run(main)
    with pytest.raises(app.litellm.BadRequestError):
        app.ask()
    for call in app.calls(2):
        assert (call.status, call.replies) == ("failed", ())
        assert call.error.startswith("BadRequestError: ")


def test_a_conversation_is_named_by_session_metadata_or_the_code_around(app):
    async def main(acompletion: Any) -> None:
        await acompletion(**app.options(metadata={"session_id": "a"}))
        await acompletion(**app.options(litellm_session_id="b"))
        with conversation("c"):
            stream = await acompletion(**app.options(stream=True))
        async for _ in stream:
            pass
        await acompletion(**app.options(metadata={"collab_conversation_id": "d", "session_id": "a"}))
        await acompletion(**app.options())

    app.run(main)
    assert sorted(str(call.conversation_id) for call in app.calls(5)) == ["None", "a", "b", "c", "d"]


def test_what_is_not_to_be_recorded_is_not(app):
    async def main(acompletion: Any) -> None:
        with suppress():
            await acompletion(**app.options())
            stream = await acompletion(**app.options(stream=True))
        async for _ in stream:
            pass
        await acompletion(**app.options(metadata={"tags": ["collab:ignore"]}))
        await acompletion(**app.options(metadata={"session_id": "seen"}))

    app.run(main)
    assert [call.conversation_id for call in app.calls(1)] == ["seen"]


def test_both_kinds_of_hooks_make_one_record(tmp_path, app):
    recorder = Recorder(tmp_path / "chats.db")
    app.logger.recorder = recorder

    async def main(acompletion: Any) -> None:
        await acompletion(**app.options())

    kwargs: dict[str, Any] = {}
    seen = app.logger.async_log_success_event

    async def twice(**event: Any) -> None:
        kwargs.update(event)
        await seen(**event)
        app.logger.log_success_event(**event)

    app.logger.async_log_success_event = lambda kwargs, response_obj, start_time, end_time: twice(
        kwargs=kwargs, response_obj=response_obj, start_time=start_time, end_time=end_time
    )
    app.run(main)
    assert recorder.flush(10)
    assert recorder.stats().recorded == 1
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.listing()
    assert (chat.calls, chat.turns) == (1, 1)
    recorder.close()


def test_many_calls_at_once_are_all_recorded(app):
    async def main(acompletion: Any) -> None:
        await asyncio.gather(*(acompletion(**app.options(metadata={"session_id": str(n)})) for n in range(40)))

    app.run(main)
    assert {call.conversation_id for call in app.calls(40)} == {str(number) for number in range(40)}


asked = threading.Event()


def hanging(number: int, body: Any) -> Fault:
    asked.set()
    return faults.HANG


@pytest.mark.parametrize("app", [(lambda body: "x", hanging)], indirect=True)
def test_a_cancelled_call_is_recorded_though_litellm_tells_nobody(app):
    async def main(acompletion: Any) -> None:
        task = asyncio.create_task(acompletion(**app.options()))
        await asyncio.to_thread(asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    app.run(main)
    [call] = app.calls(1)
    assert (call.status, call.messages, call.replies) == ("cancelled", tuple(HELLO), ())


def broken_off(app: App, **options: Any) -> None:
    for number, _ in enumerate(app.ask(stream=True, **options)):
        if number == 2:
            break


async def broken_off_async(app: App, acompletion: Any) -> None:
    stream = await acompletion(**app.options(stream=True))
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break


async def closed(app: App, acompletion: Any) -> None:
    stream = await acompletion(**app.options(stream=True))
    await anext(aiter(stream))
    await stream.aclose()
    [call] = app.calls(1)
    assert call.status == "partial"


WORDS = ("hi, ", "how ", "are ", "you?")


def in_pieces(number: int, body: Any) -> Fault:
    return Fault(events=[*(chunk({"content": word}) for word in WORDS), chunk({}, "stop"), "[DONE]"])


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}


def test_the_documented_lines_give_the_proxy_its_logger(tmp_path):
    from collab_litellm import CollabLogger
    from litellm.proxy.types_utils.utils import get_instance_fn

    (tmp_path / "harvest.py").write_text(
        f"from collab_litellm import CollabLogger\n\nlogger = CollabLogger({str(tmp_path / 'chats.db')!r})\n"
    )
    loaded = get_instance_fn("harvest.logger", config_file_path=str(tmp_path / "config.yaml"))
    assert isinstance(loaded, CollabLogger)
