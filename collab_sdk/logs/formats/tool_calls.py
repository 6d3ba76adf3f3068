"""The function of a tool call, whichever way it was logged."""

from collections.abc import Mapping
from typing import Any


def called_function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments in a call; empty for one that is of no function."""
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}
