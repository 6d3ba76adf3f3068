"""DPO with LoRA, beside a plain TRL script with its defaults, on the same data in the same run.

    python benchmarks/finetune.py [--shapes 1b 8b] [--pairs 128] [--epochs 1] [--peak-tflops 989] [--json finetune.json]
    python benchmarks/finetune.py --small [--dtype float32]     # a CPU is enough

Models of Llama's shape with random weights, prompts of several turns. Tokens are those of prompt + chosen and prompt +
rejected without padding, the same for both arms; seconds are those of training and of whatever is computed ahead of it.
MFU is the arithmetic that each arm's own algorithm needs, recomputation and padding left out, over what the GPU can do.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetune_job import SHAPES, write_pairs
from table import Row, finish, judged

ROOT = Path(__file__).parents[1]
QUARTERS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["1b", "8b"])
    parser.add_argument("--small", action="store_true", help="the small shape, for a CPU")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=8, help="pairs for one step; 8 is TRL's default")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--dtype", default="auto", help="the precision of ours, as in collab finetune")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bf16; the default is that of an H200")
    parser.add_argument("--folder", type=Path, help="where models are kept; room for 16 GB with 8b")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    if options.pairs * options.epochs < QUARTERS * options.batch:
        parser.error("a loss curve of four quarters takes four steps at least: more --pairs, or a smaller --batch")

    rows: list[Row] = []
    verdicts: list[Row] = []
    curves: dict[str, Any] = {}
    for name in ["small"] if options.small else options.shapes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            job = Path(folder)
            write_pairs(job / "prefs.jsonl", SHAPES[name], options.pairs)
            _child(["-c", _MAKE, name, str(job / "base")])
            lengths = lengths_of(job / "prefs.jsonl")
            arms = {arm: _arm(arm, job, options) for arm in ("plain", "ours")}
        for arm, figures in arms.items():
            rows.append(row_of(name, arm, figures, lengths, epochs=options.epochs, peak_tflops=options.peak_tflops))
        curves[name] = {arm: quarters(figures["losses"]) for arm, figures in arms.items()}
        verdicts += compared(name, arms)
    for name, curve in curves.items():
        for arm, losses in curve.items():
            print(f"{name} {arm:>5} loss by quarter: {'  '.join(f'{loss:.4f}' for loss in losses)}")
    finish(rows, verdicts, options.path, curves=curves)


_MAKE = """
import sys
from pathlib import Path
from finetune_job import SHAPES, write_base
write_base(Path(sys.argv[2]), SHAPES[sys.argv[1]])
"""
"""In a process of its own, so that its GPU memory is given back."""


def _arm(arm: str, job: Path, options: argparse.Namespace) -> dict[str, Any]:
    """An arm's figures. Where TRL's own micro-batch does not fit, the next smaller one that does."""
    script = str(Path(__file__).with_name("finetune_arm.py"))
    micro_batch = options.batch
    while True:
        try:
            printed = _child(
                [
                    script,
                    arm,
                    str(job),
                    *map(str, (options.epochs, options.batch, micro_batch, options.rate)),
                    options.dtype,
                ]
            )
        except subprocess.CalledProcessError:
            if arm == "ours" or micro_batch == 1:
                raise
            micro_batch //= 2
            continue
        figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return figures | ({"micro_batch": micro_batch} if arm == "plain" else {})


def _child(arguments: Sequence[str]) -> str:
    paths = [ROOT, ROOT / "plugins", ROOT / "cli", ROOT / "benchmarks"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def lengths_of(path: Path) -> list[tuple[int, int, int]]:
    """Tokens of prompt, chosen and rejected of each pair: a word is one, and a turn's markers are five."""
    pairs = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        prompt = sum(len(message["content"].split()) + 5 for message in row["prompt"]) + 3
        chosen, rejected = (len(row[side][0]["content"].split()) + 2 for side in ("chosen", "rejected"))
        pairs.append((prompt, chosen, rejected))
    return pairs


def row_of(
    name: str,
    arm: str,
    figures: Mapping[str, Any],
    lengths: Sequence[tuple[int, int, int]],
    *,
    epochs: float,
    peak_tflops: float,
) -> Row:
    """An arm's line of the table; `name` is that of its shape."""
    shape = SHAPES[name]
    tokens = sum(2 * prompt + chosen + rejected for prompt, chosen, rejected in lengths) * epochs
    passes = 3 * epochs  # policy forward, backward through the activations, reference
    if arm == "ours":
        passes = 2 * epochs + 1
        work = sum(shape.forward_flops(sum(pair)) for pair in lengths)
    else:
        work = sum(shape.forward_flops(p + c) + shape.forward_flops(p + r) for p, c, r in lengths)
    return {
        "model": name,
        "arm": arm,
        "micro-batch": figures.get("micro_batch", "its own"),
        "seconds": figures["seconds"],
        "tokens/s": tokens / figures["seconds"],
        "peak GB": figures["peak"] / 1e9,
        "MFU": passes * work / figures["seconds"] / (peak_tflops * 1e12),
        "last accuracy": figures["accuracies"][-1],
    }


def compared(name: str, arms: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The targets: how much faster ours is than plain TRL, and how far their loss curves are apart."""
    ours, plain = (quarters(arms[arm]["losses"]) for arm in ("ours", "plain"))
    speedup = arms["plain"]["seconds"] / arms["ours"]["seconds"]
    gap = max(abs(a - b) / b for a, b in zip(ours, plain, strict=True))
    return [
        judged(f"{name}: throughput over plain TRL", speedup, at_least=1.5),
        judged(f"{name}: loss curve, largest gap of a quarter", gap, at_most=0.03),
    ]


def quarters(losses: Sequence[float]) -> list[float]:
    """The mean loss of each quarter of a run: the arms see the pairs in different orders."""
    edges = [round(part * len(losses) / QUARTERS) for part in range(QUARTERS + 1)]
    return [sum(losses[a:b]) / max(1, b - a) for a, b in pairwise(edges)]


if __name__ == "__main__":
    main()
