"""Responses of a wrapped OpenAI client become conversations, though the endpoint keeps their history itself."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from collab_openai import conversation, wrap
from openai import AsyncOpenAI, OpenAI, Stream
from pydantic import BaseModel
from support import faults
from support.faults import Fault, always
from support.kept import Kept
from support.scripted_server import Asked, ScriptedServer
from support.server import LoopbackServer

from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}


HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}


def numbered(body: dict[str, Any]) -> str:
    return f"re: {body['input'] if isinstance(body['input'], str) else 'items'}"


@pytest.fixture
def app(request):
    """A wrapped client and what it recorded; the parameter is the server's script of faults."""
    store = Kept()
    recorder = Recorder(store)
    with (
        LoopbackServer(numbered, faults=getattr(request, "param", None)) as server,
        wrap(OpenAI(base_url=server.api_base, api_key="-", max_retries=0), recorder) as client,
    ):
        yield client, lambda: recorder.flush(10) and recorder.stats().failed == 0 and store
    recorder.close()


def said(messages: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in messages]


def test_a_response_is_recorded_with_its_instructions_and_input(app):
    client, calls = app
    parts = [{"type": "input_text", "text": "what is"}, {"type": "input_image", "image_url": "https://x/cat.png"}]
    client.responses.create(
        model="x",
        instructions="Be kind.",
        input=[{"role": "developer", "content": "Be short."}, {"role": "user", "content": parts}],
        temperature=0.2,
        reasoning={"effort": "low"},
        text={"format": {"type": "json_object"}},
        tools=[{"type": "function", "name": "look_up", "parameters": {}, "strict": True}],
    )
    [call] = calls()
    text, image = call.messages[2]["content"]
    assert said(call.messages[:2]) == [("system", "Be kind."), ("system", "Be short.")]
    assert (text["text"], image["image_url"]) == ("what is", {"url": "https://x/cat.png"})
    assert said(call.replies) == [("assistant", "re: items")]
    assert call.tools[0]["function"]["name"] == "look_up"
    assert call.parameters == {
        "temperature": 0.2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
    }
    assert call.usage == {"prompt_tokens": 3, "completion_tokens": 2}


def test_what_goes_on_from_a_response_names_it_and_says_what_was_added(app):
    client, calls = app
    first = client.responses.create(model="x", instructions="Be kind.", input="one")
    client.responses.create(model="x", instructions="Be brief.", input="two", previous_response_id=first.id)
    with conversation("order-7"):
        client.responses.create(model="x", input="three", previous_response_id=first.id)
    asked, second, named = calls()
    assert (asked.response_id, asked.previous_response) == (first.id, None)
    assert (second.previous_response, second.conversation_id) == (first.id, None)
    assert said(second.messages) == [("system", "Be brief."), ("user", "two")]
    assert (named.previous_response, named.conversation_id) == (first.id, "order-7")


def test_the_apis_own_conversations_name_the_chat_unless_the_app_does(app):
    client, calls = app
    client.responses.create(model="x", input="one", conversation="conv_1")
    client.responses.create(model="x", input="two", conversation={"id": "conv_1"})
    with conversation("order-7"):
        client.responses.create(model="x", input="three", conversation="conv_1")
    assert [(call.conversation_id, call.is_added) for call in calls()] == [
        ("conv_1", True),
        ("conv_1", True),
        ("order-7", True),
    ]
    assert [len(call.messages) for call in calls()] == [1, 1, 1]


@pytest.mark.parametrize("named", ["previous_response_id", "conversation"])
def test_a_client_for_each_request_makes_one_chat_of_what_the_server_holds(tmp_path, named):
    held: str | None = "conv_1" if named == "conversation" else None
    with LoopbackServer(numbered) as server:
        for text in ("one", "two", "three"):
            recorder = Recorder(tmp_path / "chats.db")
            with wrap(OpenAI(base_url=server.api_base, api_key="-"), recorder) as client:
                go_on = {named: held} if held else {}
                response = client.responses.create(model="x", instructions="Be kind.", input=text, **go_on)
            held = held if named == "conversation" else response.id
            assert recorder.flush(10)
            recorder.close()
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [message.content for message in chat.messages] == [
        "Be kind.",
        *["one", "re: one", "two", "re: two", "three", "re: three"],
    ]


def test_an_app_that_sends_the_whole_history_needs_no_ids(tmp_path):
    recorder = Recorder(tmp_path / "chats.db")
    with LoopbackServer(numbered) as server, OpenAI(base_url=server.api_base, api_key="-") as client:
        wrap(client, recorder)
        history: list[Any] = [{"role": "user", "content": "one"}]
        for _ in range(3):
            response = client.responses.create(model="x", instructions="Be kind.", input=history)
            history += [*response.output, {"role": "user", "content": "more"}]
        assert recorder.flush(10)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [message.role for message in chat.messages] == ["system", *["user", "assistant"] * 3]
    recorder.close()


@pytest.mark.parametrize("app", [faults.first(1, Fault(message={"tool_calls": [CALL]}))], indirect=True)
def test_function_calls_and_their_outputs_are_tool_calls(app):
    client, calls = app
    first = client.responses.create(model="x", input="where is it?")
    output = {"type": "function_call_output", "call_id": "c1", "output": "shipped"}
    client.responses.create(model="x", input=[output], previous_response_id=first.id)
    asked, answered = calls()
    assert asked.replies == ({"role": "assistant", "content": None, "tool_calls": [CALL]},)
    assert answered.messages == ({"role": "tool", "tool_call_id": "c1", "content": "shipped"},)


class Reply(BaseModel):
    re: str


def test_parsed_and_streamed_responses_are_recorded(app):
    client, calls = app
    with pytest.raises(ValueError, match="re"):
        client.responses.parse(model="x", input="parsed", text_format=Reply)
    events = list(client.responses.create(model="x", input="streamed", stream=True))
    assert events[-1].type == "response.completed"
    with client.responses.stream(model="x", input="helped") as stream:
        assert stream.get_final_response().output_text == "re: helped"
    with client.responses.create(model="x", input="left", stream=True) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
    found = [(call.status, said(call.replies)) for call in calls()]
    assert found == [
        ("partial", [("assistant", "re: parsed")]),
        ("ok", [("assistant", "re: streamed")]),
        ("ok", [("assistant", "re: helped")]),
        ("partial", [("assistant", "re: ")]),
    ]


@pytest.mark.parametrize("app", [always(faults.SERVER_ERROR)], indirect=True)
def test_a_response_that_fails_is_recorded_as_such(app):
    client, calls = app
    with pytest.raises(Exception, match="500"):
        client.responses.create(model="x", input="one")
    assert [(call.status, call.replies) for call in calls()] == [("failed", ())]


def test_async_responses_are_recorded():
    store = Kept()
    recorder = Recorder(store)

    async def main(api_base: str) -> None:
        async with wrap(AsyncOpenAI(base_url=api_base, api_key="-"), recorder) as client:
            await client.responses.create(model="x", input="one")
            async for _ in await client.responses.create(model="x", input="two", stream=True):
                pass

    with LoopbackServer(numbered) as server:
        asyncio.run(main(server.api_base))
    assert recorder.flush(10)
    assert [said(call.replies) for call in store] == [[("assistant", "re: one")], [("assistant", "re: two")]]


# What the API has beside messages.


def response(*output: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": "x",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **fields,
    }


def spoken(*parts: Any) -> dict[str, Any]:
    content = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part for part in parts
    ]
    return {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content}


class Scripted:
    """A wrapped client of a server that says what a function does, and what was recorded of it."""

    def __init__(self, answer: Any) -> None:
        self._server = ScriptedServer(answer if callable(answer) else lambda asked: answer)
        self.store = Kept()
        self.recorder = Recorder(self.store)

    def __enter__(self) -> "Scripted":
        server = self._server.__enter__()
        self.client = wrap(OpenAI(base_url=server.url, api_key="-", max_retries=0), self.recorder)
        return self

    def __exit__(self, *error: Any) -> None:
        self.client.close()
        self._server.__exit__(*error)

    @property
    def calls(self) -> list[Any]:
        assert self.recorder.flush(10)
        assert self.recorder.stats().failed == 0
        return self.store


def events(*rows: dict[str, Any]) -> list[str]:
    return [
        f"event: {row['type']}\ndata: {json.dumps({'sequence_number': n, **row})}\n\n" for n, row in enumerate(rows)
    ]


def test_a_part_that_is_not_text_does_not_lose_the_reply():
    odd = {"type": "output_audio", "id": "a1"}
    with Scripted(response(spoken("Here."), spoken(odd))) as app:
        app.client.responses.create(model="x", input="hello")
        [reply] = app.calls[0].replies
    assert reply["content"] == [{"type": "text", "text": "Here."}, odd]


def test_calls_of_every_tool_that_the_app_runs_are_tool_calls_and_come_back_as_they_went():
    output = [
        {"type": "reasoning", "id": "r1", "summary": []},
        {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "tea"}},
        spoken("I run it."),
        {"type": "custom_tool_call", "id": "i1", "call_id": "c1", "name": "python", "input": "print(1)"},
        {"type": "function_call", "id": "i2", "call_id": "c2", "name": "look_up", "arguments": "{}"},
        {"type": "local_shell_call", "id": "i3", "call_id": "c3", "status": "completed", "action": {"command": ["ls"]}},
    ]
    with Scripted(response(*output)) as app:
        answer = app.client.responses.create(model="x", input="go")
        results = [
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "shipped"}]},
            {"type": "item_reference", "id": "r1"},
        ]
        app.client.responses.create(model="x", input=[{"role": "user", "content": "go"}, *answer.output, *results])
        asked, again = app.calls
    [reply] = asked.replies
    assert reply["content"] == "I run it."
    assert [call.get("custom") or call["function"] for call in reply["tool_calls"]] == [
        {"name": "python", "input": "print(1)"},
        {"name": "look_up", "arguments": "{}"},
        {"name": "local_shell", "arguments": '{"command": ["ls"]}'},
    ]
    assert again.messages == (
        {"role": "user", "content": "go"},
        reply,
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "shipped"},
    )


def test_an_image_that_the_model_drew_is_in_its_reply():
    drawn = {"type": "image_generation_call", "id": "g1", "status": "completed", "result": "iVBOR" * 100}
    with Scripted(response(drawn, spoken("A cat."))) as app:
        app.client.responses.create(model="x", input="draw a cat")
        [image, text] = app.calls[0].replies[0]["content"]
    assert (image["type"], text["text"]) == ("image_url", "A cat.")
    assert image["image_url"]["url"].startswith("[image/png, ")


def test_a_prompt_that_the_provider_keeps_is_known_from_the_answer():
    kept = [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]}]
    with Scripted(response(spoken("hi"), instructions=kept)) as app:
        app.client.responses.create(model="x", prompt={"id": "pmpt_1"}, input="hello")
        assert said(app.calls[0].messages) == [("system", "Be kind."), ("user", "hello")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, ("ok", "length")),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, ("ok", "content_filter")),
        ({"status": "failed", "error": {"code": "server_error", "message": "boom"}}, ("partial", "stop")),
        ({"status": "cancelled"}, ("partial", "stop")),
    ],
)
def test_a_response_that_did_not_come_to_its_end_says_so(fields, expected):
    whole = response(spoken("So far."), **fields)
    kind = "response.incomplete" if fields["status"] == "incomplete" else "response.failed"

    def answer(asked: Asked) -> Any:
        return events({"type": kind, "response": whole}) if asked.body.get("stream") else whole

    with Scripted(answer) as app:
        app.client.responses.create(model="x", input="hello")
        list(app.client.responses.create(model="x", input="hello", stream=True))
        assert [(call.status, call.metadata["finish_reason"]) for call in app.calls] == [expected] * 2


def test_a_stream_that_ends_without_its_last_event_is_partial_with_its_text_and_calls():
    call = {
        "type": "function_call",
        "id": "i1",
        "call_id": "c1",
        "name": "look_up",
        "arguments": "",
        "status": "in_progress",
    }
    custom = {"type": "custom_tool_call", "id": "i2", "call_id": "c2", "name": "python", "input": ""}
    empty = {**spoken(), "status": "in_progress"}
    rows = [
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "item_id": "m1",
            "delta": "Let me ",
        },
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "m1", "delta": "see"},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "i1", "delta": '{"or'},
        {"type": "response.output_item.added", "output_index": 2, "item": custom},
        {"type": "response.custom_tool_call_input.delta", "output_index": 2, "item_id": "i2", "delta": "print("},
        {"type": "error", "code": "x", "message": "boom", "param": None},
    ]
    with Scripted(events(*rows)) as app:
        list(app.client.responses.create(model="x", input="hello", stream=True))
        [found] = app.calls
    assert (found.status, found.error, found.response_id) == ("partial", "boom", "resp_1")
    assert found.replies == (
        {
            "role": "assistant",
            "content": "Let me see",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"or'}},
                {"id": "c2", "type": "custom", "custom": {"name": "python", "input": "print("}},
            ],
        },
    )


# What is answered later.


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_of_the_background_is_answered_when_it_is_asked_for(tmp_path, stream):
    polls = iter(["in_progress", "completed", "completed"])

    def answer(asked: Asked) -> Any:
        if asked.method == "POST":
            is_second = asked.body.get("previous_response_id")
            return response(spoken("ok")) if is_second else response(status="queued", background=True)
        whole = response(spoken("The report."), instructions="Be kind.", background=True, status=next(polls))
        return events({"type": "response.completed", "response": whole}) if stream else whole

    def worker(request: Any) -> Any:
        """What a client of its own gets."""
        recorder = Recorder(tmp_path / "chats.db", sync=True)
        with wrap(OpenAI(base_url=server.url, api_key="-"), recorder) as client:
            answer = request(client.responses)
            return list(answer) if isinstance(answer, Stream) else answer

    with ScriptedServer(answer) as server:
        ask = {"model": "x", "instructions": "Be kind."}
        begun = worker(lambda responses: responses.create(**ask, input="report", background=True))
        for _ in range(3):
            worker(lambda responses: responses.retrieve(begun.id, stream=stream))
        worker(lambda responses: responses.create(**ask, input="thanks", previous_response_id=begun.id))
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [message.content for message in chat.messages] == ["Be kind.", "report", "The report.", "thanks", "ok"]


def test_a_response_that_is_read_again_is_not_a_second_answer():
    with Scripted(response(spoken("hi"))) as app:
        app.client.responses.retrieve("resp_1")
        app.client.responses.with_raw_response.retrieve("resp_1")
        assert app.calls == []
        assert app.recorder.stats().unrecorded == {}


@pytest.mark.parametrize("named", [False, True])
def test_a_chat_goes_on_from_its_history_made_shorter(tmp_path, named):
    def answer(asked: Asked) -> Any:
        if asked.path == "/responses/compact":
            kept = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
            usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
            made = {"id": "resp_k", "object": "response.compaction", "created_at": 0, "usage": usage}
            return {**made, "output": [{**HELLO, "id": "u1", "status": "completed"}, kept]}
        sent = asked.body["input"]
        told = sent if isinstance(sent, str) else sent[-1]["content"]
        return response(spoken(f"re: {told}"), id=f"resp_{told}")

    recorder = Recorder(tmp_path / "chats.db", sync=True)
    with (
        ScriptedServer(answer) as server,
        wrap(OpenAI(base_url=server.url, api_key="-"), recorder) as client,
        conversation("ann") if named else contextlib.nullcontext(),
    ):
        if not hasattr(client.responses, "compact"):
            pytest.skip("the SDK is older")
        first = client.responses.create(model="x", input="hello")
        made = client.responses.compact(model="x", previous_response_id=first.id)
        history = [item.model_dump(exclude_none=True, warnings=False) for item in made.output]
        second = client.responses.create(model="x", input=[*history, {"role": "user", "content": "two"}])
        client.responses.create(model="x", input="three", previous_response_id=second.id)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
        [side] = store.side_calls(chat.id)
    assert [row.content for row in chat.messages] == ["hello", "re: hello", "two", "re: two", "three", "re: three"]
    assert (side.is_side, side.replies) == (True, ())
