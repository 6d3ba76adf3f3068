"""TRL's batches, with a loss that counts what the model writes: TRL's own takes tools' results for its words, too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from collab_trl.preference.prefix_sharing import PROMPT_LENGTHS

Rows = list[dict[str, Any]]


@dataclass
class PairCollator(DataCollatorForPreference):  # type: ignore[misc]
    """Pairs for DPO."""

    says_prompt_lengths: bool = False
    """For a model that computes prompts once."""

    def torch_call(self, examples: Rows) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        learnt = [example[f"{side}_learnt"] for side in ("chosen", "rejected") for example in examples]
        _mask(batch["completion_mask"], [*examples, *examples], learnt)
        if self.says_prompt_lengths:
            batch[PROMPT_LENGTHS] = torch.tensor([len(example["prompt_ids"]) for example in examples])
        return batch


class JudgedCollator(DataCollatorForUnpairedPreference):  # type: ignore[misc]
    """Single replies for KTO, and the neighbours' for its KL term."""

    def torch_call(self, examples: Rows) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        for prefix in ("", "KL_"):
            learnt = [example[f"{prefix}completion_learnt"] for example in examples]
            _mask(batch[f"{prefix}completion_mask"], examples, learnt)
        return batch


def _mask(mask: Any, examples: Rows, learnt: Iterable[Sequence[int]]) -> None:
    """Take out of `mask` (rows x tokens, padded on the right) what the model does not write after its prompt."""
    for row, (example, counts) in enumerate(zip(examples, learnt, strict=True)):
        begin = len(example["prompt_ids"])
        mask[row, begin : begin + len(counts)] = torch.tensor(counts)
