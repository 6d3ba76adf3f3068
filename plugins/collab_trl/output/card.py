"""The model card: what the adapter is, what it learnt from, how well that went, and the commands that serve it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from collab_sdk.secrets import one_line
from collab_sdk.training import TRAINED_AGAINST, USER, HeldOut

CARD = "README.md"
REPLY_SHOWN = 300
"""Characters of what was asked and replied."""
FOLDERS = re.compile(r"(?<=[:@])[/~][^@]*/")
"""Of this machine, in the name of a user: a card is for others, too."""


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
        _what(metrics, output),
        "## Data",
        _table(("", ""), data.items()),
        *(["\n".join(f"- {_text(note)}" for note in metrics["notes"])] if metrics["notes"] else []),
        "## Method",
        _table(("setting", "value"), settings.items()),
        "All options that decide what is learnt:",
        _table(("option", "value"), ((_flag(name), value) for name, value in metrics["options"].items())),
        *_against(metrics),
        "## Held-out statistics",
        _statistics(held_out),
        *(f"**{_text(warning)}**" for warning in metrics["warnings"]),
        "![curves](curves.png)",
        "## Use it as a simulated user" if metrics["options"].get("role") == USER else "## Serve it",
        f"```bash\n{serve}\n```",
        *([metrics["merged"]["said"]] if metrics.get("merged") else []),
        "## Versions",
        _table(("package", "version"), metrics["versions"].items()),
    ]
    return "\n\n".join(sections) + "\n"


def _what(metrics: Mapping[str, Any], output: Path) -> str:
    """What the adapter is."""
    if metrics["options"].get("role") == USER:
        return (
            f"A LoRA adapter for `{metrics['base']}`, trained with `collab finetune --role user` to write what users "
            "of logged chats wrote, given what they want. **It is a simulated user, and no assistant**: use it as "
            f"`--simulator plain:hf:BASE@{output.resolve().name}`, and do not evaluate a bot with the user that it was "
            "trained against."
        )
    return f"A LoRA adapter for `{metrics['base']}`, trained with `collab finetune` to make conversations end well."


def _against(metrics: Mapping[str, Any]) -> list[str]:
    """Which users it learnt to please."""
    users = metrics.get(TRAINED_AGAINST)
    if not users:
        return []
    named = " and ".join(FOLDERS.sub("", user) for user in users)
    return [f"Trained against the user {_text(named)}: evaluate it with another."]


def write_card(metrics: Mapping[str, Any], output: Path) -> None:
    (output / CARD).write_text(model_card(metrics, output), encoding="utf-8")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _statistics(held_out: HeldOut | None) -> str:
    if held_out is None:
        return "No conversation was held out to report on, so it is not known whether the adapter generalises."
    names = [name for name in held_out.after if name in held_out.difference]
    sides = (held_out.before, held_out.after, held_out.difference, *([held_out.real] if held_out.real else []))
    cells = [[f"{side[name]:.4f}" if name in side else "" for side in sides] for name in names]
    rows = [(name.replace("_", " "), *of_each) for name, of_each in zip(names, cells, strict=True)]
    head = ("statistic", held_out.before_is, "adapter", "difference", *(["real users"] if held_out.real else []))
    update = f" The adapter adds {held_out.update:.2%} to the weights." if held_out.update is not None else ""
    sections = [
        _lines(head, rows),
        f"On {held_out.said}. In brackets: 95 % interval.{update}",
    ]
    if held_out.replies:
        said = [map(_code, (each.asked, each.before, each.after)) for each in held_out.replies]
        sections.append(_lines(("asked", held_out.before_is, "adapter"), said))
    return "\n\n".join(sections)


def _table(head: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> str:
    return _lines(head, (map(_text, row) for row in rows))


def _lines(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: Any) -> str:
    """Text as Markdown that shows it: no HTML, links, images or ends of cells."""
    return re.sub(r"[\\`<\[|]", r"\\\g<0>", _printable(str(value)))


def _code(text: str) -> str:
    """What users and models said, in a code span that nothing in it ends, cut to a length."""
    shown = one_line(_printable(text), REPLY_SHOWN)
    if not shown:
        return ""
    shown = re.sub(r"\\(?=\|)", r"\\ ", shown).replace("|", r"\|")  # a backslash before that would undo it
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}"


def _printable(text: str) -> str:
    """A line without control characters and those that change the direction of what follows."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
