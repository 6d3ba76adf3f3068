"""The two arms of the generation benchmark: `hf:`, and transformers' own generate, on the same prompts."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from finetune_job import WORDS

from collab_sdk import ChatRequest, Message, ModelSettings, as_chat_model
from collab_sdk.models import CallRole

SHARED = {"apart": 1, "shared by 8": 8}
"""How many calls have one history, as the futures of a response have."""
Arm = Callable[[Path, Sequence[ChatRequest], int, str], tuple[float, int, int]]
"""Model's folder, requests, tokens of a reply, precision -> seconds, tokens generated, peak of the GPU's memory."""


def requests_of(n: int, *, n_shared: int, history: int, reply: int) -> list[ChatRequest]:
    """`n` calls behind histories of so many tokens, each with a last message of its own."""
    rng = random.Random(n_shared)

    def said(role: str, words: int) -> Message:
        return Message(role=role, content=" ".join(rng.choices(WORDS, k=words)))

    before = [(said("user", history), said("assistant", 5)) for _ in range(-(-n // n_shared))]
    return [
        ChatRequest(
            role=CallRole.ASSISTANT,
            messages=(*before[number // n_shared], said("user", 10)),
            settings=ModelSettings(max_tokens=reply, temperature=1.0),
            sample=str(number),
        )
        for number in range(n)
    ]


def ours(folder: Path, requests: Sequence[ChatRequest], reply: int, dtype: str) -> tuple[float, int, int]:
    model = as_chat_model(f"hf:{folder}?dtype={dtype}")

    async def answered(asked: Sequence[ChatRequest]) -> int:
        replies = await asyncio.gather(*map(model.achat, asked))
        return sum(each.completion_tokens or 0 for each in replies)

    asyncio.run(answered(requests_of(2, n_shared=1, history=10, reply=reply)))  # loads it
    return _measured(lambda: asyncio.run(answered(requests)))


def transformers(folder: Path, requests: Sequence[ChatRequest], reply: int, dtype: str) -> tuple[float, int, int]:
    import torch
    from collab_trl.pretrained import read_model, read_tokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = read_tokenizer(folder)
    tokenizer.padding_side = "left"
    model = read_model(folder, dtype=dtype, device_map=device).eval()

    def answered(asked: Sequence[ChatRequest]) -> int:
        chats = [[message.to_dict() for message in request.messages] for request in asked]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        ).to(device)
        ids = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=reply)
        return int((ids[:, inputs["input_ids"].shape[1] :] != tokenizer.pad_token_id).sum())

    answered(requests_of(2, n_shared=1, history=10, reply=reply))
    return _measured(lambda: answered(requests))


def _measured(answer: Callable[[], int]) -> tuple[float, int, int]:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    tokens = answer()
    seconds = time.perf_counter() - started
    return seconds, tokens, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


ARMS: dict[str, Arm] = {"transformers": transformers, "hf:": ours}
