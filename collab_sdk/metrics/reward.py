"""R*: what a whole conversation is worth."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from math import isfinite
from numbers import Real
from typing import Any

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.messages import Message
from collab_sdk.metrics.base import (
    Checklist,
    Evidence,
    Judgement,
    Metric,
    Rubric,
    applies_to,
    artefact_of,
    check_goal,
    errors_of,
    materials_of,
    rubric_of,
)
from collab_sdk.metrics.judge import Judge, groups_that_fit
from collab_sdk.metrics.resolve import highest_of
from collab_sdk.tokens import count_tokens, english_tokens
from collab_sdk.types import LARGEST_VALUE, Conversation, Future, Goal, Turn


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

    def at_most(self, names: Iterable[str]) -> float | None:
        """The highest reward that these metrics can give together; None where that is not known of one of them."""
        total = 0.0
        for metric, weight in (self.metrics[name] for name in names):
            highest = highest_of(metric)
            if highest is None or weight < 0:
                return None
            total += weight * highest
        return total

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
        try:
            asked = self._asked(goal)
        except SampleError as error:
            return future.failed(error)

        async def judge() -> dict[str, Judgement]:
            return await self.judge.ajudge(
                messages, goal=goal, rubrics=asked.about_all, tools=tools, conversation_id=conversation_id
            )

        return await self._agive(turn, future, goal, asked, judge, tools, conversation_id)

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
        groups, found = self._groups(samples)
        given: list[Awaitable[Future]] = []
        for asked, members in groups:
            turn, _, goal = samples[members[0]]
            judging = asyncio.ensure_future(
                self.judge.ajudge_group(
                    turn.history,
                    [_continuation(samples[number]) for number in members],
                    goal=goal,
                    rubrics=asked.about_all,
                    tools=tools,
                    conversation_id=conversation_id,
                )
            )
            for place, number in enumerate(members):
                turn, future, _ = samples[number]
                judge = partial(_nth, judging, place)
                given.append(self._agive(turn, future, goal, asked, judge, tools, conversation_id))
        places = [number for _, members in groups for number in members]
        found |= dict(zip(places, await all_settled(given), strict=True))
        return [found[number] for number in range(len(samples))]

    def _groups(
        self, samples: Sequence[tuple[Turn, Future, Goal]]
    ) -> tuple[list[tuple["_Asked", list[int]]], dict[int, Future]]:
        """The places of the samples by the call that judges them, and what has failed before any call, by its place.

        Those of one call have one goal, and one material for each list of points.
        """
        alike: list[tuple[Goal, list[str], _Asked, list[int]]] = []
        failed: dict[int, Future] = {}
        for number, (turn, future, goal) in enumerate(samples):
            try:
                asked = next((each for known, _, each, _ in alike if known == goal), None) or self._asked(goal)
                messages = (*turn.history, *_continuation(samples[number]))
                material = list(materials_of(asked.about_all, goal, messages).values())
            except SampleError as error:
                failed[number] = future.failed(error)
                continue
            for known_goal, known_material, _, members in alike:
                if (known_goal, known_material) == (goal, material):
                    members.append(number)
                    break
            else:
                alike.append((goal, material, asked, [number]))
        groups = [
            (asked, [members[place] for place in places])
            for _, _, asked, members in alike
            for places in groups_that_fit(
                samples[members[0]][0].history, [_continuation(samples[number]) for number in members]
            )
        ]
        return groups, failed

    async def _agive(
        self,
        turn: Turn,
        future: Future,
        goal: Goal,
        asked: "_Asked",
        judge: Callable[[], Awaitable[dict[str, Judgement]]],
        tools: tuple[Mapping[str, Any], ...],
        conversation_id: str,
    ) -> Future:
        messages = (*turn.history, *turn.response, *future.messages)
        try:
            judgements, artefacts = await self._afind(messages, goal, asked, judge, conversation_id)
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
        reward = sum(weight * by_name[name] for name, (_, weight) in self.metrics.items())
        if abs(reward) > LARGEST_VALUE:
            return future.failed(SampleError(f"The reward is {reward:g}; it must be no larger than {LARGEST_VALUE:g}."))
        return replace(
            future,
            metrics=by_name,
            notes={name: judgement.note for name, judgement in judgements.items() if judgement.note},
            reward=reward,
        )

    def _asked(self, goal: Goal) -> "_Asked":
        """What is found out of every conversation with a goal. Raises SampleError where a metric cannot tell."""
        rubrics: dict[str, Rubric | Checklist] = {}
        wanted: dict[str, str] = {}
        for name, (metric, _) in self.metrics.items():
            with errors_of(name):
                rubric, what = rubric_of(metric, goal), artefact_of(metric, goal)
            if rubric:
                rubrics[name] = rubric
            if what:
                wanted[name] = what
        about_artefact = {
            name: rubric
            for name, rubric in rubrics.items()
            if isinstance(rubric, Rubric) and rubric.compare and name in wanted
        }
        about_all = {name: rubric for name, rubric in rubrics.items() if name not in about_artefact}
        return _Asked(about_all=about_all, about_artefact=about_artefact, wanted=wanted)

    async def _afind(
        self,
        messages: tuple[Message, ...],
        goal: Goal,
        asked: "_Asked",
        judge: Callable[[], Awaitable[dict[str, Judgement]]],
        conversation_id: str,
    ) -> tuple[dict[str, Judgement], dict[str, str]]:
        """Judgements and artefacts, by metric. Raises SampleError if even one cannot be had."""
        kinds = sorted(set(asked.wanted.values()))
        calls: list[Awaitable[Any]] = [
            judge(),
            *(self.judge.aextract(messages, wanted=kind, conversation_id=conversation_id) for kind in kinds),
        ]
        judgements, *extracted = await all_settled(calls)
        found = dict(zip(kinds, extracted, strict=True))
        artefacts = {name: found[kind] for name, kind in asked.wanted.items()}
        compared = await all_settled(
            self._acompare(name, rubric, artefacts[name], goal, conversation_id)
            for name, rubric in asked.about_artefact.items()
        )
        return judgements | dict(zip(asked.about_artefact, compared, strict=True)), artefacts

    async def _acompare(self, name: str, rubric: Rubric, artefact: str, goal: Goal, conversation_id: str) -> Judgement:
        with errors_of(name):
            known: Any = rubric.compare(artefact) if rubric.compare else None
            if isawaitable(known):
                known = await known
        if isinstance(known, Judgement):
            return known
        answer = (Message(role="assistant", content=artefact),)
        judged = await self.judge.ajudge(answer, goal=goal, rubrics={name: rubric}, conversation_id=conversation_id)
        return judged[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What is found out of a conversation by its goal, each by the name of its metric."""

    about_all: Mapping[str, Rubric | Checklist]
    """The rubrics about the whole conversation."""
    about_artefact: Mapping[str, Rubric]
    """The rubrics that see the metric's artefact alone."""
    wanted: Mapping[str, str]
    """What is pulled out of the conversation."""


def _continuation(sample: tuple[Turn, Future, Goal]) -> tuple[Message, ...]:
    turn, future, _ = sample
    return (*turn.response, *future.messages)


async def _nth(judging: Awaitable[Sequence[dict[str, Judgement]]], place: int) -> dict[str, Judgement]:
    return (await judging)[place]


def _applies(name: str, metric: Metric, conversation: Conversation) -> bool:
    with errors_of(name):
        return applies_to(metric, conversation)


async def _avalue(metric: Metric, evidence: Evidence) -> float:
    with errors_of(metric.name):
        value: Any = metric.value(evidence)
        if isawaitable(value):
            value = await value
        if not isinstance(value, Real) or not isfinite(value):
            raise TypeError(f"its value must be a finite number, not {value!r:.80}")
        if abs(float(value)) > LARGEST_VALUE:
            raise ValueError(f"its value is {float(value):g}; it must be no larger than {LARGEST_VALUE:g}")
        return float(value)


def tokens_by_role(messages: Iterable[Message], *, count: Callable[[str], int] = count_tokens) -> dict[str, int]:
    """What each role wrote, the assistant's calls included."""
    tokens: dict[str, int] = {}
    for message in messages:
        called = sum(count(f"{call.name} {call.arguments}") for call in message.calls)
        tokens[message.role] = tokens.get(message.role, 0) + count(message.content) + called
    return tokens
