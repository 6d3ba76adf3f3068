"""Messages as logs hold them: calls in whatever shape, and results that id, name or order alone give to a call."""

import pytest

from collab_sdk.errors import InputError
from collab_sdk.messages import as_messages

USER = {"role": "user", "content": "order 5?"}


def result(content: str, id: object) -> dict[str, object]:
    return {"role": "tool", "content": content, "tool_call_id": id}


def named(content: str, name: str) -> dict[str, object]:
    return {"role": "tool", "content": content, "name": name}


def linked(*messages) -> list[tuple[str, list[str]]]:
    """Every call with the results that answer it, by the ids that the messages have when they are read."""
    read = as_messages(messages)
    answers = {message.tool_call_id: message.content for message in read if message.role == "tool"}
    return [(f"{each.name}{each.arguments}", answers.get(each.id)) for message in read for each in message.calls]


def two(*ids: object) -> dict[str, object]:
    made = [{"id": id, "function": {"name": f"t{n}", "arguments": "{}"}} for n, id in enumerate(ids)]
    return {"role": "assistant", "content": None, "tool_calls": made}


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([two("x", "x"), result("one", "x")], ["one", None]),
        ([two("x", "x"), result("one", "x"), result("two", "x")], ["one", "two"]),
        ([two("", ""), result("one", ""), result("two", "")], ["one", "two"]),
        ([two(1, 2), result("two", 2), result("one", 1)], ["one", "two"]),
        ([two("a"), result("one", "a"), two("a"), result("two", "a")], ["one", "two"]),
        ([two("a"), two("a"), result("two", "a")], [None, "two"]),
        ([two("a"), USER, two("a"), result("two", "a")], [None, "two"]),
        ([two("a", "b"), named("B", "t1"), named("A", "t0")], ["A", "B"]),
    ],
    ids=["alike, one lost", "alike", "empty", "numbers", "begun anew", "lost, then anew", "lost before", "by name"],
)
def test_every_result_is_of_one_call(messages, answers):
    assert [answer for _, answer in linked(USER, *messages)] == answers


SHAPES = {
    "LangChain": ({"tool_calls": [{"name": "f", "args": {"order": 5}, "id": "a"}]}, 'f{"order":5}'),
    "before tools": ({"content": "Wait.", "function_call": {"name": "f", "arguments": "{}"}}, "f{}"),
    "Anthropic": ({"content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"order": 5}}]}, 'f{"order":5}'),
    "any text": ({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}, "shls"),
    "a list": ({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": []}}]}, "f[]"),
}


@pytest.mark.parametrize(("message", "called"), SHAPES.values(), ids=SHAPES.keys())
def test_calls_are_read_in_whatever_shape(message, called):
    message = {"role": "assistant", **message}
    assert [made for made, _ in linked(USER, message)] == [called]
    assert "[tool_use]" not in as_messages([message])[0].content


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}, "is not read"),
        ({"role": "tool", "content": "x", "tool_call_id": ["a"]}, "tool_call_id must be text"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": b"x"}}]}, "name of a call must be text"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": {1, 2}}}]}, "must be JSON"),
        ({"role": "assistant", "tool_calls": "look_up"}, "must be a list of calls"),
        ({"role": "user", "content": "x", "tool_calls": [{"function": {"name": "x"}}]}, "the assistant alone"),
    ],
)
def test_what_is_no_call_is_said_and_never_words(message, problem):
    with pytest.raises(InputError, match=problem):
        as_messages([message])


def test_a_refusal_is_text():
    refused = {"role": "assistant", "content": None, "refusal": "I can't."}
    parts = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
    assert [message.content for message in as_messages([refused, parts])] == ["I can't.", "I can't."]
