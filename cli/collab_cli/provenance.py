"""The first line of a result: who played and judged, and by which settings."""

from collections.abc import Iterable
from textwrap import wrap

import click

from collab_cli.terminal import make_console, note, print_text, printable, shortened
from collab_cli.units import of
from collab_sdk import ModelSpec, RunSpec
from collab_sdk.spec import DEFAULT_TOOLS, ROLE_DEFAULTS, MetricSpec

BETWEEN = " · "
LONGEST_NAME = 60
"""Characters of a name."""
LEAST_WIDTH = 20
SETTINGS = ("temperature", "max_tokens", "top_p", "seed", "reasoning_effort")
"""Of a model. All that is sent stands in the files."""
RULES, FUNCTION = "offline", "py"
"""What names of bots without a model begin with."""


def say(text: str, *, indent: str = "", err: bool = False) -> None:
    """A line for people, wrapped between words at the terminal's width; a long word stays whole."""
    width = max(LEAST_WIDTH, make_console(err=err).width)
    for line in wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False):
        print_text(line, err=err)


def show_provenance(spec: RunSpec, *details: str, logs: bool = False, err: bool = False) -> None:
    """Who played and judged, and `details`. With `logs`, that a bot nobody named did not write them."""
    show_parts(bots_of(spec, logs=logs), users_of(spec), judge_of(spec), *details, err=err)


def show_parts(*parts: str, err: bool = False) -> None:
    """The parts of a first line, on as few lines as a terminal needs."""
    width = max(LEAST_WIDTH, make_console(err=err).width)
    lines: list[str] = []
    for part in parts:
        if lines and len(f"{lines[-1]}{BETWEEN}{part}") <= width:
            lines[-1] += f"{BETWEEN}{part}"
        else:
            lines.append(part)
    for line in lines:
        print_text(line, err=err)


def how_played(spec: RunSpec) -> list[str]:
    """What decides the futures."""
    goals = [] if spec.goals_per_turn is None else [f"{spec.goals_per_turn} goals a {spec.per}"]
    tools = [] if spec.tools == DEFAULT_TOOLS else [f"tools {', '.join(map(printable, spec.tools)) or 'none'}"]
    return [f"{of(spec.samples, 'future')} of {of(spec.window, 'exchange')}", *goals, *tools]


def what_counts(spec: RunSpec, names: Iterable[str] | None = None) -> str:
    """The metrics with their weights, or those of them that were measured."""
    measured = None if names is None else set(names)
    return " + ".join(_metric(each) for each in spec.metrics if measured is None or _name(each) in measured)


def warn_of_self_preference(spec: RunSpec) -> None:
    """A warning where a model judges what it wrote; rules and functions favour nobody."""
    judge = spec.judge.name
    if judge.partition(":")[0] in (RULES, FUNCTION):
        return
    if any(bot.name == judge or bot.name.endswith((f":{judge}", f"@{judge}")) for bot in spec.assistants):
        note(
            f"Warning: {_named(judge)} is both bot and judge, and models favour their own replies: try another --judge."
        )


def bots_of(spec: RunSpec, *, logs: bool = False) -> str:
    stands_in = logs and not click.get_current_context().params.get("assistant")
    bots = ", ".join(_model(bot, "assistant") for bot in spec.assistants)
    return f"{'bots' if spec.assistants[1:] else 'bot'} {bots}{' (did not write the logs)' if stands_in else ''}"


def users_of(spec: RunSpec) -> str:
    shares = [f"={user.weight:g}" if spec.simulators[1:] else "" for user in spec.simulators]
    users = ", ".join(
        f"{_model(user, 'simulator')}{share}" for user, share in zip(spec.simulators, shares, strict=True)
    )
    personas = f" as {', '.join(_named(each.name) for each in spec.personas)}" if spec.personas else ""
    return f"user {users}{personas}"


def judge_of(spec: RunSpec) -> str:
    return f"judge {_model(spec.judge, 'judge')}"


def _model(model: ModelSpec, role: str) -> str:
    usual = ROLE_DEFAULTS[role]
    given = model.settings or usual
    other = [(name, getattr(given, name)) for name in SETTINGS if getattr(given, name) != getattr(usual, name)]
    said = ", ".join(f"{name}={'default' if value is None else value}" for name, value in other)
    return _named(model.name) + (f" ({said})" if said else "")


def _named(name: str) -> str:
    return shortened(printable(name), LONGEST_NAME)


def _metric(metric: MetricSpec) -> str:
    weight = "" if metric.weight == 1 else f"{metric.weight:g} "
    rate = metric.options.get("rate")
    return f"{weight}{_named(_name(metric))}{f' (rate {rate:g})' if isinstance(rate, int | float) else ''}"


def _name(metric: MetricSpec) -> str:
    """As rows have it: of somebody's own, what the function is called."""
    return metric.name.rpartition(":")[2] if metric.name.startswith("py:") else metric.name
