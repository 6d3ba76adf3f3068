"""R*: what a whole conversation is worth."""

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.chat.tokens import count_tokens
from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.metrics.base import Evidence, Metric
from collab_sdk.metrics.judge import Judge
from collab_sdk.types import Future, Goal, Message


class Reward:
    """The weighted sum of `metrics`: one judge call for all their rubrics, one extraction for each kind of artefact."""

    def __init__(self, metrics: Mapping[str, tuple[Metric, float]], judge: Judge) -> None:
        self.metrics = metrics
        self.judge = judge

    def check(self, goal: Goal) -> None:
        """Raise UsageError if a metric cannot measure this goal: before anything is paid for."""
        for metric, _ in self.metrics.values():
            metric.rubric(goal)

    async def agive(self, start: tuple[Message, ...], future: Future, *, goal: Goal) -> Future:
        """The future of `start` with its metrics and reward, or as a failed one."""
        messages = (*start, *future.messages)
        metrics = [metric for metric, _ in self.metrics.values()]
        rubrics = {metric.name: rubric for metric in metrics if (rubric := metric.rubric(goal)) is not None}
        wanted = sorted({what for metric in metrics if (what := metric.artefact(goal)) is not None})
        try:
            calls: list[Awaitable[Any]] = [
                self.judge.ajudge(messages, goal=goal, rubrics=rubrics),
                *(self.judge.aextract(messages, wanted=what) for what in wanted),
            ]
            judgements, *artefacts = await all_settled(calls)
        except SampleError as error:
            return future.failed(error)
        artefact_of = dict(zip(wanted, artefacts, strict=True))
        tokens = _tokens_by_role((start[-1], *future.messages))
        values = {}
        for metric in metrics:
            evidence = Evidence(
                messages=messages,
                goal=goal,
                tokens=tokens,
                judgement=judgements.get(metric.name),
                artefact=artefact_of.get(metric.artefact(goal) or ""),
            )
            values[metric.name] = metric.value(evidence)
        return replace(
            future,
            metrics=values,
            notes={name: judgement.note for name, judgement in judgements.items() if judgement.note},
            reward=sum(weight * values[name] for name, (_, weight) in self.metrics.items()),
        )


def _tokens_by_role(messages: Iterable[Message]) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for message in messages:
        tokens[message.role] = tokens.get(message.role, 0) + count_tokens(message.content)
    return tokens
