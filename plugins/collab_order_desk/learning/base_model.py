"""The base model: built on the spot, and taught to speak the order desk by lessons."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collab_order_desk.customers import customers
from collab_order_desk.learning.lessons import HABITS, INQUISITIVE, Habits, lessons, user_lessons
from collab_order_desk.till import PLACE_ORDER, place
from collab_order_desk.world import NAMES
from collab_sdk.messages import Message
from collab_sdk.prompts import load_prompt
from collab_sdk.simulator import END_OF_CONVERSATION

if TYPE_CHECKING:
    from torch import Tensor

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_WITH_CALLS = (
    "{% if tools %}<|im_start|>tools\n"
    "{% for tool in tools %}{{ tool['function']['name'] }} {% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] or '' }}"
    "{% for call in message['tool_calls'] or [] %}"
    "<tool_call>\n{\"name\": \"{{ call['function']['name'] }}\", "
    "\"arguments\": {{ call['function']['arguments'] | tojson }}}\n</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Calls as Qwen2.5 has them; of the tools only their names, since what they take has been learnt."""
UNKNOWN, START, END, PAD = "<unk>", "<|im_start|>", "<|im_end|>", "<pad>"
ROLES = ("system", "user", "assistant")
ROLES_AT_TILL = (*ROLES, "tool", "tools")
IGNORED = -100
LONGEST_REPLY = 40
"""Tokens, twice those of an order; one that runs on has lost its way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Of the model and of its schooling."""

    layers: int = 3
    hidden: int = 96
    heads: int = 4
    lessons: int = 6000
    epochs: float = 6.0
    batch: int = 32
    learning_rate: float = 3e-3


def make_base(folder: Path, *, seed: int, size: Size = Size(), at_till: bool = False, habits: Habits = HABITS) -> None:
    """Teach a fresh model with `seed`, and save it with its tokenizer; `at_till` it learns calls too."""
    taught = list(lessons(size.lessons, seed=seed, at_till=at_till, habits=habits))
    unseen = [customer.opening for customer in customers(200, seed=seed, phrasings="chatty")]
    tokenizer = make_tokenizer([*_contents(taught), *unseen], at_till=at_till)
    _make(folder, taught, tokenizer, size, seed=seed)


def make_user_base(folder: Path, *, seed: int, size: Size = Size(), habits: Habits = INQUISITIVE) -> None:
    """The same for a model that speaks as the standing user does, as `plain:hf:FOLDER`."""
    taught = list(user_lessons(size.lessons, seed=seed, habits=habits))
    tokenizer = make_tokenizer([*_contents(taught)], pieces=[END_OF_CONVERSATION])
    _make(folder, taught, tokenizer, size, seed=seed)


def _contents(taught: Iterable[Sequence[Message]]) -> list[str]:
    return [message.content for lesson in taught for message in lesson]


def _make(folder: Path, taught: Iterable[Sequence[Message]], tokenizer: Any, size: Size, *, seed: int) -> None:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    torch.manual_seed(seed)
    model = _model(tokenizer, size)
    _teach(model, [_tokens(lesson, tokenizer) for lesson in taught], size, seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Iterable[str], *, at_till: bool = False, pieces: Iterable[str] = ()) -> Any:
    """A word-level tokenizer, in ChatML, that knows the words of `texts`.

    The whole proactive prompt is one token: its words are used nowhere else. So is each piece of a call between the
    values that are ordered, and each of `pieces`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Whitespace()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text.lower())}
    roles = ROLES_AT_TILL if at_till else ROLES
    vocabulary = [PAD, UNKNOWN, START, END, *roles, *sorted(words - set(roles)), *([PLACE_ORDER] if at_till else [])]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, START, END)])
    whole = [load_prompt("proactive").text, *pieces]
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in whole])
    if at_till:
        tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in call_pieces()])
        # Words come with spaces between them, which do not belong to a value in quotation marks.
        bare = decoders.Replace(Regex('(?<=") +| +(?=")'), "")
        tokenizer.decoder = decoders.Sequence([decoders.WordPiece("##", cleanup=False), decoders.Fuse(), bare])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHATML_WITH_CALLS if at_till else CHATML
    return fast


def call_pieces() -> list[str]:
    """A call as the template writes it, without the values that are ordered."""
    text = call_text(place(dict.fromkeys(NAMES, PAD), id="")["function"])
    return text.split(PAD)


def call_text(function: Mapping[str, Any]) -> str:
    return f'<tool_call>\n{{"name": "{function["name"]}", "arguments": {function["arguments"]}}}\n</tool_call>'


def _model(tokenizer: Any, size: Size) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=2 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=512,
        initializer_range=0.07,  # with the usual 0.02, copying from the context emerges late
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.max_new_tokens = LONGEST_REPLY
    return model


def _tokens(lesson: Sequence[Message], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens and labels: only what the assistant says, with its end, is learnt."""
    with_calls = tokenizer.chat_template == CHATML_WITH_CALLS
    encode = tokenizer.backend_tokenizer.encode  # transformers' own takes many times as long for a text this short
    tokens: list[int] = encode(f"<|im_start|>tools {PLACE_ORDER}<|im_end|>").ids if with_calls else []
    labels: list[int] = [IGNORED] * len(tokens)
    for message in lesson:
        text = message.content + "".join(call_text(call["function"]) for call in message.tool_calls)
        head: list[int] = encode(f"<|im_start|>{message.role}").ids
        said: list[int] = encode(f"{text}<|im_end|>").ids
        tokens += head + said
        labels += [IGNORED] * len(head) + (said if message.role == "assistant" else [IGNORED] * len(said))
    return tokens, labels


def _teach(model: Any, examples: Sequence[tuple[list[int], list[int]]], size: Size, *, seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    steps = round(len(examples) * size.epochs / size.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, size.learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    for tokens, labels, mask in _batches(examples, size.batch, steps, generator):
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()


def _batches(
    examples: Sequence[tuple[list[int], list[int]]], size: int, steps: int, generator: Any
) -> Iterable[tuple["Tensor", "Tensor", "Tensor"]]:
    """Batches of examples of like length, in random order. Each [size, tokens]."""
    import torch

    by_length = sorted(examples, key=lambda example: len(example[0]))
    groups = [by_length[i : i + size] for i in range(0, len(by_length), size)]
    for _ in range(steps):
        group = groups[int(torch.randint(len(groups), (), generator=generator))]
        width = max(len(tokens) for tokens, _ in group)
        tokens = torch.tensor([tokens + [0] * (width - len(tokens)) for tokens, _ in group])
        labels = torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in group])
        mask = torch.tensor([[1] * len(tokens) + [0] * (width - len(tokens)) for tokens, _ in group])
        yield tokens, labels, mask
