"""The model card: what the adapter is, what it learnt from, and how well that went."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collab_trl.serving import gguf_commands


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
        _figures(metrics["held_out"]),
        *(f"**{warning}**" for warning in metrics["warnings"]),
        "![curves](curves.png)",
        "## Serve it",
        f"```bash\n{serve}\n```",
        "For llama.cpp:",
        f"```bash\n{gguf_commands(base=metrics['base'], output=output)}\n```",
        "## Versions",
        _table(("package", "version"), metrics["versions"].items()),
    ]
    return "\n\n".join(sections) + "\n"


def _figures(held_out: Mapping[str, Mapping[str, float]]) -> str:
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
