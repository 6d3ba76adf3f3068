"""The tools at hand in a future: who is asked to run a call, and what is checked before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import RunStoppedError, SampleError, ToolError, UsageError
from collab_sdk.messages import Message, ToolCall
from collab_sdk.secrets import one_line
from collab_sdk.spec import LONGEST_RESULT
from collab_sdk.tool_calls import is_inferred
from collab_sdk.tools.base import ERROR, Scene, ToolRunner, ToolSession, ends_the_run, tool_name
from collab_sdk.tools.inferred import CallShapes
from collab_sdk.tools.recorded import RecordedTools
from collab_sdk.tools.results import error_text, without_surrogates
from collab_sdk.tools.schema import mistakes
from collab_sdk.tools.simulated import SimulatedTools
from collab_sdk.types import Conversation

MOST_OF_NAME, MOST_OF_MISTAKE = 64, 2_000
"""Characters of a tool's name in an error, and of an error that says what is wrong with a call."""
SAME_CALLS = 4
"""So often in a row the same calls, and the assistant is going in a circle."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Those who can run calls, in the order in which they are asked."""

    runners: tuple[ToolRunner, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the runners, as `--tools` has them."""
        return tuple(runner.name for runner in self.runners)

    @property
    def codes(self) -> dict[str, str]:
        """Hashes of tools that are somebody's own code, by name, for provenance."""
        return {runner.name: runner.code for runner in self.runners if runner.code is not None}

    @property
    def simulated(self) -> SimulatedTools | None:
        """The runner whose calls a model answers, if there is one."""
        return next((runner for runner in self.runners if isinstance(runner, SimulatedTools)), None)

    def equip(self, conversation: Conversation) -> Conversation:
        """The conversation with all tools that the assistant has in it.

        Where it names none and somebody here runs the tools of logs, they are inferred from its own calls.
        """
        tools = conversation.tools
        if not tools and any(not runner.tools for runner in self.runners):
            shapes = CallShapes()
            shapes.add(conversation)
            tools = shapes.tools
        tools = self.tools(tools)
        return conversation if tools == conversation.tools else replace(conversation, tools=tools)

    def tools(self, logged: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """What an assistant may call: the tools of the log, and those that a runner brings with it."""
        brought = [tool for runner in self.runners for tool in runner.tools]
        names = {tool_name(tool) for tool in brought}
        return (*(tool for tool in logged if tool_name(tool) not in names), *brought)

    def open(self, scene: Scene) -> "OpenToolbox":
        """The tools of a new future."""
        return OpenToolbox(replace(scene, tools=self.tools(scene.tools)), self.runners)


class OpenToolbox:
    """The tools of one future; to be used with `async with`."""

    def __init__(self, scene: Scene, runners: Sequence[ToolRunner]) -> None:
        self.tools = scene.tools
        self._scene = scene
        self._runners = runners
        self._known = {tool_name(tool): tool for tool in scene.tools}
        self._sessions: list[tuple[ToolRunner, ToolSession]] = []

    async def arun(self, calls: Sequence[ToolCall], messages: Sequence[Message]) -> list[Message]:
        """The results of calls, one after another in their order, for each sees what those before it did.

        A call that cannot be run as it is, since there is no such tool or its arguments do not fit, has an error as its
        result, which is the assistant's to mend, unless the log has another one. Raises SampleError where nobody can
        run it.
        """
        results: list[Message] = []
        for call in calls:
            content = await self._arun(call, [*messages, *results])
            results.append(Message(role="tool", content=content, name=call.name or None, tool_call_id=call.id))
        return results

    async def _arun(self, call: ToolCall, messages: Sequence[Message]) -> str:
        mistake, name = self._mistake(call), _short(call.name)
        for runner, session in self._sessions:
            if mistake is not None and not isinstance(runner, RecordedTools):
                continue
            with _failures_of(runner):
                content = await session.acall(call, messages)
            if content is None:
                continue
            if not isinstance(content, str):
                raise ToolError(f"The tool {name} returned {type(content).__name__}; a result is text.")
            if len(content) > LONGEST_RESULT:
                raise ToolError(
                    f"The tool {name} returned {len(content):,} characters; no more than {LONGEST_RESULT:,} are passed "
                    "on."
                )
            return without_surrogates(content)
        if mistake is not None:
            return one_line(mistake, MOST_OF_MISTAKE)
        raise ToolError(f"Nothing can run the call of {name}: give the tools, with --tools (tools=).")

    def _mistake(self, call: ToolCall) -> str | None:
        """What the assistant did wrong, as its result; None for a call that can be run."""
        if not call.name:
            return f"{ERROR}the call names no tool"
        if call.name not in self._known and (self._known or self._runners):
            known = ", ".join(map(_short, self._known)) or "none"
            return f"{ERROR}there is no tool {_short(call.name)}; there are {known}"
        if (arguments := call.parsed) is None:
            return f"{ERROR}the arguments are no JSON object"
        tool = self._known.get(call.name, {})
        wrong = [] if is_inferred(tool) else mistakes(arguments, tool)
        return f"{ERROR}{'; '.join(wrong)}" if wrong else None

    async def __aenter__(self) -> "OpenToolbox":
        try:
            for runner in self._runners:
                with _failures_of(runner):
                    self._sessions.append((runner, runner.open(self._scene)))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all of them; what one of them raises then changes nothing."""
        for runner, session in self._sessions:
            with suppress(ToolError), _failures_of(runner):
                await session.aclose()


@contextmanager
def _failures_of(runner: ToolRunner) -> Iterator[None]:
    """Whatever somebody's own runner raises loses the sample, and never ends the run."""
    try:
        yield
    except (SampleError, RunStoppedError, UsageError):
        raise
    except BaseException as error:
        if ends_the_run(error):
            raise
        told = one_line(error_text(error))
        raise ToolError(f"The tools {_short(runner.name)} failed: {type(error).__name__}: {told}") from error


def _short(name: str) -> str:
    return name if len(name) <= MOST_OF_NAME else f"{name[: MOST_OF_NAME - 1]}…"


def goes_in_a_circle(turn: Sequence[Message]) -> bool:
    """Whether the assistant has made the same calls again and again, and got the same results."""
    rounds: list[list[tuple[str, str]]] = []
    for message in turn:
        if message.role == "assistant":
            rounds.append([(call.name, call.arguments) for call in message.calls])
        elif message.role == "tool" and rounds:
            rounds[-1].append(("", message.content))
    last = rounds[-SAME_CALLS:]
    return len(last) == SAME_CALLS and bool(last[0]) and all(each == last[0] for each in last)
