"""The settings of a model, given by name: on the command line, in the environment, in a file of options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.spec import ModelSettings, Price
from collab_sdk.values import read_value

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUser:
    """Who is to play the user, as typed: `NAME[=WEIGHT]`, or a table in a file of options."""

    name: str
    weight: float = 1.0
    api_base: tuple[str, ...] = ()
    api_key_env: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()


def model_settings(pairs: Sequence[tuple[str, Any]], where: str) -> tuple[dict[str, Any], Price | None]:
    """The settings that were given by name, and the price. A value of "default" is not sent, so it becomes None.

    Raises UsageError, naming `where`, for a key or value that is none.
    """
    given: dict[str, Any] = {}
    price = None
    for key, value in pairs:
        if key == "price":
            price = _price(value, where)
        elif (name := key.replace("-", "_")).startswith(("extra_body.", "extra_headers.")):
            table, *path = name.split(".") if name.startswith("extra_body") else key.split(".", 1)
            _put(given, [table.replace("-", "_"), *path], value)
        else:
            given[name] = None if value == "default" else value
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    try:
        settings: ModelSettings = read_value(ModelSettings, given)
    except (ValueError, UsageError) as error:
        raise UsageError(f"{where}: {error}".rstrip(".") + ".") from None
    return {name: getattr(settings, name) for name in given}, price


def _put(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = table.get(name)
        table[name] = dict(inner) if isinstance(inner, Mapping) else {}
        table = table[name]
    table[path[-1]] = value


def _price(value: Any, where: str) -> Price:
    """`0.15/0.60`: US dollars for a million tokens, in and out."""
    try:
        prompt, completion = (float(part) / MILLION for part in str(value).split("/"))
        if not (0 <= prompt < math.inf and 0 <= completion < math.inf):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{where}: price is {value!r}; it must read IN/OUT in USD for a million tokens, such as 0.15/0.60."
        ) from None
    return Price(prompt=prompt, completion=completion)
