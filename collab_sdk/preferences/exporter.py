"""The exporter: candidates for every turn, their scores, the pair worth training on."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from collab_sdk.concurrency import all_settled, run_sync, sync_twins
from collab_sdk.files import NO_INPUTS, Inputs
from collab_sdk.logs.reader import LoggedConversations
from collab_sdk.models import conversation_without_reasoning
from collab_sdk.preferences.candidates import Candidate, Source, adraw_candidates
from collab_sdk.preferences.files import ExportFiles
from collab_sdk.preferences.report import ExportReport, ScoredConversation, ScoredTurn
from collab_sdk.preferences.sampling import SamplingRule
from collab_sdk.preferences.selection import Refusal, choose_pair
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.score_rows import run_row
from collab_sdk.scorer import MRScorer, scene_of
from collab_sdk.spec import PairRule, RunnerSpec, RunSpec
from collab_sdk.tool_calls import without_remark
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair, Turn

HERE = RunnerSpec()


@sync_twins
class PreferenceExporter:
    """Draws candidates for every turn of logged conversations, scores them, and writes the pairs worth training on.

    Unless `fixed_samples`, futures are spent where best and worst candidate are not yet apart: as reliable as the
    rollout's `samples` for every candidate, with fewer of them on average. With it each candidate gets exactly
    `samples`, as in the paper. The options are those of PairRule.
    """

    def __init__(
        self,
        scorer: MRScorer,
        *,
        candidates: int = PairRule.candidates,
        min_margin: float = PairRule.min_margin,
        min_z: float = PairRule.min_z,
        max_pairs: int = PairRule.max_pairs,
        fixed_samples: bool = PairRule.fixed_samples,
    ) -> None:
        self.scorer = scorer
        self.rule = PairRule(
            candidates=candidates,
            min_margin=min_margin,
            min_z=min_z,
            max_pairs=max_pairs,
            fixed_samples=fixed_samples,
        )
        if scorer.calibration is not None:
            scorer.calibration.check(self.made_with)

    @property
    def spec(self) -> RunSpec:
        """All that decides a pair, as data."""
        return replace(self.scorer.spec, pairs=self.rule)

    @property
    def made_with(self) -> dict[str, Any]:
        """The provenance of a pair as JSON values."""
        return {**self.scorer.made_with, "pairs": asdict(self.rule)}

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
        """Write `path`, and beside it `NAME.turns.jsonl` with every candidate, future and reason, and `NAME.run.json`.

        Rows come in input order. With `eval_fraction`, that share of the conversations, chosen by what their users say
        first, goes to `NAME.eval.jsonl`. Raises OutputError before any call if a file cannot be written, or is one of
        those that `read_conversations` takes the conversations from; RunStoppedError when the run cannot go on: what is
        done by then stays in `*.partial`, and the same export goes on from the cache.
        """
        return await self.awrite(
            self.ascore_all(conversations),
            path,
            format=format,
            eval_fraction=eval_fraction,
            on_progress=on_progress,
            inputs=Inputs(conversations.files) if isinstance(conversations, LoggedConversations) else NO_INPUTS,
        )

    async def awrite(
        self,
        outcomes: AsyncIterator[Outcome[ScoredConversation]],
        path: str | os.PathLike[str],
        *,
        format: str = "trl",
        eval_fraction: float = 0.0,
        on_progress: Callable[[ExportReport], None] | None = None,
        inputs: Inputs = NO_INPUTS,
        runner: RunnerSpec = HERE,
    ) -> ExportReport:
        """Write what `aexport` does, whoever scored the conversations, and never onto one of `inputs`."""
        report = ExportReport()
        files = ExportFiles(
            Path(path),
            format=format,
            eval_fraction=eval_fraction,
            made_with=self.made_with,
            inputs=inputs,
        )
        with files:
            async for outcome in outcomes:
                report.count(outcome)
                if outcome.value is not None:
                    files.write(self.scorer.rollout.toolbox.equip(outcome.conversation), outcome.value)
                    report.left_out, report.incomplete = files.left_out, files.incomplete
                    report.repeated = files.repeated
                if on_progress is not None:
                    on_progress(report)
            files.write_run(
                run_row(
                    self.made_with,
                    self.scorer.engine.ledger.to_dict(),
                    spec=replace(self.spec, runner=runner).to_dict(),
                    export={"format": format, "eval_fraction": eval_fraction},
                    failed=_failed(report),
                    requests=await self.scorer.engine.dialects(self.scorer.models),
                )
            )
        return report

    def ascore_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[ScoredConversation]]:
        """Every conversation, scored, in input order."""
        return run_here(self.ascore_conversation, conversations, engine=self.scorer.engine)

    async def ascore_conversation(self, conversation: Conversation) -> ScoredConversation:
        """Candidates, scores and the pair of every turn; pairs beyond the cap are refused.

        Raises SampleError if the chat's goal has to be inferred and cannot be.
        """
        conversation = self.scorer.rollout.toolbox.equip(conversation_without_reasoning(conversation))
        goal = await self.scorer.goals.aread(conversation)
        self.scorer.reward.of(conversation).check(goal)
        turns = await all_settled(self._aturn(conversation, goal, turn) for turn in conversation.units(self.scorer.per))
        return ScoredConversation(goal=goal, turns=tuple(self._capped(turns)))

    async def _aturn(self, conversation: Conversation, goal: Goal, turn: Turn) -> ScoredTurn:
        if turn.is_partial:
            return ScoredTurn(turn=turn, refusal=Refusal.BROKEN_OFF)
        if turn.is_untrained:
            return ScoredTurn(turn=turn, refusal=Refusal.UNTRAINED)
        draws = await adraw_candidates(
            turn,
            self.scorer.rollout,
            n=self.rule.candidates,
            scene=scene_of(conversation),
            per=self.scorer.per,
        )
        if len(draws.candidates) < 2:  # nothing to compare: no future is paid for
            return ScoredTurn(turn=turn, lost=draws.lost, refusal=Refusal.ONE_CANDIDATE)
        goals = await self.scorer.agoals(turn, goal, conversation.id)
        scores = await self._ascores(turn, draws.candidates, goals, conversation)
        scored = ScoredTurn(
            turn=turn, goals=goals, candidates=tuple(zip(draws.candidates, scores, strict=True)), lost=draws.lost
        )
        chosen = choose_pair(scores, self.rule)
        if isinstance(chosen, Refusal):
            return replace(scored, refusal=chosen)
        pair = PreferencePair(
            conversation_id=conversation.id,
            turn=turn.index,
            prompt=turn.history,
            chosen=chosen[0],
            rejected=chosen[1],
            tools=tuple(map(without_remark, conversation.tools)),
        )
        return replace(scored, pair=pair)

    async def _ascores(
        self, turn: Turn, candidates: Sequence[Candidate], goals: Sequence[Goal], log: Conversation
    ) -> list[MRScore]:
        """The candidates' scores, with futures where they matter. All draw the same samples of the same users."""
        samples = self.scorer.rollout.samples
        rule = SamplingRule(first=samples, ceiling=samples)
        if not self.rule.fixed_samples:
            rule = SamplingRule.like(samples, candidates=len(candidates))
        scores: Sequence[MRScore | None] = [None] * len(candidates)
        while any(batch := rule.next_batch([_rewards(score) for score in scores])):
            scores = await all_settled(
                self.scorer.ascore_turn(
                    replace(turn, response=candidate.messages),
                    goals,
                    log,
                    observed=turn.rest if candidate.source is Source.LOGGED else (),
                    samples=len(_rewards(score)) + more,
                    so_far=score,
                )
                for candidate, score, more in zip(candidates, scores, batch, strict=True)
            )
        return [score for score in scores if score is not None]

    def _capped(self, turns: Iterable[ScoredTurn]) -> Iterable[ScoredTurn]:
        """The turns, with pairs beyond the cap refused, smallest margins first."""
        turns = list(turns)
        by_margin = sorted((scored for scored in turns if scored.pair), key=lambda s: -s.pair.margin if s.pair else 0)
        over = {scored.turn.index for scored in by_margin[self.rule.max_pairs :]}
        return [
            replace(scored, pair=None, refusal=Refusal.CAP) if scored.turn.index in over else scored for scored in turns
        ]


def _failed(report: ExportReport) -> dict[str, str]:
    return {conversation_id: str(error) for conversation_id, error in report.failed.items()}


def _rewards(score: MRScore | None) -> list[float | None]:
    return [future.reward for future in score.futures] if score else []
