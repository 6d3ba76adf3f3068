"""What differs from method to method: TRL's trainer, its rows and settings.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trl import DPOConfig, KTOConfig, SFTConfig

from collab_sdk.training import TrainingOptions
from collab_trl.plan import Plan
from collab_trl.preference.collators import JudgedCollator, PairCollator
from collab_trl.preference.tokens import Completion, Tokens
from collab_trl.preference.trainers import IGNORED, CompletionTrainer, JudgedTrainer, PairTrainer
from collab_trl.stages import Settings, TrainingRow

EXO_SMOOTHING = 1e-3
"""The paper's value (arXiv 2402.00856); the loss is undefined without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """`collator` makes batches, given the pad token and whether the model computes prompts once; None is TRL's own."""

    trainer: type
    config: type
    rows: Callable[[Sequence[Tokens], int], list[TrainingRow]]
    """`example` of a row is the place of what it is of."""
    settings: Callable[[TrainingOptions, Plan], Settings]
    collator: Callable[[int, bool], Any] | None = None


def _pair_rows(examples: Sequence[Tokens], seed: int) -> list[TrainingRow]:
    return [
        {
            "prompt_ids": tokens.prompt,
            "chosen_ids": tokens.chosen.ids,
            "chosen_learnt": tokens.chosen.learnt,
            "rejected_ids": tokens.rejected.ids,
            "rejected_learnt": tokens.rejected.learnt,
            "length": tokens.together,
            "example": place,
        }
        for place, tokens in enumerate(examples)
    ]


def _completion_rows(examples: Sequence[Tokens], seed: int) -> list[TrainingRow]:
    return [
        {
            "input_ids": tokens.prompt + tokens.chosen.ids,
            "labels": [IGNORED] * len(tokens.prompt) + _labels(tokens.chosen),
            "length": len(tokens.prompt) + len(tokens.chosen),
            "example": place,
        }
        for place, tokens in enumerate(examples)
        if tokens.chosen
    ]


def _judged_rows(examples: Sequence[Tokens], seed: int) -> list[TrainingRow]:
    """Shuffled once, so that a reply rarely meets its own prompt in the KL term, which takes the one before it."""
    order = random.Random(seed).sample(range(len(examples)), len(examples))  # noqa: S311
    replies = [examples[place].chosen or examples[place].rejected for place in order]
    rows = []
    for place, reply, other in zip(order, replies, replies[-1:] + replies[:-1], strict=True):
        tokens = examples[place]
        judged = {"completion_ids": reply.ids, "completion_learnt": reply.learnt, "label": bool(tokens.chosen)}
        beside = {"KL_completion_ids": other.ids, "KL_completion_learnt": other.learnt}
        rows.append({"prompt_ids": tokens.prompt, **judged, **beside, "example": place})
    return rows


def _labels(completion: Completion) -> list[int]:
    both = zip(completion.ids, completion.learnt, strict=True)
    return [token if learnt else IGNORED for token, learnt in both]


def _pair_settings(options: TrainingOptions, plan: Plan) -> Settings:
    losses = dict(options.loss)
    smoothing = {"label_smoothing": EXO_SMOOTHING} if "exo_pair" in losses else {}
    return {
        "beta": options.beta,
        "loss_type": list(losses),
        "loss_weights": list(losses.values()),
        # A reference that is an earlier adapter would have its dropout, too.
        "precompute_ref_log_probs": plan.precompute or options.lora_dropout > 0,
        "precompute_ref_batch_size": plan.micro_batch,
        "max_length": None,
        "disable_dropout": False,  # only the adapter's own is left
        **smoothing,
    }


def _completion_settings(options: TrainingOptions, plan: Plan) -> Settings:
    return {"max_length": None}


def _judged_settings(options: TrainingOptions, plan: Plan) -> Settings:
    return {
        "beta": options.beta,
        "max_length": None,
        "precompute_ref_log_probs": True,  # the KL of a step needs them
        "precompute_ref_batch_size": plan.micro_batch,
        "disable_dropout": False,
    }


METHODS: Mapping[str, Method] = {
    "dpo": Method(
        trainer=PairTrainer,
        config=DPOConfig,
        rows=_pair_rows,
        settings=_pair_settings,
        collator=lambda pad, shares: PairCollator(pad_token_id=pad, says_prompt_lengths=shares),
    ),
    "sft": Method(
        trainer=CompletionTrainer,
        config=SFTConfig,
        rows=_completion_rows,
        settings=_completion_settings,
    ),
    "kto": Method(
        trainer=JudgedTrainer,
        config=KTOConfig,
        rows=_judged_rows,
        settings=_judged_settings,
        collator=lambda pad, _: JudgedCollator(pad_token_id=pad),
    ),
}
