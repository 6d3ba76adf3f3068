"""The multiturn-aware reward of a response."""

import statistics
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.chat.engine import Engine
from collab_sdk.chat.loop import run_sync
from collab_sdk.chat.tokens import count_tokens
from collab_sdk.concurrency import Outcome, all_settled, over_conversations
from collab_sdk.errors import SampleError, UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.metrics import Evidence, Judge, Metric, as_metrics
from collab_sdk.rollout import Rollout
from collab_sdk.types import Conversation, End, Future, Goal, Message, MRScore, Turn, as_messages

DEFAULT_METRICS: Mapping[str, float] = {"goal": 1.0, "interactivity": 1.0, "token_penalty": 1.0}


class MRScorer:
    """Scores responses by how well the conversation ends: MR(m | history, g) = mean of R* over sampled futures.

    `metrics` maps names, or Metric objects, to weights; R* is the weighted sum of their values. `judge` is anything
    `as_chat_model` takes, by default the simulator's model. With fewer than `min_samples` futures that succeeded (by
    default more than half) a response has no score. Source: arXiv 2502.00640, section 3.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        metrics: Mapping[Metric | str, float] | Mapping[str, float] = DEFAULT_METRICS,
        judge: Any = None,
        min_samples: int | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.rollout = rollout
        self.engine = engine or rollout.engine
        self.metrics = as_metrics(metrics)
        self.judge = Judge(rollout.simulator.model if judge is None else judge, engine=self.engine)
        self.goals = GoalReader(self.judge.model, engine=self.engine)
        self.min_samples = rollout.samples // 2 + 1 if min_samples is None else min_samples
        if not 1 <= self.min_samples <= rollout.samples:
            raise UsageError(f"min_samples is {self.min_samples}; it must be from 1 to samples ({rollout.samples}).")

    def score(
        self, messages: Iterable[Message | Mapping[str, Any]], *, goal: Goal | str, conversation_id: str = ""
    ) -> MRScore:
        return run_sync(self.ascore(messages, goal=goal, conversation_id=conversation_id))

    async def ascore(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        conversation_id: str = "",
        observed: Sequence[Message] = (),
    ) -> MRScore:
        """The score of the response that `messages` end with; `observed` is what really followed it, if known.

        Samples that fail are missing from the score and listed in its `errors`. Raises UsageError for messages that do
        not end with a response, RunStoppedError if the run cannot go on.
        """
        start, goal = as_messages(messages), Goal.of(goal)
        if not start or start[-1].role != "assistant":
            raise UsageError("messages must end with the assistant's response that is to be scored.")
        self.check(goal)
        samples = range(self.rollout.samples)
        scored = await all_settled(
            [
                *(
                    self._asample(start, goal=goal, sample=sample, conversation_id=conversation_id)
                    for sample in samples
                ),
                *([self._aobserved(start, observed, goal=goal)] if observed else []),
            ]
        )
        futures = tuple(scored[: len(samples)])
        value, stderr, metrics = self._aggregate(futures)
        return MRScore(
            response=start[-1].content,
            futures=futures,
            value=value,
            stderr=stderr,
            metrics=metrics,
            observed=scored[-1] if observed else None,
            conversation_id=conversation_id,
        )

    def rank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[str],
        *,
        goal: Goal | str,
        conversation_id: str = "",
    ) -> list[MRScore]:
        return run_sync(self.arank(history, responses, goal=goal, conversation_id=conversation_id))

    async def arank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[str],
        *,
        goal: Goal | str,
        conversation_id: str = "",
    ) -> list[MRScore]:
        """Scores of `responses` to one history, best first, those without a score last."""
        start = as_messages(history)
        scores = await all_settled(
            self.ascore(
                [*start, Message(role="assistant", content=response)], goal=goal, conversation_id=conversation_id
            )
            for response in responses
        )
        return sorted(scores, key=lambda score: float("-inf") if score.value is None else score.value, reverse=True)

    def ascore_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[list[MRScore]]]:
        """The scores of every conversation, in input order."""
        return over_conversations(self.ascore_conversation, conversations, open_at_once=max(2, self.engine.concurrency))

    def score_conversation(self, conversation: Conversation) -> list[MRScore]:
        return run_sync(self.ascore_conversation(conversation))

    async def ascore_conversation(self, conversation: Conversation) -> list[MRScore]:
        """The score of every assistant turn of a logged chat, with its observed future.

        Raises SampleError if the chat's goal has to be inferred and cannot be.
        """
        goal = await self.goals.aread(conversation)
        return await all_settled(self.ascore_turn(turn, goal, conversation.id) for turn in conversation.turns())

    async def ascore_turn(self, turn: Turn, goal: Goal, conversation_id: str) -> MRScore:
        """The score of a logged turn as it was."""
        score = await self.ascore(
            [*turn.history, turn.response], goal=goal, conversation_id=conversation_id, observed=turn.rest
        )
        return replace(score, turn=turn.index)

    def check(self, goal: Goal) -> None:
        """Raise UsageError if a metric cannot measure this goal: before anything is paid for."""
        for metric, _ in self.metrics.values():
            metric.rubric(goal)

    async def _asample(self, start: tuple[Message, ...], *, goal: Goal, sample: int, conversation_id: str) -> Future:
        future = await self.rollout.aplay(start, goal=goal, sample=sample, conversation_id=conversation_id)
        return future if future.error else await self._areward(start, future, goal)

    async def _aobserved(self, start: tuple[Message, ...], observed: Sequence[Message], *, goal: Goal) -> Future:
        future = Future(sample=0, messages=_first_exchanges(observed, self.rollout.window), end=End.OBSERVED)
        return await self._areward(start, future, goal)

    async def _areward(self, start: tuple[Message, ...], future: Future, goal: Goal) -> Future:
        """The future with its metrics and reward, or as a failed one."""
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

    def _aggregate(self, futures: Sequence[Future]) -> tuple[float | None, float | None, dict[str, float]]:
        """Mean reward, its standard error, and the mean of each metric, over the futures that succeeded."""
        done = [future for future in futures if future.reward is not None]
        rewards = [future.reward for future in done if future.reward is not None]
        if len(done) < self.min_samples:
            return None, None, {}
        stderr = statistics.stdev(rewards) / len(rewards) ** 0.5 if len(rewards) > 1 else None
        means = {name: statistics.fmean(future.metrics[name] for future in done) for name in self.metrics}
        return statistics.fmean(rewards), stderr, means


def _tokens_by_role(messages: Iterable[Message]) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for message in messages:
        tokens[message.role] = tokens.get(message.role, 0) + count_tokens(message.content)
    return tokens


def _first_exchanges(messages: Sequence[Message], window: int) -> tuple[Message, ...]:
    """What a simulated future would show of `messages`: up to `window` user messages, each with what answered it."""
    users = 0
    for position, message in enumerate(messages):
        users += message.role == "user"
        if users > window:
            return tuple(messages[:position])
    return tuple(messages) if window else ()
