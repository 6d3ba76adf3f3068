"""The assistant where it has tools: which it calls, with what, and what it says of the result."""

import asyncio
import json
from typing import Any

import pytest

from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatReply, ChatRequest
from collab_sdk.offline import OfflineModel


def tool(name: str, description: str = "", required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


LOOK_UP = tool("look_up_order", "Find an order by its number.", order={"type": "integer"})
CANCEL = tool("cancel_order", "Cancel an order.", order_id={"type": "string"})
REFUND = tool("refund", "Pay back the price of an order.", order={"type": "integer"}, reason={"type": "string"})
PLACE = tool(
    "place_order",
    "Order a drink.",
    ["drink", "size"],
    drink={"type": "string", "enum": ["latte", "mocha"]},
    size={"type": "string", "enum": ["small", "large"]},
    decaf={"type": "boolean"},
)
TOOLS = (LOOK_UP, CANCEL, REFUND, PLACE)


def answer(*said: str | Message, tools=TOOLS, choice: Any = None, manner="passive", sample="") -> ChatReply:
    messages = [Message(role="user", content=each) if isinstance(each, str) else each for each in said]
    request = ChatRequest(
        role=CallRole.ASSISTANT, messages=tuple(messages), tools=tuple(tools), tool_choice=choice, sample=sample
    )
    return asyncio.run(OfflineModel(manner=manner).achat(request))


def called(reply: ChatReply) -> tuple[str, dict[str, Any]]:
    (call,) = reply.messages[-1].calls
    return call.name, call.parsed


def did(reply: ChatReply, result: str) -> list[Message]:
    """The call, and its result."""
    return [*reply.messages, Message(role="tool", content=result, tool_call_id=reply.messages[-1].calls[0].id)]


@pytest.mark.parametrize(
    ("said", "name", "arguments"),
    [
        ("order 5?", "look_up_order", {"order": 5}),
        ("where is my order number 12", "look_up_order", {"order": 12}),
        ("please cancel order W-17", "cancel_order", {"order_id": "W-17"}),
        ("refund order 3, it was cold", "refund", {"order": 3, "reason": "refund order 3, it was cold"}),
        ("a large mocha please", "place_order", {"drink": "mocha", "size": "large"}),
        ("a small decaf latte", "place_order", {"drink": "latte", "size": "small", "decaf": True}),
    ],
)
def test_it_calls_the_tool_that_fits_with_what_the_user_said(said, name, arguments):
    assert called(answer(said)) == (name, arguments)


def test_what_was_left_open_is_guessed_among_the_values_that_will_do():
    sizes = {called(answer("a latte", sample=str(sample)))[1]["size"] for sample in range(20)}
    assert sizes == {"small", "large"}


@pytest.mark.parametrize("said", ["cancel it please", "thanks", "write me a poem about rain"])
def test_where_no_tool_fits_it_talks_as_it_does_without_any(said):
    assert answer(said).content == answer(said, tools=()).content
    assert not answer(said).tool_calls


def test_an_optional_value_that_nobody_named_is_left_out():
    assert "decaf" not in called(answer("a large latte"))[1]


def test_it_says_what_came_back():
    told = answer("order 5?", *did(answer("order 5?"), '{"status": "SHIPPED", "days": 2}'))
    assert not told.tool_calls
    assert "status SHIPPED, days 2" in told.content


@pytest.mark.parametrize("result", ["error: no such order", '{"error": "no such order"}', "It could not be found"])
def test_a_refusal_is_told_as_one(result):
    told = answer("cancel order 5", *did(answer("cancel order 5"), result))
    assert not told.tool_calls
    assert any(words in told.content for words in ("did not work", "could not be done", "refused"))
    assert not told.content.startswith(("Done", "That is done", "All set"))


def test_it_makes_two_calls_in_a_turn_where_two_were_asked_for_and_no_more():
    said = "look up order 3, cancel it and refund it"
    first = answer(said)
    second = answer(said, *(one := did(first, "ok")))
    assert [called(first)[0], called(second)[0]] == ["look_up_order", "cancel_order"]
    assert not answer(said, *one, *did(second, "ok")).tool_calls


def test_a_call_that_went_well_is_not_made_again_and_a_correction_makes_another():
    made = did(answer("a large latte"), "ok")
    done = Message(role="assistant", content="Done: ok.")
    assert not answer("a large latte", *made, done, "thanks, a large latte").tool_calls
    assert called(answer("a large latte", *made, done, "no, small please"))[1] == {"drink": "latte", "size": "small"}


def test_the_proactive_one_asks_before_it_calls():
    assert "?" in answer("a latte", manner="proactive").content
    asked = Message(role="assistant", content="Which size?")
    assert called(answer("a latte", asked, "small", manner="proactive"))[1] == {"drink": "latte", "size": "small"}


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("none", None),
        ("auto", None),
        ("required", "look_up_order"),
        ("refund", "refund"),
        ({"type": "function", "function": {"name": "refund"}}, "refund"),
    ],
)
def test_whether_it_must_call_is_heeded(choice, name):
    reply = answer("hello there", choice=choice)
    assert [call.name for call in reply.messages[-1].calls] == ([name] if name else [])


def test_a_forced_call_is_answered_in_words():
    reply = answer("hello there", choice="required")
    assert not answer("hello there", *did(reply, "ok"), choice="required").tool_calls


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "anything",
        {"properties": "none"},
        {"properties": {"order": "integer"}, "required": "order"},
        {"properties": {"order": {"type": ["null", "integer"]}}, "required": ["order"]},
        {"properties": {"order": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}, "required": ["order"]},
        {"properties": {"orders": {"type": "array", "items": {"type": "integer"}}}, "required": ["orders"]},
        {"properties": {"order": {"type": "object"}, "why": {"const": "asked"}}, "required": ["order", "why"]},
        {"properties": {"order": {"enum": []}}, "required": ["order"]},
    ],
)
def test_any_schema_is_taken_as_far_as_it_can_be_read(schema):
    odd = {"type": "function", "function": {"name": "refund", "parameters": schema}}
    reply = answer("refund order 5", tools=(odd,))
    assert called(reply)[0] == "refund"
    assert json.loads(reply.tool_calls[0]["function"]["arguments"]) == called(reply)[1]


@pytest.mark.parametrize("hostile", ["\ud800", "x" * 300_000, "9" * 5_000, "cancel " * 50_000, "{}"])
def test_hostile_text_breaks_nothing(hostile):
    reply = answer(f"refund order {hostile}")
    assert reply.content or reply.tool_calls
    if reply.tool_calls:
        assert len(answer("cancel order 5", *did(answer("cancel order 5"), hostile)).content) < 1_000
