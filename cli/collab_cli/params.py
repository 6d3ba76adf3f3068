"""Parameter types, and commands whose options are grouped, read the environment, and may stand in a file."""

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from collab_cli import paths
from collab_cli.config import check_variants, choose_variants, read_config
from collab_cli.model_options import GivenUser
from collab_cli.other_names import known_elsewhere
from collab_cli.suggestions import SuggestingGroup, is_slip
from collab_cli.terminal import note
from collab_sdk.errors import closest, did_you_mean
from collab_sdk.plugins import source_file
from collab_sdk.simulator import PERSONAS, files_of_user
from collab_sdk.spec import MetricSpec

Decorator = Callable[[Any], Any]
INPUT, OUTPUT, CACHE, OTHER = "Input", "Output", "Cache", "Other options"
GROUPS = (
    *(INPUT, "Who plays", "What is scored", "Which pairs", "Training", OUTPUT, "For CI"),
    *("Money and limits", CACHE, "Cluster"),
)
"""The headings of `--help`, in their order."""
PREFIX = "COLLAB_"
MISSING = {
    "logs": "Missing argument 'LOGS...': name files or folders of chats, or - for stdin.",
    "store": "Missing option '--store': name the file that your app records into, such as --store chats.db.",
}
"""What to say where one of these parameters is missing."""


class Count(click.IntRange):
    name = "whole number"


class Number(click.FloatRange):
    """inf and nan are in no range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


class Weight(click.ParamType[tuple[str, float]]):
    """`NAME=WEIGHT`."""

    name = "name=weight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):  # converted before
            return value
        name, separator, weight = value.partition("=")
        if not name or not separator:
            self.fail(f"{value!r} must read NAME=WEIGHT, such as goal=1.", param, ctx)
        return name.strip(), _weight(self, weight, param, ctx)


def _weight(kind: click.ParamType[Any], text: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
    try:
        return float(Number().convert(text, param, ctx))
    except click.BadParameter as error:
        kind.fail(f"{error.message.rstrip('.')}: write NAME=WEIGHT, such as goal=1.", param, ctx)


def each_once(ctx: click.Context, param: click.Parameter, weights: tuple[Any, ...]) -> Any:
    """Names with weights, metrics or users, of which none may be given twice."""
    names = [one.name if isinstance(one, MetricSpec | GivenUser) else one[0] for one in weights]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise click.BadParameter(f"{repeated[0]!r} is given more than once.", ctx, param)
    return weights


class MetricParam(click.ParamType[MetricSpec]):
    """`NAME`, `NAME=WEIGHT`, or `NAME=WEIGHT,OPTION=VALUE`."""

    name = "metric"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MetricSpec:
        spec = value if isinstance(value, MetricSpec) else self._read(value, param, ctx)
        if spec.name.startswith("py:") and (source := source_file(spec.name)):
            paths.note_read(ctx, source)
        return spec

    def _read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> MetricSpec:
        first, *others = value.split(",")
        name, separator, weight = first.partition("=")
        options = dict(_key_and_value(other, self, param, ctx) for other in others)
        if not name.strip():
            self.fail(f"{value!r} must read NAME=WEIGHT, such as goal=1.", param, ctx)
        weighed = _weight(self, weight, param, ctx) if separator else 1.0
        return MetricSpec(name=name.strip(), weight=weighed, options=options)


class TaskName(click.ParamType[str]):
    """A task; the source of one's own is an input."""

    name = "task"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value.startswith("py:") and (source := source_file(value)):
            paths.note_read(ctx, source)
        return value


class PersonaName(click.ParamType[str]):
    """A persona of the library, or a file of some, which is an input."""

    name = "persona"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in PERSONAS:
            paths.note_read(ctx, value)
        return value


class ToolsName(click.ParamType[str]):
    """What runs calls, or several with commas between them; the source of one's own is an input."""

    name = "how"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for name in value.split(","):
            own = name.strip().removeprefix("sandbox:")
            if own.startswith("py:") and (source := source_file(own)):
                paths.note_read(ctx, source)
        return value


def named_tools(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """What runs calls, one by one; none at all for "none", None where nothing is said."""
    named = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    return None if not values else () if named == ("none",) else named


class UserParam(click.ParamType[GivenUser]):
    """`NAME[=WEIGHT]`. What the name reads is an input: logs, source code, weights."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> GivenUser:
        user = value if isinstance(value, GivenUser) else self._read(value, param, ctx)
        for path in files_of_user(user.name):
            paths.note_read(ctx, path)
        return user

    def _read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> GivenUser:
        """A weight is a last `=NUMBER`, unless the whole value is a path that is there, or the value of an option."""
        if not value.strip():
            self.fail("The name of the user is empty.", param, ctx)
        name, separator, weight = value.rpartition("=")
        if not separator or _is_whole(value):
            return GivenUser(name=value)
        number = _number(weight)
        if number is None and name.strip() and not re.fullmatch(r"\w*", weight):  # `logs:day=3/chats.jsonl`
            return GivenUser(name=value)
        has_two = _number(name.rpartition("=")[2]) is not None and not _is_whole(name)
        if number is None or not name.strip() or has_two:
            self.fail(f"{value!r} must read NAME or NAME=WEIGHT, such as offline=2.", param, ctx)
        if not 0 < number < math.inf:
            self.fail(f"{value!r} must read NAME or NAME=WEIGHT, with a weight above 0.", param, ctx)
        return GivenUser(name=name, weight=number)


def _is_whole(user: str) -> bool:
    """Whether a name that ends like a weight has none: `logs:runs/day=3`, `hf:BASE?max_batch=4`."""
    before, _, option = user.rpartition("?")
    is_option = bool(before) and option.rpartition("&")[2].count("=") == 1
    return is_option or Path(user.removeprefix("logs:").rpartition("@")[2]).exists()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class ModelOption(click.ParamType[tuple[str, Any]]):
    """`KEY=VALUE`: a setting of a model, or its price."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        pair: tuple[str, Any] = value if isinstance(value, tuple) else _key_and_value(value, self, param, ctx)
        return pair


def _key_and_value(
    text: str, kind: click.ParamType[Any], param: click.Parameter | None, ctx: click.Context | None
) -> tuple[str, Any]:
    """A value as TOML or JSON has it; what is neither is text."""
    key, separator, value = text.partition("=")
    if not key.strip() or not separator:
        kind.fail(f"{text!r} must read KEY=VALUE, such as temperature=0.2.", param, ctx)
    for read in (json.loads, lambda text: tomllib.loads(f"value = {text}")["value"]):
        try:
            return key.strip(), read(value)
        except ValueError:
            continue
    return key.strip(), value


class Option(click.Option):
    """An option under a heading of `--help`, which also reads `COLLAB_` and its long name."""

    def __init__(self, *args: Any, group: str = OTHER, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        if isinstance(self.envvar, str) and os.environ.get(self.envvar) == "":
            raise click.UsageError(f"{self.envvar} is set to nothing: give it a value, or unset it.", ctx)
        return super().resolve_envvar_value(ctx)

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            source = ctx.get_parameter_source(self.name or "")
            if source is click.core.ParameterSource.ENVIRONMENT:
                error.param_hint = str(self.envvar)
            raise


class OneOf(Option):
    """Takes one of `names`, which are looked up only when the option is given, and to list them behind its help."""

    def __init__(self, *args: Any, names: Callable[[], Sequence[str]], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._names = names
        self._purpose = self.help

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if value is not None and value not in (names := self._names()):
            known = did_you_mean(closest(str(value), names)) or f" Known: {', '.join(names)}."
            raise click.BadParameter(f"{value!r} is unknown.{known}", ctx, self)
        return value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = f"{self._purpose}: {', '.join(self._names())}."
        return super().get_help_record(ctx)


def option(*names: str, cls: type[Option] = Option, **attributes: Any) -> Decorator:
    """An option that also reads `COLLAB_` and its long name."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]  # --this/--no-this
    envvar = PREFIX + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, cls=cls, envvar=envvar, **attributes)


def rows_output(what: str) -> Decorator:
    """Where rows go: to a file, or else to stdout."""
    return option(
        "--output",
        "-o",
        type=paths.WrittenPath(files=paths.just, path_type=str, allow_dash=True),
        default="-",
        show_default=True,
        metavar="FILE",
        group=OUTPUT,
        help=f"Write {what} to FILE; - is stdout.",
    )


class Command(paths.GuardedCommand):
    """A command that shows its options under headings, and takes `--config FILE`."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        config = Option(
            ["--config"],
            envvar=f"{PREFIX}CONFIG",
            type=paths.ReadPath(dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=read_config,
            metavar="FILE",
            help="Read options from a TOML or YAML file. Flags override environment variables, which override the "
            "file.",
        )
        variant = Option(
            ["--variant"],
            envvar=f"{PREFIX}VARIANT",
            multiple=True,
            is_eager=True,
            expose_value=False,
            callback=choose_variants,
            metavar="NAME",
            help="Also use the options in [variant.NAME] of that file. Repeatable; the last one wins.",
        )
        self.params += [config, variant]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            flags = {name.removeprefix("--") for param in self.params for name in param.opts}
            if (meant := known_elsewhere(error.option_name, flags)) is None:
                raise
            raise click.UsageError(f"No such option {error.option_name!r}: {meant}.", ctx) from None
        except click.MissingParameter as error:
            name = None if error.param is None else error.param.name
            if name not in MISSING:
                raise
            raise click.UsageError(MISSING[name], ctx) from None
        check_variants(ctx)
        self._note_misspelt_variables()
        return rest

    def _note_misspelt_variables(self) -> None:
        """Say so where a variable of the environment is nearly that of an option, and nothing reads it."""
        known = [str(param.envvar) for param in self.params if param.envvar]
        for name in sorted(name for name in os.environ if name.startswith(PREFIX)):
            for meant in known if name not in known else ():
                if is_slip(name, meant):
                    note(f"Warning: {name} is not an option of this command.{did_you_mean(meant)}")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_group: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                by_group.setdefault(getattr(param, "group", OTHER), []).append(record)
        for group in sorted(by_group, key=lambda name: GROUPS.index(name) if name in GROUPS else len(GROUPS)):
            with formatter.section(group):
                formatter.write_dl(by_group[group])


class Group(SuggestingGroup):
    """A group whose commands are of this kind."""

    command_class = Command
