"""`--config collab.toml` or `collab.yaml`: options from a file, below flags and environment."""

import tomllib
from pathlib import Path
from typing import Any

import click

from collab_sdk.errors import InputError, MissingExtraError, UnknownNameError


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the file's values the defaults of this command.

    One file serves all commands, so a key may name an option of another one. Raises InputError for a file that is
    neither TOML nor YAML, UnknownNameError for a key that no command knows.
    """
    if path is None:
        return
    values = {name.replace("-", "_"): value for name, value in _load(path).items()}
    known = _options_of_all(ctx)
    if unknown := sorted(values.keys() - known):
        names = (name.replace("_", "-") for name in known)
        raise UnknownNameError(f"{path}: {UnknownNameError.of('option', unknown[0], names)}")
    mine = {option.name: option for option in ctx.command.params if isinstance(option, click.Option)}
    ctx.default_map = {name: _as_typed(mine[name], value) for name, value in values.items() if name in mine}


def _load(path: Path) -> dict[str, Any]:
    kind, parse = ("YAML", _parse_yaml) if path.suffix in (".yaml", ".yml") else ("TOML", tomllib.loads)
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError as error:  # or no UTF-8
        raise InputError(f"not {kind}: {error}", where=str(path)) from None


def _parse_yaml(text: str) -> dict[str, Any]:
    """Raises ValueError for what is no YAML mapping."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError.of("A YAML file needs PyYAML", "train") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError("expected options and their values")
    return values


def _options_of_all(ctx: click.Context) -> set[str]:
    """Names of the options that a file may set: those of every command that takes a file."""
    root = ctx.find_root().command
    commands = [ctx.command]
    if isinstance(root, click.Group):
        commands += filter(None, (root.get_command(ctx, name) for name in root.list_commands(ctx)))
    options = [
        [param.name or "" for param in command.params if isinstance(param, click.Option)] for command in commands
    ]
    return {name for names in options if "config" in names for name in names} - {"config"}


def _as_typed(option: click.Option, value: Any) -> Any:
    """The value as it would be typed, so that click checks it alike: 2.5 is no whole number, in a file either."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in values) or (isinstance(value, list) and not option.multiple):
        raise click.BadParameter("the file holds a table or a list where one value belongs.", param=option)
    typed = [str(item) for item in values]
    return typed if option.multiple else typed[0]
