"""Computing the prompt of a pair once, for both replies to it (arXiv 2410.20305).

A pair goes through the backbone as one row, prompt + chosen + rejected, where the rejected reply neither sees the
chosen one nor counts its positions. With prompts of several turns and short replies that is little more than half the
tokens. TRL's trainer, which sees two rows as before, does not know of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHARING = {"llama", "mistral", "qwen2", "qwen3", "smollm3"}
"""Model types whose attention asks for nothing but a mask and positions; each is tested."""
ATTENTION = "collab_shared_prefix"
PROMPT_LENGTHS = "prompt_lengths"


def can_share(config: Any) -> bool:
    """Whether every layer of the model attends to everything before it, in a way that is known here."""
    text = config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or ["full_attention"])
    windowed = getattr(text, "sliding_window", None) if not getattr(text, "layer_types", None) else None
    return text.model_type in SHARING and layers == {"full_attention"} and not windowed


def share_prefixes(model: Any) -> None:
    """Make a causal model compute prompts once in calls that come with `prompt_lengths`."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(ATTENTION)
    backbone = model.base_model
    whole: Callable[..., Any] = backbone.forward

    def forward(input_ids: Any = None, attention_mask: Any = None, prompt_lengths: Any = None, **settings: Any) -> Any:
        if prompt_lengths is None:
            return whole(input_ids=input_ids, attention_mask=attention_mask, **settings)
        packed = pack(input_ids, attention_mask, prompt_lengths)
        output = whole(input_ids=packed.ids, attention_mask=packed.mask, position_ids=packed.positions, **settings)
        hidden = output.last_hidden_state
        rows = hidden.flatten(0, 1).index_select(0, packed.places.flatten())
        output.last_hidden_state = rows.view(*packed.places.shape, hidden.shape[-1])
        return output

    backbone.forward = forward


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Pairs as rows: B pairs, C columns for prompt and chosen, R for rejected; L of the longest separate row."""

    ids: Any
    """B x (C + R)."""
    positions: Any
    """B x (C + R)."""
    mask: Any
    """B x 1 x R x (C + R), true where a token of a rejected reply sees another. The C columns are plainly causal."""
    places: Any
    """2B x L: where in the flattened rows each token of the separate ones is. Padding is anywhere."""


def pack(ids: Any, attention_mask: Any, prompt_lengths: Any) -> Packed:
    """`ids` and `attention_mask` are 2B x L, all chosen before all rejected, padded on the right."""
    chosen_ids, rejected_ids = ids.chunk(2)
    prompt = prompt_lengths[:, None]
    chosen_ends, rejected_ends = attention_mask.sum(1).chunk(2)
    width = int(chosen_ends.max())
    height = int((rejected_ends - prompt_lengths).max())

    column = torch.arange(ids.shape[1], device=ids.device)[None]
    reply = prompt + column[:, :height]
    later = torch.ones(height, height, dtype=torch.bool, device=ids.device).tril().expand(len(prompt), -1, -1)
    prompts = (column[:, :width] < prompt)[:, None].expand(-1, height, -1)
    first = torch.arange(len(prompt), device=ids.device)[:, None] * (width + height)
    places = (column.expand(len(prompt), -1), torch.where(column < prompt, column, column - prompt + width))
    limits = (width, width + height)
    return Packed(
        ids=torch.cat([chosen_ids[:, :width], rejected_ids.gather(1, reply.clamp(max=ids.shape[1] - 1))], 1),
        positions=torch.cat([column[:, :width].expand(len(prompt), -1), reply], 1),
        mask=torch.cat([prompts, later], 2)[:, None],
        places=torch.cat([first + place.clamp(max=limit - 1) for place, limit in zip(places, limits, strict=True)]),
    )


def _attention(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **settings: Any) -> tuple[Any, None]:
    """Two calls, as only one without a mask runs in the fast kernels, and nearly everything is in the first."""
    if attention_mask is None or attention_mask.shape[2] == query.shape[2]:
        attended: tuple[Any, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return attended
    width = query.shape[2] - attention_mask.shape[2]
    causal, _ = sdpa_attention_forward(
        module, query[:, :, :width], key[:, :, :width], value[:, :, :width], None, **settings
    )
    rejected, _ = sdpa_attention_forward(module, query[:, :, width:], key, value, attention_mask, **settings)
    return torch.cat([causal, rejected], 1), None
