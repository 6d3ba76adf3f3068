"""A wrapped Anthropic client does what it did before, and what it did is in the store."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.anthropic_replies import error_event, message, message_events, text, tool_use
from support.kept import Kept
from support.scripted_server import CUT, Asked, Said, ScriptedServer

from collab_sdk.errors import UsageError
from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

anthropic = pytest.importorskip("anthropic")
from collab_anthropic import conversation, suppress, wrap  # noqa: E402

HELLO = [{"role": "user", "content": "hello there"}]
ASK: dict[str, Any] = {"model": "claude-x", "max_tokens": 100, "messages": HELLO}
HI = message(text("hi, how are you?"))
CALLS = message(
    {"type": "thinking", "thinking": "They ask for two orders.", "signature": "s"},
    text("Let me see."),
    tool_use("t1", "look_up", order=1),
    tool_use("t2", "look_up", order=2),
    stop_reason="tool_use",
)
OPENAI_CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 1}'}},
    {"id": "t2", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 2}'}},
]


def answering(whole: Any, *, pieces: int | None = None, end: tuple[str, ...] = ()) -> Callable[[Asked], Said]:
    """Answers with a message; streams `pieces` events of it, by default all, and then `end`."""

    def answer(asked: Asked) -> Said:
        said = whole(asked.body) if callable(whole) else whole
        if isinstance(said, tuple) or not asked.body.get("stream"):
            return said
        return [*list(message_events(said))[:pieces], *end]

    return answer


class Watched:
    """Wrapped clients of a server of their own, and what was recorded of them."""

    def __init__(self, answer: Callable[[Asked], Said] | None = None) -> None:
        self._server = ScriptedServer(answer or answering(HI))
        self._store = Kept()
        self.recorder = Recorder(self._store)

    def __enter__(self) -> "Watched":
        self.server = self._server.__enter__()
        self.client = self.wrapped(anthropic.Anthropic)
        return self

    def __exit__(self, *error: Any) -> None:
        self.client.close()
        self._server.__exit__(*error)

    def wrapped(self, kind: Any, **options: Any) -> Any:
        client = kind(base_url=self.server.url, **{"api_key": "sk-ant-test", "max_retries": 0, **options})
        return wrap(client, self.recorder)

    def run(self, main: Any) -> Any:
        async def within() -> Any:
            async with self.wrapped(anthropic.AsyncAnthropic) as client:
                return await main(client)

        return asyncio.run(within())

    @property
    def calls(self) -> list[Any]:
        assert self.recorder.flush(10)
        assert self.recorder.stats().failed == 0
        return self._store


def texts(call: Any) -> list[str]:
    return [reply["content"] for reply in call.replies]


def said(messages: Any) -> list[tuple[str, Any]]:
    return [(row["role"], row["content"]) for row in messages]


# What it returns and raises is what the SDK does.


def test_the_client_stays_itself_and_is_wrapped_once():
    with Watched() as app:
        request = app.client.request
        assert wrap(app.client, app.recorder) is app.client
        assert app.client.request is request
        assert type(app.client) is anthropic.Anthropic


def test_what_is_not_a_client_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not Messages"):
        wrap(anthropic.Anthropic(api_key="-").messages, tmp_path / "chats.db")


def test_a_message_is_answered_as_ever_and_recorded():
    with Watched() as app:
        answer = app.client.messages.create(
            **ASK,
            system="Be kind.",
            extra_body={"temperature": 0.5},
            stop_sequences=["END"],
            metadata={"user_id": "ann"},
        )
        assert type(answer) is anthropic.types.Message
        [call] = app.calls
    assert said(call.messages) == [("system", "Be kind."), ("user", "hello there")]
    assert (texts(call), call.status, call.source, call.model) == (["hi, how are you?"], "ok", "anthropic", "claude-x")
    assert call.parameters == {"temperature": 0.5, "max_tokens": 100, "stop": ["END"]}
    assert call.usage == {"prompt_tokens": 7, "completion_tokens": 2}
    assert call.metadata["finish_reason"] == "stop"
    assert "sk-ant" not in str(call)


def test_a_failing_call_raises_what_it_always_did():
    error = (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    with Watched(answering(error)) as app:
        with pytest.raises(anthropic.APIStatusError) as caught:
            app.client.messages.create(**ASK)
        [call] = app.calls
    assert caught.value.status_code == 529
    assert (call.status, call.replies) == ("failed", ())
    assert "Overloaded" in call.error


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"), [("max_tokens", "length"), ("refusal", "content_filter"), ("odd", "odd")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_reason_is_a_finish_reason(stream, stop_reason, finish_reason):
    with Watched(answering(message(text("hi"), stop_reason=stop_reason))) as app:
        result = app.client.messages.create(**ASK, stream=stream)
        if stream:
            list(result)
        [call] = app.calls
    assert (call.status, call.metadata["finish_reason"]) == ("ok", finish_reason)


# Blocks.


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_uses_of_tools_are_tool_calls_and_thoughts_are_left_out(stream):
    tools = [{"name": "look_up", "description": "An order.", "input_schema": {"type": "object", "properties": {}}}]
    with Watched(answering(CALLS)) as app:
        result = app.client.messages.create(**ASK, tools=tools, stream=stream)
        if stream:
            list(result)
        [call] = app.calls
    assert call.replies == ({"role": "assistant", "content": "Let me see.", "tool_calls": OPENAI_CALLS},)
    assert call.tools[0]["function"] == {
        "name": "look_up",
        "description": "An order.",
        "parameters": {"type": "object", "properties": {}},
    }


def test_a_history_with_results_of_tools_is_one_chat(tmp_path):
    def reply(body: Any) -> Any:
        return CALLS if len(body["messages"]) == 1 else message(text("Both are here."))

    recorder = Recorder(tmp_path / "chats.db")
    with ScriptedServer(answering(reply)) as server, anthropic.Anthropic(base_url=server.url, api_key="-") as client:
        wrap(client, recorder)
        for stream in (False, True):
            history: list[Any] = [{"role": "user", "content": [text(f"where are my orders? {stream}")]}]
            if stream:
                with client.messages.stream(model="claude-x", max_tokens=9, messages=history) as events:
                    asked = events.get_final_message()
            else:
                asked = client.messages.create(model="claude-x", max_tokens=9, messages=history)
            results = [
                {"type": "tool_result", "tool_use_id": "t1", "content": "shipped"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [text("on its way")]},
                text("And be quick."),
            ]
            history += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
            client.messages.create(model="claude-x", max_tokens=9, messages=history)
        assert recorder.flush(10)
    with ConversationStore(tmp_path / "chats.db") as store:
        chats = list(store.conversations())
    assert len(chats) == 2
    for chat in chats:
        assert [(row.role, row.content) for row in chat.messages[1:]] == [
            ("assistant", "Let me see."),
            ("tool", "shipped"),
            ("tool", "on its way"),
            ("user", "And be quick."),
            ("assistant", "Both are here."),
        ]
    recorder.close()


def test_images_documents_and_system_blocks_are_kept_as_chat_completions_have_them():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR" * 100}}
    linked = {"type": "image", "source": {"type": "url", "url": "https://x/cat.png"}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Long. "}}
    content = [document, text("what is this?"), image, linked]
    with Watched() as app:
        app.client.messages.create(
            model="claude-x",
            max_tokens=9,
            system=[text("Be kind."), text("Be short.")],
            messages=[{"role": "user", "content": content}],
        )
        [call] = app.calls
    assert call.messages[0] == {"role": "system", "content": "Be kind.\n\nBe short."}
    read, asked, shown, named = call.messages[1]["content"]
    assert (read["text"], asked["text"]) == ("Long. ", "what is this?")
    assert shown["image_url"]["url"].startswith("[image/png, ")
    assert named["image_url"]["url"] == "https://x/cat.png"


def test_steps_of_the_providers_own_tools_are_left_out():
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tea"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    whole = message(text("I look. "), search, found, text("Tea is fine."))
    with Watched(answering(whole)) as app:
        app.client.messages.create(**ASK)
        list(app.client.messages.create(**ASK, stream=True))
        assert [call.replies for call in app.calls] == [
            ({"role": "assistant", "content": "I look. Tea is fine."},),
        ] * 2


def test_the_tool_runner_makes_one_chat_also_where_the_server_holds_the_history(tmp_path):
    def look_up(order: int) -> str:
        """The state of an order."""
        return "shipped"

    tool = anthropic.beta_tool(look_up)
    asks = message(CALLS["content"][2], stop_reason="tool_use")

    def reply(body: Any) -> Any:
        content = body["messages"][-1]["content"]
        return message(text("It is shipped."), id="msg_2") if isinstance(content, list) else asks

    recorder = Recorder(tmp_path / "chats.db")
    with ScriptedServer(answering(reply)) as server, anthropic.Anthropic(base_url=server.url, api_key="-") as client:
        wrap(client, recorder)
        for _ in client.beta.messages.tool_runner(**ASK, tools=[tool]):
            pass
        assert recorder.flush(10)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [(row.role, row.content) for row in chat.messages] == [
        ("user", "hello there"),
        ("assistant", ""),
        ("tool", "shipped"),
        ("assistant", "It is shipped."),
    ]
    recorder.close()


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_app_had_begun_is_part_of_the_reply(stream):
    begun = [*HELLO, {"role": "assistant", "content": "{"}]
    with Watched(answering(message(text('"a": 1}')))) as app:
        result = app.client.messages.create(model="claude-x", max_tokens=9, messages=begun, stream=stream)
        if stream:
            list(result)
        [call] = app.calls
    assert (call.messages, texts(call)) == (tuple(HELLO), ['{"a": 1}'])


def test_a_turn_that_the_provider_pauses_is_one_chat_with_what_follows(tmp_path):
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tea"}}

    def reply(body: Any) -> Any:
        if body["messages"][-1]["role"] == "assistant":
            return message(text("Tea is fine."))
        return message(text("I look."), search, stop_reason="pause_turn")

    recorder = Recorder(tmp_path / "chats.db")
    with ScriptedServer(answering(reply)) as server, anthropic.Anthropic(base_url=server.url, api_key="-") as client:
        wrap(client, recorder)
        paused = client.messages.create(**ASK)
        history = [*HELLO, {"role": "assistant", "content": paused.content}]
        client.messages.create(model="claude-x", max_tokens=9, messages=history)
        assert recorder.flush(10)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [row.content for row in chat.messages] == ["hello there", "I look.", "Tea is fine."]
    recorder.close()


# Streams.


def test_streams_and_their_helpers_are_recorded():
    with Watched() as app:
        events = app.client.messages.create(**ASK, stream=True)
        assert type(events) is anthropic.Stream
        assert list(events)[-1].type == "message_stop"
        with app.client.messages.stream(**ASK) as stream:
            assert "".join(stream.text_stream) == "hi, how are you?"
        with app.client.beta.messages.stream(**ASK) as stream:
            assert stream.get_final_text() == "hi, how are you?"
        app.client.beta.messages.create(**ASK)
        calls = app.calls
    assert [(call.status, texts(call)) for call in calls] == [("ok", ["hi, how are you?"])] * 4
    assert calls[0].usage == {"prompt_tokens": 7, "completion_tokens": 2}


def test_a_stream_that_the_app_leaves_is_partial_at_once():
    with Watched() as app:
        with app.client.messages.stream(**ASK) as stream:
            assert next(iter(stream.text_stream)) == "hi, "
        assert app.recorder.flush(10)
        assert [(call.status, texts(call)) for call in app._store] == [("partial", ["hi, "])]
        for event in app.client.messages.create(**ASK, stream=True):
            if event.type == "content_block_delta":
                break
        assert [(call.status, texts(call)) for call in app.calls] == [("partial", ["hi, "])] * 2


@pytest.mark.parametrize("end", [(CUT,), (error_event("Overloaded"),)])
def test_a_stream_that_breaks_off_raises_and_is_partial(end):
    with Watched(answering(HI, pieces=5, end=end)) as app:
        with pytest.raises(Exception, match=r"Overloaded|incomplete chunked read|[Cc]onnection"):
            list(app.client.messages.create(**ASK, stream=True))
        [call] = app.calls
    assert (call.status, texts(call)) == ("partial", ["hi, how "])
    assert call.error


def test_the_use_of_a_tool_that_breaks_off_is_kept_as_far_as_it_came():
    whole = message(tool_use("t1", "look_up", order=1234567))
    with Watched(answering(whole, pieces=5)) as app:
        list(app.client.messages.create(**ASK, stream=True))
        [call] = app.calls
    [use] = call.replies[0]["tool_calls"]
    assert (call.status, use["function"]) == ("partial", {"name": "look_up", "arguments": '{"order"'})


def test_raw_and_streamed_responses_are_recorded_as_far_as_the_app_reads_them():
    with Watched() as app:
        raw = app.client.messages.with_raw_response.create(**ASK)
        assert raw.parse().content[0].text == "hi, how are you?"
        with app.client.messages.with_streaming_response.create(**ASK) as response:
            assert response.json()["id"] == "msg_1"
        with app.client.messages.with_streaming_response.create(**ASK, stream=True) as response:
            assert len(list(response.parse())) > 4
        with app.client.messages.with_streaming_response.create(**ASK, stream=True) as response:
            assert any("message_stop" in line for line in response.iter_lines())
        assert [(call.status, texts(call)) for call in app.calls] == [("ok", ["hi, how are you?"])] * 4


# Async.


def test_async_messages_and_streams_are_recorded():
    async def main(client: Any) -> None:
        await client.messages.create(**ASK)
        assert [event async for event in await client.messages.create(**ASK, stream=True)]
        async with client.messages.stream(**ASK) as stream:
            assert await stream.get_final_text() == "hi, how are you?"
        async with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
            assert [line async for line in response.iter_lines()]
        async with client.messages.stream(**ASK) as stream:
            async for _ in stream.text_stream:
                break

    with Watched() as app:
        app.run(main)
        found = [(call.status, texts(call)) for call in app.calls]
    assert found == [*[("ok", ["hi, how are you?"])] * 4, ("partial", ["hi, "])]


# Which calls, and whose.


def test_a_conversation_is_named_by_the_code_around():
    with Watched() as app:
        app.client.messages.create(**ASK)
        with conversation("b"):
            app.client.with_options(timeout=9).messages.create(**ASK)
        with suppress():
            app.client.messages.create(**ASK)
        assert [call.conversation_id for call in app.calls] == [None, "b"]


def test_clients_of_other_clouds_are_recorded():
    with Watched() as app:
        bedrock = app.wrapped(anthropic.AnthropicBedrock, aws_region="eu-west-1", api_key="k")
        bedrock.messages.create(**ASK)
        assert [texts(call) for call in app.calls] == [["hi, how are you?"]]
        assert app.server.asked[0].path == "/model/claude-x/invoke"


def test_what_is_not_chat_is_left_alone_and_what_looks_like_it_is_counted():
    def answer(asked: Asked) -> Said:
        return {"input_tokens": 3} if asked.path.endswith("count_tokens") else "<html>Welcome</html>"

    with Watched(answer) as app:
        app.client.messages.count_tokens(model="claude-x", messages=HELLO)
        assert app.recorder.stats().unrecorded == {}
        assert app.client.messages.create(**ASK) == "<html>Welcome</html>"
        app.client.post("/v1/complete", body={"prompt": "hello"}, cast_to=str)
        app.client.post("/v1/messages/batches", body={"requests": []}, cast_to=str)
        assert app.calls == []
        assert app.recorder.stats().unrecorded == {
            "the answer is in a form that is not known": 1,
            "a completion of a text, not of a chat": 1,
            "a batch, which is answered in a file": 1,
        }
