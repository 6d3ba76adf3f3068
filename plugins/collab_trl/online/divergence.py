"""How far a model has gone from another, on what it says itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from collab_sdk.types import Conversation
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.chat_template import OWN, ChatTemplate
from collab_trl.pretrained import read_model, read_tokenizer

BATCH = 64
IGNORED = -100


def kl_per_token(
    model: str, reference: str, conversations: Sequence[Conversation], chat_template: ChatTemplate = OWN
) -> float:
    """The KL divergence of `model` from `reference` in nats a token, estimated on what `model` said."""
    tokenizer = read_tokenizer(model, chat_template)
    chat_format = ChatFormat(tokenizer, ends=(), folder=Path(model))
    rows = [row for conversation in conversations for row in _rows(conversation, chat_format, tokenizer)]
    ours, theirs = (_log_probability(read_model(name).eval(), rows) for name in (model, reference))
    spoken = sum(len(reply) for _, reply in rows)
    return (ours - theirs) / spoken if spoken else 0.0


PromptAndReply = tuple[list[int], list[int]]
"""As tokens."""


def _rows(conversation: Conversation, chat_format: ChatFormat, tokenizer: Any) -> list[PromptAndReply]:
    rows = []
    for decision in conversation.decisions():
        [message] = decision.response
        prompt = chat_format.prompt(decision.history, conversation.tools)
        if message.tool_calls:
            whole = chat_format.prompt([*decision.history, message], conversation.tools)
            reply = whole[len(prompt) :] if whole[: len(prompt)] == prompt else []
            ends = [place for place, token in enumerate(reply) if token in chat_format.ends]
            reply = reply[: ends[0] + 1] if ends else reply
        else:
            reply = [*tokenizer.encode(message.content, add_special_tokens=False), tokenizer.eos_token_id]
        rows.append((prompt, reply))
    return rows


@torch.inference_mode()
def _log_probability(model: Any, rows: Sequence[PromptAndReply]) -> float:
    """Of all replies together, in nats."""
    total = 0.0
    by_length = sorted(rows, key=lambda row: len(row[0]) + len(row[1]))
    for first in range(0, len(by_length), BATCH):
        batch = by_length[first : first + BATCH]
        width = max(len(prompt) + len(reply) for prompt, reply in batch)
        ids = torch.tensor([_padded(prompt + reply, width, 0) for prompt, reply in batch])
        labels = torch.tensor([_padded([IGNORED] * len(prompt) + reply, width, IGNORED) for prompt, reply in batch])
        mask = torch.tensor([_padded([1] * (len(prompt) + len(reply)), width, 0) for prompt, reply in batch])
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total -= loss.item()
    return total


def _padded(tokens: list[int], width: int, filler: int) -> list[int]:
    return tokens + [filler] * (width - len(tokens))
