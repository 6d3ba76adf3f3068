"""How much memory a training takes, beside what `collab finetune --dry-run` estimates.

    python benchmarks/memory.py [--shapes tiny head ...] [--folder DIR] [--json out.json]

Each shape is a Llama with random weights, a micro-batch, a method and a precision, trained for two steps on the CPU in
a process of its own. `measured` is the largest resident set of that process, with Python and the libraries in it, which
the estimate counts, too. The estimate must be within 25 % of what is measured.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from table import Row, finish, judged

sys.path.append(str(Path(__file__).parents[1] / "tests"))

WITHIN = 0.25
KILOBYTE = 1024
"""ru_maxrss is in these on Linux."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is trained, and how; `words` are those of a prompt, a reply has a quarter as many."""

    layers: int = 4
    hidden: int = 256
    vocabulary: int = 4096
    words: int = 120
    at_once: int = 4
    method: str = "dpo"
    dtype: str = "bfloat16"
    recomputed: bool = False


SHAPES = {
    "tiny": Shape(layers=2, hidden=64),
    "deep": Shape(layers=30, hidden=576, vocabulary=8192, at_once=4),
    "deep, recomputed": Shape(layers=30, hidden=576, vocabulary=8192, at_once=4, recomputed=True),
    "49k": Shape(layers=3, hidden=576, vocabulary=49_152, at_once=1),
    "49k, 8 at once": Shape(layers=3, hidden=576, vocabulary=49_152, at_once=8, words=60),
    "135M": Shape(layers=30, hidden=576, vocabulary=49_152, at_once=2),
    "135M, float32": Shape(layers=30, hidden=576, vocabulary=49_152, at_once=1, dtype="float32"),
    "128k": Shape(layers=4, hidden=512, vocabulary=131_072, at_once=2),
    "256k": Shape(layers=2, hidden=512, vocabulary=262_144, at_once=1),
    "sft": Shape(layers=3, hidden=576, vocabulary=49_152, at_once=6, method="sft"),
    "kto": Shape(layers=3, hidden=576, vocabulary=49_152, at_once=4, method="kto"),
    "long": Shape(layers=6, hidden=384, vocabulary=32_768, words=1500, at_once=1),
}


def write_base(folder: Path, shape: Shape) -> None:
    import torch
    from support.tiny import tiny_tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(["a latte please", "which size would you like"] * 9)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 8 // 3,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 64,
        num_key_value_heads=max(1, shape.hidden // 192),
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_pairs(path: Path, shape: Shape) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{number} " + "latte " * shape.words}],
            "chosen": [{"role": "assistant", "content": "which " * (shape.words // 4)}],
            "rejected": [{"role": "assistant", "content": "please " * (shape.words // 4)}],
        }
        for number in range(2 * shape.at_once)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def work(shape: Shape, folder: Path) -> Row:
    """Train; runs in a process of its own."""
    from collab_trl import prepare

    from collab_sdk.training import TrainingOptions

    options = TrainingOptions(
        data=folder / "prefs.jsonl",
        base=str(folder / "base"),
        output=folder / "out",
        method=shape.method,
        batch_size=2 * shape.at_once,
        per_device_batch_size=shape.at_once,
        gradient_checkpointing=shape.recomputed,
        dtype=shape.dtype,
        eval_fraction=0.0,
        epochs=2.0,
    )
    training = prepare(options)
    _, lora, _ = training.preflight.memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    training.run(lambda progress: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    return {"estimated": lora.total, "measured": peak, "before": before, "tokens": max(training.preflight.lengths)}


def measured(name: str, shape: Shape, folder: Path | None) -> Row:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made)
        for what in ("--write", "--work"):
            command = [sys.executable, __file__, what, json.dumps(asdict(shape)), "--folder", str(place)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=os.environ | {"HF_HOME": made}
            )
            if done.returncode:
                raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    ratio = found["estimated"] / found["measured"]
    gigabytes = {each: f"{found[each] / 1e9:.2f}" for each in ("estimated", "measured")}
    return {
        "shape": name,
        "layers x hidden": f"{shape.layers} x {shape.hidden}",
        "vocabulary": f"{shape.vocabulary:,}",
        "tokens": found["tokens"],
        "at once": shape.at_once,
        "method": shape.method,
        "dtype": shape.dtype,
        **gigabytes,
        "ratio": ratio,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), metavar="NAME")
    parser.add_argument("--folder", type=Path, help="Where bases of up to 0.5 GB are written.")
    parser.add_argument("--json")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        shape = Shape(**json.loads(options.write))
        write_base(options.folder / "base", shape)
        write_pairs(options.folder / "prefs.jsonl", shape)
        return
    if options.work:
        print(json.dumps(work(Shape(**json.loads(options.work)), options.folder)))
        return
    rows: list[Row] = []
    for name in options.shapes:
        rows.append(measured(name, SHAPES[name], options.folder))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    verdicts: list[dict[str, Any]] = [
        judged(f"estimated / measured, {row['shape']}", row["ratio"], at_least=1 - WITHIN, at_most=1 + WITHIN)
        for row in rows
    ]
    finish(rows, verdicts, options.json)


if __name__ == "__main__":
    main()
