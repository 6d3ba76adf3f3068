"""Messages, the calls of tools in them, and what is read off them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from collab_sdk.errors import InputError, UsageError

__all__ = [
    "REASONING",
    "ROLES",
    "Message",
    "Role",
    "ToolCall",
    "as_messages",
    "deeds_of",
    "is_decision",
    "link_tool_calls",
    "only_reads",
    "reasoning_of",
    "shown_text",
    "text_of",
    "unanswered_calls",
]

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")
REASONING = ("reasoning_content", "reasoning")
"""The fields for a model's reasoning: DeepSeek's, which most servers follow, and the one that vLLM went over to."""
UNSAID = ("thinking", "redacted_thinking", "reasoning")
"""Types of content parts that hold a model's reasoning."""
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
        tool_calls = value.get("tool_calls") or ()
        if not isinstance(tool_calls, list | tuple) or not all(isinstance(call, Mapping) for call in tool_calls):
            raise InputError("tool_calls must be a list of objects")
        return cls(
            role=role,
            content=text_of(value.get("content"), empty_allowed=bool(tool_calls)),
            name=value.get("name"),
            tool_calls=tuple(tool_calls),
            tool_call_id=value.get("tool_call_id"),
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


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "{}" if arguments is None else _json_text(arguments)
    return ToolCall(id=str(call.get("id") or ""), name=str(function.get("name") or "").strip(), arguments=arguments)


def unanswered_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """The calls of the last assistant message that have no result yet, in its order.

    Empty where somebody has spoken since.
    """
    answered: set[str | None] = set()
    for message in reversed(messages):
        if message.role == "tool":
            answered.add(message.tool_call_id)
        elif message.role == "assistant":
            return tuple(call for call in message.calls if call.id not in answered)
        elif message.role == "user":
            return ()
    return ()


def is_decision(message: Message) -> bool:
    """Whether the assistant said or did something with it."""
    return message.role == "assistant" and bool(message.tool_calls or message.content.strip())


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
    """The text of OpenAI message content: a string, or parts, of which reasoning is left out.

    Parts that are no text become `[image]` and the like.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        return "\n".join(_part_text(part) for part in content if not _is_reasoning(part))
    if content is None and empty_allowed:
        return ""
    raise InputError(
        f"content must be a string or a list of parts, not {'null' if content is None else type(content).__name__}"
    )


def _is_reasoning(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in UNSAID


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise InputError(f"a content part must be an object with a type, not {type(part).__name__}")
    if isinstance(part.get("text"), str):
        return str(part["text"])
    kind = str(part.get("type") or "part").removeprefix("input_").removesuffix("_url")
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
    """The messages with an id and arguments as text on every call, and on every result the id of the call it answers.

    Older logs have neither, and model APIs refuse a history without them. Results answer open calls in order.
    """
    linked: list[Message] = []
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        if message.tool_calls:
            calls = tuple(_complete(call, f"call_{position}_{n}") for n, call in enumerate(message.tool_calls))
            open_calls.extend(call["id"] for call in calls)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool":
            if message.tool_call_id is None and open_calls:
                message = replace(message, tool_call_id=open_calls[0])
            open_calls = [call_id for call_id in open_calls if call_id != message.tool_call_id]
        linked.append(message)
    return tuple(linked)


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _complete(call: Mapping[str, Any], spare_id: str) -> Mapping[str, Any]:
    call = {"id": None, "type": "function", **call}
    if not isinstance(call["id"], str):
        call["id"] = spare_id
    function = call.get("function")
    if isinstance(function, Mapping) and not isinstance(function.get("arguments"), str):
        # As text, as OpenAI has it: columns of differing objects are what Arrow fills up with nulls.
        call["function"] = {
            **function,
            "arguments": _json_text(function.get("arguments") or {}),
        }
    return call
