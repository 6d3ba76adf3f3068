"""The model card: what the adapter is, what it learnt from, how well that went, and the commands that serve it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for --max-lora-rank."""


def model_card(metrics: Mapping[str, Any], *, output: Path, local: bool) -> str:
    """Markdown with the metadata block that the Hugging Face hub reads. `local` says that the base is a folder."""
    settings, data = metrics["settings"], metrics["data"]
    meta = ["library_name: peft", "pipeline_tag: text-generation", "tags: [lora, collab-sdk, trl]"]
    if not local:  # the hub takes nothing but its own names here
        meta.insert(0, f"base_model: {metrics['base']}")
    serve = "\n".join(f"{command}  # {name}" for name, command in metrics["serve"].items())
    sections = [
        "---\n" + "\n".join(meta) + "\n---",
        f"# {output.resolve().name}",
        f"A LoRA adapter for `{metrics['base']}`, trained with `collab finetune` to make conversations end well.",
        "## Data",
        _table(("", ""), data.items()),
        "## Method",
        _table(("setting", "value"), settings.items()),
        "## Held-out figures",
        _statistics(metrics["held_out"]),
        *(f"**{warning}**" for warning in metrics["warnings"]),
        "![curves](curves.png)",
        "## Serve it",
        f"```bash\n{serve}\n```",
        "For llama.cpp:",
        f"```bash\n{_gguf_commands(base=metrics['base'], output=output)}\n```",
        "## Versions",
        _table(("package", "version"), metrics["versions"].items()),
    ]
    return "\n\n".join(sections) + "\n"


def _statistics(held_out: Mapping[str, Mapping[str, float]]) -> str:
    if not held_out:
        return "No conversation was held out, so it is not known whether the adapter generalises."
    before, after = held_out["before"], held_out["after"]
    rows = [(name, f"{before[name]:.4f}" if name in before else "", f"{after[name]:.4f}") for name in after]
    note = "Rewards are measured against the model before training, so they begin at nothing."
    return _table(("figure", "before", "after"), rows) + f"\n\n{note}"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def serving_commands(*, base: str, output: Path, rank: int) -> dict[str, str]:
    """By server. Paths are absolute, as the server is rarely started from here."""
    adapter = output.resolve()
    vllm_rank = next((allowed for allowed in VLLM_RANKS if allowed >= rank), VLLM_RANKS[-1])
    return {
        "vLLM": f"vllm serve {shlex.quote(base)} --enable-lora --max-lora-rank {vllm_rank} "
        f"--lora-modules {shlex.quote(f'{adapter.name}={adapter}')}",
        "in process": shlex.join(["collab", "score", "LOGS", "--assistant", f"hf:{base}@{adapter}"]),
    }


def merged_command(folder: Path) -> dict[str, str]:
    return {"vLLM, merged": f"vllm serve {shlex.quote(str(folder.resolve()))}"}


def _gguf_commands(*, base: str, output: Path) -> str:
    """llama.cpp's own converter does it; it wants the base as a folder, for its shape alone."""
    adapter = shlex.quote(str(output.resolve()))
    return (
        f"python convert_lora_to_gguf.py {adapter} --base {shlex.quote(base)} --outfile adapter.gguf\n"
        "llama-server -m base.gguf --lora adapter.gguf"
    )
