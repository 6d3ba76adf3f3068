"""What is kept of a call: the settings in a list, as nobody can list what must not be, and one line of an error."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.secrets import one_line

KEPT = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "top_k",
        "top_p",
        "verbosity",
    }
)


def kept_parameters(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call that say how its reply was drawn; never keys, headers or addresses."""
    return {name: value for name, value in arguments.items() if name in KEPT and value is not None}


def error_text(error: BaseException) -> str:
    """Its type and first line, without keys."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {one_line(first)}" if first.strip() else type(error).__name__
