"""One stage of a training on examples: a method, from an adapter to an adapter."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback, TrainerCallback

from collab_sdk.training import HeldOut, TrainingOptions, TrainingProgress
from collab_trl.base import Base
from collab_trl.loading import adapted
from collab_trl.output.workplace import Workplace
from collab_trl.plan import Plan
from collab_trl.preference.held_out import estimates
from collab_trl.preference.methods import METHODS, Method
from collab_trl.preference.prefix_sharing import share_prefixes
from collab_trl.preference.tokens import Tokens
from collab_trl.pretrained import read_adapter
from collab_trl.stages import (
    ADAPTER,
    Log,
    Reporter,
    Trained,
    TrainingRow,
    arguments,
    check_finite,
    on_disk,
    save,
    trained,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceStage:
    """A method on its examples, in a workplace. Implements AnyStage."""

    name: str
    learning_rate: float
    options: TrainingOptions
    plan: Plan
    base: Base
    train: Sequence[Tokens]
    held_out: Sequence[Tokens]
    """What the training is watched by, and the checkpoint chosen."""
    reported: Sequence[Tokens]
    """What says how good that one is."""
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
        held_out, reported = (
            self._rows(sorted(part, key=lambda tokens: tokens.length)) for part in (self.held_out, self.reported)
        )
        config = self._config(steps=self._steps(len(train)), evaluate=bool(held_out))
        with config.main_process_first(local=False):  # which alone writes and clears away
            checkpoint = self.workplace.checkpoint(self.name)
            parts = (("train", train), ("held-out", held_out), ("reported", reported))
            *data, reporting = [on_disk(rows, self.folder / name) for name, rows in parts]
        config.eval_on_start = bool(held_out) and checkpoint is None
        trainer = self._trainer(config, *data, adapter=adapter, on_progress=on_progress)
        # Under autocast the casts cost time and memory and change nothing.
        with disable_input_dtype_casting(trainer.model, active=self.plan.bf16):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        kept, checkpoints = self._keep_best(trainer)
        check_finite(trainer.model)
        figures = self._figures(trainer, reporting, checkpoints) if reporting is not None else None
        save(trainer, self.folder, kept=kept, held_out=figures)
        return trained(self.folder, learning_rate=self.learning_rate, resumed=checkpoint is not None)

    def _rows(self, examples: Sequence[Tokens]) -> list[TrainingRow]:
        return self.method.rows(examples, self.options.seed)

    def _steps(self, examples: int) -> int:
        return math.ceil(math.ceil(examples / self.options.batch_size) * self.options.epochs)

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
            whole_steps=True,
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
        shares = self.plan.shared and self.name == "dpo"
        if shares:
            share_prefixes(model.get_base_model())
        collator = self.method.collator(self.base.tokenizer.pad_token_id, shares) if self.method.collator else None
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
            at_once=self.plan.micro_batch,
        )
        trainer.remove_callback(PrinterCallback)  # it prints log lines to stdout
        return trainer

    def _keep_best(self, trainer: Any) -> tuple[int, int]:
        """Go back to the step whose held-out metric was best, unless that is where training ended.

        The step, and how many there were to choose from.
        """
        state = trainer.state
        best, _ = standing(state.log_history, self.method)
        if not best or not self.options.patience:
            return int(state.global_step), 1
        if best != state.global_step:
            read_adapter(trainer.model, self.folder / f"checkpoint-{best}", trainable=True)
        return best, len(looks(state.log_history, self.method))

    def _figures(self, trainer: Any, reporting: Dataset, checkpoints: int) -> HeldOut:
        examples = sorted(self.reported, key=lambda tokens: tokens.length)
        conversations = [examples[place].example.conversation for place in reporting["example"]]
        with disable_input_dtype_casting(trainer.model, active=self.plan.bf16):
            before, after = estimates(trainer.values(reporting), conversations)
        return HeldOut(
            before=before,
            after=after,
            examples=len(conversations),
            conversations=len(set(conversations)),
            checkpoints=checkpoints,
        )


class EarlyStop(TrainerCallback):  # type: ignore[misc]
    """Ends a training whose held-out metric has stayed below its best for `patience` looks.

    Staying level at the best is no reason to stop: accuracy is soon full, while margins still grow.
    """

    def __init__(self, method: Method, patience: int) -> None:
        self._method = method
        self._patience = patience

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # transformers saves the last step, but looks at it only by chance

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        best, since = standing(state.log_history, self._method)
        # The best checkpoint is kept when older ones are deleted.
        state.best_model_checkpoint = f"{args.output_dir}/checkpoint-{best}"
        if self._patience and since >= self._patience:
            control.should_training_stop = True


def standing(history: Sequence[Log], method: Method) -> tuple[int, int]:
    """The step of the best held-out metric, the later one of equals, and how many looks there were since.

    What was seen before the first step is left out: rewards are all zero then.
    """
    best_step, best, since = 0, None, 0
    for step, value in looks(history, method):
        worth = -value if method.falling else value
        if best is None or worth >= best:
            best_step, best, since = int(step), worth, 0
        else:
            since += 1
    return best_step, since


def looks(history: Sequence[Log], method: Method) -> list[tuple[float, float]]:
    """The steps after which the held-out metric was looked at, with its values."""
    return [(log["step"], log[method.metric]) for log in history if method.metric in log and log["step"]]
