"""What a result was made with, in lines that people read: who played, what was scored, and which versions."""

from collections.abc import Iterator, Sequence
from typing import Any

from collab_sdk.report.fields import Row, mapping, number, rows, text, texts
from collab_sdk.report.overview import Table

SHOWN_OF_A_MODEL = {"name", "model", "api_base", "settings"}
"""What a role's line says anyway, of all that a model's fingerprint may hold."""


def settings_table(made_with: Sequence[Row], details: Row, *, pairs: bool = False) -> Table | None:
    """Provenances, of which a file may hold several, and further `details`; None where nothing is known.

    `pairs` says that the rule for pairs was used.
    """
    found: dict[str, list[str]] = {}
    for label, line in [*(line for made in made_with for line in _lines(made, pairs)), *_plain(details)]:
        if line not in found.setdefault(label, []):
            found[label].append(line)
    cells = tuple((label, "; ".join(lines)) for label, lines in found.items())
    return Table(title="Models and settings", head=("what", "used"), rows=cells, words=(1,)) if cells else None


def weights(made_with: Row) -> dict[str, float]:
    """The weight of each metric in the reward."""
    metrics = mapping(made_with.get("metrics"))
    found = {name: number(mapping(each).get("weight", each)) for name, each in metrics.items()}
    return {name: weight for name, weight in found.items() if weight is not None}


def _lines(made: Row, pairs: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(made.get("assistants"), list):  # not a provenance of `made_with`
        yield from _plain(made)
        return
    fingerprints = mapping(made.get("models"))
    for bot in rows(made["assistants"]):
        yield "assistant", _model(bot, fingerprints.get(text(bot.get("name"))) or fingerprints.get("assistant"))
    for place, user in enumerate(rows(made.get("simulators")), start=1):
        yield "simulator", _model(user, fingerprints.get(f"simulator {place}" if place > 1 else "simulator"))
    yield "judge", _model(mapping(made.get("judge")), fingerprints.get("judge"))
    tasks = texts(mapping(made.get("evaluation")).get("tasks"))
    if tasks:
        yield "tasks", ", ".join(tasks)
        yield "samples", f"{_value(made.get('samples'))} of each goal"
        if chosen := mapping(made.get("rows")):
            yield "rows", ", ".join(_named({name: value for name, value in chosen.items() if value is not None}))
    else:
        yield "metrics", "; ".join(_metric(name, each) for name, each in mapping(made.get("metrics")).items())
        yield from _futures(made)
    yield "tools", _tools(made)
    if player := mapping(made.get("tools_model")):
        yield "tools", _model(player, fingerprints.get("tools"))
    if pairs:
        yield "pair rule", _rule(mapping(made.get("pairs")))
    yield "versions", f"collab-sdk {_value(made.get('package'))}, prompts {_value(made.get('prompts'))}"


def _model(spec: Row, fingerprint: Any) -> str:
    """Its name, address and settings, and what else tells it from others, such as the hash of a function's code."""
    parts = [text(spec.get("name"))]
    if base := text(spec.get("api_base")):
        parts.append(f"at {base}")
    parts += [f"{_label(name)} {_value(value)}" for name, value in mapping(spec.get("settings")).items()]
    others = {name: value for name, value in mapping(fingerprint).items() if name not in SHOWN_OF_A_MODEL}
    return ", ".join([*parts, *_named(others)])


def _metric(name: str, value: Any) -> str:
    """`token_penalty x 1 (rate 0.0005)`; a judged metric's own prompt goes without saying."""
    options = {each: item for each, item in mapping(value).items() if each != "weight" and item != f"criterion_{name}"}
    shown = f"{name} \u00d7 {_value(mapping(value).get('weight', value))}"
    return f"{shown} ({', '.join(_named(options))})" if options else shown


def _futures(made: Row) -> Iterator[tuple[str, str]]:
    window, least = made.get("window"), made.get("min_samples")
    if not window:
        yield "futures", "none: the window is 0"
    else:
        needed = f"; a score needs {_value(least)}" if least else ""
        what = "decision" if made.get("per") == "decision" else "response"
        many = _value(made.get("samples"))
        if mapping(made.get("pairs")).get("fixed_samples") is False:
            many, needed = "as many as make orders sure", ""
        yield "futures", f"{many} of each {what}, at most {_value(window)} exchanges{needed}"
    several = made.get("goals_per_turn")
    yield "goals", "the row's, or those that settle its chat" if several is None else f"{_value(several)} at each turn"


def _tools(made: Row) -> str:
    runners = ", then ".join(texts(made.get("tools")))
    return f"{runners}; at most {_value(made.get('calls_per_turn'))} calls a turn" if runners else "none"


def _rule(rule: Row) -> str:
    least = (
        f"margin at least {_value(rule.get('min_margin'))}, confidence at least {_value(rule.get('min_confidence'))}"
    )
    parts = [f"the surest two of {_value(rule.get('candidates'))} candidates", least]
    parts.append(f"at most {_value(rule.get('max_pairs'))} pairs from a conversation")
    parts += ["every future played"] if rule.get("fixed_samples") is True else []
    parts += ["futures of one goal judged together"] if rule.get("judge_groups") is True else []
    return ", ".join(parts)


def _plain(values: Row) -> Iterator[tuple[str, str]]:
    return ((_label(name), _value(value)) for name, value in values.items())


def _named(values: Row) -> list[str]:
    return [f"{_label(name)} {_value(value)}" for name, value in values.items()]


def _label(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(_named(value))
    if isinstance(value, list):
        return " and ".join(map(_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
