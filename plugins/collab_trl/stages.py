"""What the stages of every method share: TRL's settings, data on disk, progress, and the adapter that is kept."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk
from transformers import TrainerCallback

from collab_sdk.errors import TrainingError
from collab_sdk.training import HeldOut, TrainingOptions, TrainingProgress
from collab_trl.pace import Pace, peak_bytes
from collab_trl.plan import CPU, MPS, Plan

ADAPTER = "adapter"
HISTORY = "history.json"
EVALUATIONS = 10
"""Times in a run that held-out examples are looked at, and a checkpoint is written."""
LOGS = 100
"""Log lines of a run."""
Log = Mapping[str, float]
TrainingRow = dict[str, Any]
"""An example as TRL's trainers take it."""
Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a stage gave: the folder with its adapter, and all it logged."""

    adapter: Path
    history: tuple[Mapping[str, float], ...]
    kept: int
    """The step whose adapter was kept."""
    looks: int
    """How many checkpoints held-out examples could choose it from."""
    resumed: bool
    held_out: HeldOut | None = None


def arguments(
    config: type,
    settings: Settings,
    options: TrainingOptions,
    plan: Plan,
    *,
    folder: Path,
    learning_rate: float,
    steps: int,
    evaluate: bool,
    whole_steps: bool,
) -> Any:
    """TRL's configuration of one stage; `settings` are the method's own. A trainer of WholeSteps accumulates itself."""
    every = math.ceil(steps / EVALUATIONS)
    # Renamed in transformers 5.23.
    names = {field.name for field in fields(config)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return config(
        output_dir=str(folder),
        num_train_epochs=options.epochs,
        max_steps=steps if options.max_steps else -1,  # it overrides the epochs
        per_device_train_batch_size=options.batch_size if whole_steps else plan.micro_batch,
        per_device_eval_batch_size=plan.micro_batch,
        gradient_accumulation_steps=1 if whole_steps else plan.accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=warmup_steps(options, steps),
        weight_decay=options.weight_decay,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        logging_steps=max(1, steps // LOGS),
        bf16=plan.bf16,
        use_cpu=plan.device == CPU,
        ddp_find_unused_parameters=False,
        report_to=list(options.report_to) or "none",
        seed=options.seed,
        remove_unused_columns=False,  # "length" is none of the model's inputs, but the sampler's
        dataloader_pin_memory=plan.device not in (CPU, MPS),
        disable_tqdm=True,
        **{checkpointing: plan.checkpointing},
        **settings,
    )


def warmup_steps(options: TrainingOptions, steps: int) -> int:
    """Rounded down, as the first of them trains at rate 0: a run of a few steps has none to lose."""
    return int(steps * options.warmup_ratio)


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Passes on every log line, with the speed and the time left. `tokens` are those after 0, 1, 2, ... steps."""

    def __init__(
        self, stage: str, on_progress: Callable[[TrainingProgress], None], tokens: Sequence[int] | None = None
    ) -> None:
        self._stage = stage
        self._on_progress = on_progress
        self._tokens = tokens
        self._pace = Pace(tokens or ())

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._tokens is None or len(self._tokens) != state.max_steps + 1:
            self._tokens = None
            self._pace = Pace(range(state.max_steps + 1))
        self._pace.watch()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pace.begin(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pace.end_step(state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pace.end_evaluation()

    def on_log(self, args: Any, state: Any, control: Any, logs: Log | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
            step, steps = state.global_step, state.max_steps
            # At every so many steps and after the last one; what is reported on then takes about as long as one more.
            looks = (
                math.ceil(steps / args.eval_steps) - step // args.eval_steps + 1 if args.eval_strategy != "no" else 0
            )
            self._on_progress(
                TrainingProgress(
                    stage=self._stage,
                    step=step,
                    steps=steps,
                    metrics=numbers,
                    tokens_per_second=self._pace.speed if self._tokens is not None else None,
                    seconds_left=self._pace.seconds_left(step, evaluations=looks),
                    peak_memory=peak_bytes(),
                )
            )


def save(trainer: Any, folder: Path, *, kept: int, looks: int = 0) -> None:
    """The trainer's adapter, and all it logged, into the folder of its stage."""
    partial = folder / f"{ADAPTER}.partial"
    trainer.save_model(str(partial))  # by all processes, since under FSDP each holds a part
    if trainer.is_world_process_zero():
        shutil.rmtree(partial / "ref", ignore_errors=True)  # DPO's frozen copy of the adapter it began with
        log = {"history": trainer.state.log_history, "kept": kept, "looks": looks}
        (partial / HISTORY).write_text(json.dumps(log), encoding="utf-8")
        partial.rename(folder / ADAPTER)
    trainer.accelerator.wait_for_everyone()


def trained(folder: Path, *, resumed: bool) -> Trained:
    """What `save` has put into a stage's folder."""
    log = json.loads((folder / ADAPTER / HISTORY).read_text(encoding="utf-8"))
    return Trained(
        adapter=folder / ADAPTER,
        history=tuple(log["history"]),
        kept=log["kept"],
        looks=log["looks"],
        resumed=resumed,
    )


def check_finite(model: Any) -> None:
    """Raises TrainingError for an adapter that would answer nothing: the loss shows it only in its own log."""
    if not all(weight.isfinite().all() for weight in model.parameters() if weight.requires_grad):
        raise TrainingError(
            "The training diverged, and the adapter's weights are not numbers any more: use a smaller --learning-rate, "
            "in another -o DIR."
        )


def on_disk(rows: Sequence[TrainingRow], folder: Path) -> Dataset | None:
    """The rows as a data set, where every process finds what one of them has computed about it."""
    if not rows:
        return None
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        Dataset.from_list(list(rows)).save_to_disk(str(partial))
        partial.rename(folder)
    return load_from_disk(str(folder))
