"""The model card: what the adapter is, what it learnt from, how well that went, and the commands that serve it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collab_sdk.training import HeldOut, RepliesCompared

CARD = "README.md"


def model_card(metrics: Mapping[str, Any], output: Path) -> str:
    """Markdown with the metadata block that the Hugging Face hub reads, from what is known of a finished run."""
    held_out = HeldOut.from_dict(metrics["held_out"]) if metrics["held_out"] else None
    settings, data = metrics["settings"], metrics["data"]
    meta = ["library_name: peft", "pipeline_tag: text-generation", "tags: [lora, collab-sdk, trl]"]
    if not Path(metrics["base"]).is_dir():  # the hub takes nothing but its own names here
        meta.insert(0, f"base_model: {metrics['base']}")
    serve = "\n\n".join(f"# {server}\n{commands}" for server, commands in metrics["serve"].items())
    sections = [
        "---\n" + "\n".join(meta) + "\n---",
        f"# {output.resolve().name}",
        f"**{metrics['verdict']['said']}**",
        f"A LoRA adapter for `{metrics['base']}`, trained with `collab finetune` to make conversations end well.",
        "## Data",
        _table(("", ""), data.items()),
        *(["\n".join(f"- {note}" for note in metrics["notes"])] if metrics["notes"] else []),
        "## Method",
        _table(("setting", "value"), settings.items()),
        "## Held-out figures",
        _statistics(held_out),
        *(f"**{warning}**" for warning in metrics["warnings"]),
        "![curves](curves.png)",
        "## Serve it",
        f"```bash\n{serve}\n```",
        *([metrics["merged"]["said"]] if metrics.get("merged") else []),
        "## Versions",
        _table(("package", "version"), metrics["versions"].items()),
    ]
    return "\n\n".join(sections) + "\n"


def write_card(metrics: Mapping[str, Any], output: Path) -> None:
    (output / CARD).write_text(model_card(metrics, output), encoding="utf-8")


def _statistics(held_out: HeldOut | None) -> str:
    if held_out is None:
        return "No conversation was held out for figures, so it is not known whether the adapter generalises."
    names = [name for name in held_out.after if name in held_out.difference]
    sides = (held_out.before, held_out.after, held_out.difference)
    rows = [(name, *(f"{side[name]:.4f}" for side in sides)) for name in names]
    update = f" The adapter adds {held_out.update:.2%} to the weights." if held_out.update is not None else ""
    replies = [_replies(compared, held_out.before_is) for compared in held_out.replies]
    note = f"On {held_out.said}. In brackets: 95 % interval.{update}"
    return "\n\n".join([_table(("figure", held_out.before_is, "adapter", "difference"), rows), note, *replies])


def _replies(compared: RepliesCompared, before: str) -> str:
    return _table(("asked", before, "adapter"), [(compared.asked, compared.before, compared.after)])


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
