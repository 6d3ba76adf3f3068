"""A prepared training: its stages, and what is written when they are done."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from collab_sdk.errors import InputError, TrainingError
from collab_sdk.training import PLAYING, Preflight, TrainingOptions, TrainingProgress, TrainingReport
from collab_trl.base import Base
from collab_trl.checks import check_disk, check_memory, check_merge, compares_pairs
from collab_trl.defaults import rates_of
from collab_trl.device_memory import free_memory, ran_out_of_memory
from collab_trl.output.adapter import finish, known_report, said_on_card
from collab_trl.output.hub import check_card, pushed_if_asked
from collab_trl.output.merge import Compared, merged_if_asked
from collab_trl.output.workplace import Workplace, identity
from collab_trl.plan import CPU, Plan, is_main_process
from collab_trl.preference.tokens import Tokens

if TYPE_CHECKING:
    from collab_trl.stages import Trained


class AnyStage(Protocol):
    """A method on its data, in a workplace."""

    def run(self, adapter: Path | None, on_progress: Callable[[TrainingProgress], None]) -> "Trained":
        """Train a copy of an adapter, or a fresh one; a stage that is done is not done again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrlTraining:
    """Implements collab_sdk.training.Training."""

    options: TrainingOptions
    base: Base
    plan: Plan
    preflight: Preflight
    rows: Sequence[Any]
    """What is learnt from, as far as it decides what the adapter becomes."""
    compared: Compared
    """By what a merged model is compared with the adapter."""
    stage: Callable[["TrlTraining", str, float, Workplace], AnyStage]
    """The stage of a method, with its learning rate."""
    reported: Sequence[Tokens] = ()
    """Held-out examples that say how good the result is."""
    begun: Path | None = None
    """The adapter that the result is compared with; None for the base alone."""

    def run(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingReport:
        if self.preflight.faults and not self.options.skip_bad:
            count = sum(len(fault.places) for fault in self.preflight.faults)
            raise InputError(
                f"{count} rows cannot be trained on as they are; mend them, or leave them out with --skip-bad",
                where=str(self.options.data),
            )
        check_memory(self.options, self.plan, self.preflight.memory)
        check_disk(self.options, self.base)
        check_merge(self.options, self.base)
        if self.options.push_to_hub is not None:
            check_card(said_on_card(self.options, self.preflight), self.options.output)
        workplace = Workplace(self.options.output, self._identity())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between the libraries, not for who trains
            report = self._report(workplace, on_progress)
            return pushed_if_asked(merged_if_asked(report, self.options, self.base, self.compared), self.options)

    def _report(self, workplace: Workplace, on_progress: Callable[[TrainingProgress], None]) -> TrainingReport:
        if workplace.finished:
            return known_report(self.options, self.base, workplace.finished)
        started = time.monotonic()
        if is_main_process():
            workplace.open()
        try:
            trained, resumed = self._stages(workplace, on_progress)
        except (RuntimeError, MemoryError) as error:
            if ran_out_of_memory(error):
                raise TrainingError(f"Out of memory on {self.plan.device}. {self._smaller()}") from None
            raise
        seconds = time.monotonic() - started
        return finish(
            self.options,
            self.base,
            self.preflight,
            workplace,
            trained,
            reported=self.reported,
            begun=self.begun,
            seconds=seconds,
            resumed=resumed,
        )

    def _identity(self) -> dict[str, Any]:
        """What a run is, with how it is laid out where that decides what is learnt."""
        own = {}
        if compares_pairs(self.options):
            own["per_device_batch_size"] = self.plan.micro_batch
        if compares_pairs(self.options) or self.options.method in PLAYING:  # each process plays its own conversations
            own["processes"] = self.plan.processes
        return identity(self.options, self.base, self.rows) | own

    def _stages(
        self, workplace: Workplace, on_progress: Callable[[TrainingProgress], None]
    ) -> tuple[Mapping[str, Any], bool]:
        trained: dict[str, Any] = {}
        adapter = self.options.adapter
        for name, rate in rates_of(self.options).items():
            stage = self.stage(self, name, rate, workplace)
            trained[name] = stage.run(adapter, on_progress)
            free_memory()  # a trainer holds its model in circles, and what is loaded next would have to fit beside it
            adapter = trained[name].adapter
        return trained, any(stage.resumed for stage in trained.values())

    def _smaller(self) -> str:
        """The next setting to try."""
        if self.plan.micro_batch > 1:
            smaller = self.plan.micro_batch // 2
            then = "in another -o DIR" if compares_pairs(self.options) else "the same command then goes on"
            return f"Next: --per-device-batch-size {smaller}; {then}."
        if not self.plan.checkpointing:
            return "Next: --gradient-checkpointing, which recomputes activations; the same command then goes on."
        if not self.options.load_in_4bit and self.plan.device != CPU:
            return "Next: --load-in-4bit, or a smaller --max-length with --skip-bad."
        return "Next: a smaller --max-length with --skip-bad, a smaller --lora-r, or a smaller base."
