"""One arm of the fine-tuning benchmark, in a process of its own: prints its figures as a line of JSON.

    python benchmarks/finetune_arm.py plain|ours FOLDER EPOCHS BATCH MICRO_BATCH RATE DTYPE

`plain` is what TRL's documentation shows: the model by name, a LoraConfig, DPOConfig's defaults. It gets our loss,
learning rate and schedule, or there would be no common loss curve, and no limit on length, or most of the prompts would
be dropped. MICRO_BATCH is its alone: ours finds its own. DTYPE is the other's: TRL's default on a GPU is bf16.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import load_dataset

SCHEDULE = {"lr_scheduler_type": "cosine", "warmup_steps": 0.1}
LOSS = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]}


def plain(folder: Path, epochs: float, batch: int, micro_batch: int, rate: float, dtype: str) -> list[dict[str, float]]:
    import torch
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        model=str(folder / "base"),
        args=DPOConfig(
            output_dir=str(folder / "plain"),
            num_train_epochs=epochs,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=batch // micro_batch,
            learning_rate=rate,
            max_length=None,
            bf16=torch.cuda.is_available(),
            disable_tqdm=True,
            logging_steps=1,
            save_strategy="no",
            **LOSS,
            **SCHEDULE,
        ),
        train_dataset=load_dataset("json", data_files=str(folder / "prefs.jsonl"), split="train"),
        peft_config=LoraConfig(r=32, lora_alpha=16, target_modules="all-linear"),
    )
    trainer.train()
    return list(trainer.state.log_history)


def ours(folder: Path, epochs: float, batch: int, micro_batch: int, rate: float, dtype: str) -> list[dict[str, float]]:
    from collab_trl import prepare

    from collab_sdk.training import TrainingOptions

    options = TrainingOptions(
        data=folder / "prefs.jsonl",
        base=str(folder / "base"),
        output=folder / "ours",
        epochs=epochs,
        batch_size=batch,
        learning_rate=rate,
        eval_fraction=0.0,
        dtype=dtype,
    )
    training = prepare(options)
    print(dict(training.preflight.plan), file=sys.stderr)
    training.run(lambda progress: None)
    return list(json.loads((folder / "ours" / "metrics.json").read_text())["history"]["dpo"])


@contextmanager
def timed(owner: type, name: str, spans: list[float]) -> Iterator[None]:
    """Note how long each call of a method takes."""
    method: Callable[..., Any] = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments, **options)
        finally:
            spans.append(time.perf_counter() - started)

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, method)


ARMS = {"plain": plain, "ours": ours}


def measured(
    arm: str, folder: Path, *, epochs: float, batch: int, micro_batch: int, rate: float, dtype: str
) -> dict[str, Any]:
    """Seconds of training, the peak of the GPU's memory in bytes, and the losses and accuracies by step."""
    import torch
    from trl import DPOTrainer

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    spans: list[float] = []
    with timed(DPOTrainer, "train", spans), timed(DPOTrainer, "_precompute_ref_logps", spans):  # ours may work ahead
        history = ARMS[arm](folder, epochs, batch, micro_batch, rate, dtype)
    return {
        "seconds": sum(spans),
        "peak": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "losses": [log["loss"] for log in history if "loss" in log],
        "accuracies": [log["rewards/accuracies"] for log in history if "rewards/accuracies" in log],
    }


def main() -> None:
    arm, folder, epochs, batch, micro_batch, rate, dtype = sys.argv[1:]
    figures = measured(
        arm,
        Path(folder),
        epochs=float(epochs),
        batch=int(batch),
        micro_batch=int(micro_batch),
        rate=float(rate),
        dtype=dtype,
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
