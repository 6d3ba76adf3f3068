"""One stage of a training on examples: a method, from an adapter to an adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback, TrainerCallback

from collab_sdk.errors import TrainingError
from collab_sdk.training import USER, HeldOut, TrainingOptions, TrainingProgress
from collab_trl.base import Base
from collab_trl.defaults import steps_of, steps_of_epoch
from collab_trl.device_memory import free_memory, ran_out_of_memory
from collab_trl.loading import adapted, load
from collab_trl.output.workplace import Workplace, read_json, write_json
from collab_trl.pace import tokens_by_step
from collab_trl.plan import CPU, Plan, is_main_process
from collab_trl.preference.held_out import (
    end_statistic,
    estimates,
    log_probabilities_of,
    ordinary_statistic,
    statistics_of,
)
from collab_trl.preference.looks import Looks
from collab_trl.preference.methods import METHODS, Method
from collab_trl.preference.prefix_sharing import share_prefixes
from collab_trl.preference.tokens import Tokens
from collab_trl.preference.user_turns import end_of, leaves
from collab_trl.pretrained import read_adapter
from collab_trl.stages import (
    ADAPTER,
    Reporter,
    Trained,
    TrainingRow,
    arguments,
    check_finite,
    on_disk,
    save,
    trained,
    warmup_steps,
)
from collab_trl.update import relative_update

JUDGED = "judged.json"


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
    """What the training is watched by."""
    reported: Sequence[Tokens]
    """What says how good the adapter is."""
    chooses: bool
    """Whether what is watched, and does not report, chooses the checkpoint."""
    ordinary: Sequence[Tokens]
    """What any model is asked, of which nothing should be forgotten."""
    begun: Path | None
    """The adapter that the result is compared with; None for the base alone."""
    workplace: Workplace

    @property
    def folder(self) -> Path:
        return self.workplace.folder / self.name

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    def run(self, adapter: Path | None, on_progress: Callable[[TrainingProgress], None]) -> Trained:
        """Train from an adapter, or a fresh one, and judge what came of it; what is done is not done again.

        Raises TrainingError where there is no memory for judging; the adapter is kept, and the next call judges it.
        """
        resumed = (self.folder / ADAPTER).exists() or self._train(adapter, on_progress)
        done = trained(self.folder, resumed=resumed)
        if not self.reported or self.name != self.options.method:
            return done
        free_memory()  # a trainer holds its model in circles
        try:
            return replace(done, held_out=self._judged(done))
        except (RuntimeError, MemoryError) as error:
            if ran_out_of_memory(error):
                raise TrainingError(
                    f"Out of memory on {self.plan.device} while the adapter was judged. It is trained and kept: once "
                    "more memory is free, the same command judges it, and trains nothing again."
                ) from None
            raise

    def _train(self, adapter: Path | None, on_progress: Callable[[TrainingProgress], None]) -> bool:
        """Train and save; whether that went on from a checkpoint."""
        train = self._rows(self.train)
        watched = sorted(self.held_out, key=lambda tokens: tokens.length)
        held_out = self._rows(watched)
        steps = steps_of(self.options, len(train))
        config = self._config(steps=steps, evaluate=bool(held_out))
        with config.main_process_first(local=False):  # which alone writes and clears away
            checkpoint = self.workplace.checkpoint(self.name)
            data = [on_disk(rows, self.folder / name) for name, rows in (("train", train), ("held-out", held_out))]
        config.eval_on_start = bool(held_out) and checkpoint is None
        done = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
        if is_main_process():
            on_progress(TrainingProgress(stage=self.name, step=done, steps=steps, metrics={}))
        trainer = self._trainer(config, *data, rows=train, adapter=adapter, on_progress=on_progress)
        conversations = [watched[row["example"]].example.known_by for row in held_out]
        trainer.looks = Looks(self.folder / "looks.json", conversations, until=done)
        if held_out:
            patience = self.options.patience if self.chooses else 0
            trainer.add_callback(EarlyStop(trainer.looks, patience, after=self._least_steps(len(train), steps)))
        # Under autocast the casts cost time and memory and change nothing.
        with disable_input_dtype_casting(trainer.model, active=self.plan.bf16):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        kept = self._keep_best(trainer)
        check_finite(trainer.model)
        save(trainer, self.folder, kept=kept, looks=len(trainer.looks) if self.chooses else 0)
        return checkpoint is not None

    def _rows(self, examples: Sequence[Tokens]) -> list[TrainingRow]:
        return self.method.rows(examples, self.options.seed)

    def _least_steps(self, rows: int, steps: int) -> int:
        """The steps after which a training may be stopped early: its warm-up, and one pass over the data."""
        return max(steps_of_epoch(self.options, rows), warmup_steps(self.options, steps))

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
        rows: Sequence[TrainingRow],
        adapter: Path | None,
        on_progress: Callable[[TrainingProgress], None],
    ) -> Any:
        model = adapted(self.base, self.options, self.plan, adapter=adapter)
        shares = self.plan.shared and self.name == "dpo"
        if shares:
            share_prefixes(model.get_base_model())
        collator = self.method.collator(self.base.tokenizer.pad_token_id, shares) if self.method.collator else None
        trainer = self.method.trainer(
            model=model,
            args=config,
            data_collator=collator,
            train_dataset=train,
            eval_dataset=held_out,
            processing_class=self.base.tokenizer,
            callbacks=[Reporter(self.name, on_progress, self._tokens_by_step(rows, shares=shares))],
            at_once=self.plan.micro_batch,
        )
        trainer.remove_callback(PrinterCallback)  # it prints log lines to stdout
        return trainer

    def _tokens_by_step(self, rows: Sequence[TrainingRow], *, shares: bool) -> list[int]:
        """Through the model: a prompt once, or with either of its replies."""
        names = [name for name in (rows[0] if rows else ()) if name.endswith("_ids")]
        prompts = 1 if shares or len(names) < 3 else 2
        tokens = [sum(len(row[name]) * (prompts if name == "prompt_ids" else 1) for name in names) for row in rows]
        lengths = [row["length"] for row in rows if "length" in row] or None
        steps = steps_of(self.options, len(rows))
        return tokens_by_step(tokens, lengths, batch=self.options.batch_size, seed=self.options.seed, steps=steps)

    def _keep_best(self, trainer: Any) -> int:
        """Go back to an earlier step where that was clearly better than where training ended; the step."""
        step, standing = int(trainer.state.global_step), trainer.looks.standing()
        if standing is None or not self.chooses or standing.kept == step:
            return step
        read_adapter(trainer.model, self.folder / f"checkpoint-{standing.kept}", trainable=True)
        return int(standing.kept)

    def _judged(self, done: Trained) -> HeldOut:
        """What the held-out examples say, computed once."""
        path = self.folder / JUDGED
        if (known := read_json(path)) is not None:
            return HeldOut.from_dict(known)
        found = self._statistics(done)
        if is_main_process():
            write_json(path, found.to_dict())
        return found

    def _statistics(self, done: Trained) -> HeldOut:
        model = read_adapter(load(self.base, self.plan, in_4bit=self.options.load_in_4bit), done.adapter)
        if not self.options.load_in_4bit:  # else it is where it was loaded to
            model.to(PartialState(cpu=self.plan.device == CPU).device)
        ends = self._ends()
        examples = [*self.reported, *self.ordinary, *ends]
        after, update = log_probabilities_of(model, examples), relative_update(model)
        if self.begun is None:
            with model.disable_adapter():
                before = log_probabilities_of(model, examples)
        else:
            before = log_probabilities_of(read_adapter(model, self.begun), examples)
        n, own = len(self.reported), [tokens.example.known_by for tokens in self.reported]
        m, left = n + len(self.ordinary), [tokens.example.known_by for tokens in ends]
        found = (
            estimates(statistics_of(self.name, self.reported, before[:n], after[:n]), own),
            estimates([ordinary_statistic(self.ordinary, before[n:m], after[n:m])], range(len(self.ordinary))),
            estimates([end_statistic(before[m:], after[m:])], left),
        )
        before_, after_, difference = (dict(chain(*(each[side].items() for each in found))) for side in range(3))
        return HeldOut(
            before=before_,
            after=after_,
            difference=difference,
            examples=n,
            conversations=len(set(own)),
            steps=int(done.history[-1]["step"]),
            kept=done.kept,
            looks=done.looks,
            update=update,
            against="its base" if self.begun is None else "the adapter it began with",
        )

    def _ends(self) -> list[Tokens]:
        """Where users leave, in what reports on a user."""
        if self.options.role != USER:
            return []
        return [end_of(tokens, self.base.tokenizer.decode) for tokens in self.reported if leaves(tokens.example)]


class EarlyStop(TrainerCallback):  # type: ignore[misc]
    """Ends a training whose last `patience` looks were all clearly worse than its best, not before step `after`."""

    def __init__(self, looks: Looks, patience: int, *, after: int) -> None:
        self._looks = looks
        self._patience = patience
        self._after = after

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # transformers saves the last step, but looks at it only by chance

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        standing = self._looks.standing()
        if standing is None:
            return
        # The best checkpoint is kept when older ones are deleted.
        state.best_model_checkpoint = f"{args.output_dir}/checkpoint-{standing.best}"
        if self._patience and standing.worse >= self._patience and state.global_step >= self._after:
            control.should_training_stop = True
