"""Rounds of DPO: the model talks, what it might have said is scored and paired, it learns that, and talks again."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from collab_sdk.concurrency import run_sync
from collab_sdk.errors import InputError, OutputError
from collab_sdk.preferences import HoldOut, PreferenceExporter, held_out_share, is_held_out, opening_of
from collab_sdk.scorer import MRScorer
from collab_sdk.spec import ModelSpec
from collab_sdk.training import (
    METRICS,
    TRAINED_AGAINST,
    Play,
    Preflight,
    Training,
    TrainingOptions,
    TrainingProgress,
    TrainingReport,
)
from collab_sdk.types import Conversation
from collab_trl.base import Base
from collab_trl.checks import check_disk, check_merge
from collab_trl.online.histories import History
from collab_trl.online.preparation import chats_of, played_by, preflight_of, said
from collab_trl.online.rollouts import Rollouts, aroll_out, read_rollouts, write_rollouts
from collab_trl.output.card import write_card
from collab_trl.output.hub import pushed_if_asked
from collab_trl.output.merge import merged_if_asked, merged_of
from collab_trl.output.serving import serving_commands
from collab_trl.output.training import TrlTraining
from collab_trl.output.workplace import RUN, identity, read_json, write_json
from collab_trl.preference.preflight import prepare_examples

CHATS, PAIRS, ADAPTER, STATISTICS = "chats.jsonl", "prefs.jsonl", "adapter", "figures.json"
OnProgress = Callable[[TrainingProgress], None]


def prepare_rounds(options: TrainingOptions, base: Base) -> Training:
    """Raises InputError if no chat in the logs has an opening that the model could answer."""
    found = chats_of(options, base, openings=True)
    return RoundsTraining(
        options=options,
        play=played_by(options),
        base=base,
        histories=found.histories,
        preflight=preflight_of(options, base, found),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundsTraining:
    """Implements collab_sdk.training.Training. A round is a folder, with what was said, the pairs, and the adapter.

    Each round goes on training the adapter of the one before, against a frozen copy of it, on the same base: nothing is
    merged, as a base in bfloat16 has no room for most of what a round learns.
    """

    options: TrainingOptions
    play: Play
    base: Base
    histories: Sequence[History]
    """The openings."""
    preflight: Preflight

    def run(self, on_progress: OnProgress) -> TrainingReport:
        """All rounds; what is done is not done again. Raises CollabError, as exporter and trainer do."""
        if self.preflight.faults and not self.options.skip_bad:
            count = sum(len(fault.places) for fault in self.preflight.faults)
            raise InputError(
                f"{count} chats cannot be used as they are; mend them, or leave them out with --skip-bad",
                where=str(self.options.data),
            )
        check_disk(self.options, self.base)
        check_merge(self.options, self.base)
        self._sign()
        adapter, reports = self.options.adapter, []
        for number in range(1, self.options.rounds + 1):
            folder = self.options.output / f"round-{number}"
            self._roll_out(adapter, folder, on_progress)
            training = self._training(adapter, folder, number)
            reports.append(training.run(_of_round(number, on_progress)))
            adapter = folder / ADAPTER
        after = self.options.output / f"round-{self.options.rounds + 1}"  # a next round would learn from what is there
        self._roll_out(adapter, after, on_progress)
        report = replace(
            self._delivered(folder / ADAPTER, reports[-1]),
            steps=sum(report.steps for report in reports),
            seconds=sum(report.seconds for report in reports),
        )
        report = merged_if_asked(report, self.options, self.base, training.compared)
        return pushed_if_asked(report, self.options)

    @property
    def _run(self) -> dict[str, Any]:
        return identity(self.options, self.base, [said(history) for history in self.histories])

    def _bot(self, adapter: Path | None) -> str:
        """Laid out as it is trained, which an adapter is by its own template."""
        return self.options.base_bot if adapter is None else f"hf:{self.base.name}@{adapter}"

    def _scorer(self, adapter: Path | None) -> MRScorer:
        """With the model as it is, asked as the play says."""
        bot = ModelSpec(name=self._bot(adapter), settings=self.play.scorer.rollout.settings)
        return self.play.scorer.with_assistant(bot)

    def _sign(self) -> None:
        """Raises OutputError where the folder has another training; more rounds of the same one go on."""
        run = self._run
        finished = (read_json(self.options.output / METRICS) or {}).get("run")
        for known in (finished, read_json(self.options.output / RUN)):
            if known is not None and known != run:
                changed = ", ".join(sorted(key for key in {*known, *run} if known.get(key) != run.get(key)))
                raise OutputError(
                    f"{self.options.output} holds another training (it differs in {changed}): give another -o DIR, or "
                    "delete that one."
                )
        self.options.output.mkdir(parents=True, exist_ok=True)
        write_json(self.options.output / RUN, run)

    def _roll_out(self, adapter: Path | None, folder: Path, on_progress: OnProgress) -> Rollouts:
        """What the model says, and in STATISTICS what that is like: reward, tokens, questions, KL to the base."""
        path = folder / CHATS
        if path.exists():
            return read_rollouts(path)
        folder.mkdir(parents=True, exist_ok=True)
        scorer = self._scorer(adapter)
        rollouts = run_sync(
            aroll_out(
                [history.conversation for history in self.histories],
                scorer,
                exchanges=self.play.exchanges,
                draw=folder.name,
            )
        )
        if not rollouts.conversations:
            raise InputError("no conversation with the model could be held to its end", where=str(self.options.data))
        statistics = {**rollouts.statistics, "kl": self._kl(adapter, rollouts), "lost": float(rollouts.failed)}
        write_json(folder / STATISTICS, statistics)
        write_rollouts(rollouts, path)
        on_progress(TrainingProgress(stage=folder.name, step=0, steps=0, metrics=statistics))
        return rollouts

    def _kl(self, adapter: Path | None, rollouts: Rollouts) -> float:
        from collab_trl.online.divergence import kl_per_token

        return 0.0 if adapter is None else kl_per_token(self.base, adapter, rollouts.conversations)

    def _training(self, adapter: Path | None, folder: Path, number: int) -> TrlTraining:
        """Of a round, on the pairs of what was said in it."""
        pairs = folder / PAIRS
        if not pairs.exists():
            exporter = PreferenceExporter(self._scorer(adapter), **asdict(self.play.rule))
            rollouts = read_rollouts(folder / CHATS)
            report = exporter.export(rollouts.conversations, pairs, hold_out=self._hold_out())
            if not report.written:
                pairs.unlink(missing_ok=True)
                reason, count = next(iter(report.refused.most_common(1)), ("nothing to compare", report.turns))
                raise InputError(
                    f"round {number} gave no pair: of {report.turns} turns, {count}: {reason}", where=str(pairs)
                )
            if not pairs.stat().st_size:
                pairs.unlink()
                raise InputError(
                    f"round {number}: all {report.written} pairs are held out, and none is left to train on: give a "
                    "smaller --eval-fraction and another -o DIR",
                    where=str(pairs),
                )
        options = replace(
            self.options,
            data=pairs,
            adapter=adapter,
            output=folder / ADAPTER,
            rounds=0,
            play=None,
            merge=False,
            push_to_hub=None,
        )
        return prepare_examples(options, self.base, begun=self.options.adapter)

    def _hold_out(self) -> HoldOut | None:
        """By what is logged, the openings: a chat is on one side in all rounds, whatever is said in it or is lost."""
        asked = self.options.eval_fraction
        openings = [_begun(history.conversation) for history in self.histories]
        share = held_out_share(openings) if asked is None else asked
        return (lambda conversation: is_held_out(_begun(conversation), share)) if share else None

    def _delivered(self, adapter: Path, report: TrainingReport) -> TrainingReport:
        """The adapter of the last round in the output, as every training leaves it there."""
        output = self.options.output
        merged = merged_of(adapter, output)
        for file in adapter.iterdir():
            if file.is_file() and file.name != METRICS:
                shutil.copyfile(file, output / file.name)
        targets = self.options.target_modules or self.base.targets
        serve = serving_commands(self.base, output, rank=self.options.lora_r, targets=targets)
        against = {TRAINED_AGAINST: list(self.options.trained_against)}
        metrics = {**(read_json(adapter / METRICS) or {}), **merged, **against, "serve": serve, "run": self._run}
        write_card(metrics, output)
        write_json(output / METRICS, metrics)
        return replace(report, bot=self._bot(output), output=output, serve=serve)


def _begun(conversation: Conversation) -> str:
    """The hash of its opening."""
    return opening_of(message.content for message in conversation.opening if message.role == "user")


def _of_round(number: int, on_progress: OnProgress) -> OnProgress:
    def on_step(progress: TrainingProgress) -> None:
        on_progress(replace(progress, stage=f"round {number}, {progress.stage}"))

    return on_step
