"""One stage of a training: a method, from an adapter to an adapter."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk
from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback

from collab_sdk.errors import TrainingError
from collab_sdk.training import TrainingOptions, TrainingProgress
from collab_trl.base import Base
from collab_trl.methods import METHODS, Method, Row, arguments
from collab_trl.model import adapted
from collab_trl.plan import Plan
from collab_trl.prefix_sharing import PairCollator, share_prefixes
from collab_trl.tokens import Tokens
from collab_trl.watch import EarlyStop, Reporter, standing
from collab_trl.workplace import Workplace

ADAPTER = "adapter"
HISTORY = "history.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a stage gave: the folder with its adapter, and all it logged."""

    adapter: Path
    history: tuple[Mapping[str, float], ...]
    kept: int
    """The step whose adapter was kept."""
    learning_rate: float
    resumed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A method on its data, in a workplace."""

    name: str
    learning_rate: float
    options: TrainingOptions
    plan: Plan
    base: Base
    train: Sequence[Tokens]
    held_out: Sequence[Tokens]
    workplace: Workplace

    @property
    def folder(self) -> Path:
        return self.workplace.folder / self.name

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    def run(self, adapter: Path | None, on_progress: Callable[[TrainingProgress], None]) -> Trained:
        """Train from an adapter, or a fresh one; a stage that is done is not done again."""
        if (self.folder / ADAPTER).exists():
            return trained(self.folder, learning_rate=self.learning_rate, resumed=True)
        train = self._rows(self.train)
        held_out = self._rows(sorted(self.held_out, key=lambda tokens: tokens.length))
        config = self._config(steps=self._steps(len(train)), evaluate=bool(held_out))
        with config.main_process_first(local=False):  # which alone writes and clears away
            checkpoint = self.workplace.checkpoint(self.name)
            data = [on_disk(rows, self.folder / name) for name, rows in (("train", train), ("held-out", held_out))]
        config.eval_on_start = bool(held_out) and checkpoint is None
        trainer = self._trainer(config, *data, adapter=adapter, on_progress=on_progress)
        # Under autocast the casts cost time and memory and change nothing.
        with disable_input_dtype_casting(trainer.model, active=self.plan.bf16):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        kept = self._keep_best(trainer)
        check_finite(trainer.model)
        save(trainer, self.folder, kept=kept)
        return trained(self.folder, learning_rate=self.learning_rate, resumed=checkpoint is not None)

    def _rows(self, examples: Sequence[Tokens]) -> list[Row]:
        return self.method.rows(examples, self.plan, self.options.seed)

    def _steps(self, examples: int) -> int:
        per_step = self.plan.micro_batch * self.plan.accumulation * self.plan.processes
        return math.ceil(examples / per_step * self.options.epochs)

    def _config(self, *, steps: int, evaluate: bool) -> Any:
        return arguments(
            self.method.config,
            self.method.settings(self.options, self.plan),
            self.options,
            self.plan,
            folder=self.folder,
            learning_rate=self.learning_rate,
            steps=steps,
            evaluate=evaluate,
        )

    def _trainer(
        self,
        config: Any,
        train: Dataset,
        held_out: Dataset | None,
        *,
        adapter: Path | None,
        on_progress: Callable[[TrainingProgress], None],
    ) -> Any:
        model = adapted(self.base, self.options, self.plan, adapter=adapter)
        collator = None  # TRL's own
        if self.plan.shared and self.name == "dpo":
            share_prefixes(model.get_base_model())
            collator = PairCollator(pad_token_id=self.base.tokenizer.pad_token_id)
        callbacks: list[Any] = [Reporter(self.name, on_progress)]
        if held_out is not None:
            callbacks.append(EarlyStop(self.method, self.options.patience))
        trainer = self.method.trainer(
            model=model,
            args=config,
            data_collator=collator,
            train_dataset=train,
            eval_dataset=held_out,
            processing_class=self.base.tokenizer,
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)  # it prints log lines to stdout
        return trainer

    def _keep_best(self, trainer: Any) -> int:
        """Go back to the step whose held-out figure was best, unless that is where training ended."""
        state = trainer.state
        best, _ = standing(state.log_history, self.method)
        if not best or best == state.global_step or not self.options.patience:
            return int(state.global_step)
        trainer.model.load_adapter(f"{self.folder}/checkpoint-{best}", "default", is_trainable=True)
        return best


def save(trainer: Any, folder: Path, *, kept: int) -> None:
    """The trainer's adapter, and all it logged, into the folder of its stage."""
    partial = folder / f"{ADAPTER}.partial"
    trainer.save_model(str(partial))  # by all processes, since under FSDP each holds a part
    if trainer.is_world_process_zero():
        shutil.rmtree(partial / "ref", ignore_errors=True)  # DPO's frozen copy of the adapter it began with
        log = {"history": trainer.state.log_history, "kept": kept}
        (partial / HISTORY).write_text(json.dumps(log), encoding="utf-8")
        partial.rename(folder / ADAPTER)
    trainer.accelerator.wait_for_everyone()


def trained(folder: Path, *, learning_rate: float, resumed: bool) -> Trained:
    """What `save` has put into a stage's folder."""
    log = json.loads((folder / ADAPTER / HISTORY).read_text(encoding="utf-8"))
    return Trained(
        adapter=folder / ADAPTER,
        history=tuple(log["history"]),
        kept=log["kept"],
        learning_rate=learning_rate,
        resumed=resumed,
    )


def check_finite(model: Any) -> None:
    """Raises TrainingError for an adapter that would answer nothing: the loss shows it only in its own log."""
    if not all(weight.isfinite().all() for weight in model.parameters() if weight.requires_grad):
        raise TrainingError(
            "The training diverged, and the adapter's weights are no numbers any more: take a smaller --learning-rate, "
            "in another -o DIR."
        )


def on_disk(rows: Sequence[Row], folder: Path) -> Dataset | None:
    """The rows as a data set, where every process finds what one of them has computed about it."""
    if not rows:
        return None
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        Dataset.from_list(list(rows)).save_to_disk(str(partial))
        partial.rename(folder)
    return load_from_disk(str(folder))
