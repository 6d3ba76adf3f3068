"""How far a model has gone from its base, on what it says itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collab_sdk.types import Conversation
from collab_trl.base import Base
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.log_probabilities import PromptAndReply, log_probabilities
from collab_trl.preference.tokens import Completion
from collab_trl.pretrained import read_adapter, read_model


def kl_per_token(base: Base, adapter: Path, conversations: Sequence[Conversation]) -> float:
    """The KL divergence of the adapter from its base in nats a token, estimated on what the adapter said."""
    chat_format = ChatFormat(base.tokenizer, ends=(), folder=Path(base.name))
    rows = [row for conversation in conversations for row in _rows(conversation, chat_format, base.tokenizer)]
    model = read_adapter(read_model(base.name), adapter)
    ours = sum(log_probabilities(model, rows))
    with model.disable_adapter():
        theirs = sum(log_probabilities(model, rows))
    spoken = sum(len(reply) for _, reply in rows)
    return (ours - theirs) / spoken if spoken else 0.0


def _rows(conversation: Conversation, chat_format: ChatFormat, tokenizer: Any) -> list[PromptAndReply]:
    rows: list[PromptAndReply] = []
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
        rows.append((prompt, Completion(ids=reply, learnt=[1] * len(reply))))
    return rows
