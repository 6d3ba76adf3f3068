"""Tools that are Python code: functions, or a class whose object holds the state of one future."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from types import FunctionType
from typing import Any

from collab_sdk.concurrency import OneThread, in_thread
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import RunStoppedError, ToolError, UsageError
from collab_sdk.messages import Message, ToolCall
from collab_sdk.plugins import function_code, import_named
from collab_sdk.secrets import one_line
from collab_sdk.suppression import suppress
from collab_sdk.tools.base import ERROR, Done, Scene, done_calls, ends_the_run, is_error, tool_name
from collab_sdk.tools.results import as_text, error_text, has_died
from collab_sdk.tools.schema import mistakes
from collab_sdk.tools.signature import tool_of


class PythonTools:
    """Functions, or the public methods of a class, which are called in this process.

    A function is called as it is, and not for what the history did before. Of a class an object is made for each
    future, without arguments, and the calls of the conversation so far are made on it first, so that its state is that
    of the conversation; one that can be used with `with` or `async with` is entered, and left when the future is over.
    What a tool raises is its result, as "error: ValueError: ...". Where it hangs, dies, raises ToolError, or returns
    what is neither text nor JSON, the future is missing.
    """

    def __init__(self, tools: Any, *, name: str, code: str, engine: Engine) -> None:
        self.name = name
        self.code = code
        self.timeout = engine.limits.timeout
        self.kind: type | None = tools if isinstance(tools, type) else None
        self.functions = _functions(tools, name) if self.kind is None else {}
        specs = _methods(self.kind) if self.kind is not None else self.functions
        if not specs:
            raise UsageError(f"{name} holds no tools: it needs functions, or public methods.")
        self.tools = tuple(tool_of(function, each) for each, function in specs.items())

    @classmethod
    def named(cls, name: str, *, engine: Engine) -> "PythonTools":
        """The tools that `py:MODULE:NAME` names. Raises UsageError for what cannot be imported or is no tool."""
        found, versioned = import_named(name)
        return cls(found, name=name, code=versioned.rpartition("@")[2], engine=engine)

    @classmethod
    def of(cls, tools: Any, *, engine: Engine) -> "PythonTools":
        """Tools from an object. Raises UsageError for what is none."""
        several = isinstance(tools, Mapping) and list(tools.values())
        hashes = [function_code(plain_function(each)) for each in several or [tools]]
        return cls(tools, name=_name_of(tools), code="-".join(hashes), engine=engine)

    def open(self, scene: Scene) -> "PythonSession":
        """The tools of a new future."""
        return PythonSession(self)


@dataclass(frozen=True, slots=True)
class Raised:
    """In place of a value: what was raised."""

    text: str


class PythonSession:
    """The Python tools of one future; the object of a class is made at its first call."""

    def __init__(self, runner: PythonTools) -> None:
        self._runner = runner
        self._specs = {tool_name(tool): tool for tool in runner.tools}
        self._thread = OneThread()
        self._made: Any = None
        self._state: Any = None
        self._busy = False
        """Whether something is running in the thread."""
        self._done = 0
        """Calls of the conversation that were made on the state."""

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """Make the call, after all that the conversation did before; None for a tool that is not here."""
        if call.name not in self._specs:
            return None
        if self._runner.kind is not None:
            made = done_calls(messages, before=call)
            await self._acatch_up(self._runner.kind, made[self._done :])
            self._done = len(made) + 1
        value = await self._arun(call)
        return value.text if isinstance(value, Raised) else _text(value, call.name)

    async def aclose(self) -> None:
        """The object is left, where it can be; what it raises then, or that it hangs, changes nothing."""
        made = self._made
        with contextlib.suppress(ToolError):
            if hasattr(made, "__aexit__"):
                await self._aguarded("", lambda: made.__aexit__(None, None, None))
            elif hasattr(made, "__exit__") and not self._busy:
                await self._aguarded("", lambda: self._in_thread(lambda: made.__exit__(None, None, None)))
        self._thread.close()

    async def _acatch_up(self, kind: type, others: Sequence[Done]) -> None:
        """Make the object, and on it the calls that others answered: those of the history, and recorded ones.

        A call that failed then, or was never answered, did nothing.
        """
        if self._made is None:
            await self._astart(kind)
        for call in (done.call for done in others if done.result is not None and not is_error(done.result)):
            spec = self._specs.get(call.name)
            if spec is not None and (arguments := call.parsed) is not None and not mistakes(arguments, spec):
                await self._arun(call)

    async def _astart(self, kind: type) -> None:
        self._made = await self._aneeded(lambda: self._in_thread(kind))
        self._state = await self._aneeded(self._aenter)
        if lacking := [name for name in self._specs if not hasattr(self._state, name)]:
            raise ToolError(
                f"The tools {self._runner.name} could not be made: entering the object gave "
                f"{type(self._state).__name__}, which has no {lacking[0]}; let it return self."
            )

    async def _aenter(self) -> Any:
        if hasattr(self._made, "__aenter__"):
            return await self._made.__aenter__()
        return await self._in_thread(self._made.__enter__) if hasattr(self._made, "__enter__") else self._made

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        """What it returns, in the thread of the object, which stays busy where the function hangs."""
        self._busy = True
        return await self._thread.run(lambda: self._until_done(function))

    def _until_done(self, function: Callable[[], Any]) -> Any:
        try:
            return _without_exit(function, self._runner.name)
        finally:
            self._busy = False

    async def _aneeded(self, run: Callable[[], Awaitable[Any]]) -> Any:
        made = await self._aguarded(self._runner.name, run)
        if isinstance(made, Raised):
            raise ToolError(f"The tools {self._runner.name} could not be made: {made.text.removeprefix(ERROR)}")
        return made

    async def _arun(self, call: ToolCall) -> Any:
        """What the tool returns or raises."""
        of_class = self._runner.kind is not None
        function = getattr(self._state, call.name) if of_class else self._runner.functions[call.name]
        run = partial(function, **(call.parsed or {}))
        if iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            return await self._aguarded(call.name, run)
        thread = self._in_thread if of_class else in_thread
        return await self._aguarded(call.name, lambda: _awaited(thread(lambda: _without_exit(run, call.name))))

    async def _aguarded(self, name: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """What it returns, or what it raised. Raises ToolError where it hangs or has died."""
        timeout = self._runner.timeout
        try:
            with suppress():  # the app that a tool is of may be watched, and nobody said any of this
                async with asyncio.timeout(timeout) as limit:
                    return await run()
        except (ToolError, RunStoppedError):
            raise
        except BaseException as error:
            if ends_the_run(error):
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                raise ToolError(f"The tool {name} gave no result in {timeout:g} s.") from None
            told = f"{type(error).__name__}: {one_line(error_text(error))}"
            if not isinstance(error, Exception) or has_died(error):
                raise ToolError(f"The tool {name} has died: {told}") from error
            return Raised(f"{ERROR}{told}")


def _without_exit(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except GeneratorExit as error:  # thrown into what awaits the thread, it would close all of it
        raise ToolError(f"The tool {name} has died: GeneratorExit") from error


async def _awaited(value: Awaitable[Any]) -> Any:
    """What a function returned, and what that gives where it is to be awaited itself."""
    returned = await value
    return await returned if isawaitable(returned) else returned


def _functions(tools: Any, name: str) -> dict[str, Callable[..., Any]]:
    """By the name of the tool. Raises UsageError for what is no function, and for two of one name."""
    if isinstance(tools, Mapping):
        named = [(str(each), plain_function(function)) for each, function in tools.items()]
    elif isinstance(tools, list | tuple):
        named = [(_name_of(each), plain_function(each)) for each in tools]
    elif callable(plain_function(tools)):
        named = [(_name_of(tools), plain_function(tools))]
    else:
        raise UsageError(
            f"{name} is not a tool: give a function, a list or mapping of functions, or a class, of which an object is "
            "made for each future."
        )
    for each, function in named:
        if not callable(function) or isinstance(function, type):
            raise UsageError(f"{each} of {name} is not a function, so it cannot be a tool.")
    names = [each for each, _ in named]
    if repeated := [each for each in names if names.count(each) > 1]:
        raise UsageError(f"{name} has two tools called {repeated[0]!r}.")
    return dict(named)


def plain_function(tool: Any) -> Any:
    """The function of a LangChain tool, or what is given."""
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    return function if callable(function) and isinstance(getattr(tool, "name", None), str) else tool


def _name_of(function: Any) -> str:
    if plain_function(function) is not function:
        return str(function.name)
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _methods(kind: type) -> dict[str, Callable[..., Any]]:
    """The public methods of a class, by name. Raises UsageError for one that cannot be made without arguments."""
    if needed := [each for each in _parameters(kind) if each.default is each.empty]:
        raise UsageError(
            f"{kind.__name__} needs {needed[0].name} to be made: for each future an object is made without arguments, "
            "so give it a default."
        )
    public = [name for name, _ in inspect.getmembers(kind, inspect.isroutine) if not name.startswith("_")]
    own = {name: inspect.getattr_static(kind, name) for name in sorted(public)}
    return {
        name: getattr(kind, name) if isinstance(found, staticmethod | classmethod) else found.__get__(object())
        for name, found in own.items()
        if isinstance(found, staticmethod | classmethod | FunctionType)
    }


def _parameters(kind: type) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def _text(value: Any, name: str) -> str:
    """A result as text. Raises ToolError for what is neither text nor JSON."""
    try:
        return as_text(value)
    except ValueError as error:
        raise ToolError(f"The tool {name} returned {one_line(str(error))}") from None
