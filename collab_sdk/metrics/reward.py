"""R*: what a whole conversation is worth."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from math import isfinite
from numbers import Real
from typing import Any

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import RunStoppedError, SampleError
from collab_sdk.messages import Message
from collab_sdk.metrics.base import (
    LARGEST,
    Checklist,
    Evidence,
    Judgement,
    Metric,
    Rubric,
    applies_to,
    artefact_of,
    check_goal,
    rubric_of,
)
from collab_sdk.metrics.judge import Judge, groups_that_fit
from collab_sdk.secrets import one_line
from collab_sdk.tokens import count_tokens, english_tokens
from collab_sdk.types import Conversation, Future, Goal, Turn


class Reward:
    """The weighted sum of `metrics`.

    One judge call serves all rubrics about the conversation, one extraction each kind of artefact; a rubric about an
    artefact takes a call of its own, if any.
    """

    def __init__(self, metrics: Mapping[str, tuple[Metric, float]], judge: Judge) -> None:
        self.metrics = metrics
        self.judge = judge

    def of(self, conversation: Conversation) -> "Reward":
        """The reward of a conversation: of its metrics those that can be measured in it, such as `grounded`.

        Raises SampleError if there are none.
        """
        chosen = {name: pair for name, pair in self.metrics.items() if _applies(name, pair[0], conversation)}
        if not chosen and self.metrics:
            raise SampleError(f"Nothing is measured: this conversation has no place for {', '.join(self.metrics)}.")
        return self if len(chosen) == len(self.metrics) else Reward(chosen, self.judge)

    def check(self, goal: Goal) -> None:
        """Raise UsageError if a metric cannot measure this goal: before anything is paid for."""
        for metric, _ in self.metrics.values():
            check_goal(metric, goal)

    async def agive(
        self,
        turn: Turn,
        future: Future,
        *,
        goal: Goal,
        tools: tuple[Mapping[str, Any], ...] = (),
        conversation_id: str = "",
    ) -> Future:
        """The future of a turn's response with its metrics and reward, or as a failed one."""
        messages = (*turn.history, *turn.response, *future.messages)

        async def judge() -> dict[str, Judgement]:
            rubrics = self._about_all(goal)
            return await self.judge.ajudge(
                messages, goal=goal, rubrics=rubrics, tools=tools, conversation_id=conversation_id
            )

        return await self._agive(turn, future, goal, judge, tools, conversation_id)

    async def agive_together(
        self,
        samples: Sequence[tuple[Turn, Future, Goal]],
        *,
        tools: tuple[Mapping[str, Any], ...] = (),
        conversation_id: str = "",
    ) -> list[Future]:
        """The futures of several responses to one history, in order, those with one goal judged in one call.

        Where they have no room in one call, in as few as hold them. If a call fails, all its futures have failed.
        """
        given: list[Awaitable[Future]] = []
        places: list[int] = []
        for members in self._groups(samples):
            turn, _, goal = samples[members[0]]
            continuations = [(*samples[n][0].response, *samples[n][1].messages) for n in members]
            judging = asyncio.ensure_future(
                self.judge.ajudge_group(
                    turn.history,
                    continuations,
                    goal=goal,
                    rubrics=self._about_all(goal),
                    tools=tools,
                    conversation_id=conversation_id,
                )
            )
            for place, number in enumerate(members):
                turn, future, _ = samples[number]
                given.append(self._agive(turn, future, goal, partial(_nth, judging, place), tools, conversation_id))
            places += members
        found = dict(zip(places, await all_settled(given), strict=True))
        return [found[number] for number in range(len(samples))]

    def _groups(self, samples: Sequence[tuple[Turn, Future, Goal]]) -> Iterator[list[int]]:
        """The places of the samples that are judged in one call: one goal, and one material for each list of points."""
        alike: list[tuple[Goal, list[str], list[int]]] = []
        for number, (turn, future, goal) in enumerate(samples):
            messages = (*turn.history, *turn.response, *future.messages)
            checklists = [rubric for rubric in self._about_all(goal).values() if isinstance(rubric, Checklist)]
            material = [rubric.material(goal, messages) for rubric in checklists]
            for known_goal, known_material, members in alike:
                if (known_goal, known_material) == (goal, material):
                    members.append(number)
                    break
            else:
                alike.append((goal, material, [number]))
        for _, _, members in alike:
            continuations = [(*samples[n][0].response, *samples[n][1].messages) for n in members]
            for places in groups_that_fit(samples[members[0]][0].history, continuations):
                yield [members[place] for place in places]

    async def _agive(
        self,
        turn: Turn,
        future: Future,
        goal: Goal,
        judge: Callable[[], Awaitable[dict[str, Judgement]]],
        tools: tuple[Mapping[str, Any], ...],
        conversation_id: str,
    ) -> Future:
        messages = (*turn.history, *turn.response, *future.messages)
        try:
            judgements, artefacts = await self._afind(messages, goal, judge, conversation_id)
            values = await all_settled(
                _avalue(
                    metric,
                    Evidence(
                        messages=messages,
                        goal=goal,
                        tokens=tokens_by_role((*turn.response, *future.messages), count=english_tokens),
                        judgement=judgements.get(name),
                        artefact=artefacts.get(name),
                        tools=tools,
                    ),
                )
                for name, (metric, _) in self.metrics.items()
            )
        except SampleError as error:
            return future.failed(error)
        by_name = dict(zip(self.metrics, values, strict=True))
        return replace(
            future,
            metrics=by_name,
            notes={name: judgement.note for name, judgement in judgements.items() if judgement.note},
            reward=sum(weight * by_name[name] for name, (_, weight) in self.metrics.items()),
        )

    def _rubrics(self, goal: Goal) -> dict[str, Rubric | Checklist]:
        return {name: rubric for name, (metric, _) in self.metrics.items() if (rubric := rubric_of(metric, goal))}

    def _about_artefact(self, goal: Goal) -> dict[str, Rubric]:
        """The rubrics that see the metric's artefact alone."""
        return {
            name: rubric
            for name, rubric in self._rubrics(goal).items()
            if isinstance(rubric, Rubric) and rubric.compare and artefact_of(self.metrics[name][0], goal)
        }

    def _about_all(self, goal: Goal) -> dict[str, Rubric | Checklist]:
        """The rubrics about the whole conversation."""
        about_artefact = self._about_artefact(goal)
        return {name: rubric for name, rubric in self._rubrics(goal).items() if name not in about_artefact}

    async def _afind(
        self,
        messages: tuple[Message, ...],
        goal: Goal,
        judge: Callable[[], Awaitable[dict[str, Judgement]]],
        conversation_id: str,
    ) -> tuple[dict[str, Judgement], dict[str, str]]:
        """Judgements and artefacts, by metric. Raises SampleError if even one cannot be had."""
        wanted = {name: what for name, (metric, _) in self.metrics.items() if (what := artefact_of(metric, goal))}
        about_artefact = self._about_artefact(goal)
        kinds = sorted(set(wanted.values()))
        calls: list[Awaitable[Any]] = [
            judge(),
            *(self.judge.aextract(messages, wanted=kind, conversation_id=conversation_id) for kind in kinds),
        ]
        judgements, *extracted = await all_settled(calls)
        found = dict(zip(kinds, extracted, strict=True))
        artefacts = {name: found[kind] for name, kind in wanted.items()}
        compared = await all_settled(
            self._acompare(name, rubric, artefacts[name], goal, conversation_id)
            for name, rubric in about_artefact.items()
        )
        return judgements | dict(zip(about_artefact, compared, strict=True)), artefacts

    async def _acompare(self, name: str, rubric: Rubric, artefact: str, goal: Goal, conversation_id: str) -> Judgement:
        with _errors_of(name):
            known: Any = rubric.compare(artefact) if rubric.compare else None
            if isawaitable(known):
                known = await known
        if isinstance(known, Judgement):
            return known
        answer = (Message(role="assistant", content=artefact),)
        judged = await self.judge.ajudge(answer, goal=goal, rubrics={name: rubric}, conversation_id=conversation_id)
        return judged[name]


async def _nth(judging: Awaitable[Sequence[dict[str, Judgement]]], place: int) -> dict[str, Judgement]:
    return (await judging)[place]


def _applies(name: str, metric: Metric, conversation: Conversation) -> bool:
    with _errors_of(name):
        return applies_to(metric, conversation)


async def _avalue(metric: Metric, evidence: Evidence) -> float:
    with _errors_of(metric.name):
        value: Any = metric.value(evidence)
        if isawaitable(value):
            value = await value
        if not isinstance(value, Real) or not isfinite(value) or abs(float(value)) > LARGEST:
            raise TypeError(f"its value must be a finite number, not {value!r:.80}")
        return float(value)


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """A metric of anybody's may raise anything: that loses the sample, not the run."""
    try:
        yield
    except RunStoppedError:
        raise
    except Exception as error:
        raise SampleError(f"The metric {name} failed: {type(error).__name__}: {one_line(str(error))}") from error


def tokens_by_role(messages: Iterable[Message], *, count: Callable[[str], int] = count_tokens) -> dict[str, int]:
    """What each role wrote, the assistant's calls included."""
    tokens: dict[str, int] = {}
    for message in messages:
        called = sum(count(f"{call.name} {call.arguments}") for call in message.calls)
        tokens[message.role] = tokens.get(message.role, 0) + count(message.content) + called
    return tokens
