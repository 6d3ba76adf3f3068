"""The options that the commands share."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from collab_cli.config import read_config
from collab_cli.one_of import OneOf
from collab_sdk.logs import log_format_names

Command = Callable[..., Any]
LOCAL = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is set up: models, sampling, limits."""

    assistant: str | None = None
    simulator: str | None = None
    judge: str | None = None
    model: str | None = None
    api_base: tuple[str, ...] = ()
    limit: int | None = None
    log_format: str | None = None
    samples: int = 3
    window: int = 2
    goals_per_turn: int = 1
    metric: tuple[tuple[str, float], ...] = ()
    token_rate: float | None = None
    max_usd: float | None = None
    max_calls: int | None = None
    dry_run: bool = False
    concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout: float = 120.0
    cache: str | None = None
    engine: str = LOCAL
    ray_address: str | None = None
    ray_workers: int | None = None
    ray_dashboard: bool = False


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
        return name.strip(), Number().convert(weight, param, ctx)


def each_once(ctx: click.Context, param: click.Parameter, weights: tuple[tuple[str, float], ...]) -> Any:
    names = [name for name, _ in weights]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise click.BadParameter(f"{repeated[0]!r} has more than one weight.", ctx, param)
    return weights


def option(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """A click option that also reads `COLLAB_` and its long name."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]  # --this/--no-this
    envvar = "COLLAB_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=envvar, **attributes)


def number(
    name: str, type: click.ParamType[Any], default: float | None = None, *, metavar: str = "N", help: str
) -> Callable[[Command], Command]:
    return option(name, type=type, default=default, show_default=default is not None, metavar=metavar, help=help)


def count(at_least: int) -> Count:
    return Count(min=at_least)


def cache_option(command: Command) -> Command:
    """Where replies are kept, by either of two names, as `cache`: a directory, a URL, or None."""

    @functools.wraps(command)
    def with_cache(*, cache: str | None, cache_dir: str | None, **values: Any) -> Any:
        if cache is not None and cache_dir is not None:
            named = {name: _strength(name) for name in ("cache", "cache_dir")}
            if named["cache"] == named["cache_dir"]:
                raise click.UsageError("--cache and --cache-dir name two caches: give one of them.")
            cache = cache if named["cache"] < named["cache_dir"] else cache_dir
        return command(cache=cache or cache_dir, **values)

    decorated: Command = with_cache
    for add in (
        option("--cache-dir", type=click.Path(file_okay=False), help="The same, for a directory."),
        option(
            "--cache",
            metavar="WHERE",
            help="Where replies are kept: a directory, or redis://... or postgresql://... to share them.  "
            "[default: collab in the user's cache directory]",
        ),
    ):
        decorated = add(decorated)
    return decorated


def _strength(name: str) -> int:
    """A flag before the environment before a file of options."""
    source = click.get_current_context().get_parameter_source(name)
    return list(ParameterSource).index(source) if source is not None else len(ParameterSource)


CONFIG = option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="A TOML or YAML file of options.",
)
API_BASE = option(
    "--api-base",
    multiple=True,
    metavar="URL",
    help="An OpenAI-compatible server that serves all the models; repeatable, for replicas that share the calls.",
)
LOG_FORMAT = option(
    "--log-format",
    cls=OneOf,
    names=log_format_names,
    metavar="FORMAT",
    help="What the logs are, where their content does not show it",
)
DEFAULTS = RunOptions()
PARTS = [
    option("--simulator", metavar="MODEL", help="Plays the user."),
    option("--judge", metavar="MODEL", help="Scores conversations.  [default: --model, or the simulator's]"),
    option("--model", metavar="MODEL", help="All three, where not named: any LiteLLM name, or offline."),
    API_BASE,
]
LIMIT = number("--limit", count(1), help="Stop after N conversations.")
MAX_USD = number("--max-usd", Number(min=0), metavar="USD", help="Stop before more than that is spent.")
MAX_CALLS = number("--max-calls", count(0), help="Stop before more than N calls are made.")
SPENDING = [
    MAX_USD,
    MAX_CALLS,
    option("--dry-run", is_flag=True, help="Only estimate the calls, tokens and money."),
    number("--concurrency", count(1), DEFAULTS.concurrency, help="Calls at once, at most, to each model or replica."),
    number("--requests-per-minute", Number(min=0, min_open=True), help="A provider's limit, for each model."),
    number("--tokens-per-minute", Number(min=0, min_open=True), help="Likewise, of prompts and replies together."),
    number("--timeout", Number(min=0, min_open=True), DEFAULTS.timeout, metavar="SECONDS", help="For one call."),
    cache_option,
    CONFIG,
]
SCORING = [
    number("--samples", count(1), DEFAULTS.samples, help="Futures of each response; an export needs fewer on average."),
    number("--window", count(0), DEFAULTS.window, help="Exchanges of each future."),
    number("--goals-per-turn", count(1), DEFAULTS.goals_per_turn, help="Goals to judge by that fit what was said."),
    option(
        "--metric",
        type=Weight(),
        multiple=True,
        callback=each_once,
        metavar="NAME=WEIGHT",
        help="What a conversation is worth; repeatable.  [default: goal=1 interactivity=1 token_penalty=1]",
    ),
    number("--token-rate", Number(min=0), metavar="RATE", help="Cost of a token in token_penalty (lambda)."),
]
RUN_OPTIONS = [
    option("--assistant", "-a", metavar="BOT", help="The bot: a model, or a function of yours as py:MODULE:FUNCTION."),
    *PARTS,
    LIMIT,
    LOG_FORMAT,
    *SCORING,
    *SPENDING,
]


def taking(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Give a command these options; it gets those that a run has as `options`, all others by their name."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_options(**values: Any) -> Any:
            shared = {field.name: values.pop(field.name) for field in fields(RunOptions) if field.name in values}
            return command(options=RunOptions(**shared), **values)

        decorated: Command = with_options
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


run_options = taking(RUN_OPTIONS)


RUNNER = [
    option("--engine", metavar="ENGINE", default=DEFAULTS.engine, show_default=True, help="Where to work: local, ray."),
    option("--ray-address", metavar="HOST:PORT", help="A Ray cluster, or auto.  [default: Ray on this machine]"),
    number("--ray-workers", count(1), help="Processes to work in.  [default: by CPUs and --concurrency]"),
    option("--ray-dashboard", is_flag=True, help="Start Ray's dashboard with it."),
]


LOGS = click.argument("logs", nargs=-1, required=True, metavar="LOGS...")
"""Files, folders, or `-` for stdin. That they exist is checked by the reader, which knows them all."""
