"""Tools from their names, functions, classes or runners."""

from collections.abc import Sequence
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UnknownNameError
from collab_sdk.models.base import ChatModel
from collab_sdk.tools.base import ToolRunner
from collab_sdk.tools.recorded import RecordedTools
from collab_sdk.tools.toolbox import Toolbox

Tools = Any


def as_toolbox(tools: Tools, *, model: ChatModel, engine: Engine) -> Toolbox:
    """Those who run the calls, in the order in which they are asked. Raises UnknownNameError for a name that is none.

    `model` plays the simulated tools.
    """
    several: Sequence[Any] = [tools] if isinstance(tools, str) else tools
    return Toolbox(tuple(runner for each in several if (runner := _runner(each)) is not None))


def _runner(named: Any) -> ToolRunner | None:
    if named == "recorded":
        return RecordedTools()
    if named == "simulated":
        return None
    raise UnknownNameError.of("tools", named, ["recorded", "simulated"])
