"""The multiturn-aware reward of a response."""

import copy
import statistics
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from collab_sdk.calibration import Calibration
from collab_sdk.concurrency import all_settled
from collab_sdk.engine.engine import Engine
from collab_sdk.engine.loop import run_sync, sync_twins
from collab_sdk.errors import UsageError
from collab_sdk.goals import GoalReader, Goals, as_goals, goal_of
from collab_sdk.metrics import Judge, Metric, Reward, as_metrics
from collab_sdk.rollout import Rollout
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.types import Conversation, End, Future, Goal, Message, MRScore, Turn, as_messages

__all__ = ["DEFAULT_METRICS", "MRScorer"]

DEFAULT_METRICS: Mapping[str, float] = {"goal": 1.0, "interactivity": 1.0, "token_penalty": 1.0}


@sync_twins
class MRScorer:
    """Scores responses by how well the conversation ends: MR(m | history, g) = mean of R* over sampled futures.

    `metrics` maps names, or Metric objects, to weights; R* is the weighted sum of their values. `judge` is anything
    `as_chat_model` takes, by default the simulator's model. With fewer than `min_samples` futures that succeeded (by
    default two, so that there is a standard error) a response has no score. Source: arXiv 2502.00640, section 3.

    With `goals_per_turn` above 1, which goes beyond the paper, MR is an expectation over goals too: the futures of a
    logged turn are played and judged by as many goals as fit what the user had said by then. The assistant could not
    know which; by the one true goal, a lucky guess earns more than the question that any user needs.

    A `calibration`, which `collab check-sim --calibrate` makes from logs, puts into each score's `calibrated` what real
    users would give. The value itself, and all that compares or selects by it, are left as they are.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        metrics: Mapping[Metric | str, float] | Mapping[str, float] = DEFAULT_METRICS,
        judge: Any = None,
        min_samples: int | None = None,
        goals_per_turn: int = 1,
        calibration: Calibration | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.rollout = rollout
        self.engine = engine or rollout.engine
        self.judge = Judge(rollout.simulator.model if judge is None else judge, engine=self.engine)
        self.reward = Reward(as_metrics(metrics), self.judge)
        self.goals = GoalReader(self.judge.model, engine=self.engine)
        self.min_samples = min(2, rollout.samples) if min_samples is None else min_samples
        self.goals_per_turn = goals_per_turn
        self.calibration = calibration
        if calibration is not None:
            calibration.check(metrics=self.weights, window=rollout.window)
        if goals_per_turn < 1:
            raise UsageError(f"goals_per_turn is {goals_per_turn}; it must be 1 or more.")
        if not 1 <= self.min_samples <= rollout.samples:
            raise UsageError(f"min_samples is {self.min_samples}; it must be from 1 to samples ({rollout.samples}).")

    @property
    def made_with(self) -> dict[str, Any]:
        """The models and settings that a score depends on, as JSON values, for the files that hold scores."""
        return {
            "assistant": self.rollout.assistant.name,
            "simulator": self.rollout.simulator.model.name,
            "judge": self.judge.model.name,
            "metrics": self.weights,
            "window": self.rollout.window,
            "samples": self.rollout.samples,
            "goals_per_turn": self.goals_per_turn,
        }

    @property
    def weights(self) -> dict[str, float]:
        """Of the metrics, by name."""
        return {name: weight for name, (_, weight) in self.reward.metrics.items()}

    def with_assistant(self, assistant: Any) -> Self:
        """The same with another bot; `assistant` is anything `as_chat_model` takes."""
        other = copy.copy(self)
        other.rollout = self.rollout.with_assistant(assistant)
        return other

    def score(
        self, messages: Iterable[Message | Mapping[str, Any]], *, goal: Goals, conversation_id: str = ""
    ) -> MRScore:
        return run_sync(self.ascore(messages, goal=goal, conversation_id=conversation_id))

    async def ascore(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goals,
        conversation_id: str = "",
        observed: Sequence[Message] = (),
        samples: int | None = None,
        so_far: MRScore | None = None,
    ) -> MRScore:
        """The score of the response that `messages` end with; `observed` is what really followed it, if known.

        Of several goals, each sample has the next in turn, and what was observed is judged by the first.
        Futures are added to those of `so_far` until there are `samples`, by default the rollout's. Those that fail are
        missing from the score and listed in its `errors`. Raises UsageError for messages that do not end with a
        response, RunStoppedError if the run cannot go on.
        """
        start, goals = as_messages(messages), as_goals(goal)
        if not start or start[-1].role != "assistant":
            raise UsageError("messages must end with the assistant's response that is to be scored.")
        for each in goals:
            self.reward.check(each)
        known = so_far.futures if so_far else ()
        wanted = range(len(known), self.rollout.samples if samples is None else samples)
        played = await all_settled(
            [
                *(
                    self._asample(start, goal=goal_of(n, goals), sample=n, conversation_id=conversation_id)
                    for n in wanted
                ),
                *([self._aobserved(start, observed, goal=goals[0])] if observed else []),
            ]
        )
        futures = (*known, *played[: len(wanted)])
        value, stderr, metrics = self._aggregate(futures)
        return MRScore(
            response=start[-1].content,
            futures=futures,
            value=value,
            stderr=stderr,
            metrics=metrics,
            observed=played[-1] if observed else None,
            conversation_id=conversation_id,
            goal=goals[0].text,
            calibrated=None if self.calibration is None or value is None else self.calibration.expected(value),
        )

    def rank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[str],
        *,
        goal: Goals,
        conversation_id: str = "",
    ) -> list[MRScore]:
        return run_sync(self.arank(history, responses, goal=goal, conversation_id=conversation_id))

    async def arank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[str],
        *,
        goal: Goals,
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
        return run_here(self.ascore_conversation, conversations, engine=self.engine)

    def score_conversation(self, conversation: Conversation) -> list[MRScore]:
        return run_sync(self.ascore_conversation(conversation))

    async def ascore_conversation(self, conversation: Conversation) -> list[MRScore]:
        """The score of every assistant turn of a logged chat, with its observed future.

        Raises SampleError if the chat's goal has to be inferred and cannot be.
        """
        goal = await self.goals.aread(conversation)

        async def score(turn: Turn) -> MRScore:
            return await self.ascore_turn(turn, await self.agoals(turn, goal, conversation.id), conversation.id)

        return await all_settled(score(turn) for turn in conversation.turns())

    async def agoals(self, turn: Turn, goal: Goal, conversation_id: str) -> tuple[Goal, ...]:
        """The goals by which a logged turn is scored, `goal` first; others only where `goals_per_turn` asks for them.

        Raises SampleError if others cannot be had.
        """
        self.reward.check(goal)  # before anything is paid for
        return await self.goals.apropose(
            turn.history, goal=goal, n=self.goals_per_turn, sample=f"{conversation_id}/{turn.index}"
        )

    async def ascore_turn(
        self,
        turn: Turn,
        goal: Goals,
        conversation_id: str,
        *,
        samples: int | None = None,
        so_far: MRScore | None = None,
    ) -> MRScore:
        """The score of a logged turn as it was; with `so_far`, more futures for it."""
        score = await self.ascore(
            [*turn.history, turn.response],
            goal=goal,
            conversation_id=conversation_id,
            observed=() if so_far else turn.rest,
            samples=samples,
            so_far=so_far,
        )
        return replace(score, turn=turn.index, observed=so_far.observed if so_far else score.observed)

    async def _asample(self, start: tuple[Message, ...], *, goal: Goal, sample: int, conversation_id: str) -> Future:
        future = await self.rollout.aplay(start, goal=goal, sample=sample, conversation_id=conversation_id)
        return future if future.error else await self.reward.agive(start, future, goal=goal)

    async def _aobserved(self, start: tuple[Message, ...], observed: Sequence[Message], *, goal: Goal) -> Future:
        future = Future(sample=0, messages=_first_exchanges(observed, self.rollout.window), end=End.OBSERVED)
        return await self.reward.agive(start, future, goal=goal)

    def _aggregate(self, futures: Sequence[Future]) -> tuple[float | None, float | None, dict[str, float]]:
        """Mean reward, its standard error, and the mean of each metric, over the futures that succeeded."""
        done = [future for future in futures if future.reward is not None]
        rewards = [future.reward for future in done if future.reward is not None]
        if len(done) < self.min_samples:
            return None, None, {}
        stderr = statistics.stdev(rewards) / len(rewards) ** 0.5 if len(rewards) > 1 else None
        means = {name: statistics.fmean(future.metrics[name] for future in done) for name in self.reward.metrics}
        return statistics.fmean(rewards), stderr, means


def _first_exchanges(messages: Sequence[Message], window: int) -> tuple[Message, ...]:
    """What a simulated future would show of `messages`: up to `window` user messages, each with what answered it."""
    users = 0
    for position, message in enumerate(messages):
        users += message.role == "user"
        if users > window:
            return tuple(messages[:position])
    return tuple(messages) if window else ()
