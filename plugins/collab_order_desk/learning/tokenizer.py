"""A word-level tokenizer of the desk's few dozen words, in ChatML."""

from collections.abc import Iterable
from typing import Any

from collab_sdk.prompts import load_prompt

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNKNOWN, START, END, PAD = "<unk>", "<|im_start|>", "<|im_end|>", "<pad>"
ROLES = ("system", "user", "assistant")


def make_tokenizer(texts: Iterable[str]) -> Any:
    """Knows the words of `texts`. The whole proactive prompt is one token: its words are used nowhere else."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Whitespace()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text.lower())}
    vocabulary = [PAD, UNKNOWN, START, END, *ROLES, *sorted(words - set(ROLES))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, START, END)])
    tokenizer.add_tokens([AddedToken(load_prompt("proactive").text, normalized=False)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHATML
    return fast
