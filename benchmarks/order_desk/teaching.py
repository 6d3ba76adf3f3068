"""Teaching a pretrained model the order desk: all of its weights, for one pass over lessons.

Only what the barista says and calls is learnt, laid out by the chat template that the model is asked with.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from collab_order_desk import Till

from collab_sdk import Conversation, Engine, Message
from collab_sdk.errors import UsageError
from collab_sdk.tools import as_toolbox

BATCH, RATE = 16, 1e-4
IGNORED = -100
OTHER_TEMPLATE = "give --chat-template FILE, or trl:NAME for one of TRL's, such as trl:qwen2_5"
Tools = Sequence[Mapping[str, Any]]
Example = tuple[list[int], list[int]]
"""Tokens, and those of them that are learnt, with IGNORED in place of the others."""


def till_tools() -> Tools:
    """What a barista at the till can call, as `--tools py:collab_order_desk:Till` offers it."""
    toolbox = as_toolbox(Till, model=None, engine=Engine())
    return toolbox.equip(Conversation(id="", messages=())).tools


def make_base(
    source: Path | str,
    folder: Path,
    taught: Sequence[Sequence[Message]],
    *,
    longest_reply: int,
    tools: Tools = (),
    chat_template: str | None = None,
    passes: int = 1,
    batch: int = BATCH,
    rate: float = RATE,
    by_length: bool = False,
) -> None:
    """Write the model in `source` to `folder` after the lessons `taught`; without any, as it comes.

    `chat_template` is a file, or `trl:NAME`, in place of the model's own. A reply has at most `longest_reply` tokens.
    With `by_length`, lessons of about one length are learnt together, which saves padding. Raises UsageError for a
    model without a chat template, for one whose template has no place for the tools, and for too little memory.
    """
    import torch
    import transformers
    from collab_trl.chat_template import ChatTemplate
    from collab_trl.pretrained import read_config, read_model, read_tokenizer

    transformers.logging.disable_progress_bar()
    tokenizer = read_tokenizer(source, ChatTemplate.named(chat_template))
    check_template(source, tokenizer, tools)
    examples = [tokens_of(lesson, tokenizer, tools) for lesson in taught]
    check_memory(read_config(source), examples, batch)
    model = read_model(source, dtype=torch.float32)
    if examples:
        teach(model, batches(examples * passes, batch, by_length=by_length), rate)
    model.generation_config.do_sample = False
    model.generation_config.max_new_tokens = longest_reply
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def check_template(source: Path | str, tokenizer: Any, tools: Tools) -> None:
    if tokenizer.chat_template is None:
        raise UsageError(f"{source} has no chat template: {OTHER_TEMPLATE}.")
    row = [{"role": "user", "content": "a latte"}]
    shown = tokenizer.apply_chat_template(row, tools=list(tools), tokenize=False)
    if missing := [name for tool in tools if (name := tool["function"]["name"]) not in shown]:
        raise UsageError(f"The chat template of {source} leaves out the tool {missing[0]}: {OTHER_TEMPLATE}.")


def check_memory(config: Any, examples: Sequence[Example], size: int) -> None:
    """Raises UsageError where weights, gradients, the optimizer and the logits of a batch need more than is free."""
    from collab_trl.device_memory import available_bytes
    from collab_trl.pretrained import empty_model

    weights = sum(weight.numel() for weight in empty_model(config, "base").parameters())
    logits = size * max((len(tokens) for tokens, _ in examples), default=0) * config.get_text_config().vocab_size
    needed = 4 * (4 * weights + 3 * logits) if examples else 4 * weights
    if needed > (free := available_bytes()):
        raise UsageError(f"Teaching the lessons needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free.")


def teach(model: Any, taught: Sequence[Sequence[Example]], rate: float) -> None:
    """One step of the optimizer for each batch."""
    import torch
    from collab_trl.precision import device_and_dtype

    device, dtype = device_and_dtype()
    torch.manual_seed(0)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(taught))
    for step, batch in enumerate(taught, 1):
        width = max(len(tokens) for tokens, _ in batch)
        padded = {
            "input_ids": [tokens + [0] * (width - len(tokens)) for tokens, _ in batch],
            "labels": [labels + [IGNORED] * (width - len(labels)) for _, labels in batch],
            "attention_mask": [[1] * len(tokens) + [0] * (width - len(tokens)) for tokens, _ in batch],
        }
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(**{name: torch.tensor(value, device=device) for name, value in padded.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        print(f"step {step} of {len(taught)}: loss {loss.item():.3f}", flush=True)


def batches(examples: Sequence[Example], size: int, *, by_length: bool) -> list[list[Example]]:
    """In random order."""
    order = Random(0).sample(range(len(examples)), len(examples))
    if by_length:
        order.sort(key=lambda place: len(examples[place][0]))
    found = [[examples[place] for place in order[begin : begin + size]] for begin in range(0, len(order), size)]
    return Random(0).sample(found, len(found)) if by_length else found


def tokens_of(lesson: Sequence[Message], tokenizer: Any, tools: Tools = ()) -> Example:
    """Tokens and labels, as the model's own template lays the lesson out."""
    tokens: list[int] = []
    labels: list[int] = []
    rows = [laid_out(message) for message in lesson]

    def rendered(upto: int, *, prompt: bool = False) -> list[int]:
        settings = {"add_generation_prompt": prompt, "tools": list(tools) or None}
        return list(tokenizer.apply_chat_template(rows[:upto], tokenize=True, return_dict=False, **settings))

    for place, row in enumerate(rows):
        asked = row["role"] == "assistant"
        if asked:
            ids = rendered(place, prompt=True)
            labels += [IGNORED] * (len(ids) - len(tokens))
            tokens = ids
        ids = rendered(place + 1)
        labels += ids[len(tokens) :] if asked else [IGNORED] * (len(ids) - len(tokens))
        tokens = ids
    return tokens, labels


def laid_out(message: Message) -> dict[str, Any]:
    """As chat templates take it, with the arguments of calls as objects."""
    row = message.to_dict()
    calls = [call["function"] for call in message.tool_calls]
    if calls:
        row["tool_calls"] = [
            {"type": "function", "function": {**call, "arguments": json.loads(call["arguments"])}} for call in calls
        ]
    return row
