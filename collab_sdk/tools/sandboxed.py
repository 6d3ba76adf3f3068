"""Python tools in the sandbox: for tools that run what a model wrote, such as code or a shell."""

import inspect
import json
import sys
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SandboxError, ToolError, UsageError
from collab_sdk.messages import ToolCall
from collab_sdk.plugins import import_named
from collab_sdk.sandbox import ISOLATIONS, Isolation, ProgramLimits, TalkingProgram, find_isolation
from collab_sdk.secrets import one_line
from collab_sdk.tools import results
from collab_sdk.tools.base import ERROR, Scene, tool_name
from collab_sdk.tools.python import PythonSession, PythonTools, Raised

PREFIX = "sandbox:"
LIFE, CPU = 3_600.0, 60
"""Seconds that the tools of one future may exist, and seconds of processor time of each process."""
PROGRAM = """
import asyncio, inspect, json, sys, types

def _module(name, source):
    made = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), made.__dict__)
    return made

_results = _module("collab_results", {results!r})
_loop = asyncio.new_event_loop()
_found = _module({module!r}, {source!r})
for _part in {name!r}.split("."):
    _found = getattr(_found, _part)

async def _awaited(value):
    return await value if inspect.isawaitable(value) else value

def _run(value):
    return _loop.run_until_complete(_awaited(value))

def _made():
    made = _found() if isinstance(_found, type) else None
    if hasattr(made, "__aenter__"):
        made = _run(made.__aenter__())
    elif hasattr(made, "__enter__"):
        made = made.__enter__()
    for name in {tools!r} if isinstance(_found, type) else ():
        if not hasattr(made, name):
            raise TypeError(f"entering it gave {{type(made).__name__}}, which has no {{name}}; let it return self")
    return made

_state = None

def _function(name):
    if isinstance(_found, type):
        return getattr(_state, name)
    if isinstance(_found, dict):
        return _found[name]
    several = _found if isinstance(_found, (list, tuple)) else [_found]
    return next(each for each in several if getattr(each, "__name__", None) == name)

def answer(question):
    global _state
    try:
        if _state is None:
            _state = _made()
        if question is None:
            return {{"text": ""}}
        value = _run(_function(question["name"])(**question["arguments"]))
    except Exception as error:
        return {{"raised": f"{{type(error).__name__}}: {{_results.error_text(error)}}"}}
    try:
        return {{"text": _results.as_text(value)}}
    except ValueError as error:
        return {{"refused": str(error)}}
"""


class SandboxedTools(PythonTools):
    """What `sandbox:py:MODULE:NAME` names, in a process of its own for each future, away from network and files.

    The process gets the source of the module alone, and may import what is installed. The module is imported here as
    well, to read what the tools are called.
    """

    def __init__(self, name: str, *, engine: Engine, isolation: Isolation | None = None) -> None:
        plain = name.removeprefix(PREFIX)
        found, versioned = import_named(plain)
        super().__init__(found, name=name, code=versioned.rpartition("@")[2], engine=engine)
        module, _, attribute = plain.removeprefix("py:").partition(":")
        try:
            source = inspect.getsource(sys.modules[module])
        except (OSError, TypeError):
            raise UsageError(f"{name}: the source of {module} cannot be read, so it cannot be run elsewhere.") from None
        self.isolation = isolation or find_isolation()
        if self.isolation is ISOLATIONS["docker"]:
            raise UsageError(f"{name}: tools run in bubblewrap or user namespaces; there is only docker here.")
        self.program = PROGRAM.format(
            results=inspect.getsource(results),
            module=module,
            source=source,
            name=attribute,
            tools=[tool_name(tool) for tool in self.tools],
        )

    def open(self, scene: Scene) -> "SandboxedSession":
        """The tools of a new future."""
        return SandboxedSession(self)


class SandboxedSession(PythonSession):
    """The tools of one future, in their own process."""

    def __init__(self, runner: SandboxedTools) -> None:
        super().__init__(runner)
        limits = ProgramLimits(seconds=LIFE, cpu_seconds=CPU)
        self._program = TalkingProgram(runner.program, limits=limits, isolation=runner.isolation)

    async def aclose(self) -> None:
        """End the process."""
        await self._thread.run(self._program.close)
        self._thread.close()

    async def _astart(self, kind: type) -> None:
        made = await self._aasked(self._runner.name, None)
        if isinstance(made, Raised):
            raise ToolError(f"The tools {self._runner.name} could not be made: {made.text.removeprefix(ERROR)}")
        self._made = self._program

    async def _arun(self, call: ToolCall) -> Any:
        return await self._aasked(call.name, {"name": call.name, "arguments": call.parsed or {}})

    async def _aasked(self, name: str, question: Any) -> Any:
        """What the tool returned as text, or what it raised. Raises ToolError where there is neither."""
        timeout = self._runner.timeout
        try:
            answer = await self._thread.run(lambda: self._program.ask(question, seconds=timeout))
        except TimeoutError:
            raise ToolError(f"The tool {name} gave no result in {timeout:g} s.") from None
        except (SandboxError, json.JSONDecodeError) as error:
            raise ToolError(f"The tool {name} has died in the sandbox: {one_line(str(error))}") from error
        if "refused" in answer:
            raise ToolError(f"The tool {name} returned {one_line(answer['refused'])}")
        return Raised(f"{ERROR}{one_line(answer['raised'])}") if "raised" in answer else answer["text"]
