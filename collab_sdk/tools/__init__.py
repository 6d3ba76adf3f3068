"""What an assistant's calls do in a played future: recorded results, a model that plays the tools, Python code."""

from collab_sdk.tools.base import NOWHERE, Scene, ToolRunner, ToolSession
from collab_sdk.tools.inferred import CallShapes, with_tools
from collab_sdk.tools.resolve import Tools, as_toolbox
from collab_sdk.tools.toolbox import OpenToolbox, Toolbox, goes_in_a_circle

__all__ = [
    "NOWHERE",
    "CallShapes",
    "OpenToolbox",
    "Scene",
    "ToolRunner",
    "ToolSession",
    "Toolbox",
    "Tools",
    "as_toolbox",
    "goes_in_a_circle",
    "with_tools",
]
