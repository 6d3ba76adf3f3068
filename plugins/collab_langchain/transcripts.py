"""What a person and an app said to each other in one run, read from what went into the run and what came out."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

from collab_langchain.snapshot import openai_dict

Row = Mapping[str, Any]
QUESTION_KEYS = ("input", "question", "query", "user_input", "human_input", "user_message", "message", "prompt", "text")
ANSWER_KEYS = ("answer", "output", "response", "reply", "generation", "result", "output_text", "text", "content")
ANSWER_WORDS = frozenset({"answer", "reply", "response", "generation", "completion"})
OTHER_WORDS = frozenset(
    {"classification", "guard", "guardrail", "intent", "moderation", "route", "router", "safety", "summary", "title"}
)
"""A key with such a word is no answer, whatever else is in its name: `guard_response`."""
LONGEST_STATE = 100
"""Messages of a graph's state that go with each answer: the last ones, as a thread may grow for years."""
DEPTH = 3


@dataclass(frozen=True, slots=True)
class Transcript:
    """The chat so far, or its last exchange. No messages: the run gave no answer."""

    messages: tuple[Row, ...] = ()
    answer_id: str | None = None
    """LangChain's id of the last message, if that is known."""
    is_turn: bool = False

    @property
    def answer(self) -> str:
        content = self.messages[-1]["content"] if self.messages else ""
        return content.strip() if isinstance(content, str) else ""


def question_in(given: Any, depth: int = 0) -> Row | None:
    """What the person said, as a message: of a run's input the text, or the last message of theirs."""
    if isinstance(given, str):
        return {"role": "user", "content": str(given)} if given.strip() else None
    if isinstance(given, BaseMessage):
        said = openai_dict(given)
        return said if said["role"] == "user" else None
    if isinstance(given, list | tuple):
        last = (message for value in reversed(given) for message in _messages([value]))
        return next((row for message in last if (row := question_in(message))), None)
    fields = _fields(given)
    if depth == DEPTH or not fields:
        return None
    if (found := question_in(fields.get("messages"))) is not None:
        return found
    known = [fields[key] for key in QUESTION_KEYS if isinstance(fields.get(key), str | BaseMessage | list | Mapping)]
    texts = [value for value in fields.values() if isinstance(value, str | HumanMessage)]
    lists = [value for value in fields.values() if isinstance(value, list | tuple) and all(map(_is_message, value))]
    nested = [value for value in fields.values() if isinstance(value, Mapping)]
    candidates = known or (texts if len(texts) == 1 else []) or lists or nested
    return next((row for value in candidates if (row := question_in(value, depth + 1)) is not None), None)


def texts_in(given: Any) -> dict[str, str]:
    """All text that a run is handed, by key; of messages by key and place, as `history.3`, or `history.` for none."""
    if isinstance(given, str):
        return {"": given}
    if isinstance(given, list | tuple):
        return {f".{place}": _said(value) for place, value in enumerate(given) if _is_message(value)}
    fields = _fields(given)
    texts = {str(key): str(value) for key, value in fields.items() if isinstance(value, str)}
    for key, value in fields.items():
        if isinstance(value, list | tuple):
            texts |= {f"{key}{place}": text for place, text in (texts_in(value) or {".": ""}).items()}
    return texts


def transcript_of(question: Row | None, output: Any, is_reply: Callable[[str], bool]) -> Transcript | None:
    """None: `output` does not tell what was answered. `is_reply` knows the texts that models gave in this run."""
    if isinstance(output, str | BaseMessage):
        return _turn(question, output)
    if isinstance(output, list | tuple):
        messages = _messages(output)
        return _state(question, messages) if messages else None
    fields = _fields(output)
    histories = {
        key: found for key, value in fields.items() if isinstance(value, list | tuple) and (found := _messages(value))
    }
    if "messages" in histories:
        return _state(question, histories["messages"], _answer_in(fields))
    if (answer := _answer_in(fields)) is not None:
        said = [history for history in histories.values() if _text(history[-1]) == _text(answer)]
        return _state(question, said[0]) if said else _turn(question, answer)
    ended = [history for history in histories.values() if isinstance(history[-1], AIMessage)]
    if ended:
        return _state(question, max(ended, key=lambda history: (_holds(history, question), len(history))))
    for update in reversed([value for value in fields.values() if isinstance(value, Mapping)]):  # of a graph's node
        if "messages" in update and (inner := transcript_of(question, update, is_reply)) is not None:
            return inner
    replies = [value for value in fields.values() if isinstance(value, str | AIMessage) and is_reply(_text(value))]
    return _turn(question, replies[0]) if len(replies) == 1 else None


def _state(question: Row | None, messages: Sequence[BaseMessage], answer: str | AIMessage | None = None) -> Transcript:
    """Of a graph's messages those up to its answer, which may be in a key of its own.

    Where the graph paused or ended with a tool, the answer is the call of it.
    """
    messages = messages[-LONGEST_STATE:]
    rows: list[Row] = [openai_dict(message) for message in messages]
    last = _last(rows)
    if last is None or rows[last]["role"] == "user":
        if answer is None:
            return Transcript()
        rows = [*rows[: 0 if last is None else last + 1], _answer_row(answer)]
        return _whole(question, rows, getattr(answer, "id", None))
    while rows[last]["role"] == "tool" and last > 0:
        last -= 1
    if rows[last]["role"] != "assistant":
        return Transcript()
    return _whole(question, rows[: last + 1], messages[last].id)


def _last(rows: Sequence[Row]) -> int | None:
    """Of the messages that are no system message."""
    return next((index for index in range(len(rows) - 1, -1, -1) if rows[index]["role"] != "system"), None)


def _whole(question: Row | None, rows: Sequence[Row], answer_id: str | None) -> Transcript:
    if any(row["role"] == "user" for row in rows):
        return Transcript(tuple(rows), answer_id)
    said = [row for row in rows if row["role"] != "system"]
    return Transcript((*([question] if question else []), *said), answer_id, is_turn=True)


def _turn(question: Row | None, answer: str | BaseMessage) -> Transcript | None:
    if isinstance(answer, BaseMessage) and not isinstance(answer, AIMessage):
        return None
    row = _answer_row(answer)
    if not row["content"] and "tool_calls" not in row:
        return None
    return Transcript((*([question] if question else []), row), getattr(answer, "id", None), is_turn=True)


def _answer_row(answer: str | BaseMessage) -> Row:
    return {"role": "assistant", "content": str(answer)} if isinstance(answer, str) else openai_dict(answer)


def _answer_in(fields: Mapping[str, Any], depth: int = 0) -> str | AIMessage | None:
    named = [key for key in fields if names_an_answer(key)]
    for key in (*(key for key in ANSWER_KEYS if key in fields), *named):
        value = fields[key]
        if isinstance(value, str | AIMessage) and _text(value):
            return value
        if depth < DEPTH and (found := _answer_in(_fields(value), depth + 1)) is not None:
            return found
    return None


def names_an_answer(key: Any) -> bool:
    words = set(str(key).lower().replace("-", "_").split("_"))
    return key in ANSWER_KEYS or (bool(words & ANSWER_WORDS) and not words & OTHER_WORDS)


def _holds(history: Sequence[BaseMessage], question: Row | None) -> bool:
    return question is not None and any(message.content == question["content"] for message in history)


def _text(value: str | BaseMessage) -> str:
    return (value if isinstance(value, str) else str(value.text)).strip()


def _said(message: Any) -> str:
    """The text of a message in whatever form."""
    if isinstance(message, BaseMessage):
        return _text(message)
    return str(message["content"] if isinstance(message, Mapping) else message[1])


def _fields(value: Any) -> Mapping[str, Any]:
    """Of a state: a dict, a dataclass or a pydantic model."""
    if isinstance(value, Mapping):
        return value
    if type(value).__name__ == "Command":  # LangGraph's, which need not be installed: what resumes a run is a decision
        return _fields(value.update)
    if isinstance(value, BaseModel):
        return {} if isinstance(value, BaseMessage | PromptValue) else vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return {}


def _messages(values: Sequence[Any]) -> list[BaseMessage]:
    """The values as messages; none if they are something else."""
    if not values or not all(map(_is_message, values)):
        return []
    if all(isinstance(value, BaseMessage) for value in values):
        return list(values)
    try:
        return convert_to_messages(values)
    except (ValueError, TypeError, KeyError, NotImplementedError):
        return []


def _is_message(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "content" in value and ("role" in value or "type" in value)
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return is_pair or isinstance(value, BaseMessage)


def marks_of(message: BaseMessage) -> Iterator[str]:
    """By what a model's reply is found again in what a run returns: its id, and its text."""
    if message.id:
        yield message.id
    if text := _text(message):
        yield text
