"""The values that travel through the package: messages, conversations, goals, futures, scores, pairs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from collab_sdk.errors import InputError, NotEnoughSamplesError, UsageError

__all__ = [
    "PARTIAL_TURNS",
    "REASONING",
    "ROLES",
    "Conversation",
    "End",
    "Future",
    "Goal",
    "MRScore",
    "Message",
    "Per",
    "PreferencePair",
    "Role",
    "ToolCall",
    "Turn",
    "as_messages",
    "deeds_of",
    "is_decision",
    "link_tool_calls",
    "reasoning_of",
    "shown_text",
    "text_of",
    "unanswered_calls",
]

Role = Literal["system", "user", "assistant", "tool"]
Per = Literal["turn", "decision"]
"""What is scored and compared: all that the assistant does until the user speaks again, or one message of it."""
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")
REASONING = ("reasoning_content", "reasoning")
"""The fields for a model's reasoning: DeepSeek's, which most servers follow, and the one that vLLM went over to."""
UNSAID = ("thinking", "redacted_thinking", "reasoning")
"""Types of content parts that hold a model's reasoning."""
SHOWN = 60
"""Characters of a text in the repr of a score or a future."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the user wants from a conversation. Simulator and judge see it, the assistant never does.

    `text` is prose or `key: value` lines. `reference` is the answer that `accuracy` compares with. `style` holds
    messages the real user wrote, as examples of how they write.
    """

    text: str
    reference: str | None = None
    style: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: "Goal | str") -> "Goal":
        """A goal from its text. Raises UsageError for one that is empty."""
        goal = cls(text=value) if isinstance(value, str) else value
        if not goal.text.strip():
            raise UsageError("The goal is empty: say in a sentence what the user wants.")
        return goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What the assistant did at one place of a conversation, what led to it, and what really followed.

    The response is all that it did until the user spoke again: calls, their results, text; or, where decisions are
    looked at one by one, a single message.
    """

    index: int
    """Position among the conversation's turns, or among its decisions, from 0."""
    history: tuple[Message, ...]
    response: tuple[Message, ...]
    rest: tuple[Message, ...] = ()
    alternatives: tuple[tuple[Message, ...], ...] = ()
    """Other responses that were given to the same history."""
    is_partial: bool = False
    """Whether the response was broken off."""

    @property
    def text(self) -> str:
        """What the user reads of the response."""
        return shown_text(self.response)


PARTIAL_TURNS = "partial_turns"
"""Where a conversation's metadata lists the turns whose response was broken off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A logged chat."""

    id: str
    messages: tuple[Message, ...]
    goal: Goal | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    alternatives: Mapping[int, tuple[tuple[Message, ...], ...]] = field(default_factory=dict)
    """By turn index: other responses that were given to the same history."""

    @property
    def opening(self) -> tuple[Message, ...]:
        """All up to the user's first message; empty if they never said anything."""
        for position, message in enumerate(self.messages):
            if message.role == "user":
                return self.messages[: position + 1]
        return ()

    @property
    def partial_turns(self) -> frozenset[int]:
        """Turns whose response was broken off. Metadata may be anybody's: what names no turns says nothing."""
        noted = self.metadata.get(PARTIAL_TURNS)
        return frozenset(turn for turn in noted if isinstance(turn, int)) if isinstance(noted, list) else frozenset()

    @property
    def uses_tools(self) -> bool:
        """Whether the assistant had tools, or called some."""
        return bool(self.tools) or any(message.tool_calls or message.role == "tool" for message in self.messages)

    def turns(self) -> Iterator[Turn]:
        """All that the assistant did for each user message, whole: several messages in a row, calls and results.

        What it says before the user has spoken is no turn, and neither is one that holds nothing.
        """
        index, begin = 0, None
        heard = False
        for position, message in enumerate((*self.messages, None)):
            if message is not None and message.role != "user":
                if message.role == "assistant" and heard and begin is None:
                    begin = position
                continue
            heard = True
            if begin is not None:
                response = _without_end(self.messages[begin:position])
                if any(map(is_decision, response)):
                    yield Turn(
                        index=index,
                        history=self.messages[:begin],
                        response=response,
                        rest=self.messages[begin + len(response) :],
                        alternatives=self.alternatives.get(index, ()),
                        is_partial=index in self.partial_turns,
                    )
                    index += 1
            begin = None

    def decisions(self) -> Iterator[Turn]:
        """Every message of the assistant's in its turns, each as a turn of one message."""
        index = 0
        for turn in self.turns():
            places = [place for place, message in enumerate(turn.response) if is_decision(message)]
            for place in places:
                before = turn.response[:place]
                others = (other[place : place + 1] for other in turn.alternatives if other[:place] == before)
                known = ((), deeds_of(turn.response[place : place + 1]))
                yield Turn(
                    index=index,
                    history=(*turn.history, *before),
                    response=(turn.response[place],),
                    rest=(*turn.response[place + 1 :], *turn.rest),
                    alternatives=tuple(other for other in others if deeds_of(other) not in known),
                    is_partial=turn.is_partial and place == places[-1],
                )
                index += 1

    def units(self, per: Per) -> Iterator[Turn]:
        """Its turns or its decisions."""
        return self.turns() if per == "turn" else self.decisions()


def _without_end(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages up to the last of the assistant's or its tools'."""
    length = max(place for place, message in enumerate(messages, 1) if message.role in ("assistant", "tool"))
    return messages[:length]


class End(StrEnum):
    """Why a future ended."""

    WINDOW = "window"
    USER_DONE = "user done"
    GOODBYE = "goodbyes only"
    REPETITION = "repetition"
    CALLS = "too many calls"
    """The assistant went on calling tools until its turn was ended."""
    OBSERVED = "observed"
    """The future is the logged one; nothing was simulated."""
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Future:
    """What followed a response, one sample: the messages played, why they ended, and what they earned.

    A future whose call or judgement failed has `error` and no `reward`: it is missing, never a zero.
    """

    sample: int
    messages: tuple[Message, ...] = ()
    end: End = End.WINDOW
    reason: str = ""
    """The simulated user's own reason for ending."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    """The judge's reason for each metric."""
    reward: float | None = None
    """R*, the weighted sum of the metrics over the whole conversation."""
    error: str | None = None

    def __repr__(self) -> str:
        end = f"error={_beginning(self.error)}" if self.error else f"reward={_number(self.reward)}"
        return f"Future(sample={self.sample}, {len(self.messages)} messages, end={self.end.value!r}, {end})"

    def failed(self, error: Exception) -> "Future":
        """This future as a missing sample."""
        return replace(self, end=End.FAILED, error=str(error), reward=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class MRScore:
    """The multiturn-aware reward of one response, or decision: the mean reward over its sampled futures.

    `value` and `metrics` are None and empty when fewer than `min_samples` futures succeeded. `stderr` is the standard
    error of the mean, None with fewer than two samples.
    """

    response: tuple[Message, ...]
    futures: tuple[Future, ...]
    value: float | None
    stderr: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    observed: Future | None = None
    """The logged future, scored like a simulated one."""
    conversation_id: str = ""
    turn: int | None = None
    goal: str = ""
    """What the user wants, by which it was judged; of several goals the first."""
    calibrated: float | None = None
    """What `value` lets expect of real users, where the scorer was given a calibration; `value` stays as it was."""

    def __repr__(self) -> str:
        error = "" if self.stderr is None else f" ± {self.stderr:.3g}"
        value = f"value={_number(self.value)}{error}"
        return f"MRScore({value}, {self.n_ok}/{self.n} samples, response={_beginning(self.text)})"

    @property
    def text(self) -> str:
        """What the user reads of the response."""
        return shown_text(self.response)

    @property
    def n(self) -> int:
        """How many futures were sampled."""
        return len(self.futures)

    @property
    def n_ok(self) -> int:
        """How many of them have a reward."""
        return sum(future.reward is not None for future in self.futures)

    @property
    def errors(self) -> tuple[str, ...]:
        """Why samples are missing, one line each."""
        return tuple(future.error for future in self.futures if future.error)

    def __float__(self) -> float:
        if self.value is None:
            reason = f" First failure: {self.errors[0]}" if self.errors else ""
            raise NotEnoughSamplesError(f"No score: {self.n_ok} of {self.n} samples succeeded.{reason}")
        return float(self.value)


def _number(value: float | None) -> str:
    return "None" if value is None else f"{value:.4g}"


def _beginning(text: str) -> str:
    """At most `SHOWN` characters of a text, as a repr has it."""
    shown = repr(text[: SHOWN + 1])
    return shown if len(shown) <= SHOWN + 2 else f"{shown[: SHOWN + 1]}…{shown[0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferencePair:
    """Two responses to one history, the better first."""

    conversation_id: str
    turn: int
    prompt: tuple[Message, ...]
    chosen: MRScore
    rejected: MRScore
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def margin(self) -> float:
        """By how much the chosen response scored higher."""
        return float(self.chosen) - float(self.rejected)
