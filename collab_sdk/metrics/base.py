"""What a metric says about itself, so that one judge call and one extraction serve them all."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from collab_sdk.errors import RunStoppedError, SampleError
from collab_sdk.messages import Message
from collab_sdk.models.form import Anything, Flag, Form, Note, Number, Record
from collab_sdk.prompts import PointTag
from collab_sdk.secrets import one_line
from collab_sdk.types import Conversation, Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the judge found: a value in [0, 1] and the reason given."""

    value: float
    note: str = ""
    items: tuple[float, ...] = ()
    """What the value is the mean of, for those who count over many conversations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """A criterion for the judge, which ends with the JSON form of the answer; `read` makes a judgement of that answer.

    `form` declares that form: servers hold the judge to its JSON Schema, and `read` gets what the form has read. It
    raises ValueError for an answer that will not do.
    """

    criterion: str
    read: Callable[[Any], Judgement]
    form: Form = Anything()  # noqa: RUF009 - frozen
    compare: Callable[[str], Judgement | Awaitable[Judgement | None] | None] | None = None
    """For a criterion about the metric's artefact alone: what can be said of that artefact without the judge.

    It may be async. Where it returns None, the judge is asked, in a call of its own that shows the artefact in place of
    the conversation: other metrics' judgements never see what this criterion gives away, such as a reference answer.
    """
    earned_by_silence: bool = False
    """Whether a reply that delivers nothing does nothing wrong by it, and so earns it: `grounded` is such a one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checklist:
    """A criterion that goes through points, one verdict each; the judge lists the points first, once.

    The list depends on `material` alone, so that all that is judged by it is judged by the same points: every future
    of every response compared, and other conversations about the same. A list that is drawn anew for each future makes
    equal responses unequal.
    """

    criterion: str
    """Asks for a verdict on each point by its number; ends with the JSON form of the answer."""
    points: PointTag
    """What the points are: the tag between which the judge sees them, and the prompt that has them listed."""
    material: Callable[[Goal, Sequence[Message]], str]
    """What they are listed from, given the goal and the conversation."""
    form: Callable[[int], Form]
    """The form of the answer, by how many points there are."""
    read: Callable[[tuple[str, ...], Any], Judgement]
    """The judgement of an answer on these points, computed here. Raises ValueError for verdicts on another list."""
    pointless: Judgement | None = None
    """What holds where there is no material, or nothing to list of it; None: there is always a point."""
    earned_by_silence: bool = False
    """As that of a Rubric: `policy` is such a one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything a metric may base its value on."""

    messages: tuple[Message, ...]
    """The whole conversation."""
    goal: Goal
    tokens: Mapping[str, int]
    """Tokens of the response and its future, by role, about as many as they would be in English (`english_tokens`).

    The shared history does not count, as it would shift every candidate alike. Tokens of an assistant's calls are its
    own; their results are the role `tool`.
    """
    judgement: Judgement | None
    artefact: str | None
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the assistant could call, in OpenAI's form."""

    @property
    def judged(self) -> float:
        """The value of the judgement. Raises SampleError if there is none."""
        if self.judgement is None:
            raise SampleError("there is no judgement")
        return self.judgement.value


class Metric(Protocol):
    """One number about a conversation. Adding one: a function of the evidence, or a class like those beside this file.

    A class may have three more methods, each a function of the goal: `check`, which raises UsageError if this goal
    cannot be measured; `rubric`, what to ask the judge (a Rubric or None); `artefact`, what to pull out of the
    conversation, in a few words (text or None). And one of the logged conversation, `applies`: whether it can be
    measured there at all. Where not, it is no part of the reward of any response in that conversation. An attribute
    `highest` says its highest value, so that results can tell of how much a reward is.
    """

    @property
    def name(self) -> str:
        """What rows, tables and `--metric` call it."""

    def value(self, evidence: Evidence) -> float | Awaitable[float]:
        """In [0, 1]; costs are negative, in [-1, 0]. Async where it has to wait, as for tests that run."""


def applies_to(metric: Metric, conversation: Conversation) -> bool:
    """Whether the metric is part of the reward in this conversation."""
    applies: Callable[[Conversation], bool] | None = getattr(metric, "applies", None)
    return True if applies is None else applies(conversation)


def check_goal(metric: Metric, goal: Goal) -> None:
    """Raise UsageError if the metric cannot measure this goal."""
    check: Callable[[Goal], object] = getattr(metric, "check", partial(rubric_of, metric))
    check(goal)


def rubric_of(metric: Metric, goal: Goal) -> Rubric | Checklist | None:
    """What the metric asks the judge, if anything."""
    rubric: Callable[[Goal], Rubric | Checklist | None] | None = getattr(metric, "rubric", None)
    return None if rubric is None else rubric(goal)


def artefact_of(metric: Metric, goal: Goal) -> str | None:
    """What the metric pulls out of the conversation, if anything."""
    artefact: Callable[[Goal], str | None] | None = getattr(metric, "artefact", None)
    return None if artefact is None else artefact(goal)


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """A metric of anybody's may raise anything: that loses the sample, not the run."""
    try:
        yield
    except RunStoppedError:
        raise
    except Exception as error:
        raise SampleError(f"The metric {name} failed: {type(error).__name__}: {one_line(str(error))}") from error


def materials_of(
    rubrics: Mapping[str, Rubric | Checklist], goal: Goal, messages: Sequence[Message]
) -> dict[PointTag, str]:
    """What each list of points is made of. Raises SampleError where a metric cannot tell."""
    found: dict[PointTag, str] = {}
    for name, rubric in rubrics.items():
        if isinstance(rubric, Checklist):
            with errors_of(name):
                found[rubric.points] = rubric.material(goal, messages)
    return found


MOST_ITEMS = 20
"""Of a list in a judgement."""
SCORE: Form = Record(fields={"reason": Note(), "score": Number(low=0, high=1)}, bare="score")


def in_order(given: Sequence[Mapping[str, Any]], count: int, name: str) -> list[Mapping[str, Any]]:
    """The entries of a list by their number. Raises ValueError unless each from 1 to `count` is there once."""
    found = {each["number"]: each for each in given}
    if len(given) != count or set(found) != set(range(1, count + 1)):
        raise ValueError(f'"{name}" must hold each number from 1 to {count} once')
    return [found[number] for number in sorted(found)]


def verdict(name: str) -> Form:
    """The form of an answer that is a flag called `name`, and the reason for it."""
    return Record(fields={"reason": Note(), name: Flag()}, bare=name)


def read_score(answer: Any) -> Judgement:
    """Of an answer in the form SCORE."""
    return Judgement(value=answer["score"], note=answer["reason"])


def read_verdict(name: str, answer: Any) -> Judgement:
    """Of an answer in the form `verdict(name)`."""
    return Judgement(value=float(answer[name]), note=answer["reason"])
