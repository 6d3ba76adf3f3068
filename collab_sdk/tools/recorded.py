"""Results that the log holds: the same call of the same tool gives what it gave then."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from collab_sdk.tools.base import Scene
from collab_sdk.types import Message, ToolCall


class RecordedTools:
    """Answers calls that the log has answered, by name and arguments."""

    name = "recorded"
    fingerprint: Mapping[str, Any] = MappingProxyType({"tools": "recorded", "version": 1})
    tools = ()

    def open(self, scene: Scene) -> "RecordedSession":
        """The tools of a new future."""
        return RecordedSession(scene.logged)


class RecordedSession:
    """The recorded results of one conversation."""

    def __init__(self, logged: Iterable[Message]) -> None:
        self._results: dict[tuple[str, str], str] = {}
        calls: dict[str | None, ToolCall] = {}
        for message in logged:
            calls.update({call.id: call for call in message.calls})
            if message.role == "tool" and (call := calls.get(message.tool_call_id)) is not None:
                self._results.setdefault(_key(call), message.content)

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """The recorded result, if there is one."""
        return self._results.get(_key(call))

    async def aclose(self) -> None:
        """Nothing is held."""


def _key(call: ToolCall) -> tuple[str, str]:
    return call.name, repr(call.parsed)
