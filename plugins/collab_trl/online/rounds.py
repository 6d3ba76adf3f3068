"""Rounds of DPO: the model talks, what it might have said is scored and paired, it learns that, and talks again."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from collab_sdk.concurrency import run_sync
from collab_sdk.errors import InputError, OutputError
from collab_sdk.preferences import PreferenceExporter, held_out_share
from collab_sdk.training import Play, Preflight, Training, TrainingOptions, TrainingProgress, TrainingReport
from collab_trl.base import Base, read_base
from collab_trl.online.histories import History
from collab_trl.online.preparation import chats_of, known_by, played_by, preflight_of, said
from collab_trl.online.rollouts import Rollouts, aroll_out, read_rollouts, write_rollouts
from collab_trl.output.adapter import MERGED
from collab_trl.output.serving import merged_command
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
    """Implements collab_sdk.training.Training. A round is a folder, with what was said, the pairs, and the adapter."""

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
        self._sign()
        model, reports = self.base.name, []
        for number in range(1, self.options.rounds + 1):
            folder = self.options.output / f"round-{number}"
            self._roll_out(model, folder, on_progress)
            reports.append(self._train(model, folder, number, on_progress))
            model = str(folder / ADAPTER / MERGED)
        after = self.options.output / f"round-{self.options.rounds + 1}"  # a next round would learn from what is there
        self._roll_out(model, after, on_progress)
        return replace(
            reports[-1],
            bot=f"hf:{model}",
            steps=sum(report.steps for report in reports),
            seconds=sum(report.seconds for report in reports),
            serve=merged_command(Path(model)),
        )

    def _sign(self) -> None:
        """Raises OutputError where the folder has rounds of another training; more rounds of the same one go on."""
        run = identity(self.options, self.base, [said(history) for history in self.histories])
        known = read_json(self.options.output / RUN)
        if known is not None and known != run:
            changed = ", ".join(sorted(key for key in run if known.get(key) != run[key]))
            raise OutputError(
                f"{self.options.output} holds rounds of another training (it differs in {changed}): give another -o "
                "DIR, or delete that one."
            )
        self.options.output.mkdir(parents=True, exist_ok=True)
        write_json(self.options.output / RUN, run)

    def _roll_out(self, model: str, folder: Path, on_progress: OnProgress) -> Rollouts:
        """What the model says, and in STATISTICS what that is like: reward, tokens, questions, KL to the first base."""
        path = folder / CHATS
        if path.exists():
            return read_rollouts(path)
        folder.mkdir(parents=True, exist_ok=True)
        scorer = self.play.scorer.with_assistant(self._bot(model))
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
        statistics = {**rollouts.statistics, "kl": self._kl(model, rollouts), "lost": float(rollouts.failed)}
        write_json(folder / STATISTICS, statistics)
        write_rollouts(rollouts, path)
        on_progress(TrainingProgress(stage=folder.name, step=0, steps=0, metrics=statistics))
        return rollouts

    def _bot(self, model: str) -> str:
        """Laid out as it is trained, which a merged model is by itself."""
        return replace(self.options, base=model).base_bot

    def _kl(self, model: str, rollouts: Rollouts) -> float:
        from collab_trl.online.divergence import kl_per_token

        return kl_per_token(model, self.base.name, rollouts.conversations, self.base.chat_template)

    def _train(self, model: str, folder: Path, number: int, on_progress: OnProgress) -> TrainingReport:
        pairs = folder / PAIRS
        if not pairs.exists():
            scorer = self.play.scorer.with_assistant(self._bot(model))
            exporter = PreferenceExporter(scorer, **asdict(self.play.rule))
            rollouts = read_rollouts(folder / CHATS)
            share = self.options.eval_fraction
            if share is None:
                share = held_out_share(map(known_by, rollouts.conversations))
            report = exporter.export(rollouts.conversations, pairs, eval_fraction=share)
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
            self.options, data=pairs, base=model, output=folder / ADAPTER, rounds=0, play=None, merge=True
        )

        def on_step(progress: TrainingProgress) -> None:
            on_progress(replace(progress, stage=f"round {number}, {progress.stage}"))

        return prepare_examples(options, read_base(model, self.base.chat_template)).run(on_step)
