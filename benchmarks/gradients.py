"""Whether a training step is the same however many of its examples fit into memory, and how far PPO's credit reaches.

    python benchmarks/gradients.py [--examples 16] [--micro-batches 8 2 1] [--json out.json]

The first table has the gradient of one optimizer step on a tiny random Llama in float32, in micro-batches, relative to
the same step at once: the norm of the difference over the norm. Half of the replies are short questions, half answers;
`short` leaves the last five examples out, so that the last micro-batch is not full. The adapter is random, so
that policy and reference differ. TRL's own DPOTrainer stands beside them.

The second has the advantage of a reply's first token, in shares of the reward that comes with its last, while the value
head predicts nothing: with PPO as it is, and with the lambda of 0.95 that is usual where values are known.
"""

import argparse
import copy
import os
import random
import tempfile
import warnings
from typing import Any

from table import Row, finish, judged, show

WORDS = 97
MOST = 1e-5
SHORT = 5
LENGTHS = (1, 12, 50, 200)
OTHER = "sigmoid + sft, TRL's trainer"
METHODS = {
    "sft": {},
    "sigmoid + sft": {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]},
    "sigmoid + sft, prompts shared": {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]},
    "ipo + 0.5 sft, reference ahead": {
        "loss_type": ["ipo", "sft"],
        "loss_weights": [1.0, 0.5],
        "precompute_ref_log_probs": True,
    },
    "kto": {"precompute_ref_log_probs": True},
    OTHER: {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]},
}


def base_and_tokenizer() -> tuple[Any, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(WORDS)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w1", eos_token="w2", unk_token="w0")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, **shape, **ends)), tokenizer


def examples(n: int) -> list[Row]:
    """Pairs as the trainers take them; every fifth token of a reply is a tool's, which is not learnt."""
    rng = random.Random(5)

    def ids(low: int, high: int) -> list[int]:
        return [rng.randrange(3, WORDS) for _ in range(rng.randint(low, high))]

    rows = []
    for number in range(n):
        row: Row = {"prompt_ids": ids(10, 30), "rejected_ids": ids(40, 80)}
        row["chosen_ids"] = ids(5, 10) if number % 2 else ids(40, 80)
        for side in ("chosen", "rejected"):
            row[f"{side}_learnt"] = [int(place % 5 > 0) for place in range(len(row[f"{side}_ids"]))]
        rows.append({**row, "length": sum(len(row[f"{part}_ids"]) for part in ("prompt", "chosen", "rejected"))})
    return rows


def completions(rows: list[Row]) -> list[Row]:
    return [
        {
            "input_ids": row["prompt_ids"] + row["chosen_ids"],
            "labels": [-100] * len(row["prompt_ids"]) + row["chosen_ids"],
            "length": row["length"],
        }
        for row in rows
    ]


def verdicts_on_replies(rows: list[Row]) -> list[Row]:
    """Chosen and rejected replies in turn, each with the one before it for the KL term."""
    sides = ["chosen" if number % 2 else "rejected" for number in range(len(rows))]
    replies = [(row[f"{side}_ids"], row[f"{side}_learnt"]) for row, side in zip(rows, sides, strict=True)]
    return [
        {
            "prompt_ids": row["prompt_ids"],
            "completion_ids": reply,
            "completion_learnt": learnt,
            "label": side == "chosen",
            "KL_completion_ids": replies[number - 1][0],
            "KL_completion_learnt": replies[number - 1][1],
        }
        for number, (row, side, (reply, learnt)) in enumerate(zip(rows, sides, replies, strict=True))
    ]


def gradient(method: str, rows: list[Row], *, micro_batch: int, step: int) -> dict[str, Any]:
    """Of the first optimizer step, by parameter."""
    import torch
    from collab_trl.preference.collators import JudgedCollator, PairCollator
    from collab_trl.preference.prefix_sharing import share_prefixes
    from collab_trl.preference.trainers import CompletionTrainer, JudgedTrainer, PairTrainer
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer, KTOConfig, SFTConfig

    base, tokenizer = base_and_tokenizer()
    torch.manual_seed(1)
    targets = ["q_proj", "v_proj", "up_proj"]
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(copy.deepcopy(base), lora)
    shares = "shared" in method
    if shares:
        share_prefixes(model.get_base_model())
    gradients: dict[str, Any] = {}

    class Plain(DPOTrainer):  # type: ignore[misc]
        # TRL has no setting that leaves tokenized rows as they are.
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    class Caught(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
            parameters = model.named_parameters()
            gradients.update({name: each.grad.clone() for name, each in parameters if each.grad is not None})

    kind, config, data, collator = {
        "sft": (CompletionTrainer, SFTConfig, completions, None),
        "kto": (JudgedTrainer, KTOConfig, verdicts_on_replies, JudgedCollator(pad_token_id=1)),
        OTHER: (Plain, DPOConfig, list, PairCollator(pad_token_id=1)),
    }.get(method, (PairTrainer, DPOConfig, list, PairCollator(pad_token_id=1, says_prompt_lengths=shares)))
    with tempfile.TemporaryDirectory() as folder:
        arguments = config(
            output_dir=folder,
            per_device_train_batch_size=micro_batch if method == OTHER else step,
            gradient_accumulation_steps=step // micro_batch if method == OTHER else 1,
            max_length=None,
            max_steps=1,
            learning_rate=0.0,
            max_grad_norm=0.0,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            remove_unused_columns=False,
            disable_tqdm=True,
            **METHODS[method],
        )
        settings = {"data_collator": collator, "processing_class": tokenizer, "callbacks": [Caught()]}
        if method != OTHER:
            settings["at_once"] = micro_batch
        trainer = kind(model=model, args=arguments, train_dataset=Dataset.from_list(data(rows)), **settings)
        trainer.remove_callback(PrinterCallback)
        torch.manual_seed(2)
        for name, parameter in trainer.model.named_parameters():
            if "lora_B.default" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        trainer.train()
    return gradients


def difference(found: dict[str, Any], expected: dict[str, Any]) -> float:
    squares = sum(float(((found[name] - expected[name]) ** 2).sum()) for name in expected)
    return float((squares / sum(float((each**2).sum()) for each in expected.values())) ** 0.5)


def credit(length: int) -> float:
    """The advantage of the first of `length` tokens for a reward of 1, with values of nothing."""
    import torch
    from collab_trl.online.ppo import advantages_and_returns

    tokens = torch.zeros(1, length)
    advantages, _ = advantages_and_returns(torch.ones(1), tokens, torch.ones(1, length))
    return float(advantages[0, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[8, 2, 1])
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"  # read when the libraries that show bars are imported
    warnings.simplefilter("ignore")
    rows, worst = [], 0.0
    for method in METHODS:
        for name, left_out in (("full", 0), ("short", SHORT)):
            data = examples(options.examples)[: options.examples - left_out]
            sizes = options.micro_batches
            whole = gradient(method, data, micro_batch=options.examples, step=options.examples)
            found = {
                size: difference(gradient(method, data, micro_batch=size, step=options.examples), whole)
                for size in sizes
            }
            worst = max(worst, *found.values()) if method != OTHER else worst
            cells = {f"{options.examples // size} x {size}": f"{value:.1e}" for size, value in found.items()}
            every = {f"{options.examples // size} x {size}": "" for size in options.micro_batches}
            rows.append({"method": method, "step": name} | every | cells)
    credits = [
        {"tokens": str(length), "as it is": f"{credit(length):.3f}", "lambda 0.95": f"{0.95 ** (length - 1):.5f}"}
        for length in LENGTHS
    ]
    show(credits)
    print()
    verdicts = [
        judged("largest relative difference of a gradient, in millionths", worst * 1e6, at_most=MOST * 1e6),
        judged("credit of the first of 200 tokens", credit(200), at_least=0.99),
    ]
    finish(rows, verdicts, options.path, credits=credits)


if __name__ == "__main__":
    main()
