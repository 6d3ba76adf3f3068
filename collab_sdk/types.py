"""The values that travel through the package: conversations, turns, goals, futures, scores, pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from html import escape
from itertools import chain
from typing import Any, Literal

from collab_sdk.errors import NotEnoughSamplesError, UsageError
from collab_sdk.messages import Ending, Message, ToolCall, as_messages, deeds_of, is_decision, shown_text
from collab_sdk.secrets import harmless

__all__ = [
    "LARGEST_VALUE",
    "PARTIAL_TURNS",
    "UNTRAINED_TURNS",
    "Conversation",
    "End",
    "Future",
    "Goal",
    "MRScore",
    "Message",
    "Per",
    "Persona",
    "PreferencePair",
    "ToolCall",
    "Turn",
    "as_messages",
]

Per = Literal["turn", "decision"]
"""What is scored and compared: all that the assistant does until the user speaks again, or one message of it."""
LARGEST_VALUE = 1e12
"""Of a metric's value, its weight and a reward, as they are given and as they are read from a file: their squares can
be added up, and plots and tables hold them."""
SHOWN = 60
"""Characters of a text in the repr of a score or a future."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Persona:
    """Who a user is, whatever they want: only the simulator sees it."""

    name: str
    traits: tuple[str, ...] = ()
    """How they behave, each in a few words: "sceptical", "changes their mind once"."""
    patience: int | None = None
    """The answers of no use to them after which they leave."""
    writes: str = ""
    """How they write: "one or two words, no capitals"."""
    forgets: str = ""
    """What they forget, mix up or remember only when asked."""

    @property
    def says_something(self) -> bool:
        """Whether it describes anybody beyond its name."""
        return bool(self.traits or self.patience or self.writes or self.forgets)

    @property
    def is_nobody(self) -> bool:
        """Whether it stands for a user without a persona."""
        return self.name == "none" and not self.says_something


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the user wants from a conversation. Simulator and judge see it, the assistant never does.

    `text` is prose or `key: value` lines. `reference` is the answer that `accuracy` compares with. `style` holds
    messages the real user wrote, as examples of how they write; `persona` says who they are, and `script` what they
    say whatever happens: of each turn that is played the text, or None for one that is made up.

    A goal that was read from a log has in `settled` the texts of goals that also settle what nobody settled there, each
    in its own way. Such a goal has in `asked` the part that the user did ask for.
    """

    text: str
    reference: str | None = None
    style: tuple[str, ...] = ()
    persona: Persona | None = None
    script: tuple[str | None, ...] = ()
    settled: tuple[str, ...] = ()
    asked: str = ""

    @classmethod
    def of(cls, value: "Goal | str") -> "Goal":
        """A goal from its text. Raises UsageError for one that is empty."""
        goal = cls(text=value) if isinstance(value, str) else value
        if not goal.text.strip():
            raise UsageError("The goal is empty: say in a sentence what the user wants.")
        return goal

    @property
    def played(self) -> "tuple[Goal, ...]":
        """The goals that futures are played with: those that settle what was left open, or else this one alone."""
        return tuple(replace(self, text=text, settled=(), asked=self.text) for text in self.settled) or (self,)

    @property
    def known(self) -> "Goal":
        """The goal as far as the user told it, by which what they really did is judged."""
        return replace(self, text=self.asked, asked="") if self.asked else self


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What the assistant did at one place of a conversation, what led to it, and what really followed.

    The response is all that it did until the user spoke again: calls, their results, text; or, where decisions are
    looked at one by one, a single message. What the system says meanwhile is no part of it.
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
    is_untrained: bool = False
    """Whether the log says that nothing is to be learnt from the response: a weight of 0, or a label of false."""

    @property
    def text(self) -> str:
        """What the user reads of the response."""
        return shown_text(self.response)

    @property
    def followed(self) -> tuple[Message, ...] | None:
        """What is known to have followed: nothing, where the chat ended with the response and the user left.

        None where the log breaks off in the middle of it, so that nobody knows.
        """
        return None if self.is_partial and not self.rest else self.rest


PARTIAL_TURNS = "partial_turns"
"""Where a conversation's metadata lists the turns whose response was broken off."""
UNTRAINED_TURNS = "untrained_turns"
"""Where a conversation's metadata lists the turns whose response its log excludes from training."""


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
    ended: float | None = field(default=None, compare=False)
    """Unix seconds of its last message; None where the log does not tell."""

    @property
    def opening(self) -> tuple[Message, ...]:
        """All up to the user's first message; empty if they never said anything."""
        for position, message in enumerate(self.messages):
            if message.role == "user":
                return self.messages[: position + 1]
        return ()

    @property
    def partial_turns(self) -> frozenset[int]:
        """Turns whose response was broken off."""
        return self._turns_noted(PARTIAL_TURNS)

    @property
    def untrained_turns(self) -> frozenset[int]:
        """Turns whose response the log excludes from training."""
        return self._turns_noted(UNTRAINED_TURNS)

    def _turns_noted(self, key: str) -> frozenset[int]:
        """The turns that metadata lists. It may be anybody's: what names no turns says nothing."""
        noted = self.metadata.get(key)
        return frozenset(turn for turn in noted if isinstance(turn, int)) if isinstance(noted, list) else frozenset()

    @property
    def uses_tools(self) -> bool:
        """Whether the assistant had tools, or called some, be it in an alternative."""
        others = (message for each in self.alternatives.values() for other in each for message in other)
        called = (message.tool_calls or message.role == "tool" for message in chain(self.messages, others))
        return bool(self.tools) or any(called)

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
                end = max(n for n in range(begin, position) if self.messages[n].role != "system")
                # What the system says within a turn is no deed of the assistant's.
                response = tuple(message for message in self.messages[begin : end + 1] if message.role != "system")
                if any(map(is_decision, response)):
                    yield Turn(
                        index=index,
                        history=self.messages[:begin],
                        response=response,
                        rest=self.messages[end + 1 :],
                        alternatives=self.alternatives.get(index, ()),
                        is_partial=index in self.partial_turns,
                        is_untrained=index in self.untrained_turns,
                    )
                    index += 1
            begin = None

    def places(self, turn: Turn) -> range:
        """Where a turn stands among the messages, with what the system says within it, which is not in its response."""
        return range(len(turn.history), len(self.messages) - len(turn.rest))

    def decisions(self) -> Iterator[Turn]:
        """Every message of the assistant's in its turns, each as a turn of one message."""
        index = 0
        for turn in self.turns():
            places = [place for place in self.places(turn) if is_decision(self.messages[place])]
            for place in places:
                decision = self.messages[place : place + 1]
                before = tuple(each for each in self.messages[len(turn.history) : place] if each.role != "system")
                n = len(before)
                others = (other[n : n + 1] for other in turn.alternatives if _is_same(other[:n], before))
                known = ((), deeds_of(decision))
                yield Turn(
                    index=index,
                    history=self.messages[:place],
                    response=decision,
                    rest=self.messages[place + 1 :],
                    alternatives=tuple(other for other in others if deeds_of(other) not in known),
                    is_partial=turn.is_partial and place == places[-1],
                    is_untrained=turn.is_untrained,
                )
                index += 1

    def units(self, per: Per) -> Iterator[Turn]:
        """Its turns or its decisions."""
        return self.turns() if per == "turn" else self.decisions()


def _is_same(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Whether the same was said, done and found, whatever the ids of the calls."""
    said, said_too = ([(message.role, message.content) for message in each] for each in (one, other))
    return said == said_too and deeds_of(one) == deeds_of(other)


class End(StrEnum):
    """Why a future ended."""

    WINDOW = "window"
    USER_DONE = "user done"
    """The user left, content or without a word about it."""
    GAVE_UP = "user gave up"
    """The user left without what they wanted."""
    SCRIPT = "script ended"
    """The user's script has no further turn."""
    GOODBYE = "goodbyes only"
    REPETITION = "repetition"
    CALLS = "too many calls"
    """The assistant went on calling tools until its turn was ended."""
    OBSERVED = "observed"
    """The future is the logged one; nothing was simulated."""
    FAILED = "failed"
    """A call failed, and no user is to blame."""
    USER_FAILED = "user failed"
    """The simulated user could not be played, or did not behave like one."""


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
    user: str = ""
    """The name of the user who played; empty for a logged future."""
    persona: str = ""
    """The name of their persona."""
    fault: str = ""
    """In which way the user did not behave like one, where that ended it: see `collab_sdk.simulator.Fault`."""

    def __repr__(self) -> str:
        end = f"error={_beginning(self.error)}" if self.error else f"reward={_number(self.reward)}"
        return f"Future(sample={self.sample}, {len(self.messages)} messages, end={self.end.value!r}, {end})"

    def failed(self, error: Exception, *, end: End = End.FAILED) -> "Future":
        """This future as a missing sample."""
        return replace(self, end=end, error=str(error), reward=None, fault=getattr(error, "fault", ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class MRScore:
    """The multiturn-aware reward of one response, or decision: the mean reward over its sampled futures.

    `value` and `metrics` are None and empty when fewer than `min_samples` futures succeeded. `stderr` is the standard
    error of the mean, None with fewer than two samples. It is no interval: of few samples it is itself uncertain, and 0
    where they agree, which does not mean that the next would.
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
    """What the user wants, as far as it is known; of several goals the first."""
    goals: tuple[str, ...] = ()
    """The goals that the futures were played with and judged by, in turn, unless that is `goal` alone."""
    bounds: tuple[float, float] | None = None
    """Where samples are missing, and responses were compared: what `value` could be if the missing ones had earned the
    lowest, or the highest, reward that any of the responses earned."""
    calibrated: float | None = None
    """What `value` lets expect of real users, where the scorer was given a calibration; `value` stays as it was."""

    def __repr__(self) -> str:
        error = "" if self.stderr is None else f" ± {self.stderr:.3g}" if self.stderr else ", all alike"
        value = f"value={_number(self.value)}{error}"
        return f"MRScore({value}, {self.n_ok}/{self.n} samples, response={_beginning(self.text)})"

    def _repr_html_(self) -> str:
        """As a notebook shows it: the reply, what it earned by which metric, and why samples are missing."""
        error = "" if not self.stderr else f" ± {self.stderr:.3g}"
        earned = {"MR": f"{_number(self.value)}{error}", "samples": f"{self.n_ok} of {self.n}"}
        earned |= {name: f"{value:.3g}" for name, value in self.metrics.items()}
        if self.observed is not None:
            earned["observed"] = _number(self.observed.reward)
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in earned.items())
        called = ", ".join(f"→ {call.name}({call.arguments})" for message in self.response for call in message.calls)
        said = self.text or called
        lost = "".join(f"<li>{escape(harmless(reason))}</li>" for reason in self.errors)
        return (
            f'<blockquote style="white-space:pre-wrap">{escape(harmless(said))}</blockquote>'
            f"<table>{rows}</table>{f'<ul>{lost}</ul>' if lost else ''}"
        )

    @property
    def text(self) -> str:
        """What the user reads of the response."""
        return shown_text(self.response)

    @property
    def ended(self) -> Ending | None:
        """How the response ended, where it did not end by itself; such a one is never chosen for training."""
        return next((message.ended for message in self.response if message.ended), None)

    @property
    def n_broken_off(self) -> int:
        """In how many of the futures a reply of the assistant's was cut off, filtered or empty."""
        return sum(any(message.ended for message in future.messages) for future in self.futures)

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
    shrunk: float | None = None
    """The margin that another draw would show; None where nothing is known of how much rewards vary."""
    confidence: float | None = None
    """The probability that the chosen response is truly better; None likewise."""

    @property
    def margin(self) -> float:
        """By how much the chosen response is better: less than by how much it scored higher, where that is known."""
        return float(self.chosen) - float(self.rejected) if self.shrunk is None else self.shrunk

    @property
    def missing(self) -> tuple[int, int]:
        """Futures that failed: of the chosen response and of the rejected one."""
        return self.chosen.n - self.chosen.n_ok, self.rejected.n - self.rejected.n_ok
