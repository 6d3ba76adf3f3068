"""Which token comes next, for every row of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """Which tokens may be drawn at all, from the model's own generation config."""

    top_k: int = 0
    top_p: float = 1.0


def draws(seed: int, n: int) -> Tensor:
    """A row's `n` random numbers in (0, 1], one a token: they depend on its seed and on nothing else in its batch."""
    return 1 - torch.rand(n, generator=torch.Generator().manual_seed(seed))


def next_tokens(logits: Tensor, temperatures: Tensor, numbers: Tensor, truncation: Truncation) -> Tensor:
    """The next token of each row: the likeliest at temperature 0, else the one on which the row's number falls.

    logits [rows, vocabulary], temperatures [rows], numbers [rows] in (0, 1] -> [rows].
    """
    greedy = temperatures == 0
    scaled = logits / temperatures.masked_fill(greedy, 1.0).unsqueeze(-1)
    # In the order of the vocabulary, not of likelihood: there the last bits of two logits cannot swap their places.
    cumulated = truncated(scaled, truncation).softmax(-1).cumsum(-1)
    drawn = torch.searchsorted(cumulated, numbers.unsqueeze(-1) * cumulated[:, -1:]).squeeze(-1)
    return torch.where(greedy, logits.argmax(-1), drawn.clamp(max=logits.shape[-1] - 1))


def truncated(logits: Tensor, truncation: Truncation) -> Tensor:
    """The logits, with those of tokens that may not be drawn at minus infinity."""
    if 0 < truncation.top_k < logits.shape[-1]:
        least = logits.topk(truncation.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if truncation.top_p < 1:
        probabilities, order = logits.softmax(-1).sort(-1, descending=True)
        beyond = probabilities.cumsum(-1) - probabilities >= truncation.top_p
        logits = logits.masked_fill(beyond.scatter(-1, order, beyond), float("-inf"))
    return logits
