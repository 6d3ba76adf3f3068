"""What LiteLLM does is in the store, once, however it was called."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime
from typing import Any

import pytest
from support import faults
from support.faults import Fault, always, first
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
            gc.collect()
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
        app = App(litellm, server, logger, store)
        yield app
        asyncio.run(app.settle())  # else the next test is told of what its loops have left
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


WORDS = "one two three four five six seven eight"


def test_a_loop_for_each_request_loses_no_answer(app):
    for number in range(4):
        asyncio.run(app.litellm.acompletion(**app.options(metadata={"session_id": str(number)})))
    assert [call.conversation_id for call in app.calls(4)] == ["0", "1", "2", "3"]
    assert {call.status for call in app.store} == {"ok"}


def test_a_stream_in_a_loop_of_its_own_is_recorded_whole(app):
    async def main() -> None:
        async for _ in await app.litellm.acompletion(**app.options(stream=True)):
            pass

    for _ in range(3):
        asyncio.run(main())
    assert [(call.status, texts(call)) for call in app.calls(3)] == [("ok", ["hi, how are you?"])] * 3


@pytest.mark.parametrize("app", [(lambda body: WORDS, None)], indirect=True)
def test_a_stream_that_the_app_breaks_off_is_partial_with_what_the_app_had(app):
    async def main(acompletion: Any) -> None:
        async for chunk in await acompletion(**app.options(stream=True)):
            if chunk.choices[0].delta.content:
                return

    app.run(main)
    for chunk in app.ask(stream=True):
        if chunk.choices[0].delta.content:
            break
    for call in app.calls(2):
        assert call.status == "partial"
        [text] = texts(call)
        assert text
        assert WORDS.startswith(text)
        assert text != WORDS


@pytest.mark.parametrize("app", [(lambda body: WORDS, None)], indirect=True)
def test_a_stream_that_the_app_closes_is_recorded_at_once(app):
    async def main(acompletion: Any) -> None:
        stream = await acompletion(**app.options(stream=True))
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.aclose()
        assert app.calls(1)[0].status == "partial"

    app.run(main)


@pytest.mark.parametrize("app", [(lambda body: WORDS, always(faults.CUT))], indirect=True)
def test_a_stream_that_the_endpoint_breaks_off_is_partial_and_says_why(app):
    async def main(acompletion: Any) -> None:
        with pytest.raises(app.litellm.exceptions.MidStreamFallbackError):
            async for _ in await acompletion(**app.options(stream=True)):
                pass

    app.run(main)
    [call] = app.calls(1)
    assert call.status == "partial"
    assert WORDS.startswith(texts(call)[0])
    assert "Error" in call.error


def test_a_fallback_is_recorded_with_the_answer_that_was_given(tmp_path, app):
    app.logger.recorder = recorder = Recorder(tmp_path / "chats.db")
    app.server.faults = first(1, faults.BAD_REQUEST)

    async def main(acompletion: Any) -> None:
        await acompletion(**app.options(fallbacks=["openai/y"]))

    app.run(main)
    assert recorder.flush(10)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.listing()
        [conversation] = store.conversations()
    assert (chat.calls, chat.turns, chat.failed) == (1, 1, ())
    assert [message.content for message in conversation.messages] == ["hello there", "hi, how are you?"]
    recorder.close()


TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}


def test_responses_are_recorded_with_what_they_go_on_from(app):
    async def main(_: Any) -> None:
        options = {**app.options(), "input": "hello there", "instructions": "Be kind.", "tools": [TOOL], "user": "ann"}
        del options["messages"]
        first = await app.litellm.aresponses(**options)
        again = {**options, "input": [{"role": "user", "content": "and you?"}], "previous_response_id": first.id}
        await app.litellm.aresponses(**again)

    app.run(main)
    earlier, later = app.calls(2)
    assert earlier.messages == ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello there"})
    assert later.messages[1:] == ({"role": "user", "content": "and you?"},)
    assert texts(earlier) == texts(later) == ["hi, how are you?"]
    assert earlier.tools[0]["function"]["name"] == "look_up"
    assert earlier.user is None  # there is no salt
    assert earlier.response_id
    assert later.previous_response == earlier.response_id


def test_responses_are_recorded_sync_and_streamed(app):
    options = {**app.options(model="openai/gpt-4o"), "input": "hello there"}
    del options["messages"]

    async def main(_: Any) -> None:
        async for _event in await app.litellm.aresponses(**options, stream=True):
            pass

    app.run(main)
    app.litellm.responses(**options)
    list(app.litellm.responses(**options, stream=True))
    for call in app.calls(3):
        assert (call.status, texts(call), call.messages) == ("ok", ["hi, how are you?"], tuple(HELLO))


def test_a_streamed_response_that_the_app_breaks_off_is_partial(app):
    options = {**app.options(model="openai/gpt-4o"), "input": "hello there"}
    del options["messages"]

    async def main(_: Any) -> None:
        async for event in await app.litellm.aresponses(**options, stream=True):
            if event.type == "response.output_text.delta":
                return

    app.run(main)
    [call] = app.calls(1)
    assert call.status == "partial"
    assert "hi, how are you?".startswith(texts(call)[0])


def test_a_streamed_response_in_an_unknown_form_counts_once(app, monkeypatch):
    def unreadable(self: Any, event: Any) -> None:
        raise AttributeError("no delta")

    monkeypatch.setattr("collab_sdk.harvest.PartialResponse.add", unreadable)
    options = {**app.options(model="openai/gpt-4o"), "input": "hello there"}
    del options["messages"]

    async def main(_: Any) -> None:
        async for event in await app.litellm.aresponses(**options, stream=True):
            if event.type == "response.output_text.delta":
                return

    app.run(main)
    gc.collect()
    assert app.calls(0) == []
    assert app.logger.recorder.stats().unrecorded == {"the answer is in a form that is not known": 1}


USE = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"order": 7}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "shipped"}]}
ANTHROPIC = [
    {"role": "user", "content": [{"type": "text", "text": "where is it?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "One moment."}, USE]},
    {"role": "user", "content": [RESULT, {"type": "text", "text": "well?"}]},
]


def test_messages_of_anthropics_interface_are_recorded_as_chat_messages(app):
    async def main(_: Any) -> None:
        tool = {"name": "look_up", "description": "Look.", "input_schema": TOOL["parameters"]}
        options = {**app.options(), "messages": ANTHROPIC, "max_tokens": 9, "system": "Be kind.", "tools": [tool]}
        await app.litellm.anthropic.messages.acreate(**options, litellm_metadata={"session_id": "a"})

    app.run(main)
    [call] = app.calls(1)
    called = {"id": "t1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
    assert call.messages == (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "where is it?"},
        {"role": "assistant", "content": "One moment.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "t1", "content": "shipped"},
        {"role": "user", "content": "well?"},
    )
    assert texts(call) == ["hi, how are you?"]
    assert call.conversation_id == "a"
    assert call.tools[0]["function"]["name"] == "look_up"


def test_interfaces_that_are_not_recorded_are_counted(app):
    stats = app.logger.recorder.stats
    app.logger.log_success_event(
        {"call_type": "atext_completion", "litellm_call_id": "1"}, object(), datetime.now(), datetime.now()
    )
    app.logger.log_success_event({"call_type": "aembedding", "litellm_call_id": "2"}, object(), datetime.now(), None)
    assert app.calls(0) == []
    assert stats().unrecorded == {"LiteLLM's text_completion is not recorded": 1}


def test_what_litellm_is_told_not_to_log_is_not_recorded(app):
    async def main(acompletion: Any) -> None:
        await acompletion(**app.options(**{"no-log": True}))
        await acompletion(**app.options(metadata={"session_id": "seen"}))

    app.run(main)
    assert [call.conversation_id for call in app.calls(1)] == ["seen"]


def test_what_litellm_redacts_is_recorded_redacted(app, monkeypatch):
    monkeypatch.setattr(app.litellm, "turn_off_message_logging", True)

    async def main(acompletion: Any) -> None:
        await acompletion(**app.options())
        async for _ in await acompletion(**app.options(stream=True)):
            pass

    app.run(main)
    assert "hello" not in str(app.calls(2))
    assert "how are you" not in str(app.store)


@pytest.mark.parametrize("mark", ["metadata", "standard_logging_object"])
def test_a_client_of_the_proxy_that_leaves_makes_the_answer_partial(app, mark):
    from litellm import ModelResponse

    error = {"error_code": "499", "error_class": "ClientDisconnected"}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi, how"}}
    metadata = {"client_disconnected": True} if mark == "metadata" else {}
    event = {
        "call_type": "acompletion",
        "litellm_call_id": "1",
        "model": "x",
        "messages": HELLO,
        "litellm_params": {"metadata": metadata},
        "standard_logging_object": {"error_information": error if mark != "metadata" else None},
    }
    asyncio.run(
        app.logger.async_log_success_event(event, ModelResponse(choices=[choice]), datetime.now(), datetime.now())
    )
    assert app.calls(1)[0].status == "partial"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_calls_that_are_open_at_the_end_are_kept_by_their_own_process_alone(tmp_path):
    code = """
    import asyncio, os, sys
    import litellm
    from collab_litellm import CollabLogger

    litellm.callbacks = [CollabLogger(sys.argv[1])]
    options = {"model": "openai/x", "api_base": sys.argv[2], "api_key": "-"}
    stream = litellm.completion(**options, messages=[{"role": "user", "content": "x"}], stream=True)
    next(stream)
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        sys.exit(0)
    """
    with LoopbackServer(lambda body: WORDS) as server:
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path / "chats.db")]
        subprocess.run([*command, server.api_base], check=True, timeout=120)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.listing()
    assert chat.calls == 1


def test_the_documented_lines_give_the_proxy_its_logger(tmp_path):
    from collab_litellm import CollabLogger
    from litellm.proxy.types_utils.utils import get_instance_fn

    (tmp_path / "harvest.py").write_text(
        f"from collab_litellm import CollabLogger\n\nlogger = CollabLogger({str(tmp_path / 'chats.db')!r})\n"
    )
    loaded = get_instance_fn("harvest.logger", config_file_path=str(tmp_path / "config.yaml"))
    assert isinstance(loaded, CollabLogger)
