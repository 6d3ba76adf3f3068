"""`--config FILE`: options from a TOML or YAML file, below flags and environment.

What stands at the top of the file holds for every command that has it, a table named like a command for that one alone.
A table in `[variant]` is laid out like the whole file, and holds over it where `--variant` names it.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

import click

from collab_cli.model_options import GivenUser, model_settings
from collab_cli.other_names import known_elsewhere
from collab_sdk.errors import InputError, UnknownNameError, UsageError
from collab_sdk.files import file_meant
from collab_sdk.spec import MetricSpec, ModelSettings

ROLES = ("assistant", "simulator", "judge", "tools-model", "model")
OPTIONS_OF_ROLES = frozenset(f"{role}-option" for role in ROLES)
METRICS = "metrics"
USER = "simulator"
SETTINGS = frozenset({*(each.name for each in fields(ModelSettings)), "price"})
VARIANT = "variant"
"""The table of variants, and the option that names some."""
CONFIG, CHOSEN = "collab.config", "collab.variants"
"""Where a context has the path of the file, and the names of the variants."""
OWN = frozenset(("config", VARIANT))
"""Options that stand in no file."""
OptionsOf = Mapping[str, Mapping[str, click.Option]]
"""Options by their long flag, by the path of their command, such as `logs export`."""


def read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Make the file's values the defaults of this command.

    Raises InputError for a file that is neither TOML nor YAML, UsageError for a key that no command has, that stands in
    the wrong table, or whose value is of the wrong kind.
    """
    if path is not None:
        ctx.meta[CONFIG] = path
        _make_defaults(ctx)


def choose_variants(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> None:
    """Put these variants of the file over its other values, the last one on top. Errors are those of `read_config`."""
    if names:
        ctx.meta[CHOSEN] = names
        if CONFIG in ctx.meta:  # the options may come in any order
            _make_defaults(ctx)


def check_variants(ctx: click.Context) -> None:
    """Raises UsageError for variants without a file."""
    if CHOSEN in ctx.meta and CONFIG not in ctx.meta:
        raise click.UsageError(f"--{VARIANT} names a part of a file of options: give --config FILE.", ctx)


def _make_defaults(ctx: click.Context) -> None:
    path = ctx.meta[CONFIG]
    options = {name: _by_flag(command) for name, command in _commands(ctx.find_root().command, ctx)}
    own = _path(ctx)
    values = _File(path, options, own).chosen(_load(Path(path)), ctx.meta.get(CHOSEN, ()))
    mine = options.get(own) or _by_flag(ctx.command)
    ctx.default_map = {mine[flag].name or flag: value for flag, value in values.items() if flag in mine}


class _File:
    """A file of options, read for the command `own`."""

    def __init__(self, path: str, options: OptionsOf, own: str) -> None:
        self._path, self._options, self._own = path, options, own
        self._all = {flag: option for each in options.values() for flag, option in each.items()}
        self._all |= options.get(own, {})

    def chosen(self, rows: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """By long flag, with these variants. All of the file is checked, also other variants."""
        variants = rows.get(VARIANT, {})
        if not isinstance(variants, Mapping) or not all(isinstance(each, Mapping) for each in variants.values()):
            raise self._wrong(VARIANT, variants, "a table of tables, such as [variant.short]")
        if unknown := [name for name in names if name not in variants]:
            raise UnknownNameError(f"{self._path}: {UnknownNameError.of(VARIANT, unknown[0], variants)}")
        found = self.values({name: value for name, value in rows.items() if name != VARIANT})
        read = {
            name: _File(f"{self._path}, [{VARIANT}.{name}]", self._options, self._own).values(table)
            for name, table in variants.items()
        }
        for name in names:
            found |= {flag: _over(found.get(flag), value, flag) for flag, value in read[name].items()}
        return found

    def values(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        """By long flag. All of the rows are checked, also what is for other commands."""
        found = self._flat(rows, self._all, "")
        for path, table in _tables(rows, {name.partition(" ")[0] for name in self._options}):
            known = {
                flag: option
                for name, each in self._options.items()
                if name == path or name.startswith(f"{path} ")
                for flag, option in each.items()
            }
            if not known:
                raise UnknownNameError(f"{self._path}: {UnknownNameError.of('command', path, self._options)}")
            values = self._flat(table, known, path)
            if self._own == path or self._own.startswith(f"{path} "):
                found |= {flag: _over(found.get(flag), value, flag) for flag, value in values.items()}
        return found

    def _flat(self, table: Mapping[str, Any], known: Mapping[str, click.Option], where: str) -> dict[str, Any]:
        """The options in one table, by long flag; tables of commands are left out."""
        found: dict[str, Any] = {}
        for name, value in table.items():
            key = name.replace("_", "-")
            if self._is_command(f"{where} {key}".strip()) and isinstance(value, Mapping):
                continue
            if key == METRICS and "metric" in known:
                read = {"metric": self._metrics(value)}
            elif key == USER and key in known and isinstance(value, list):
                read = {key: [self._user(each, known[key]) for each in value]}
            elif key in ROLES and key in known and isinstance(value, Mapping):
                read = self._role(key, value)
            elif key in known and key not in OWN:
                read = {key: self._typed(key, known[key], value) if where else self._at_top(key, value)}
            else:
                raise self._unknown(key, value, known, where)
            if twice := [flag for flag in read if flag in found]:
                raise UsageError(f"{self._path}: {twice[0]!r} is given twice, the second time as {name!r}.")
            found |= read
        return found

    def _is_command(self, path: str) -> bool:
        return any(name == path or name.startswith(f"{path} ") for name in self._options)

    def _unknown(self, key: str, value: Any, known: Mapping[str, click.Option], where: str) -> UsageError:
        homes = [name for name, each in self._options.items() if key in each and key not in OWN]
        if homes:
            tables = " or ".join(f"[{name.replace(' ', '.')}]" for name in homes)
            return UsageError(
                f"{self._path}: {key!r} is not an option of {where}: it belongs at the top, or in {tables}."
            )
        if key.replace("-", "_") in SETTINGS:
            return UsageError(
                f"{self._path}: {key!r} is a setting of a model: it belongs in a role's table, such as [judge]."
            )
        place = f" in [{where}]" if where else ""
        if (meant := known_elsewhere(key, {*known} - OWN)) is not None:
            return UsageError(f"{self._path}{place}: no option {key!r}: {meant}.")
        more = {METRICS} if "metric" in known else set()
        kind, names = "option", {*known} - OWN | more
        if isinstance(value, Mapping):
            above = f"{where} " if where else ""
            below = (path.removeprefix(above) for path in self._options if path.startswith(above))
            kind, names = "table", {path.partition(" ")[0] for path in below} | more | ({*ROLES} & {*known})
        return UnknownNameError(f"{self._path}{place}: {UnknownNameError.of(kind, key, names)}")

    def _at_top(self, key: str, value: Any) -> Any:
        """A value that fits the command that runs, or any other, if that one has no such option."""
        if key in self._options.get(self._own, {}):
            return self._typed(key, self._all[key], value)
        failure = None
        for option in (each[key] for each in self._options.values() if key in each):
            try:
                return self._typed(key, option, value)
            except UsageError as error:
                failure = error
        raise failure or UsageError(f"{self._path}: unknown option {key!r}.")

    def _typed(self, key: str, option: click.Option, value: Any) -> Any:
        """The value as it would be typed, checked as click does: 2.5 is no whole number, in a file either."""
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in values) or (isinstance(value, list) and not option.multiple):
            raise self._wrong(key, value, "a list of values" if option.multiple else "one value")
        is_truth = option.is_flag or isinstance(option.type, click.types.BoolParamType)
        if any(isinstance(item, bool) is not is_truth for item in values):
            raise self._wrong(key, value, "true or false" if is_truth else "a number" if _is_number(option) else "text")
        fitting = bool if is_truth else int | float | str if _is_number(option) else str
        if any(not isinstance(item, fitting) for item in values):
            raise self._wrong(key, value, "a number" if _is_number(option) else "text")
        typed = [item if isinstance(item, bool) else str(item) for item in values]
        try:
            for item in typed if not isinstance(option.type, click.Path) else ():
                option.type.convert(item, option, None)
        except click.BadParameter as error:
            raise UsageError(f"{self._path}: {key!r}: {error.message}") from None
        return typed if option.multiple else typed[0]

    def _wrong(self, key: str, value: Any, expected: str) -> UsageError:
        kind = {dict: "a table", list: "a list", bool: str(value).lower()}.get(type(value), str(value))
        return UsageError(f"{self._path}: {key!r} must be {expected}, not {kind}.")

    def _role(self, role: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """A table such as [judge]: the model's name, its server, and its settings by name."""
        prefix = "" if role == "model" else f"{role}-"
        found: dict[str, Any] = {}
        settings = []
        for name, value in table.items():
            key = name.replace("_", "-")
            flag = role if key == "name" else f"{prefix}{key}" if key in ("api-base", "api-key-env") else None
            if flag is None:
                if key.replace("-", "_").partition(".")[0] not in SETTINGS:
                    raise self._no_setting(role, key)
                settings.append((name, value))
            elif flag in self._all:
                found[flag] = self._typed(f"{role}.{key}", self._all[flag], value)
        model_settings(settings, f"{self._path}: [{role}]")  # for its errors
        return {**found, f"{role}-option": settings} if settings else found

    def _user(self, given: Any, option: click.Option) -> Any:
        """One of several users: a name, or a table with a name, a weight, a server and settings."""
        if not isinstance(given, Mapping):
            return self._typed(USER, option, [given])[0]
        table = dict(given)
        name, weight = table.pop("name", None), table.pop("weight", 1.0)
        if not isinstance(name, str) or not name.strip():
            raise self._wrong(f"{USER}.name", name, "the name of a user")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < inf:
            raise self._wrong(f"{USER}.weight", weight, "a number above 0")
        read = self._role(USER, table)
        return GivenUser(
            name=name,
            weight=float(weight),
            api_base=tuple(read.get(f"{USER}-api-base", ())),
            api_key_env=read.get(f"{USER}-api-key-env"),
            settings=tuple(read.get(f"{USER}-option", ())),
        )

    def _no_setting(self, role: str, key: str) -> UsageError:
        if key in self._all and key not in OWN:
            return UsageError(f"{self._path}: {key!r} does not belong in [{role}]: it belongs at the top.")
        known = {"name", "api-base", "api-key-env", *(each.replace("_", "-") for each in SETTINGS)}
        return UnknownNameError(f"{self._path}: [{role}]: {UnknownNameError.of('key', key, known)}")

    def _metrics(self, table: Any) -> list[MetricSpec]:
        """The table [metrics]: a weight by name, or a table with a weight and the metric's own options."""
        if not isinstance(table, Mapping):
            raise self._wrong(METRICS, table, "a table of names and weights")
        specs = []
        for name, value in table.items():
            options = dict(value) if isinstance(value, Mapping) else {"weight": value}
            weight = options.pop("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise self._wrong(f"{METRICS}.{name}", weight, "a number")
            try:
                specs.append(MetricSpec(name=name, weight=float(weight), options=options))
            except UsageError as error:
                raise UsageError(f"{self._path}: [{METRICS}]: {error}") from None
        return specs


def _over(known: Any, value: Any, flag: str) -> Any:
    """A command's value over the one at the top; of a role's settings, one by one."""
    return [*known, *value] if flag in OPTIONS_OF_ROLES and known else value


def _is_number(option: click.Option) -> bool:
    return isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)


def _tables(rows: Mapping[str, Any], commands: set[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables of commands, by their path; those of subcommands lie in that of their group."""
    for name, table in rows.items():
        if name in commands and isinstance(table, Mapping):
            yield name, table
            for below, inner in table.items():
                if isinstance(inner, Mapping) and below not in (*ROLES, METRICS):
                    yield f"{name} {below}", inner


def _commands(command: click.Command, ctx: click.Context, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below this one, by path."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(ctx):
        if (below := command.get_command(ctx, name)) is not None:
            yield from _commands(below, ctx, f"{path} {name}".strip())


def _path(ctx: click.Context) -> str:
    """The path of the command that runs, without the program's name, which is several words under `python -m`."""
    return "" if ctx.parent is None else f"{_path(ctx.parent)} {ctx.info_name}".strip()


def _by_flag(command: click.Command) -> dict[str, click.Option]:
    return {_flag(param): param for param in command.params if isinstance(param, click.Option)}


def _flag(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _load(path: Path) -> dict[str, Any]:
    kind, parse = ("YAML", _parse_yaml) if path.suffix in (".yaml", ".yml") else ("TOML", tomllib.loads)
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}{file_meant(path)}", where=str(path)) from None
    except ValueError as error:  # or no UTF-8
        quotes = "; put text in quotes" if "Invalid value" in str(error) else ""
        raise InputError(f"not {kind}: {error}{quotes}", where=str(path)) from None


def _parse_yaml(text: str) -> dict[str, Any]:
    """Raises ValueError for what is no YAML mapping."""
    try:
        import yaml
    except ImportError:
        raise UsageError("A YAML file needs PyYAML: pip install pyyaml, or write it as TOML.") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not isinstance(values, dict):
        raise ValueError("expected options and their values")
    if (odd := next(_odd_keys(values), None)) is not None:
        raise ValueError(f"the key {odd!r} is not text: put it in quotes")
    return values


def _odd_keys(values: Any) -> Iterator[Any]:
    """Keys at any depth that are numbers, dates or true, as YAML reads 1, 2026-11-29 and yes."""
    if isinstance(values, dict):
        yield from (key for key in values if not isinstance(key, str))
    inner = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    for value in inner:
        yield from _odd_keys(value)
