"""What runs an assistant's calls in a played future: one protocol, with state for each future."""

import asyncio
import json
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from collab_sdk.messages import Message, ToolCall

ERROR = "error: "
"""Begins the results that say what went wrong with a call."""
SAYS_ERROR = re.compile(r"\s*error\s*(?::|$)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is known of the conversation in which tools are called."""

    conversation_id: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the assistant may call, in OpenAI's form."""
    logged: tuple[Message, ...] = ()
    """The whole conversation as it was logged: its results are what the tools once gave."""
    sample: str = ""
    """Tells futures apart."""


NOWHERE = Scene()
"""Where nothing is known of the conversation."""


class ToolSession(Protocol):
    """The tools of one future."""

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """The result as the assistant gets it, its errors included; None: somebody else is to be asked.

        `messages` is all that was said and done before, other calls of the same message and their results included.
        Raises SampleError where the tool gave nothing that can stand for a result: then the future is missing.
        """

    async def aclose(self) -> None:
        """The future is over."""


@runtime_checkable
class ToolRunner(Protocol):
    """A way to run calls: recorded results, a model that plays the tools, Python code."""

    @property
    def name(self) -> str:
        """As `--tools` has it."""

    @property
    def code(self) -> str | None:
        """A hash of the code, which gives other results when it changes, for provenance; None for the package's own."""

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that it brings with it, in OpenAI's form; empty where those of the conversation are meant."""

    def open(self, scene: Scene) -> ToolSession:
        """The tools of a new future."""


@dataclass(frozen=True, slots=True)
class Done:
    """A call, and its result if there is one."""

    call: ToolCall
    result: str | None


def done_calls(messages: Iterable[Message], *, before: ToolCall | None = None) -> list[Done]:
    """The calls in `messages` in their order, each with its result; with `before`, those that were made before it."""
    calls: list[ToolCall] = []
    results: dict[int, str] = {}
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for message in messages:
        for call in message.calls:
            waiting[call.id].append(len(calls))
            calls.append(call)
        if message.role == "tool" and (places := waiting.get(message.tool_call_id or "")):
            results[places.popleft()] = message.content
    places = waiting.get(before.id) if before is not None else None
    made = calls[: places[0]] if places else calls
    return [Done(call, results.get(place)) for place, call in enumerate(made)]


def is_error(result: str) -> bool:
    """Whether a result says that the call failed: "error: ...", or a JSON object with something under "error"."""
    if SAYS_ERROR.match(result):
        return True
    if not result.lstrip().startswith("{"):
        return False
    try:
        value = json.loads(result)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(value.get("error"))


def ends_the_run(error: BaseException) -> bool:
    """Whether what came out of a tool is no failure of the tool: a cancellation of the task that runs it, or Ctrl-C."""
    if isinstance(error, Exception):
        return False
    task = asyncio.current_task()
    return isinstance(error, KeyboardInterrupt) or (task is not None and task.cancelling() > 0)


def tool_name(tool: Mapping[str, Any]) -> str:
    """Of a tool in OpenAI's form, or of a bare function; empty for what is neither."""
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def tool_parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of its arguments; empty where it has none."""
    function = tool.get("function", tool)
    schema = function.get("parameters") if isinstance(function, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


def function_tool(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": dict(parameters)}}
