"""A wrapped OpenAI client does what it did before, and what it did is in the store."""

import asyncio
import contextvars
import gc
import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from collab_openai import conversation, suppress, wrap
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from pydantic import BaseModel
from support import faults
from support.faults import Fault, always
from support.kept import Kept
from support.scripted_server import Asked, ScriptedServer
from support.server import LoopbackServer

from collab_sdk.errors import UsageError
from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

pytestmark = pytest.mark.slow

HELLO = [{"role": "user", "content": "hello there"}]
ASK: dict[str, Any] = {"model": "x", "messages": HELLO}
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]


def hi(body: dict[str, Any]) -> str:
    return "hi, how are you?"


def sdk(server: LoopbackServer, **options: Any) -> OpenAI:
    return OpenAI(base_url=server.api_base, api_key="sk-test-0123456789abcdef", max_retries=0, **options)


def async_sdk(server: LoopbackServer) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.api_base, api_key="sk-test-0123456789abcdef", max_retries=0)


class Watched:
    """A wrapped client of a server of its own, and what was recorded of it."""

    def __init__(self, brain: Any = hi, **server: Any) -> None:
        self._server = LoopbackServer(brain, **server)
        self._store = Kept()
        self._recorder = Recorder(self._store)

    def __enter__(self) -> "Watched":
        self.server = self._server.__enter__()
        self.client = wrap(sdk(self.server), self._recorder)
        return self

    def __exit__(self, *error: Any) -> None:
        self.client.close()
        self._server.__exit__(*error)

    def run(self, main: Any) -> Any:
        """`main` of a wrapped AsyncOpenAI, in a loop of its own."""

        async def within() -> Any:
            async with wrap(async_sdk(self.server), self._recorder) as client:
                return await main(client)

        return asyncio.run(within())

    @property
    def calls(self) -> list[Any]:
        assert self._recorder.flush(10)
        assert self._recorder.stats().failed == 0
        return self._store


def texts(call: Any) -> list[str]:
    return [reply["content"] for reply in call.replies]


# What it returns and raises is what the SDK does.


def test_the_client_stays_itself_and_is_wrapped_once(tmp_path):
    with LoopbackServer(hi) as server, sdk(server) as client:
        assert wrap(client, tmp_path / "chats.db") is client
        request = client.request
        assert wrap(client, tmp_path / "chats.db").request is request
        assert type(client) is OpenAI


def test_what_is_no_client_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not Completions"):
        wrap(OpenAI(api_key="-").chat.completions, tmp_path / "chats.db")  # type: ignore[type-var]


def test_a_call_is_answered_as_ever_and_recorded():
    with Watched() as app:
        completion = app.client.chat.completions.create(
            **ASK, temperature=0.5, user="ann", extra_headers={"X-Key": "s"}
        )
        assert type(completion) is ChatCompletion
        [call] = app.calls
    assert (call.messages, texts(call), call.status, call.source) == (
        tuple(HELLO),
        ["hi, how are you?"],
        "ok",
        "openai",
    )
    assert (call.model, call.parameters, call.user) == ("x", {"temperature": 0.5}, None)
    assert call.usage == {"prompt_tokens": 2, "completion_tokens": 4}
    assert call.ended >= call.started > 0
    assert "sk-test" not in str(call)
    assert "X-Key" not in str(call)


class Person(BaseModel):
    name: str


def test_parse_gives_the_parsed_object_and_records_its_text():
    with Watched(lambda body: '{"name": "Ann"}') as app:
        completion = app.client.chat.completions.parse(**ASK, response_format=Person)
        assert isinstance(completion, ParsedChatCompletion)
        assert completion.choices[0].message.parsed == Person(name="Ann")
        assert texts(app.calls[0]) == ['{"name": "Ann"}']


def test_a_completion_that_cannot_be_parsed_raises_and_is_recorded_with_its_text():
    with Watched(faults=always(faults.TRUNCATED)) as app:
        with pytest.raises(openai.LengthFinishReasonError):
            app.client.chat.completions.parse(**ASK, response_format=Person)
        [call] = app.calls
    assert (call.status, texts(call)) == ("partial", ["hi, how are you?"])
    assert call.error.startswith("LengthFinishReasonError")


def test_all_choices_are_kept():
    said = iter(["one", "two", "three"])
    with Watched(lambda body: next(said)) as app:
        app.client.chat.completions.create(**ASK, n=3)
        assert texts(app.calls[0]) == ["one", "two", "three"]


def test_tools_their_calls_and_messages_of_the_sdk_are_kept_as_sent():
    calls = Fault(message={"content": None, "tool_calls": [TOOL_CALL]}, choice={"finish_reason": "tool_calls"})
    with Watched(faults=lambda number, body: calls if number == 0 else None) as app:
        create = app.client.chat.completions.create
        message = create(**ASK, tools=TOOLS).choices[0].message
        result = {"role": "tool", "tool_call_id": "c1", "content": "shipped"}
        create(model="x", messages=[*HELLO, message, result], tools=TOOLS)
        asked, answered = app.calls
    assert asked.replies == ({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},)
    assert asked.tools == tuple(TOOLS)
    assert answered.messages[1]["tool_calls"] == [TOOL_CALL]
    assert answered.messages[2] == result


def test_a_failing_call_raises_what_it_always_did():
    with Watched(faults=always(faults.BAD_KEY)) as app:
        with pytest.raises(openai.AuthenticationError) as caught:
            app.client.chat.completions.create(**ASK)
        [call] = app.calls
    assert caught.value.status_code == 401
    assert (call.status, call.replies) == ("failed", ())
    assert call.error.startswith("AuthenticationError: ")


def test_the_sdks_own_retries_are_one_call():
    with Watched(faults=faults.first(1, faults.rate_limited(0))) as app:
        app.client.with_options(max_retries=2).chat.completions.create(**ASK)
        assert app.server.count == 2
        assert [call.status for call in app.calls] == ["ok"]


def test_raw_responses_are_recorded():
    with Watched() as app:
        raw = app.client.chat.completions.with_raw_response.create(**ASK)
        assert raw.parse() is raw.parse()
        chunks = list(app.client.chat.completions.with_raw_response.create(**ASK, stream=True).parse())
        assert len(chunks) > 2
        assert [(call.status, texts(call)) for call in app.calls] == [("ok", ["hi, how are you?"])] * 2


READERS = {
    "bytes": lambda response: b"".join(response.iter_bytes()),
    "text": lambda response: "".join(response.iter_text()),
    "lines": lambda response: list(response.iter_lines()),
    "read": lambda response: response.read(),
    "json": lambda response: response.json(),
    "parse": lambda response: response.parse(),
}


@pytest.mark.parametrize(
    ("reader", "stream"),
    [*((reader, False) for reader in READERS), *((reader, True) for reader in READERS if reader != "json")],
)
def test_a_streamed_body_is_recorded_however_the_app_reads_it(reader, stream):
    with Watched() as app:
        with app.client.chat.completions.with_streaming_response.create(**ASK, stream=stream) as response:
            assert list(READERS[reader](response))
        assert [(call.status, texts(call), call.model) for call in app.calls] == [("ok", ["hi, how are you?"], "x")]


@pytest.mark.parametrize("reader", ["lines", "parse"])
def test_a_streamed_body_that_the_app_leaves_is_partial_at_once(reader):
    with Watched() as app:
        create = app.client.chat.completions.with_streaming_response.create
        with create(**ASK, stream=True) as response:
            if reader == "parse":
                first_words(response.parse())
            else:
                next(line for line in response.iter_lines() if "hi, " in line)
        assert [(call.status, texts(call)) for call in app.calls] == [("partial", ["hi, "])]


def test_a_streamed_body_that_nobody_can_understand_is_counted():
    with Watched() as app:
        create = app.client.chat.completions.with_streaming_response.create
        with create(**ASK):
            pass
        with create(**ASK) as response:
            list(response.http_response.iter_raw())
        assert app.calls == []
        assert app._recorder.stats().unrecorded == {"the app did not read the answer, or not as text": 2}


def test_async_streamed_bodies_are_recorded():
    async def main(client: AsyncOpenAI) -> None:
        create = client.chat.completions.with_streaming_response.create
        async with create(**ASK, stream=True) as response:
            assert [line async for line in response.iter_lines()]
        async with create(**ASK, stream=True) as response:
            assert [chunk async for chunk in await response.parse()]
        async with create(**ASK) as response:
            assert (await response.parse()).choices
        async with create(**ASK) as response:
            assert await response.json()
        async with create(**ASK, stream=True) as response:
            async for chunk in await response.parse():
                if chunk.choices[0].delta.content:
                    break

    with Watched() as app:
        app.run(main)
        found = [(call.status, texts(call)) for call in app.calls]
    assert found == [*[("ok", ["hi, how are you?"])] * 4, ("partial", ["hi, "])]


def test_other_endpoints_are_left_alone():
    with Watched(faults=always(faults.NOT_JSON)) as app:
        with pytest.raises(openai.NotFoundError):
            app.client.models.list()
        with pytest.raises(openai.NotFoundError):
            app.client.embeddings.create(model="x", input="hello")
        assert app.calls == []
        assert app._recorder.stats().unrecorded == {}


def test_what_looks_like_chat_and_cannot_be_recorded_is_counted():
    with Watched(faults=always(faults.NOT_JSON)) as app:
        with pytest.raises(openai.NotFoundError):
            app.client.completions.create(model="x", prompt="Once upon a time")
        assert isinstance(app.client.chat.completions.create(**ASK), str)
        app.client.post("/chat/completions", body={"prompt": "hello"}, cast_to=str)
        assert app.calls == []
        assert app._recorder.stats().unrecorded == {
            "a completion of a text, not of a chat": 1,
            "the answer is in a form that is not known": 1,
            "the request is in a form that is not known": 1,
        }


def test_other_addresses_of_the_same_endpoint_are_recorded():
    def answer(asked: Asked) -> Any:
        said = {"role": "assistant", "content": asked.path}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": "x", "choices": [choice]}

    store = Kept()
    recorder = Recorder(store)
    with (
        ScriptedServer(answer) as server,
        openai.AzureOpenAI(azure_endpoint=server.url, api_key="-", api_version="2024-10-21") as azure,
        OpenAI(base_url=f"{server.url}/gateway/openai/v1", api_key="-") as gateway,
    ):
        wrap(azure, recorder).chat.completions.create(**ASK)
        wrap(gateway, recorder)
        gateway.chat.completions.create(**ASK)
        assert isinstance(gateway.post("/chat/completions", body=ASK, cast_to=ChatCompletion), ChatCompletion)
        assert isinstance(gateway.post("chat/completions", body=ASK, cast_to=object), dict)
    assert recorder.flush(10)
    assert [texts(call) for call in store] == [
        ["/openai/deployments/x/chat/completions"],
        *[["/gateway/openai/v1/chat/completions"]] * 3,
    ]


# Streams.


def test_a_stream_is_the_same_stream_and_recorded_at_its_end():
    said = iter(["one and more", "two", "three"])
    with Watched(lambda body: next(said)) as app:
        stream = app.client.chat.completions.create(**ASK, stream=True, n=2, stream_options={"include_usage": True})
        assert type(stream) is openai.Stream
        assert {type(chunk).__name__ for chunk in stream} == {"ChatCompletionChunk"}
        [call] = app.calls
    assert (texts(call), call.status) == (["one and more", "two"], "ok")
    assert call.usage == {"prompt_tokens": 2, "completion_tokens": 4}


def test_tool_calls_of_a_stream_are_put_together():
    with Watched(faults=always(Fault(message={"content": None, "tool_calls": [TOOL_CALL]}))) as app:
        list(app.client.chat.completions.create(**ASK, stream=True))
        assert app.calls[0].replies == ({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},)


def chunked(*deltas: dict[str, Any], finish_reason: str | None = "stop") -> list[str]:
    """A stream of these deltas, then a reason, and the end."""
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "x"}
    ends: list[dict[str, Any]] = [] if finish_reason is None else [{"delta": {}, "finish_reason": finish_reason}]
    choices = [*({"delta": delta, "finish_reason": None} for delta in deltas), *ends]
    rows = [json.dumps({**frame, "choices": [{"index": 0, **choice}]}) for choice in choices]
    return [f"data: {row}\n\n" for row in (*rows, "[DONE]")]


def streamed(*deltas: dict[str, Any], **end: Any) -> Any:
    """What was recorded of such a stream."""
    store = Kept()
    recorder = Recorder(store)
    with (
        ScriptedServer(lambda asked: chunked(*deltas, **end)) as server,
        wrap(OpenAI(base_url=server.url, api_key="-"), recorder) as client,
    ):
        list(client.chat.completions.create(**ASK, stream=True))
    assert recorder.flush(10)
    assert recorder.stats().failed == 0
    [call] = store
    return call


@pytest.mark.parametrize("odd", ["first", "all"])
def test_a_stream_with_pieces_in_an_unknown_form_counts_once(odd):
    frames = {
        "first": ['data: {"choices":["odd"]}\n\n', *chunked({"content": "hi"})],
        "all": ['data: {"choices":["odd"]}\n\n'] * 50,
    }
    store = Kept()
    recorder = Recorder(store)
    with (
        ScriptedServer(lambda asked: [*frames[odd], "data: [DONE]\n\n"]) as server,
        wrap(OpenAI(base_url=server.url, api_key="-"), recorder) as client,
    ):
        list(client.chat.completions.create(**ASK, stream=True))
    assert recorder.flush(10)
    stats = recorder.stats()
    found = [(call.status, texts(call)) for call in store], stats.failed, stats.unrecorded
    assert (
        found
        == {
            "first": ([("partial", ["hi"])], 0, {}),
            "all": ([], 0, {"the answer is in a form that is not known": 1}),
        }[odd]
    )


def piece(index: int | None, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    known = {} if id is None else {"id": id, "type": "function"}
    return {**place, **known, "function": {**({} if name is None else {"name": name}), "arguments": arguments}}


@pytest.mark.parametrize(
    "pieces",
    [
        [
            piece(0, "c1", "f", ""),
            piece(0, None, None, '{"a":1}'),
            piece(0, "c2", "g", ""),
            piece(0, None, None, '{"b":2}'),
        ],
        [piece(None, "c1", "f", '{"a":'), piece(None, None, None, "1}"), piece(None, "c2", "g", '{"b":2}')],
        [
            piece(0, "c1", "f", '{"a":'),
            piece(0, "c1", "f", "1}"),
            piece(1, "c2", "g", '{"b":'),
            piece(1, "c2", "g", "2}"),
        ],
        [
            piece(0, "c1", "f", '{"a":'),
            piece(0, "c2", "g", '{"b":'),
            piece(0, "c1", "", "1}"),
            piece(0, "c2", "", "2}"),
        ],
        [
            piece(0, "c1", "f", '{"a":'),
            piece(1, "c2", "g", '{"b":'),
            piece(0, None, None, "1}"),
            piece(1, None, None, "2}"),
        ],
        [
            piece(None, "c1", "f", '{"a":'),
            piece(None, "c2", "g", '{"b":'),
            piece(None, "c1", None, "1}"),
            piece(None, "c2", None, "2}"),
        ],
        [piece(0, "c1", "f", '{"a":1}'), piece(0, "c2", "g", '{"b":2}')],
        [
            piece(0, None, "f", ""),
            piece(0, "c1", None, '{"a":1}'),
            piece(1, None, "g", ""),
            piece(1, "c2", None, '{"b":2}'),
        ],
    ],
    ids=["equal index", "no index", "id in each", "interleaved", "by index", "by id", "at once", "id comes late"],
)
def test_parallel_tool_calls_are_told_apart(pieces):
    call = streamed(*({"tool_calls": [each]} for each in pieces), finish_reason="tool_calls")
    assert [(use["id"], *use["function"].values()) for use in call.replies[0]["tool_calls"]] == [
        ("c1", "f", '{"a":1}'),
        ("c2", "g", '{"b":2}'),
    ]


def test_pieces_with_an_id_each_are_one_tool_call():
    pieces = [piece(0, "c1", "f", ""), piece(0, "c2", None, '{"a":'), piece(0, "c3", None, "1}")]
    call = streamed(*({"tool_calls": [each]} for each in pieces))
    [use] = call.replies[0]["tool_calls"]
    assert (use["id"], use["function"]) == ("c1", {"name": "f", "arguments": '{"a":1}'})


@pytest.mark.parametrize("index", [0, None])
def test_whole_tool_calls_without_ids_are_told_apart(index):
    call = streamed(*({"tool_calls": [piece(index, None, "f", text)]} for text in ('{"a":1}', '{"a":2}')))
    assert [use["function"]["arguments"] for use in call.replies[0]["tool_calls"]] == ['{"a":1}', '{"a":2}']


def test_custom_tools_functions_of_old_and_refusals_are_put_together():
    custom = streamed(
        {"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "python", "input": "print("}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "1)"}}]},
    )
    old = streamed({"function_call": {"name": "f", "arguments": '{"a":'}}, {"function_call": {"arguments": "1}"}})
    refused = streamed({"refusal": "I can"}, {"refusal": "not."})
    assert custom.replies[0]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "python", "input": "print(1)"}}
    ]
    assert old.replies == (
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
    )
    assert refused.replies == ({"role": "assistant", "content": None, "refusal": "I cannot."},)


def test_content_that_comes_in_parts_is_text_without_its_thoughts():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "hi"}]
    assert texts(streamed({"content": parts}, {"content": " there"})) == ["hi there"]


def test_a_stream_that_came_to_its_end_is_whole_though_its_server_gives_no_reason():
    assert streamed({"content": "hi"}, finish_reason=None).status == "ok"
    nothing = streamed({"role": "assistant"}, finish_reason=None)
    assert (nothing.status, nothing.replies) == ("cancelled", ())


def test_the_stream_helper_is_recorded():
    with Watched() as app:
        with app.client.chat.completions.stream(**ASK) as stream:
            assert stream.get_final_completion().choices[0].message.content == "hi, how are you?"
        assert [texts(call) for call in app.calls] == [["hi, how are you?"]]


def first_words(stream: Any) -> str:
    for chunk in stream:
        if chunk.choices[0].delta.content:
            return str(chunk.choices[0].delta.content)
    raise AssertionError


def test_a_stream_that_the_app_leaves_is_recorded_as_far_as_it_was_read():
    with Watched() as app:
        assert first_words(app.client.chat.completions.create(**ASK, stream=True)) == "hi, "
        with app.client.chat.completions.create(**ASK, stream=True) as stream:
            first_words(stream)
        assert [(call.status, texts(call)) for call in app.calls] == [("partial", ["hi, "])] * 2


def test_a_stream_that_a_script_holds_until_it_ends_is_partial(tmp_path):
    code = """
    import sys
    from collab_openai import wrap
    from openai import OpenAI

    client = wrap(OpenAI(base_url=sys.argv[2], api_key="-"), sys.argv[1])
    messages = [{"role": "user", "content": "hello"}]
    stream = client.chat.completions.create(model="bot", messages=messages, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    """
    with LoopbackServer(hi) as server:
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path / "chats.db")]
        subprocess.run([*command, server.api_base], check=True, timeout=60)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [message.content for message in chat.messages] == ["hello", "hi, "]


def test_a_stream_that_the_app_lets_go_of_is_partial_at_once():
    async def main(client: AsyncOpenAI) -> None:
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            if chunk.choices[0].delta.content:
                break

    gc.disable()
    try:
        with Watched() as app:
            first_words(app.client.chat.completions.create(**ASK, stream=True))
            app.run(main)
            assert app._recorder.flush(10)
            assert [(call.status, texts(call)) for call in app._store] == [("partial", ["hi, "])] * 2
    finally:
        gc.enable()


BROKEN_OFF = r"incomplete chunked read|Connection error"  # the first of older versions of the SDK


def test_a_stream_that_breaks_off_raises_and_is_recorded_as_far_as_it_came():
    with Watched(faults=always(faults.CUT)) as app:
        with pytest.raises(Exception, match=BROKEN_OFF):
            list(app.client.chat.completions.create(**ASK, stream=True))
        [call] = app.calls
    assert (call.status, texts(call)) == ("partial", ["hi, how "])
    assert any(name in call.error for name in ("RemoteProtocolError", "APIConnectionError"))


# Async.


def test_async_calls_and_streams_are_recorded():
    async def main(client: AsyncOpenAI) -> None:
        create = client.chat.completions.create
        completion = await create(**ASK)
        assert type(completion) is ChatCompletion
        stream = await create(**ASK, stream=True)
        assert type(stream) is openai.AsyncStream
        assert [chunk async for chunk in stream]
        async with await create(**ASK, stream=True) as left:
            async for chunk in left:
                if chunk.choices[0].delta.content:
                    break
        parsed = await client.chat.completions.parse(**ASK)
        assert isinstance(parsed, ParsedChatCompletion)

    with Watched() as app:
        app.run(main)
        assert [call.status for call in app.calls] == ["ok", "ok", "partial", "ok"]


@pytest.mark.parametrize(("stream", "recorded"), [(False, ("cancelled", [])), (True, ("partial", ["hi, how "]))])
def test_a_cancelled_call_is_recorded_as_far_as_it_came(stream, recorded):
    async def main(client: AsyncOpenAI) -> None:
        begun = asyncio.Event()

        async def call() -> None:
            result = await client.chat.completions.create(**ASK, stream=stream)
            async for chunk in result:
                if "how" in (chunk.choices[0].delta.content or ""):
                    begun.set()

        task = asyncio.create_task(call())
        if stream:
            await begun.wait()
        else:
            await asyncio.to_thread(asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asked = threading.Event()

    def script(number: int, body: Any) -> Fault:
        asked.set()
        return faults.STALL if stream else faults.HANG

    with Watched(faults=script) as app:
        app.run(main)
        [call] = app.calls
    assert (call.status, texts(call)) == recorded
    assert call.error.startswith("CancelledError")


# Which conversation.


def test_a_conversation_is_named_by_metadata_or_by_the_code_around():
    with Watched() as app:
        create = app.client.chat.completions.create
        create(**ASK)
        create(**ASK, metadata={"collab_conversation_id": "a"})
        with conversation("b"):
            create(**ASK)
            stream = create(**ASK, stream=True)
        list(stream)
        with suppress():
            create(**ASK)
            hidden = create(**ASK, stream=True)
        list(hidden)
        assert [call.conversation_id for call in app.calls] == [None, "a", "b", "b"]


def test_eight_threads_with_a_growing_chat_each_are_eight_conversations(tmp_path):
    def chat(number: int) -> None:
        history: list[Any] = [{"role": "user", "content": f"I am {number}"}]
        for turn in range(4):
            reply = client.chat.completions.create(model="x", messages=history)
            history += [reply.choices[0].message, {"role": "user", "content": f"go on, {turn}"}]

    with LoopbackServer(lambda body: f"reply {len(body['messages'])}") as server, sdk(server) as client:
        recorder = Recorder(tmp_path / "chats.db")
        wrap(client, recorder)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: contextvars.Context().run(chat, n), range(8)))
        assert recorder.flush(20)
    with ConversationStore(tmp_path / "chats.db") as store:
        chats = list(store.conversations())
    assert sorted(chat.messages[0].content for chat in chats) == [f"I am {number}" for number in range(8)]
    assert {len(chat.messages) for chat in chats} == {8}
    recorder.close()


def test_a_store_that_is_broken_changes_nothing_for_the_app(tmp_path):
    (tmp_path / "chats.db").write_text("no database " * 100)
    with LoopbackServer(hi) as server, sdk(server) as client:
        recorder = Recorder(tmp_path / "chats.db", sync=True)
        wrap(client, recorder)
        assert client.chat.completions.create(**ASK).choices[0].message.content == "hi, how are you?"
        assert recorder.stats().failed == 1
