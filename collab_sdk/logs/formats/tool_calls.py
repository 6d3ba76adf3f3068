"""The function of a tool call, whichever way it was logged."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json


def called_function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments in a call; empty for one that is of no function."""
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}


def arguments_object(text: str) -> dict[str, Any] | None:
    """The arguments of a call as chat templates take them; None for text that is no JSON object. No text means none."""
    try:
        value = parse_json(text) if text else {}
    except InputError:
        return None
    return value if isinstance(value, dict) else None
