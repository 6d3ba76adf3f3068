"""A base model of a few thousand parameters and preferences that it can learn, for the fine-tuner."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collab_sdk.plugins import load
from collab_sdk.training import Training, TrainingOptions, TrainingReport
from support.tiny import knowing_tools, tiny_llama, tiny_tokenizer

THINGS = ("latte", "train", "toast", "hike", "essay", "trip", "cake", "poem", "mocha", "ticket")
WISHES = ("please", "now", "for my sister", "for Sunday")
ASKS = "Which size would you like?"
GUESSES = "Here you are, all done."
FAST = {
    "learning_rate": 2e-2,
    "sft_learning_rate": 2e-2,
    "batch_size": 8,
    "epochs": 2.0,
    "eval_fraction": 0.4,
    "dtype": "float32",  # the same on every CPU
}
"""What brings a tiny model somewhere in a few steps."""


def write_base(folder: Path, *, seed: int = 0) -> Path:
    import torch
    from transformers import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer([request(number) for number in range(40)] + [ASKS, GUESSES] * 5)
    model = tiny_llama(tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight *= 10  # so that a small change of an adapter shows in the logits
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tool_base(folder: Path) -> Path:
    """A base whose chat template has a place for tools, calls and results."""
    import torch

    torch.manual_seed(0)
    tokenizer = knowing_tools(tiny_tokenizer([*map(request, range(40)), json.dumps(LOOK_UP), json.dumps(turn(0))] * 5))
    tiny_llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks an order up.",
        "parameters": {"type": "object", "properties": {"order": {"type": "integer", "description": "Its number."}}},
    },
}


def calling(number: int, text: str = "") -> dict[str, Any]:
    """A call as a server gives it."""
    function = {"name": "look_up", "arguments": json.dumps({"order": number})}
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [{"id": f"call{number:05d}", "type": "function", "function": function}],
    }


def turn(number: int) -> list[dict[str, Any]]:
    """All that an honest bot does: it looks, and says what it found."""
    result = {"role": "tool", "content": f"status {number}: open", "tool_call_id": f"call{number:05d}"}
    return [calling(number), result, {"role": "assistant", "content": "It is open."}]


def tool_pair(number: int, **fields: Any) -> dict[str, Any]:
    """A pair of which the chosen side is such a turn, and the rejected one only says so."""
    lie = {"role": "assistant", "content": "Done, I have looked."}
    return pair(number, chosen=turn(number), rejected=[lie], tools=json.dumps([LOOK_UP]), **fields)


def request(number: int) -> str:
    return f"a {THINGS[number % 10]} {WISHES[number // 10 % 4]}"


def pair(number: int, **fields: Any) -> dict[str, Any]:
    """A row as export-prefs writes it: asking is chosen over guessing."""
    return {
        "prompt": [{"role": "user", "content": request(number)}],
        "chosen": [{"role": "assistant", "content": ASKS}],
        "rejected": [{"role": "assistant", "content": GUESSES}],
        "score_chosen": 1.5 + number % 3,
        "score_rejected": 1.0,
        "conversation_id": f"chat-{number}",
        **fields,
    }


def guest(number: int) -> dict[str, Any]:
    """A pair whose conversation begins as no other does."""
    return pair(number, prompt=[{"role": "user", "content": f"{request(number)}, for guest number {number}"}])


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_pairs(path: Path, n: int = 40) -> Path:
    return write_rows(path, [pair(number) for number in range(n)])


def prepared(data: Path, base: Path, output: Path, **settings: Any) -> Training:
    options = TrainingOptions(data=data, base=str(base), output=output, **{**FAST, **settings})
    training: Training = load("trainers", options.method)(options)
    return training


def trained(data: Path, base: Path, output: Path, **settings: Any) -> TrainingReport:
    return prepared(data, base, output, **settings).run(lambda progress: None)


def log_probability(model: Any, tokenizer: Any, number: int, reply: str) -> float:
    """Of a reply to one of the requests."""
    import torch

    messages = [{"role": "user", "content": request(number)}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    ids = prompt + tokenizer.encode(reply + "<|im_end|>", add_special_tokens=False)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logits[at - 1, ids[at]]) for at in range(len(prompt), len(ids)))
