"""How likely replies are under a model as it is in memory: merged or with an adapter, before training or after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from collab_trl.preference.tokens import Completion

PromptAndReply = tuple[Sequence[int], Completion]
"""As tokens; both have one at least."""
LOGITS = 2**26
"""At once, padding included: 0.27 GB in fp32, which cross-entropy holds twice."""
TOKENS = 2**14
"""Tokens at once, padding included."""


@torch.inference_mode()
def log_probabilities(model: Any, rows: Sequence[PromptAndReply]) -> list[float]:
    """The log-probability of each reply given its prompt, in nats: the sum over its learnt tokens, in the rows' order.

    `model` is a causal model, with PEFT adapters or without; it computes in its own precision, and the log-softmax is
    float32. For the base's figures, call this within `model.disable_adapter()`. The model is left as it was: with no
    gradients, and in training mode if it was in it. Rows go through it in batches of like length, whose size depends on
    the rows and the vocabulary alone: two models of one shape get the same batches, so that their difference is the
    models' own. Beyond the model, memory is needed for LOGITS, and for the activations of TOKENS in one layer.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    found = [0.0] * len(rows)
    with evaluating(model):
        for places in _batches(rows, vocabulary):
            sums = _sums(model, [rows[place] for place in places], vocabulary)
            for place, value in zip(places, sums, strict=True):
                found[place] = value
    return found


def _batches(rows: Sequence[PromptAndReply], vocabulary: int) -> list[list[int]]:
    """Places of rows that go through the model together; one that is too large goes alone."""
    batches: list[list[int]] = []
    for place in sorted(range(len(rows)), key=lambda place: _length(rows[place])):
        batch = [*(batches[-1] if batches else ()), place]
        width, first = _length(rows[place]), min(len(rows[each][0]) for each in batch)
        if batches and len(batch) * width <= TOKENS and len(batch) * (width - first) * vocabulary <= LOGITS:
            batches[-1] = batch
        else:
            batches.append([place])
    return batches


def _length(row: PromptAndReply) -> int:
    prompt, reply = row
    return len(prompt) + len(reply)


def _sums(model: Any, rows: Sequence[PromptAndReply], vocabulary: int) -> list[float]:
    """Of rows that are not too large together, or of one, whose reply goes through the head in stretches if it is."""
    width = max(map(_length, rows))
    first = min(len(prompt) for prompt, _ in rows)  # a prompt's last token foretells the reply's first
    ids = torch.tensor([_padded([*prompt, *reply.ids], width) for prompt, reply in rows], device=model.device)
    mask = torch.tensor([_padded([1] * _length(row), width) for row in rows], device=model.device)
    learnt = torch.tensor([_padded([0] * len(prompt) + reply.learnt, width) for prompt, reply in rows])
    at_once = max(1, LOGITS // (len(rows) * vocabulary))
    sums = [0.0] * len(rows)
    for start in range(first, width, at_once):
        stop = min(start + at_once, width)
        seen = slice(0, stop - 1)  # no position sees what follows it
        output = model(
            input_ids=ids[:, seen], attention_mask=mask[:, seen], use_cache=False, logits_to_keep=stop - start
        )
        targets = ids[:, start:stop].to(output.logits.device)
        losses = cross_entropy(output.logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        counted = losses.view(targets.shape) * learnt[:, start:stop].to(losses.device)
        sums = [total - value for total, value in zip(sums, counted.sum(1).tolist(), strict=True)]
    return sums


def _padded(tokens: list[int], width: int) -> list[int]:
    """On the right, where no token of the row's own sees it."""
    return tokens + [0] * (width - len(tokens))


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Without dropout; the model is back in its mode behind it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
