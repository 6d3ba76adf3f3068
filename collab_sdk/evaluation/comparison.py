"""Two bots on the same turns: what each would have answered, and how the conversation would have gone on from there."""

import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.evaluation.asking import judge_asks_question, judge_request_is_clear
from collab_sdk.messages import Message
from collab_sdk.metrics import tokens_by_role
from collab_sdk.models.resolve import ModelLike
from collab_sdk.runs.local import run_here
from collab_sdk.scorer import MRScorer, scene_of
from collab_sdk.stats import (
    Estimate,
    Groups,
    Pairs,
    estimate_amount,
    estimate_amount_difference,
    estimate_difference,
    estimate_score,
    estimate_score_difference,
    estimate_share,
)
from collab_sdk.types import Conversation, Goal, MRScore, Turn

T = TypeVar("T")
AMOUNTS = estimate_amount, estimate_amount_difference
SCORES = estimate_score, estimate_score_difference
SHARES = estimate_share, estimate_difference
"""How a statistic and its difference are estimated: of counts, of rewards, of yes and no."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A bot's own response to a logged turn; what could not be found out is None."""

    response: tuple[Message, ...] | None = None
    score: MRScore | None = None
    asks: bool | None = None
    """Whether it asks in place of delivering."""

    @property
    def mr(self) -> float | None:
        return self.score.value if self.score else None

    @property
    def tokens(self) -> float | None:
        """What the bot wrote from here on: its response, and its part of the futures that succeeded, on average."""
        if self.score is None or self.mr is None:
            return None
        written = [
            tokens_by_role((*self.score.response, *future.messages)).get("assistant", 0)
            for future in self.score.futures
            if future.reward is not None
        ]
        return statistics.fmean(written)


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnComparison:
    """One turn of a logged conversation, answered by both bots."""

    conversation_id: str
    turn: int
    clear: bool | None
    """Whether the request needed no question; None if the judge could not say."""
    before: Answered
    after: Answered
    lost: tuple[str, ...]
    """Why something is missing here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedStatistic:
    """One thing measured on both bots. `difference` is after minus before, on the turns that both have it for."""

    name: str
    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`before` and `after` are the bots' names."""

    before: str
    after: str
    turns: tuple[TurnComparison, ...]
    failed: tuple[str, ...]
    """Conversations that could not be compared at all, and why."""

    @cached_property
    def statistics(self) -> tuple[PairedStatistic, ...]:
        """MR, tokens, and how often each asks where the request was clear and where it was open.

        With 95 % intervals over conversations. A statistic that no turn tells of is left out.
        """
        statistics = (
            self._statistic("MR", SCORES, lambda turn, answered: answered.mr),
            self._statistic("tokens", AMOUNTS, lambda turn, answered: answered.tokens),
            self._statistic(
                "over-asking", SHARES, lambda turn, answered: answered.asks if turn.clear is True else None
            ),
            self._statistic(
                "asks when open", SHARES, lambda turn, answered: answered.asks if turn.clear is False else None
            ),
        )
        return tuple(one for one in statistics if one is not None)

    @property
    def lost(self) -> Counter[str]:
        """Why something is missing, and how often."""
        return Counter(reason for turn in self.turns for reason in turn.lost)

    def _statistic(
        self,
        name: str,
        kind: tuple[Callable[[Groups], Estimate | None], Callable[[Pairs], Estimate | None]],
        value: Callable[[TurnComparison, Answered], float | None],
    ) -> PairedStatistic | None:
        by_conversation: dict[str, list[tuple[float, float]]] = {}
        for turn in self.turns:
            before, after = value(turn, turn.before), value(turn, turn.after)
            if before is not None and after is not None:
                by_conversation.setdefault(turn.conversation_id, []).append((before, after))
        groups = list(by_conversation.values())
        mean, less = kind
        before_mean, after_mean = (mean([[pair[side] for pair in pairs] for pairs in groups]) for side in (0, 1))
        difference = less(groups)
        if before_mean is None or after_mean is None or difference is None:
            return None
        return PairedStatistic(name=name, before=before_mean, after=after_mean, difference=difference)


async def acompare_bots(
    conversations: Iterable[Conversation],
    before: ModelLike,
    after: ModelLike,
    scorer: MRScorer,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Let both bots answer every user message of logged conversations, and play on from each answer with that bot.

    Goals, simulated user, judge and sample indices are the same for both, so that the difference is paired; `scorer`
    has them, and its own assistant takes no part. `on_progress` gets the number of turns that are
    done, and of conversations that failed.
    Raises RunStoppedError if the run cannot go on: the same comparison then goes on from the cache.
    """
    scorers = scorer.with_assistant(before), scorer.with_assistant(after)
    turns: list[TurnComparison] = []
    failed: list[str] = []
    done = 0

    async def compare(conversation: Conversation) -> list[TurnComparison]:
        goal = await scorer.goals.aread(conversation)
        scorer.reward.check(goal)
        return await all_settled(compare_turn(turn, goal, conversation) for turn in conversation.turns())

    async def compare_turn(turn: Turn, goal: Goal, conversation: Conversation) -> TurnComparison:
        nonlocal done
        compared = await _acompare(turn, goal, conversation, scorers)
        done += 1
        if on_progress is not None:
            on_progress(done, len(failed))
        return compared

    async for outcome in run_here(compare, conversations, engine=scorer.engine):
        if outcome.error is not None:
            failed.append(f"{outcome.conversation.id}: {outcome.error}")
        turns += outcome.value or ()
    names = (each.rollout.assistant.name for each in scorers)
    return Comparison(before=next(names), after=next(names), turns=tuple(turns), failed=tuple(failed))


async def _acompare(turn: Turn, goal: Goal, log: Conversation, scorers: Sequence[MRScorer]) -> TurnComparison:
    lost: list[str] = []
    goals = await scorers[0].agoals(turn, goal, log.id)
    judged = judge_request_is_clear(scorers[0].judge, turn.history, goal=goals[0], conversation_id=log.id)
    clear = await _unless_lost(judged, lost)
    before, after = await all_settled(_aanswer(turn, goals, log, scorer, lost) for scorer in scorers)
    return TurnComparison(
        conversation_id=log.id,
        turn=turn.index,
        clear=clear,
        before=before,
        after=after,
        lost=tuple(sorted(lost)),
    )


async def _aanswer(turn: Turn, goals: Sequence[Goal], log: Conversation, scorer: MRScorer, lost: list[str]) -> Answered:
    log = scorer.rollout.toolbox.equip(log)
    answer = scorer.rollout.arespond(turn.history, sample=f"{log.id}/response", scene=scene_of(log))
    response = await _unless_lost(answer, lost)
    if response is None:
        return Answered()
    messages = (*turn.history, *response)
    judged = judge_asks_question(scorer.judge, messages, goal=goals[0], conversation_id=log.id)
    asks = await _unless_lost(judged, lost)
    score = await scorer.ascore_turn(replace(turn, response=response), goals, log)
    lost += score.errors
    return Answered(response=response, score=score, asks=asks)


async def _unless_lost(finding: Awaitable[T], lost: list[str]) -> T | None:
    """What is found out; None if that one sample is lost."""
    try:
        return await finding
    except SampleError as error:
        lost.append(str(error))
        return None
