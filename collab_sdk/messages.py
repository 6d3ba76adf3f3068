"""Messages, the calls of tools in them, and what is read off them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from collab_sdk.errors import InputError, UsageError
from collab_sdk.tool_calls import field_of, tool_calls_in

__all__ = [
    "REASONING",
    "ROLES",
    "Ending",
    "Message",
    "Role",
    "ToolCall",
    "as_messages",
    "calls_of",
    "content_of",
    "deeds_of",
    "is_decision",
    "link_tool_calls",
    "only_reads",
    "reasoning_of",
    "shown_text",
    "since_the_user",
    "text_of",
    "unanswered_calls",
]

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")
REASONING = ("reasoning_content", "reasoning")
"""The fields for a model's reasoning: DeepSeek's, which most servers follow, and the one that vLLM went over to."""
UNSAID = ("thinking", "redacted_thinking", "reasoning", "tool_use")
"""Types of content parts that hold a model's reasoning, or a call of a tool."""
RESULTS = ("tool_result", "tool-result", "function_call_output")
READS = frozenset(
    """browse calculate calc check compare compute count describe estimate explain fetch find get has is list look
    lookup query read recall retrieve scan search show summarize think view""".split()
)
WRITES = frozenset(
    """add and apply approve assign auction authorize cancel create delete disable edit enable execute insert install
    merge modify notify or pay publish purge redeem reject remove rent replace reset restore revoke sale save send
    submit subscribe swap then unlock update upload upsert withdraw write""".split()
)
"""Behind one of READS, as in get_or_create, they make it a call that may write."""
PARTICLES = frozenset("away back down in off on out over rid through up".split())
"""Directly behind most of READS, or at the end, as in check_in, check_out_guest, they make another verb of it."""
SEEKS = frozenset("find look scan search".split())
"""Of READS, those that look for something wherever they look: look_up, search_in_files."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
NAMESPACE = re.compile(r"__|[.:/]")


class Ending(StrEnum):
    """How a reply of the assistant's ended that did not end by itself. Users see what there is of it, and no more."""

    CUT_OFF = "cut off"
    """It ran into its token limit."""
    FILTERED = "filtered"
    """A content filter or the model's provider stopped it, or refused to answer."""
    EMPTY = "empty"
    """There are neither words nor calls in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call of a tool, as the assistant wrote it."""

    id: str
    name: str
    """Empty where the assistant named none."""
    arguments: str
    """JSON text, or what the assistant wrote in its place."""

    @property
    def parsed(self) -> dict[str, Any] | None:
        """The arguments as an object; None for what is none. No text at all means no arguments."""
        try:
            value = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message of a conversation, in OpenAI's terms, with text content."""

    role: str
    content: str
    name: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str | None = None
    reasoning: str = field(default="", compare=False)
    """What the assistant thought before it spoke: in logs only, never sent to anybody."""
    ended: Ending | None = None
    """How a played reply ended, where it did not end by itself. The bot itself is not told."""

    @classmethod
    def of(cls, value: "Message | Mapping[str, Any]") -> "Message":
        """A message from an OpenAI-style dict. Raises InputError for a role or content that is no message."""
        if isinstance(value, Message):
            return value
        if not isinstance(value, Mapping):
            raise InputError(f"a message must be an object with role and content, not {type(value).__name__}")
        role = value.get("role")
        if role not in ROLES:
            raise InputError(f"unknown role {role!r}; expected one of {', '.join(ROLES)}")
        tool_calls = calls_of(value)
        if tool_calls and role != "assistant":
            raise InputError(f"a message of role {role} holds calls of tools, which the assistant alone can make")
        answered = value.get("tool_call_id")
        return cls(
            role=role,
            content=text_of(content_of(value), empty_allowed=bool(tool_calls)),
            name=_text_or_none("name", value.get("name")),
            tool_calls=tool_calls,
            tool_call_id=_text_or_none("tool_call_id", str(answered) if type(answered) is int else answered),
            reasoning=reasoning_of(value) if role == "assistant" else "",
        )

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls in `tool_calls`, whatever of them is missing."""
        return tuple(_call(call) for call in self.tool_calls)

    def to_dict(self) -> dict[str, Any]:
        """The OpenAI-style dict, as a model gets it; absent fields are left out."""
        row: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            row["name"] = self.name
        if self.tool_calls:
            row["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.tool_call_id is not None:
            row["tool_call_id"] = self.tool_call_id
        return row


def calls_of(message: object) -> tuple[Mapping[str, Any], ...]:
    """The calls in a message, a mapping or an object: its own, or, as Anthropic has them, parts of its content.

    Raises InputError for what is no list of calls of functions.
    """
    return tool_calls_in(message) or _called_in(field_of(message, "content"))


def _called_in(content: Any) -> tuple[Mapping[str, Any], ...]:
    parts = content if isinstance(content, list | tuple) else ()
    uses = [part for part in parts if field_of(part, "type") == "tool_use"]
    calls = ({"id": field_of(use, "id"), "name": field_of(use, "name"), "args": field_of(use, "input")} for use in uses)
    return tool_calls_in({"tool_calls": list(calls)})


def content_of(message: object) -> Any:
    """The content of a message, a mapping or an object, or the refusal that a model of OpenAI's wrote in its place."""
    content, refusal = field_of(message, "content"), field_of(message, "refusal")
    return refusal if not content and isinstance(refusal, str) and refusal else content


def _text_or_none(key: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InputError(f"{key} must be text, not {type(value).__name__}")


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    name, arguments = function.get("name"), function.get("arguments")
    return ToolCall(
        id=str(call.get("id") or ""),
        name=name.strip() if isinstance(name, str) else "",
        arguments=arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments),
    )


def unanswered_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """The calls at the end that have no result yet, in their order.

    There are none where the user, or the assistant in words alone, has spoken since.
    """
    answered: set[str | None] = set()
    open_calls: list[ToolCall] = []
    for message in reversed(messages):
        if message.role == "tool":
            answered.add(message.tool_call_id)
        elif message.tool_calls:
            open_calls = [*(call for call in message.calls if call.id not in answered), *open_calls]
        elif message.role == "user" or is_decision(message):
            break
    return tuple(open_calls)


def since_the_user(messages: Sequence[Message]) -> Sequence[Message]:
    """What was said and done since the user spoke."""
    spoke = (place for place in range(len(messages), 0, -1) if messages[place - 1].role == "user")
    return messages[next(spoke, 0) :]


def is_decision(message: Message) -> bool:
    """Whether the assistant said or did something with it, or answered with nothing."""
    return message.role == "assistant" and bool(message.tool_calls or message.content.strip() or message.ended)


def deeds_of(messages: Iterable[Message]) -> tuple[tuple[str, ...], ...]:
    """What the assistant said and called in `messages`, to compare responses by: what came back makes no difference."""
    return tuple(map(_deed, filter(is_decision, messages)))


def _deed(message: Message) -> tuple[str, ...]:
    return " ".join(message.content.split()), *map(_called, message.calls)


def _called(call: ToolCall) -> str:
    arguments = call.arguments if call.parsed is None else call.parsed
    return f"{call.name} {json.dumps(arguments, sort_keys=True)}"


def only_reads(name: str) -> bool:
    """Whether a tool of that name changes nothing: its name begins with a word such as get, find, list or look.

    Every other tool may have changed something, and so may one whose name leaves doubt, such as check_in.
    """
    words = [word.lower() for word in WORD.findall(NAMESPACE.split(name)[-1])]  # without a server or module in front
    first, *others = words or [""]
    if first not in READS or not WRITES.isdisjoint(others):
        return False
    return first in SEEKS or PARTICLES.isdisjoint([*others[:1], *others[-1:]])


def shown_text(messages: Iterable[Message]) -> str:
    """What the user reads of the assistant in `messages`, a paragraph for each message with text."""
    said = (message.content.strip() for message in messages if message.role == "assistant")
    return "\n\n".join(text for text in said if text)


def reasoning_of(message: object) -> str:
    """What stands beside the content of a message, an object or a mapping, as the model's reasoning; or nothing."""
    for name in REASONING:
        value = message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)
        if isinstance(value, str) and value:
            return value
    return ""


def text_of(content: Any, *, empty_allowed: bool = False) -> str:
    """The text of OpenAI message content: a string, or parts, of which reasoning and calls are left out.

    A refusal is text. Other parts that are no text become `[image]` and the like. Raises InputError for a tool's result
    among the parts, which nobody said.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        return "\n".join(_part_text(part) for part in content if not _is_unsaid(part))
    if content is None and empty_allowed:
        return ""
    raise InputError(
        f"content must be a string or a list of parts, not {'null' if content is None else type(content).__name__}"
    )


def _is_unsaid(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in UNSAID


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise InputError(f"a content part must be an object with a type, not {type(part).__name__}")
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    kind = str(part.get("type") or "part").removeprefix("input_").removesuffix("_url")
    if kind in RESULTS:
        raise InputError(f"a tool's result ({kind}) among the parts of a content is not read")
    return f"[{kind}]"


def as_messages(values: Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Messages from dicts or Messages. Raises InputError naming the place of the first that is none."""
    if isinstance(values, str | Mapping):
        raise UsageError(
            f"messages must be a list of messages with role and content, not {type(values).__name__}: "
            '[{"role": "user", "content": "..."}].'
        )
    messages = []
    for position, value in enumerate(values, start=1):
        try:
            messages.append(Message.of(value))
        except InputError as error:
            raise InputError(f"message {position}: {error.problem}") from None
    return link_tool_calls(messages)


def link_tool_calls(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages with an id of its own on every call, and on every result the id of the call that it answers.

    Older logs have none, some models begin at the same one in every message, and model APIs refuse such a history. A
    result answers the latest open call of its id; without an id, the first one of its name, or else the first.
    """
    linked: list[Message] = []
    known: set[str] = set()
    open_calls: list[_OpenCall] = []
    closed: dict[str, int] = {}
    for position, message in enumerate(messages):
        if message.role == "user":
            open_calls, closed = [], {}
        if message.tool_calls:
            if not all(map(_is_read, message.tool_calls)):
                message = replace(message, tool_calls=tool_calls_in({"tool_calls": message.tool_calls}))
            ids = [_new_id(call.id or f"call_{position}_{n}", known) for n, call in enumerate(message.calls)]
            open_calls += [
                _OpenCall(given=call.id, id=id, name=call.name, place=position)
                for call, id in zip(message.calls, ids, strict=True)
            ]
            if ids != [call.id for call in message.calls]:
                calls = ({**call, "id": id} for call, id in zip(message.tool_calls, ids, strict=True))
                message = replace(message, tool_calls=tuple(calls))
        elif message.role == "tool" and (call := _answered(message, open_calls, closed)) is not None:
            open_calls.remove(call)
            closed[message.tool_call_id or ""] = call.place
            if message.tool_call_id != call.id:
                message = replace(message, tool_call_id=call.id)
        linked.append(message)
    return tuple(linked)


@dataclass(frozen=True, kw_only=True, slots=True)
class _OpenCall:
    given: str
    id: str
    name: str
    place: int


def _new_id(given: str, known: set[str]) -> str:
    id, n = given, 1
    while id in known:
        n += 1
        id = f"{given}_{n}"
    known.add(id)
    return id


def _answered(result: Message, open_calls: Sequence[_OpenCall], closed: Mapping[str, int]) -> _OpenCall | None:
    """The call that a result answers; None where it is missing. `closed` has the place of calls by their given ids."""
    if result.tool_call_id:
        own = [call for call in open_calls if call.given == result.tool_call_id]
        # Two calls of one message that came with one id are answered in their order.
        place = own[-1].place if own else closed.get(result.tool_call_id)
        return next((call for call in own or open_calls if call.place == place), None)
    named = [call for call in open_calls if result.name and call.name == result.name]
    return next(iter(named or open_calls), None)


def _is_read(call: Mapping[str, Any]) -> bool:
    """Whether it is a call as `tool_calls_in` makes it."""
    function = call.get("function")
    texts = (function.get("name"), function.get("arguments")) if isinstance(function, Mapping) else (None,)
    return isinstance(call.get("id"), str) and all(isinstance(text, str) for text in texts)
