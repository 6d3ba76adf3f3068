"""What a mistyped word may have meant: commands, files, bots."""

import ast
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from collab_sdk.errors import closest, did_you_mean

OTHER_WORDS = {
    "calibrate": "check-sim",
    "compare": "evaluate",
    "eval": "evaluate",
    "export": "export-prefs",
    "prefs": "export-prefs",
    "run": "score",
    "test": "evaluate",
    "train": "finetune",
    "view": "report",
}
"""What other tools call commands."""
LARGEST = 1_000_000
"""Bytes of a module in which functions are looked for."""


class SuggestingGroup(click.Group):
    """Says which command a mistyped one may have meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        known = self.list_commands(ctx)
        if name and not name.startswith("-") and name not in known:
            ctx.fail(f"No such command {name!r}.{command_meant(name, known)}")
        return super().resolve_command(ctx, args)


def command_meant(name: str, known: Collection[str]) -> str:
    """` Did you mean 'score'?`, or nothing where no command is close."""
    other = OTHER_WORDS.get(name)
    return did_you_mean(other if other in known else closest(name, known))


def is_slip(typed: str, meant: str) -> bool:
    """Whether letters were exchanged, or one was left out or added."""
    shorter, longer = sorted((typed, meant), key=len)
    one_less = (longer[:place] + longer[place + 1 :] for place in range(len(longer)))
    return sorted(typed) == sorted(meant) or shorter in one_less


def bot_meant(name: str) -> str | None:
    """What to write for a bot that is named by its Python file, or without `py:`; None where it is neither."""
    module, separator, function = name.removeprefix("py:").partition(":")
    path = Path(module if module.endswith(".py") else f"{module.replace('.', '/')}.py")
    if not _is_file(path) or (name.startswith("py:") and separator and path.name != Path(module).name):
        return None
    found = _functions(path)
    if not module.endswith(".py") and not name.startswith("py:") and function not in found:  # a model: llama3:8b
        return None
    wanted = function if function in found else closest(function, found) or next(iter(found), "FUNCTION")
    if path.is_absolute() or ".." in path.parts:
        return f"write py:{path.stem}:{wanted} and run the command in {path.parent}"
    return f"write py:{'.'.join(path.with_suffix('').parts)}:{wanted}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _functions(path: Path) -> list[str]:
    """What a module defines at its top that may be a bot."""
    try:
        if path.stat().st_size > LARGEST:
            return []
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
