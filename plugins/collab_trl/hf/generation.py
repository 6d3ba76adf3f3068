"""Generation for a batch of prompts, each row as if it were alone."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from collab_sdk.errors import EndpointError
from collab_trl.hf.grammar import Constraint
from collab_trl.hf.prefixes import PrefixTree, Tokens, rounds
from collab_trl.hf.sampling import Truncation, draws, next_tokens

CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""What models call their keys and values; renamed in transformers 5.24."""
COMPACT = 0.75
"""Ended rows are taken out of the batch when no more than this share of it goes on: it copies the key-value cache."""
ROOM = 64
"""Tokens by which the room for keys and values grows: to copy all of them at every token costs more than the model."""
AT_ONCE = 4096
"""Tokens of prompts, padding included, in one pass."""


@dataclass(kw_only=True, slots=True, eq=False)
class BatchRow:
    """One answer in the making, as a row of the batch."""

    prompt: Tokens
    temperature: float
    seed: int
    limit: int
    """Tokens, the one that ends the answer included."""
    is_abandoned: Callable[[], bool]
    """Whether the answer is not waited for any more."""
    constraint: Constraint | None = None
    """What holds the answer to a schema; it ends with the object."""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""

    def take(self, token: int, ends: Set[int]) -> None:
        self.tokens.append(token)
        if self.constraint is not None:
            self.constraint.take(self.tokens)
        if token in ends or self.is_abandoned() or (self.constraint is not None and self.constraint.is_complete):
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.limit:
            self.finish_reason = "length"


@torch.inference_mode()
def generate(
    model: Any, rows: Sequence[BatchRow], *, ends: Set[int], truncation: Truncation, prefixes: PrefixTree | None
) -> Iterator[BatchRow]:
    """Each row as soon as it has ended. All rows attend to their own tokens only, at positions counted from their own
    first, and draw with their own random numbers: what else is in the batch changes no more than last bits of logits.

    What `prefixes` knows of the prompts is not computed again, and it learns the rest, replies included; None where the
    model cannot go on from keys and values alone.
    """
    device = model.device
    prompts = [row.prompt for row in rows]
    if prefixes is None:
        step = Step.of(prompts, tail=max(map(len, prompts)), device=device)
    else:
        prefill(model, [prompt[:-1] for prompt in prompts], prefixes)
        step = Step.of(prompts, tail=1, device=device, prefixes=prefixes)
    limit = max(row.limit for row in rows)
    numbers = torch.stack([torch.nn.functional.pad(draws(row.seed, row.limit), (0, limit - row.limit)) for row in rows])
    numbers, temperatures = numbers.to(device), torch.tensor([row.temperature for row in rows], device=device)
    batch = list(rows)
    for n in range(limit):
        logits = step.take(model)
        constrain(logits, batch)
        chosen = next_tokens(logits, temperatures, numbers[:, n], truncation)
        for place, (row, token) in enumerate(zip(batch, chosen.tolist(), strict=True)):
            if not row.finish_reason:
                row.take(token, ends)
                if row.finish_reason:
                    if prefixes is not None:
                        step.keep(place, (*row.prompt, *row.tokens[:-1]), prefixes)
                    yield row
        going_on = [place for place, row in enumerate(batch) if not row.finish_reason]
        if not going_on:
            return
        step.go_on(chosen)
        if len(going_on) <= COMPACT * len(batch):
            kept = torch.tensor(going_on, device=device)
            step.select(kept)
            numbers, temperatures = numbers[kept], temperatures[kept]
            batch = [batch[place] for place in going_on]


def constrain(logits: Tensor, batch: Sequence[BatchRow]) -> None:
    """Leave each row, [vocabulary], only the tokens that its constraint allows."""
    for row, own in zip(batch, logits, strict=True):
        if row.constraint is not None and not row.finish_reason:
            own.masked_fill_(~row.constraint.allowed(len(own)).to(own.device), float("-inf"))


def prefill(model: Any, sequences: Sequence[Tokens], prefixes: PrefixTree) -> None:
    """Compute the keys and values of `sequences` that are not known yet, those of what they share only once."""
    for planned in rounds(sequences, prefixes):
        tails = {tokens: len(tokens) - prefixes.known(tokens) for tokens in planned}
        waiting = sorted(planned, key=tails.__getitem__, reverse=True)
        while waiting:
            tail = tails[waiting[0]]
            alike = [tokens for tokens in waiting[: max(1, AT_ONCE // tail)] if 2 * tails[tokens] > tail]
            waiting = waiting[len(alike) :]
            step = Step.of(alike, tail=tail, device=model.device, prefixes=prefixes)
            step.take(model)
            for place, tokens in enumerate(alike):
                step.keep(place, tokens, prefixes)


@dataclass(kw_only=True, slots=True)
class Step:
    """What the model reads next: for each row its last tokens, and the keys and values of those before them.

    Rows end together and begin with padding, without gaps, as windows of attention want it.
    """

    ids: Tensor
    """[rows, tail]"""
    mask: Tensor
    """[rows, tokens so far, this tail included]"""
    positions: Tensor
    """[rows, tail]"""
    cache: Any
    """The model's own kind where it is None at first."""

    @classmethod
    def of(
        cls, sequences: Sequence[Tokens], *, tail: int, device: torch.device, prefixes: PrefixTree | None = None
    ) -> "Step":
        """To read the last `tail` tokens of each sequence; all before them are known to `prefixes`."""
        ids, mask = left_padded(sequences)
        known = [tokens[:-tail] for tokens in sequences]
        if prefixes is not None and any(known) and device.type == "cpu":
            # Without any padding transformers leaves out the mask, and then PyTorch's attention in bfloat16 takes seven
            # times as long on CPUs, where models have fewer heads of keys than of queries.
            mask = torch.nn.functional.pad(mask, (1, 0))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return cls(
            ids=ids[:, -tail:].to(device),
            mask=mask.to(device),
            positions=positions[:, -tail:].to(device),
            cache=None if prefixes is None else gathered(known, prefixes, width=mask.shape[1] - tail),
        )

    def take(self, model: Any) -> Tensor:
        """The logits of each row's next token, [rows, vocabulary]."""
        output = model(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            use_cache=True,
            logits_to_keep=1,
            **{CACHE: self.cache},
        )
        self.cache = output[CACHE]
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def keep(self, place: int, tokens: Tokens, prefixes: PrefixTree) -> None:
        """Let `prefixes` know the tokens that were read in a row."""
        layers = (state[place] for layer in self.cache.layers for state in (layer.keys, layer.values))
        prefixes.add(tokens, list(layers))

    def go_on(self, chosen: Tensor) -> None:
        """Behind the tokens that were read comes one more in each row."""
        self.ids = chosen.unsqueeze(-1)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(chosen), 1)], dim=-1)
        self.positions = self.positions[:, -1:] + 1

    def select(self, kept: Tensor) -> None:
        """Go on with these rows only."""
        self.cache.reorder_cache(kept)
        self.ids, self.mask, self.positions = self.ids[kept], self.mask[kept], self.positions[kept]


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


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, with room for those to come."""

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        super().__init__()
        self._keys = self._values = torch.empty(0)
        if keys is not None and values is not None:
            self.update(keys, values)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        before = self.get_seq_length()
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._keys, self._values = key_states, value_states
        else:
            self._keys = _appended(self._keys, before, key_states)
            self._values = _appended(self._values, before, value_states)
        return self._show(before + key_states.shape[-2])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        n = self.get_seq_length()
        self._keys, self._values = (state[:, :, :n].index_select(0, beam_idx) for state in (self._keys, self._values))
        self._show(n)

    def _show(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` tokens, which are filled."""
        self.keys, self.values = self._keys[:, :, :n], self._values[:, :, :n]
        return self.keys, self.values


def _appended(room: Tensor, n: int, new: Tensor) -> Tensor:
    """`room`, in which `n` tokens are, with new ones behind them; a larger one where it is full."""
    rows, heads, size, width = room.shape
    if n + new.shape[-2] > size:
        larger = room.new_empty(rows, heads, n + new.shape[-2] + ROOM, width)
        larger[:, :, :n] = room[:, :, :n]
        room = larger
    room[:, :, n : n + new.shape[-2]] = new
    return room


def gathered(sequences: Sequence[Tokens], prefixes: PrefixTree, *, width: int) -> Cache:
    """The keys and values of `sequences`, as rows that end together, `width` tokens wide."""
    states: list[Tensor] = []
    for row, tokens in enumerate(sequences):
        place = width - len(tokens)
        for piece in prefixes.states(tokens):
            if not states:
                states = [new.new_zeros(len(sequences), new.shape[0], width, new.shape[2]) for new in piece]
            n = piece[0].shape[1]
            for state, new in zip(states, piece, strict=True):
                state[row, :, place : place + n] = new
            place += n
    if not states:
        return Cache(layer_class_to_replicate=RoomyLayer)
    return Cache(layers=[RoomyLayer(*pair) for pair in zip(states[::2], states[1::2], strict=True)])


def _turns_by_length(config: Any) -> bool:
    """Whether keys depend on how long the longest row of a batch is, as those of Phi-3 do (longrope)."""
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer = [each for each in parameters.values() if isinstance(each, dict)]
    kinds = [str(each.get("rope_type")) for each in (parameters, *by_layer)]
    return any(kind == "longrope" or "dynamic" in kind for kind in kinds)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyValues:
    """What a model keeps of the tokens it has read."""

    bytes_per_token: int
    reads_prefixes: bool
    """Whether keys and values are all there is, and so can be joined from pieces; recurrent layers have more."""

    @classmethod
    @torch.inference_mode()
    def of(cls, model: Any) -> "KeyValues":
        """By reading one token."""
        output = model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=True)
        layers = output[CACHE].layers
        attention = [layer for layer in layers if isinstance(layer, DynamicLayer)]
        if not attention:
            raise EndpointError(
                "A model without attention is not run here: serve it (vLLM, llama.cpp), and give its --api-base."
            )
        states = [state for layer in attention for state in (layer.keys, layer.values) if state is not None]
        return cls(
            bytes_per_token=max(1, sum(state.nbytes for state in states)),
            reads_prefixes=type(output[CACHE]) in (Cache, DynamicCache)
            and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
            and not _turns_by_length(model.config.get_text_config()),
        )
