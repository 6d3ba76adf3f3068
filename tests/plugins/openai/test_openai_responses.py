"""Responses of a wrapped OpenAI client become conversations, though the endpoint keeps their history itself."""

import asyncio
from typing import Any

import pytest
from collab_openai import wrap
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from support import faults
from support.faults import Fault, always
from support.kept import Kept
from support.server import LoopbackServer

from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}


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
        tools=[{"type": "function", "name": "look_up", "parameters": {}, "strict": True}],
    )
    [call] = calls()
    text, image = call.messages[2]["content"]
    assert said(call.messages[:2]) == [("system", "Be kind."), ("system", "Be short.")]
    assert (text["text"], image["image_url"]) == ("what is", {"url": "https://x/cat.png"})
    assert said(call.replies) == [("assistant", "re: items")]
    assert call.tools[0]["function"]["name"] == "look_up"
    assert (call.parameters, call.usage) == ({"temperature": 0.2}, {"prompt_tokens": 3, "completion_tokens": 2})


def test_what_goes_on_from_a_response_has_its_history(app):
    client, calls = app
    first = client.responses.create(model="x", instructions="Be kind.", input="one")
    second = client.responses.create(model="x", input="two", previous_response_id=first.id)
    for _ in range(2):
        client.responses.create(model="x", input="three", previous_response_id=second.id)
    *_, third, again = calls()
    assert said(third.messages) == [
        ("user", "one"),
        ("assistant", "re: one"),
        ("user", "two"),
        ("assistant", "re: two"),
        ("user", "three"),
    ]
    assert again.messages == third.messages
    assert {call.conversation_id for call in calls()} == {first.id}


def test_the_apis_own_conversations_are_conversations(app):
    client, calls = app
    client.responses.create(model="x", input="one", conversation="conv_1")
    client.responses.create(model="x", input="two", conversation={"id": "conv_1"})
    assert [call.conversation_id for call in calls()] == ["conv_1", "conv_1"]
    assert len(calls()[1].messages) == 3


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
    assert answered.messages[1:] == (*asked.replies, {"role": "tool", "tool_call_id": "c1", "content": "shipped"})


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
    assert found[0][0] == "failed"
    assert found[1:] == [
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


def test_a_part_that_is_no_text_does_not_lose_the_reply():
    from types import SimpleNamespace

    from collab_openai.responses import response_answer

    def item(*parts):
        return {"type": "message", "role": "assistant", "content": list(parts)}

    text, odd = {"type": "output_text", "text": "Here."}, {"type": "output_audio", "id": "a1"}
    response = SimpleNamespace(
        id="r1", model="m", output=[item(text), item(odd)], usage=None, incomplete_details=None, error=None
    )
    [reply] = response_answer(response).replies
    assert reply["content"] == [{"type": "text", "text": "Here."}, odd]
