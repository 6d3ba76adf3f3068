"""The exporter: candidates for every turn, their scores, the pair worth training on."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

from collab_sdk.concurrency import all_settled, run_sync, sync_twins
from collab_sdk.files import NO_INPUTS, Inputs
from collab_sdk.logs.reader import LoggedConversations
from collab_sdk.models import conversation_without_reasoning
from collab_sdk.preferences.candidates import Candidate, Source, adraw_candidates
from collab_sdk.preferences.contrasts import FIRST
from collab_sdk.preferences.files import ExportFiles, HoldOut
from collab_sdk.preferences.noise import PILOT_TURNS, Noise, Pilot
from collab_sdk.preferences.report import ExportReport, ScoredConversation, ScoredTurn
from collab_sdk.preferences.sampling import NextBatch, SamplingRule
from collab_sdk.preferences.selection import Choice, Refusal, choose_pair, rewards_of
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.score_rows import run_row
from collab_sdk.scorer import Asked, MRScorer, scene_of
from collab_sdk.spec import PairRule, RunnerSpec, RunSpec
from collab_sdk.tool_calls import without_remark
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair, Turn

HERE = RunnerSpec()
CEILING = 3
"""Of the futures of one candidate, times `samples`."""


Begun = Mapping[str, ScoredConversation]
"""Conversations of which the candidates and the first futures are known, by id."""
Stage = Callable[[Pilot | None, Begun, Iterable[Conversation]], AsyncIterator[Outcome[ScoredConversation]]]
"""Where conversations are scored: `PreferenceExporter.ascore_conversation` of each, in input order."""


@sync_twins
class PreferenceExporter:
    """Draws candidates for every turn of logged conversations, scores them, and writes the pairs worth training on.

    How much rewards vary by chance is found out in a pilot: the first conversations, up to `PILOT_TURNS` turns, or half
    as many where each has two goals. By it
    the margins of all pairs are judged, and futures are spent where they make most pairs sure, up to three times the
    rollout's `samples` for a candidate. With `fixed_samples` each candidate gets exactly `samples`, as in the paper.
    With `judge_groups` all futures of a turn that share a goal are judged in one call, as far as they come at once.
    The options are those of PairRule.
    """

    def __init__(
        self,
        scorer: MRScorer,
        *,
        candidates: int = PairRule.candidates,
        min_margin: float = PairRule.min_margin,
        min_confidence: float = PairRule.min_confidence,
        max_pairs: int = PairRule.max_pairs,
        fixed_samples: bool = PairRule.fixed_samples,
        judge_groups: bool = PairRule.judge_groups,
    ) -> None:
        self.scorer = scorer
        self.rule = PairRule(
            candidates=candidates,
            min_margin=min_margin,
            min_confidence=min_confidence,
            max_pairs=max_pairs,
            fixed_samples=fixed_samples,
            judge_groups=judge_groups,
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
        hold_out: HoldOut | None = None,
        on_progress: Callable[[ExportReport], None] | None = None,
    ) -> ExportReport:
        return run_sync(
            self.aexport(
                conversations,
                path,
                format=format,
                eval_fraction=eval_fraction,
                hold_out=hold_out,
                on_progress=on_progress,
            )
        )

    async def aexport(
        self,
        conversations: Iterable[Conversation],
        path: str | os.PathLike[str],
        *,
        format: str = "trl",
        eval_fraction: float = 0.0,
        hold_out: HoldOut | None = None,
        on_progress: Callable[[ExportReport], None] | None = None,
    ) -> ExportReport:
        """Write `path`, and beside it `NAME.turns.jsonl` with every candidate, future and reason, and `NAME.run.json`.

        Rows come in input order. With `eval_fraction`, that share of the conversations, chosen by what their users say
        first, goes to `NAME.eval.jsonl`; or else those for which `hold_out` is true, where their sides were decided
        before. Raises OutputError before any call if a file cannot be written, or is one of those that
        `read_conversations` takes the conversations from; RunStoppedError when the run cannot go on: what is done by
        then stays in `*.partial`, and the same export goes on from the cache.
        """
        return await self.awrite(
            conversations,
            path,
            format=format,
            eval_fraction=eval_fraction,
            hold_out=hold_out,
            on_progress=on_progress,
            inputs=Inputs(conversations.files) if isinstance(conversations, LoggedConversations) else NO_INPUTS,
        )

    async def awrite(
        self,
        conversations: Iterable[Conversation],
        path: str | os.PathLike[str],
        *,
        format: str = "trl",
        eval_fraction: float = 0.0,
        hold_out: HoldOut | None = None,
        on_progress: Callable[[ExportReport], None] | None = None,
        inputs: Inputs = NO_INPUTS,
        stage: Stage | None = None,
        runner: RunnerSpec = HERE,
    ) -> ExportReport:
        """Write what `aexport` does, wherever the conversations are scored, and never onto one of `inputs`."""
        report = ExportReport()

        def begun() -> None:
            report.begun += 1
            if on_progress is not None:
                on_progress(report)

        files = ExportFiles(
            Path(path),
            format=format,
            eval_fraction=eval_fraction,
            hold_out=hold_out,
            made_with=self.made_with,
            inputs=inputs,
        )
        with files:
            async for pilot, outcome in self._aoutcomes(conversations, stage or self._stage, begun):
                report.pilot = pilot
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
                    export={"format": format, "eval_fraction": None if hold_out else eval_fraction},
                    pilot=None if report.pilot is None else asdict(report.pilot),
                    failed=_failed(report),
                    users=report.users.to_rows(),
                    requests=await self.scorer.engine.dialects(self.scorer.models),
                )
            )
        return report

    async def ascore_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[ScoredConversation]]:
        """Every conversation, scored, in input order; the first ones are begun for the pilot, and go on from there."""
        async for _, outcome in self._aoutcomes(conversations, self._stage, lambda: None):
            yield outcome

    def _stage(
        self, pilot: Pilot | None, begun: Begun, conversations: Iterable[Conversation]
    ) -> AsyncIterator[Outcome[ScoredConversation]]:
        async def score(conversation: Conversation) -> ScoredConversation:
            return await self.ascore_conversation(conversation, pilot, begun.get(conversation.id))

        return run_here(score, conversations, engine=self.scorer.engine)

    async def _aoutcomes(
        self, conversations: Iterable[Conversation], stage: Stage, on_begun: Callable[[], None]
    ) -> AsyncIterator[tuple[Pilot, Outcome[ScoredConversation]]]:
        """The pilot, and with it every conversation; one that failed in the pilot is not tried again."""
        reader = iter(conversations)
        first: list[Outcome[ScoredConversation]] = []
        async for outcome in stage(None, {}, self._first(reader)):
            first.append(outcome)
            on_begun()
        whole = [outcome for outcome in first if outcome.value is not None]
        pilot = self._pilot([outcome.value for outcome in whole if outcome.value is not None])
        begun = {each.conversation.id: each.value for each in whole if each.value is not None}
        going_on = chain((outcome.conversation for outcome in whole), reader)
        waiting = iter(first)
        async for outcome in stage(pilot, begun, going_on):
            for earlier in waiting:
                if earlier.value is not None:
                    break
                yield pilot, earlier
            yield pilot, outcome
        for earlier in waiting:
            yield pilot, earlier

    def _first(self, conversations: Iterable[Conversation]) -> Iterable[Conversation]:
        """Those of the pilot: the more goals a turn has, the fewer turns, for as many futures."""
        turns = 0
        for conversation in conversations:
            yield conversation
            turns += max(1, self.scorer.most_goals(conversation) * sum(1 for _ in conversation.units(self.scorer.per)))
            if turns >= PILOT_TURNS:
                return

    def _pilot(self, begun: Sequence[ScoredConversation]) -> Pilot:
        compared = [turn for each in begun for turn in each.turns if len(turn.candidates) > 1]
        turns = [[rewards_of(score) for _, score in turn.candidates] for turn in compared]
        goals = [len(turn.goals) for turn in compared]
        noise = Noise.of(turns, goals)
        price = 0.0
        if not self.rule.plays_all:
            rules = [self.sampling_rule(cycle) for cycle in goals]
            price = noise.price(
                [[rewards[: rule.first] for rewards in turn] for turn, rule in zip(turns, rules, strict=True)],
                goals,
                most=max((rule.ceiling for rule in rules), default=0),
                confidence=self.rule.min_confidence,
                margin=self.rule.min_margin,
            )
        return Pilot(noise=noise, price=price, conversations=len(begun))

    def sampling_rule(self, goals: int, pilot: Pilot | None = None, *, rounds: int = 1) -> NextBatch:
        """How many futures the candidates of a turn with so many goals get.

        Each meets all the goals in so many rounds at first. Without a `pilot`, the turn is part of one. A subclass that
        decides otherwise overrides this and `choose`.
        """
        samples = self.scorer.rollout.samples
        if self.rule.plays_all or samples == 1:
            return SamplingRule(first=samples, ceiling=samples)
        first = goals * max(rounds, -(-(self.scorer.asked_min_samples or 1) // goals))
        return SamplingRule(
            first=first,
            ceiling=max(first, CEILING * samples),
            cycle=goals,
            noise=pilot.noise if pilot else None,
            price=pilot.price if pilot else 0.0,
            confidence=self.rule.min_confidence,
            margin=self.rule.min_margin,
        )

    async def ascore_conversation(
        self, conversation: Conversation, pilot: Pilot | None, begun: ScoredConversation | None = None
    ) -> ScoredConversation:
        """Candidates, scores and the pair of every turn; pairs beyond the cap are refused.

        Without a `pilot` the conversation is part of one: it gets its first futures, and no pairs yet. What is `begun`
        so goes on from there. Raises SampleError if the chat's goal has to be inferred and cannot be.
        """
        conversation = self.scorer.rollout.toolbox.equip(conversation_without_reasoning(conversation))
        units = list(conversation.units(self.scorer.per))
        if begun is None or [each.turn for each in begun.turns] != units:  # another one has its id
            goal = await self.scorer.goals.aread(conversation)
            self.scorer.reward.of(conversation).check(goal)
            turns = await all_settled(self._abegin(conversation, goal, turn, is_pilot=pilot is None) for turn in units)
            begun = ScoredConversation(goal=goal, turns=tuple(turns))
        if pilot is None:
            return begun
        turns = await all_settled(self._asettle(conversation, turn, pilot) for turn in begun.turns)
        return replace(begun, turns=tuple(self._capped(turns)))

    async def _abegin(self, conversation: Conversation, goal: Goal, turn: Turn, *, is_pilot: bool) -> ScoredTurn:
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
        # Several goals are many futures: half of the turns then tell enough of how much those of one goal vary. Which
        # half differs from chat to chat, since first replies may be all the same.
        place = turn.index + crc32(conversation.id.encode("utf-8", "surrogatepass"))
        is_repeated = is_pilot and (len(goals) == 1 or place % 2 == 0)
        rule = self.sampling_rule(len(goals), rounds=FIRST if is_repeated else 1)
        scores = await self._ascores(turn, draws.candidates, goals, conversation, rule, ())
        return ScoredTurn(
            turn=turn, goals=goals, candidates=tuple(zip(draws.candidates, scores, strict=True)), lost=draws.lost
        )

    async def _asettle(self, conversation: Conversation, begun: ScoredTurn, pilot: Pilot) -> ScoredTurn:
        if begun.refusal is not None:
            return begun
        candidates = [candidate for candidate, _ in begun.candidates]
        rule = self.sampling_rule(len(begun.goals), pilot)
        known = [score for _, score in begun.candidates]
        scores = await self._ascores(begun.turn, candidates, begun.goals, conversation, rule, known)
        scored = replace(begun, candidates=tuple(zip(candidates, scores, strict=True)))
        found = self.choose(scores, pilot, goals=len(begun.goals))
        if isinstance(found, Refusal):
            return replace(scored, refusal=found)
        pair = PreferencePair(
            conversation_id=conversation.id,
            turn=begun.turn.index,
            prompt=begun.turn.history,
            chosen=found.chosen,
            rejected=found.rejected,
            tools=tuple(map(without_remark, conversation.tools)),
            shrunk=found.margin,
            confidence=found.confidence,
        )
        return replace(scored, pair=pair)

    async def _ascores(
        self,
        turn: Turn,
        candidates: Sequence[Candidate],
        goals: Sequence[Goal],
        log: Conversation,
        rule: NextBatch,
        known: Sequence[MRScore],
    ) -> list[MRScore]:
        """The candidates' scores, with futures where they matter. All draw the same samples of the same users."""
        scores: Sequence[MRScore | None] = known or [None] * len(candidates)
        while any(
            batch := rule.next_batch(
                [rewards_of(score) for score in scores],
                may_be_chosen=[not (score and score.ended) for score in scores],
            )
        ):
            asked = [
                Asked(
                    turn=replace(turn, response=candidate.messages),
                    followed=turn.followed if candidate.source is Source.LOGGED else None,
                    samples=len(rewards_of(score)) + more,
                    so_far=score,
                )
                for candidate, score, more in zip(candidates, scores, batch, strict=True)
            ]
            scores = await self.scorer.ascore_asked(
                asked, goals, log, least=self.scorer.asked_min_samples or 1, together=self.rule.judge_groups
            )
        return [score for score in scores if score is not None]

    def choose(self, scores: Sequence[MRScore], pilot: Pilot, *, goals: int) -> Choice | Refusal:
        """The pair of a turn whose candidates have these scores, over so many goals, or why there is none."""
        return choose_pair(scores, self.rule, pilot.noise, goals=goals)

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
