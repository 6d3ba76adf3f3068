"""Generation for a batch of prompts, each row as if it were alone."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast

from collab_trl.hf.sampling import Truncation, draws, next_tokens

CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""What models call their keys and values; renamed in transformers 5.24."""
COMPACT = 0.75
"""Ended rows are taken out of the batch when no more than this share of it goes on: it copies the key-value cache."""


@dataclass(kw_only=True, slots=True, eq=False)
class BatchRow:
    """One answer in the making, as a row of the batch."""

    prompt: Sequence[int]
    temperature: float
    seed: int
    limit: int
    """Tokens, the one that ends the answer included."""
    is_complete: Callable[["BatchRow"], bool]
    """Whether the answer may end here, though no end token came, or is not waited for any more."""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""

    def take(self, token: int, ends: Set[int]) -> None:
        self.tokens.append(token)
        if token in ends or self.is_complete(self):
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.limit:
            self.finish_reason = "length"


@torch.inference_mode()
def generate(model: Any, rows: Sequence[BatchRow], *, ends: Set[int], truncation: Truncation) -> Iterator[BatchRow]:
    """Each row as soon as it has ended. All rows attend to their own tokens only, at positions counted from their own
    first, and draw with their own random numbers: what else is in the batch changes no more than last bits of logits.
    """
    device = model.device
    ids, mask = (tensor.to(device) for tensor in left_padded([row.prompt for row in rows]))
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    limit = max(row.limit for row in rows)
    numbers = torch.stack([torch.nn.functional.pad(draws(row.seed, row.limit), (0, limit - row.limit)) for row in rows])
    numbers, temperatures = numbers.to(device), torch.tensor([row.temperature for row in rows], device=device)
    batch, cache = list(rows), None
    for step in range(limit):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{CACHE: cache},
        )
        cache = output[CACHE]
        chosen = next_tokens(output.logits[:, -1].float(), temperatures, numbers[:, step], truncation)
        for row, token in zip(batch, chosen.tolist(), strict=True):
            if not row.finish_reason:
                row.take(token, ends)
                if row.finish_reason:
                    yield row
        ids, mask = chosen.unsqueeze(-1), torch.cat([mask, mask.new_ones(len(batch), 1)], dim=-1)
        positions = positions[:, -1:] + 1
        going_on = [place for place, row in enumerate(batch) if not row.finish_reason]
        if not going_on:
            return
        if len(going_on) <= COMPACT * len(batch):
            kept = torch.tensor(going_on, device=device)
            cache.reorder_cache(kept)
            ids, mask, positions, numbers, temperatures = (
                tensor[kept] for tensor in (ids, mask, positions, numbers, temperatures)
            )
            batch = [batch[place] for place in going_on]


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, [rows, longest]. Padding is masked, so any id does: tokenizers may lack one."""
    longest = max(map(len, prompts))
    ids, mask = (
        torch.zeros(len(prompts), longest, dtype=torch.long),
        torch.zeros(len(prompts), longest, dtype=torch.long),
    )
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
