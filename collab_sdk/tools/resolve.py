"""Tools from their names, functions, classes or runners."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.models.base import ChatModel
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.tools.base import ToolRunner, tool_name
from collab_sdk.tools.python import PythonTools, plain_function
from collab_sdk.tools.recorded import RecordedTools
from collab_sdk.tools.sandboxed import PREFIX, SandboxedTools
from collab_sdk.tools.simulated import SimulatedTools
from collab_sdk.tools.toolbox import Toolbox

NO_TOOLS = "none"
KNOWN = ("recorded", "simulated", NO_TOOLS, "py:MODULE:NAME", "sandbox:py:MODULE:NAME")
Tool = str | ToolRunner | Callable[..., Any] | type | Mapping[str, Callable[..., Any]]
Tools = Tool | Iterable[Tool] | Toolbox
"""One way to run calls, or several, which are asked in order: see `as_toolbox`."""


def as_toolbox(tools: Tools, *, model: ModelLike | None, engine: Engine) -> Toolbox:
    """Those who run the calls, in the order in which they are asked; without a `model`, simulated tools fail.

    A name is "recorded", "simulated", "none", `py:MODULE:NAME` or `sandbox:py:MODULE:NAME`; several stand with commas
    between them. An object is a function, a mapping of functions, a class, or a ToolRunner; a Toolbox stays as it is.
    Raises UsageError for what is none of these, and for two ways to run one tool of somebody's own.
    """
    if isinstance(tools, Toolbox):
        return tools
    named = [each for given in _several(tools) for each in _split(given)]
    if NO_TOOLS in named and len(named) > 1:
        raise UsageError("tools: 'none' stands alone; with others beside it, leave it out.")
    player = None if model is None else as_chat_model(model)
    runners = tuple(_runner(each, player, engine) for each in named if each != NO_TOOLS)
    for what, names in (
        ("tools", [runner.name for runner in runners]),
        ("tool", [tool_name(tool) for runner in runners for tool in runner.tools]),
    ):
        if repeated := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"The {what} {repeated[0]!r} is given twice.")
    return Toolbox(runners)


def _several(tools: Any) -> list[Any]:
    one = isinstance(tools, str | Mapping | ToolRunner) or callable(plain_function(tools))
    return [tools] if one or not isinstance(tools, Iterable) else list(tools)


def _split(given: Any) -> list[Any]:
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else [given]


def _runner(given: Any, model: ChatModel | None, engine: Engine) -> ToolRunner:
    if given == "recorded":
        return RecordedTools()
    if given == "simulated":
        return SimulatedTools(model, engine=engine)
    if isinstance(given, str):
        if given.startswith(f"{PREFIX}py:"):
            return SandboxedTools(given, engine=engine)
        if not given.startswith("py:"):
            raise UnknownNameError.of("tools", given, KNOWN)
        return PythonTools.named(given, engine=engine)
    if isinstance(given, ToolRunner) and not isinstance(given, type):
        return given
    return PythonTools.of(given, engine=engine)
