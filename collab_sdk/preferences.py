"""From logged conversations to preference pairs."""

import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from collab_sdk.candidates import Candidate, Source, adraw_candidates
from collab_sdk.chat.loop import run_sync
from collab_sdk.concurrency import Outcome, all_settled, over_conversations
from collab_sdk.errors import CollabError, RunStoppedError, SampleError, UsageError
from collab_sdk.logs import JsonlWriter, get_writer
from collab_sdk.scorer import MRScorer
from collab_sdk.selection import PairRule, Refusal
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair, Turn

TURN_SCHEMA = "collab/scored-turn/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredTurn:
    """A turn with its candidates, their scores, and the pair or why there is none."""

    turn: Turn
    candidates: tuple[tuple[Candidate, MRScore], ...] = ()
    lost: tuple[str, ...] = ()
    """Why candidates are missing."""
    pair: PreferencePair | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredConversation:
    """What a logged conversation gave."""

    goal: Goal
    turns: tuple[ScoredTurn, ...]


@dataclass(kw_only=True, slots=True)
class ExportReport:
    """What an export did so far: counts, the reasons of refused turns, the errors of failed conversations."""

    conversations: int = 0
    turns: int = 0
    pairs: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    failed: dict[str, CollabError] = field(default_factory=dict)
    scores: int = 0
    samples: int = 0
    samples_ok: int = 0
    mr_sum: float = 0.0

    @property
    def mean_mr(self) -> float | None:
        return self.mr_sum / self.scores if self.scores else None

    def count(self, outcome: Outcome[ScoredConversation]) -> None:
        self.conversations += 1
        if outcome.error is not None:
            self.failed[outcome.conversation.id] = outcome.error
        for scored in outcome.value.turns if outcome.value else ():
            self.turns += 1
            self.pairs += scored.pair is not None
            if scored.refusal is not None:
                self.refused[scored.refusal] += 1
            for _, score in scored.candidates:
                self.samples += score.n
                self.samples_ok += score.n_ok
                if score.value is not None:
                    self.scores += 1
                    self.mr_sum += score.value


class PreferenceExporter:
    """Draws candidates for every turn of logged conversations, scores them, and writes the pairs worth training on."""

    def __init__(
        self,
        scorer: MRScorer,
        *,
        candidates: int = 3,
        min_margin: float = PairRule.min_margin,
        min_z: float = PairRule.min_z,
        max_pairs: int = PairRule.max_pairs,
    ) -> None:
        if candidates < 2:
            raise UsageError(f"candidates is {candidates}; a pair takes at least 2.")
        self.scorer = scorer
        self.candidates = candidates
        self.rule = PairRule(min_margin=min_margin, min_z=min_z, max_pairs=max_pairs)

    def export(
        self,
        conversations: Iterable[Conversation],
        path: str | os.PathLike[str],
        *,
        format: str = "trl",
        eval_fraction: float = 0.0,
        on_progress: Callable[[ExportReport], None] | None = None,
    ) -> ExportReport:
        return run_sync(
            self.aexport(conversations, path, format=format, eval_fraction=eval_fraction, on_progress=on_progress)
        )

    async def aexport(
        self,
        conversations: Iterable[Conversation],
        path: str | os.PathLike[str],
        *,
        format: str = "trl",
        eval_fraction: float = 0.0,
        on_progress: Callable[[ExportReport], None] | None = None,
    ) -> ExportReport:
        """Write `path`, and beside it `NAME.turns.jsonl` with every candidate, future and reason.

        Rows come in input order. With `eval_fraction`, that share of the conversations, chosen by their id, goes to
        `NAME.eval.jsonl`. Raises OutputError before any call if a file cannot be written, and RunStoppedError when the
        run cannot go on: what is done by then stays in `*.partial`, and the same export goes on from the cache.
        """
        write = get_writer(format)
        target = Path(path)
        report, stopped = ExportReport(), None
        with ExitStack() as files:
            train = files.enter_context(JsonlWriter(target))
            turns = files.enter_context(JsonlWriter(_beside(target, "turns")))
            held_out = files.enter_context(JsonlWriter(_beside(target, "eval"))) if eval_fraction > 0 else train
            async for outcome in self.ascore_all(conversations):
                if isinstance(outcome.error, RunStoppedError):
                    stopped = stopped or outcome.error
                    continue
                report.count(outcome)
                pairs = held_out if _is_held_out(outcome.conversation.id, eval_fraction) else train
                for scored in outcome.value.turns if outcome.value else ():
                    turns.write(turn_row(outcome.conversation, outcome.value.goal, scored))
                    if scored.pair is not None:
                        pairs.write(write(scored.pair))
                if on_progress is not None:
                    on_progress(report)
            if stopped is not None:
                raise stopped
        return report

    def ascore_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[ScoredConversation]]:
        """Every conversation, scored, in input order."""
        return over_conversations(
            self.ascore_conversation, conversations, open_at_once=max(2, self.scorer.engine.concurrency)
        )

    async def ascore_conversation(self, conversation: Conversation) -> ScoredConversation:
        goal = await self.scorer.goals.aread(conversation)
        self.scorer.check(goal)
        turns = await all_settled(self._aturn(conversation, goal, turn) for turn in conversation.turns())
        return ScoredConversation(goal=goal, turns=tuple(self._capped(turns)))

    async def _aturn(self, conversation: Conversation, goal: Goal, turn: Turn) -> ScoredTurn:
        if turn.history[-1].role != "user":
            return ScoredTurn(turn=turn, refusal=Refusal.TOOLS)
        draws = await adraw_candidates(turn, self.scorer.rollout, n=self.candidates, conversation_id=conversation.id)
        candidates = [draw for draw in draws if isinstance(draw, Candidate)]
        lost = tuple(str(draw) for draw in draws if isinstance(draw, SampleError))
        if len(candidates) < 2:  # nothing to compare: no future is paid for
            return ScoredTurn(turn=turn, lost=lost, refusal=Refusal.ONE_CANDIDATE)
        scores = await all_settled(self._acandidate(turn, candidate, goal, conversation.id) for candidate in candidates)
        scored = ScoredTurn(turn=turn, candidates=tuple(zip(candidates, scores, strict=True)), lost=lost)
        chosen = self.rule.choose(scores)
        if isinstance(chosen, Refusal):
            return replace(scored, refusal=chosen)
        pair = PreferencePair(
            conversation_id=conversation.id,
            turn=turn.index,
            prompt=turn.history,
            chosen=chosen[0],
            rejected=chosen[1],
            tools=conversation.tools,
        )
        return replace(scored, pair=pair)

    async def _acandidate(self, turn: Turn, candidate: Candidate, goal: Goal, conversation_id: str) -> MRScore:
        response = replace(turn.response, content=candidate.text)
        rest = turn.rest if candidate.source is Source.LOGGED else ()
        return await self.scorer.ascore_turn(replace(turn, response=response, rest=rest), goal, conversation_id)

    def _capped(self, turns: Iterable[ScoredTurn]) -> Iterable[ScoredTurn]:
        """The turns, with pairs beyond the cap refused, smallest margins first."""
        turns = list(turns)
        by_margin = sorted((scored for scored in turns if scored.pair), key=lambda s: -s.pair.margin if s.pair else 0)
        over = {scored.turn.index for scored in by_margin[self.rule.max_pairs :]}
        return [
            replace(scored, pair=None, refusal=Refusal.CAP) if scored.turn.index in over else scored for scored in turns
        ]


def turn_row(conversation: Conversation, goal: Goal, scored: ScoredTurn) -> Mapping[str, Any]:
    """Everything known about a turn, for reports; it names the goal, so it is no training data."""
    pair = scored.pair
    return {
        "schema": TURN_SCHEMA,
        "conversation_id": conversation.id,
        "turn": scored.turn.index,
        "goal": goal.text,
        "history": [message.to_dict() for message in scored.turn.history],
        "candidates": [
            {"source": candidate.source, "text": candidate.text, **score_row(score)}
            for candidate, score in scored.candidates
        ],
        "lost": list(scored.lost),
        "chosen": pair.chosen.response if pair else None,
        "rejected": pair.rejected.response if pair else None,
        "refused": scored.refusal,
    }


def score_row(score: MRScore) -> dict[str, Any]:
    """A score as JSON values."""
    return {
        "mr": score.value,
        "stderr": score.stderr,
        "n_ok": score.n_ok,
        "n": score.n,
        "metrics": dict(score.metrics),
        "futures": [_future_row(future) for future in score.futures],
        "observed": _future_row(score.observed) if score.observed else None,
    }


def _future_row(future: Any) -> dict[str, Any]:
    row = asdict(replace(future, messages=()))
    return {**row, "messages": [message.to_dict() for message in future.messages]}


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.{what}.jsonl")


def _is_held_out(conversation_id: str, fraction: float) -> bool:
    digest = hashlib.sha256(conversation_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
