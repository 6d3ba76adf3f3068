"""How much faster a local model answers when calls come together than one after another, in one run.

    python benchmarks/hf_batching.py [--calls 64] [--layers 4] [--width 64] [--json out.json]

A Llama of random weights on whatever device there is: prompts of 60-250 tokens, replies of 8-64, both drawn evenly. The
same calls are made one at a time, a few at a time, and all at once; the replies must be the same.

The default shape is so narrow that a step costs what its calls of kernels cost, whatever the rows: so it is on a GPU
with any model. With a wide one, such as --width 512, a CPU is soon bound by arithmetic, and batching saves little.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from table import finish, judged

from collab_sdk import ChatModel, ChatReply, ChatRequest, Message, ModelSettings, as_chat_model
from collab_sdk.models import CallRole

sys.path.append(str(Path(__file__).parents[1] / "tests"))

PROMPTS, REPLIES = (50, 240), (8, 64)
TARGET = 3.0


def save_model(folder: Path, *, layers: int, width: int) -> None:
    import torch
    from support.tiny import tiny_tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(["hello"])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def requests(n: int) -> list[ChatRequest]:
    rng = random.Random(0)
    return [
        ChatRequest(
            role=CallRole.ASSISTANT,
            messages=(Message(role="user", content="x" * rng.randint(*PROMPTS)),),
            settings=ModelSettings(max_tokens=rng.randint(*REPLIES)),
            sample=str(number),
        )
        for number in range(n)
    ]


async def measure(
    model: ChatModel, calls: list[ChatRequest], *, at_once: int
) -> tuple[dict[str, Any], list[ChatReply]]:
    """All calls, `at_once` of them in flight."""
    gate = asyncio.Semaphore(at_once)

    async def call(request: ChatRequest) -> ChatReply:
        async with gate:
            return await model.achat(request)

    started = time.perf_counter()
    replies = await asyncio.gather(*map(call, calls))
    seconds = time.perf_counter() - started
    tokens = sum(reply.completion_tokens or 0 for reply in replies)
    return {"at once": at_once, "seconds": seconds, "tokens": tokens, "tokens/s": tokens / seconds}, replies


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), layers=arguments.layers, width=arguments.width)
        model, calls = as_chat_model(f"hf:{folder}"), requests(arguments.calls)

        async def run() -> tuple[list[dict[str, Any]], bool]:
            await model.achat(calls[0])  # loads it
            measured = [await measure(model, calls, at_once=n) for n in (1, 4, 16, arguments.calls)]
            return [row for row, _ in measured], all(replies == measured[0][1] for _, replies in measured)

        rows, same = asyncio.run(run())
    ratio = rows[-1]["tokens/s"] / rows[0]["tokens/s"]
    verdicts = [judged("batched over one at a time", ratio, at_least=TARGET)]
    verdicts.append(judged("share of replies that are the same", float(same), at_least=1.0))
    finish(rows, verdicts, arguments.json)


if __name__ == "__main__":
    main()
