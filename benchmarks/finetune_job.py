"""The model and the pairs of the fine-tuning benchmark, and how much arithmetic they need."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "lmnrst"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A Llama: 1b and 8b are those of Llama 3.2 and 3.1, 135m is SmolLM2's.

    Prompts have `prompt` tokens, replies `reply`.
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    prompt: tuple[int, int]
    reply: tuple[int, int]

    @property
    def weights(self) -> int:
        """Of the whole model, whose head is not its embedding."""
        return self.layer_weights + 2 * self.vocabulary * self.hidden

    @property
    def layer_weights(self) -> int:
        attention = 2 * self.hidden * (self.hidden + self.hidden * self.kv_heads // self.heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    def forward_flops(self, tokens: int) -> float:
        """Of one sequence through the layers: two for each weight and token, and causal attention."""
        return 2.0 * self.layer_weights * tokens + 2.0 * self.layers * self.hidden * tokens**2


LONG: dict[str, Any] = {"prompt": (1000, 4000), "reply": (50, 300)}
SHAPES = {
    "1b": Shape(hidden=2048, inner=8192, layers=16, heads=32, kv_heads=8, vocabulary=128_256, **LONG),
    "8b": Shape(hidden=4096, inner=14_336, layers=32, heads=32, kv_heads=8, vocabulary=128_256, **LONG),
    "135m": Shape(
        hidden=576, inner=1536, layers=30, heads=9, kv_heads=3, vocabulary=49_152, prompt=(100, 300), reply=(20, 60)
    ),
    "small": Shape(
        hidden=128, inner=512, layers=4, heads=4, kv_heads=2, vocabulary=1024, prompt=(200, 800), reply=(10, 60)
    ),
    "tiny": Shape(hidden=32, inner=64, layers=2, heads=4, kv_heads=2, vocabulary=512, prompt=(60, 90), reply=(5, 10)),
}


def write_base(folder: Path, shape: Shape) -> None:
    """Random weights in bf16, made on the GPU where there is one, and a tokenizer with one token for each word.

    The tokenizer has a word for every token of the model, so that whatever is drawn can be written.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|im_start|>", "<|im_end|>", "<pad>", "<unk>", "\n"]
    words = [*special, "system", "user", "assistant", *WORDS]
    words += (f"w{number}" for number in range(len(words), shape.vocabulary))
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    tokenizer.add_special_tokens(special[:4])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>")
    fast.chat_template = CHATML
    fast.save_pretrained(folder)

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=8192,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        dtype="bfloat16",
    )
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            LlamaForCausalLM(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(before)


def write_pairs(path: Path, shape: Shape, n: int) -> None:
    """Chats of several turns; chosen replies draw on one half of the words, rejected ones on the other."""
    rng = random.Random(0)
    half = len(WORDS) // 2

    def said(role: str, words: Sequence[str], length: int) -> dict[str, str]:
        return {"role": role, "content": " ".join(rng.choices(words, k=max(1, length)))}

    with path.open("w") as file:
        for number in range(n):
            turns = 2 * rng.randint(1, 4) + 1
            each = rng.randint(*shape.prompt) // turns - 5  # a turn's markers are five tokens
            prompt = [said("assistant" if turn % 2 else "user", WORDS, each) for turn in range(turns)]
            row = {
                "prompt": prompt,
                "chosen": [said("assistant", WORDS[:half], rng.randint(*shape.reply))],
                "rejected": [said("assistant", WORDS[half:], rng.randint(*shape.reply))],
                "conversation_id": f"chat-{number}",
            }
            file.write(json.dumps(row) + "\n")
