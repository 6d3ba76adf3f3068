"""What differs from method to method: rows, settings, and the figure that says whether it goes well.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trl import DPOConfig, KTOConfig, SFTConfig

from collab_sdk.training import TrainingOptions
from collab_trl.plan import CPU, MPS, Plan
from collab_trl.tokens import Tokens
from collab_trl.trainers import CompletionTrainer, JudgedTrainer, PairTrainer

Row = dict[str, Any]
Settings = dict[str, Any]

EVALUATIONS = 10
"""Times in a run that held-out examples are looked at, and a checkpoint is written."""
LOGS = 100
EXO_SMOOTHING = 1e-3
"""The paper's value (arXiv 2402.00856); the loss is undefined without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """`metric` is what early stopping goes by; it is to rise or, where `falling`, to fall."""

    trainer: type
    config: type
    rows: Callable[[Sequence[Tokens], Plan, int], list[Row]]
    settings: Callable[[TrainingOptions, Plan], Settings]
    metric: str
    falling: bool = False


def _pair_rows(examples: Sequence[Tokens], plan: Plan, seed: int) -> list[Row]:
    return [
        {
            "prompt_ids": tokens.prompt,
            "chosen_ids": tokens.chosen,
            "rejected_ids": tokens.rejected,
            "length": tokens.together,
        }
        for tokens in examples
    ]


def _completion_rows(examples: Sequence[Tokens], plan: Plan, seed: int) -> list[Row]:
    return [
        {
            "input_ids": tokens.prompt + tokens.chosen,
            "labels": [-100] * len(tokens.prompt) + tokens.chosen,
            "length": len(tokens.prompt) + len(tokens.chosen),
        }
        for tokens in examples
        if tokens.chosen
    ]


def _judged_rows(examples: Sequence[Tokens], plan: Plan, seed: int) -> list[Row]:
    """Shuffled once, so that a reply rarely meets its own prompt in the KL term; each batch's replies are rotated."""
    order = random.Random(seed).sample(list(examples), len(examples))  # noqa: S311
    rows = []
    for first in range(0, len(order), plan.micro_batch):
        batch = order[first : first + plan.micro_batch]
        replies = [tokens.chosen or tokens.rejected for tokens in batch]
        for tokens, reply, other in zip(batch, replies, replies[-1:] + replies[:-1], strict=True):
            judged = {"completion_ids": reply, "KL_completion_ids": other, "label": bool(tokens.chosen)}
            rows.append({"prompt_ids": tokens.prompt, **judged})
    return rows


def _pair_settings(options: TrainingOptions, plan: Plan) -> Settings:
    losses = dict(options.loss)
    smoothing = {"label_smoothing": EXO_SMOOTHING} if "exo_pair" in losses else {}
    return {
        "beta": options.beta,
        "loss_type": list(losses),
        "loss_weights": list(losses.values()),
        "precompute_ref_log_probs": plan.precompute,
        "max_length": None,
        **smoothing,
    }


def _completion_settings(options: TrainingOptions, plan: Plan) -> Settings:
    return {"max_length": None}


def _judged_settings(options: TrainingOptions, plan: Plan) -> Settings:
    return {"beta": options.beta, "max_length": None, "precompute_ref_log_probs": plan.precompute}


METHODS: Mapping[str, Method] = {
    "dpo": Method(
        trainer=PairTrainer,
        config=DPOConfig,
        rows=_pair_rows,
        settings=_pair_settings,
        metric="eval_rewards/accuracies",
    ),
    "sft": Method(
        trainer=CompletionTrainer,
        config=SFTConfig,
        rows=_completion_rows,
        settings=_completion_settings,
        metric="eval_loss",
        falling=True,
    ),
    "kto": Method(
        trainer=JudgedTrainer,
        config=KTOConfig,
        rows=_judged_rows,
        settings=_judged_settings,
        metric="eval_rewards/margins",
    ),
}


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
) -> Any:
    """TRL's configuration of one stage; `settings` are the method's own."""
    every = max(1, steps // EVALUATIONS)
    # Renamed in transformers 5.23.
    names = {field.name for field in fields(config)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return config(
        output_dir=str(folder),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=plan.micro_batch,
        per_device_eval_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
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
