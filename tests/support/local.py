"""A tiny model in a folder of its own, taught just enough to answer in a few words and stop."""

import asyncio
import warnings
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from collab_sdk import ChatModel, ChatReply, ChatRequest, Message
from collab_sdk.concurrency import run_sync
from collab_sdk.models.base import CallRole
from collab_sdk.spec import ModelSettings
from support.tiny import tiny_llama, tiny_tokenizer

REPLIES = ("Sure, done.", "Which size?", "For here or to go?", "All set.", "Anything else for you?")
REQUESTS = ("a mocha please", "book me a train", "write a toast", "plan a hike", "a large latte to go")
STEPS = 60


def save_tiny_model(folder: Path, *, template: str | None = None, tools: Sequence[Any] = ()) -> Path:
    """A model, its tokenizer and template, as save_pretrained() writes them; it is taught with these tools."""
    import torch

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*REPLIES, *REQUESTS, "user assistant system"] * 4)
    tokenizer.chat_template = template or tokenizer.chat_template
    model = tiny_llama(tokenizer)
    _teach(model, tokenizer, tools)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_adapter(folder: Path, base: Path, *, seed: int = 1) -> Path:
    """A LoRA adapter on `base` with random weights: it answers otherwise than its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "up_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads a name that transformers is about to drop
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)
    return folder


def asked(text: str = "a mocha please", *, sample: str = "0", temperature: float = 1.0, **settings: Any) -> ChatRequest:
    """A request to an assistant."""
    message = Message(role="user", content=text)
    schema = settings.pop("reply_schema", None)
    asking = ModelSettings(temperature=temperature, **settings)
    return ChatRequest(
        reply_schema=schema, role=CallRole.ASSISTANT, messages=(message,), sample=sample, settings=asking
    )


def replies(model: ChatModel, requests: Iterable[ChatRequest]) -> list[ChatReply]:
    """To requests that are made at the same time."""

    async def together() -> list[ChatReply]:
        return await asyncio.gather(*(model.achat(request) for request in requests))

    return run_sync(together())


def _teach(model: Any, tokenizer: Any, tools: Sequence[Any]) -> None:
    import torch

    chats = []
    for request, reply in product(REQUESTS, REPLIES):
        chat = [{"role": "user", "content": request}]
        prompt = tokenizer.apply_chat_template(chat, tools=tools or None, add_generation_prompt=True)["input_ids"]
        chats.append((prompt, [*tokenizer.encode(reply), tokenizer.eos_token_id]))
    longest = max(len(prompt) + len(reply) for prompt, reply in chats)
    padding = [[tokenizer.pad_token_id] * (longest - len(prompt) - len(reply)) for prompt, reply in chats]
    ids = torch.tensor([prompt + reply + pad for (prompt, reply), pad in zip(chats, padding, strict=True)])
    labels = torch.tensor(
        [[-100] * len(prompt) + reply + [-100] * len(pad) for (prompt, reply), pad in zip(chats, padding, strict=True)]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
