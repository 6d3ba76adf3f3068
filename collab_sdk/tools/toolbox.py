"""The tools at hand in a future: who is asked to run a call, and what is checked before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import ToolError
from collab_sdk.messages import Message, ToolCall
from collab_sdk.tools.base import Scene, ToolRunner, ToolSession, tool_name
from collab_sdk.tools.inferred import CallShapes
from collab_sdk.tools.schema import mistakes
from collab_sdk.tools.simulated import SimulatedTools
from collab_sdk.types import Conversation

MOST_CHARACTERS = 200_000
"""In one result. What is longer would be in every later prompt of the future."""
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
            shapes.add(conversation.messages)
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
        scene = replace(scene, tools=self.tools(scene.tools))
        return OpenToolbox(scene, [runner.open(scene) for runner in self.runners])


class OpenToolbox:
    """The tools of one future; to be used with `async with`."""

    def __init__(self, scene: Scene, sessions: Sequence[ToolSession]) -> None:
        self.tools = scene.tools
        self._known = {tool_name(tool): tool for tool in scene.tools}
        self._sessions = sessions

    async def arun(self, calls: Sequence[ToolCall], messages: Sequence[Message]) -> list[Message]:
        """The results of calls, one after another in their order, for each sees what those before it did.

        A call that cannot be run as it is, since there is no such tool or its arguments do not fit, has an error as its
        result, which is the assistant's to mend. Raises SampleError where nobody can run it.
        """
        results: list[Message] = []
        for call in calls:
            content = self._mistake(call)
            if content is None:
                content = await self._arun(call, [*messages, *results])
            results.append(Message(role="tool", content=content, name=call.name or None, tool_call_id=call.id))
        return results

    async def _arun(self, call: ToolCall, messages: Sequence[Message]) -> str:
        for session in self._sessions:
            if (content := await session.acall(call, messages)) is not None:
                if len(content) > MOST_CHARACTERS:
                    raise ToolError(
                        f"The tool {call.name} returned {len(content):,} characters; no more than "
                        f"{MOST_CHARACTERS:,} are passed on."
                    )
                return content
        raise ToolError(f"Nothing can run the call of {call.name}: give the tools, with --tools (tools=).")

    def _mistake(self, call: ToolCall) -> str | None:
        """What the assistant did wrong, as its result; None for a call that can be run."""
        if not call.name:
            return "error: the call names no tool"
        if self._known and call.name not in self._known:
            return f"error: there is no tool {call.name}; there are {', '.join(self._known)}"
        if (arguments := call.parsed) is None:
            return "error: the arguments are no JSON object"
        wrong = mistakes(arguments, self._known.get(call.name, {}))
        return f"error: {'; '.join(wrong)}" if wrong else None

    async def __aenter__(self) -> "OpenToolbox":
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions:
            await session.aclose()


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
