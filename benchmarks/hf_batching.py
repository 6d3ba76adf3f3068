"""How fast a local model answers: in which precision, beside how many others, and with how much in common.

    python benchmarks/hf_batching.py [--model FOLDER] [--before CHECKOUT] [--rounds 2] [--cpu-time]

Random weights in the shape of SmolLM2-135M, or the model in FOLDER. First, batches of 1 to 64 calls behind histories of
200 tokens, which all calls of a batch share or each has for itself, in float32 and in bfloat16. Then 3 candidates of
one history of 600 tokens and 3 futures of each, with two more turns of the bot: with --before, also by the code of
another checkout of this project, alternately, in a process of its own each.

With --cpu-time, seconds are those that the process computes, in one thread: for a CPU that others use as well.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from table import finish, judged

from collab_sdk import ChatModel, ChatReply, ChatRequest, Message, ModelSettings, as_chat_model
from collab_sdk.models import CallRole

HISTORY, REPLY = 200, 16
SIZES = (1, 4, 16, 64)
FUTURES_HISTORY, FUTURES_REPLY = 600, 32
CANDIDATES, FUTURES, TURNS = 3, 3, 2
TARGET = 3.0
Clock = Callable[[], float]
WORDS = "the we you it can make plan text user short long next step ask code for and list note with from time".split()
CHATML = (
    "{% for message in messages %}<|im_start|> {{ message['role'] }} {{ message['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def save_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    special = ["<|im_start|>", "<|im_end|>", "<unk>"]
    named = [*special, "system", "user", "assistant", *WORDS]
    words = [*named, *(f"w{number}" for number in range(49_152 - len(named)))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.chat_template = CHATML
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def said(rng: random.Random, n: int) -> Message:
    return Message(role="user", content=" ".join(rng.choices(WORDS, k=n)))


def request(messages: Sequence[Message], *, tokens: int, sample: str) -> ChatRequest:
    return ChatRequest(
        role=CallRole.ASSISTANT, messages=tuple(messages), settings=ModelSettings(max_tokens=tokens), sample=sample
    )


def calls(rng: random.Random, n: int, *, shared: bool) -> list[ChatRequest]:
    """`n` of them behind one history, or behind one each."""
    histories = [said(rng, HISTORY)] * n if shared else [said(rng, HISTORY) for _ in range(n)]
    filler = Message(role="assistant", content="ask")
    return [request((each, filler, said(rng, 10)), tokens=REPLY, sample=str(n)) for n, each in enumerate(histories)]


async def together(model: ChatModel, requests: Sequence[ChatRequest]) -> list[ChatReply]:
    return await asyncio.gather(*map(model.achat, requests))


async def batches(folder: str, clock: Clock) -> tuple[list[dict[str, Any]], float]:
    """A row for each precision and size, and the share of replies that are the same in a batch as alone."""
    rng, rows, same = random.Random(0), [], []
    for dtype in ("float32", "bfloat16"):
        model = as_chat_model(f"hf:{folder}?dtype={dtype}")
        await together(model, calls(rng, 1, shared=False))  # loads it
        for n in SIZES:
            row: dict[str, Any] = {"precision": dtype, "at once": n}
            for shared in (False, True):
                asked = calls(rng, n, shared=shared)
                started = clock()
                replies = await together(model, asked)
                seconds = clock() - started
                tokens = sum(reply.completion_tokens or 0 for reply in replies)
                row["shared, tokens/s" if shared else "apart, tokens/s"] = tokens / seconds
            rows.append(row)
            if dtype == "float32":
                same.append(await model.achat(asked[-1]) == replies[-1])
    return rows, sum(same) / len(same)


async def play(folder: str, clock: Clock) -> float:
    """Seconds for the candidates and futures of one history."""
    rng = random.Random(1)
    model = as_chat_model(f"hf:{folder}")
    await together(model, calls(rng, 1, shared=False))  # loads it
    start = (said(rng, FUTURES_HISTORY),)
    started = clock()

    async def future(chat: tuple[Message, ...], name: str) -> None:
        own = random.Random(name)
        for turn in range(TURNS):
            chat = (*chat, said(own, 20))
            reply = await model.achat(request(chat, tokens=FUTURES_REPLY, sample=f"{name}/{turn}"))
            chat = (*chat, Message(role="assistant", content=reply.content))

    async def candidate(name: str) -> None:
        reply = await model.achat(request(start, tokens=FUTURES_REPLY, sample=name))
        chat = (*start, Message(role="assistant", content=reply.content))
        await asyncio.gather(*(future(chat, f"{name}/{number}") for number in range(FUTURES)))

    await asyncio.gather(*(candidate(str(number)) for number in range(CANDIDATES)))
    return clock() - started


def played(folder: str, checkout: Path, options: Sequence[str]) -> float:
    """The same by the code of a checkout."""
    paths = os.pathsep.join(str(checkout / part) for part in (".", "plugins", "cli"))
    command = [sys.executable, __file__, "--play", folder, *options]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, capture_output=True, text=True)
    seconds: float = json.loads(done.stdout)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", dest="path")
    parser.add_argument("--play", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    clock: Clock = time.perf_counter
    if arguments.cpu_time:
        import torch

        torch.set_num_threads(1)
        clock = time.process_time
    if arguments.play:
        print(json.dumps(asyncio.run(play(arguments.play, clock))))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.model or made
        if not arguments.model:
            save_model(Path(made))
        rows, same = asyncio.run(batches(folder, clock))
        checkouts = {"this code": Path(__file__).parents[1]}
        if arguments.before:
            checkouts = {"before": arguments.before, **checkouts}
        options = ["--cpu-time"] if arguments.cpu_time else []
        measured = [
            {name: played(folder, path, options) for name, path in checkouts.items()} for _ in range(arguments.rounds)
        ]
    seconds = {name: median(each[name] for each in measured) for name in checkouts}
    verdicts = [judged("share of float32 replies that are the same in a batch", same, at_least=1.0)]
    if arguments.before:
        ratio = seconds["before"] / seconds["this code"]
        verdicts.append(judged("3 candidates x 3 futures, before over this code", ratio, at_least=TARGET))
    finish(rows, verdicts, arguments.path, futures=measured)
    for name, each in seconds.items():
        print(f"{CANDIDATES} candidates x {FUTURES} futures, {name}: {each:.1f} s")


if __name__ == "__main__":
    main()
