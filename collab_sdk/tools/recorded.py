"""Results that the log holds: the same call of the same tool, with the same written before it, gives the same again.

A recorded result must not stand where something was written since. Which calls write is read off their names: those
that begin with a word such as get, find, list, search, look, check, read, fetch, query, calculate, think or show only
read, unless a word such as update follows; every other call may have changed something, unless its result is an error.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.messages import Message, ToolCall, only_reads
from collab_sdk.tools.base import Done, Scene, done_calls

Key = tuple[str, str]
Written = frozenset[tuple[Key, int]]
"""What was written: calls that may have changed something, and how often each was made."""


class RecordedTools:
    """Answers calls that the log has answered, by name and arguments, as long as nothing else was written since.

    A result stands where the same writing calls were made before it in the log as in this future. Of several, it is the
    last one at or before the point up to which the future is the log, or else the first one after it. So the log's own
    results after the point count too, a recorded write leads on to what was read after it, and a write that is not on
    record leaves the rest to somebody who knows what was written, such as the simulated tools.
    """

    name = "recorded"
    code = None
    tools = ()

    def open(self, scene: Scene) -> "RecordedSession":
        """The tools of a new future."""
        return RecordedSession(scene.logged)


@dataclass(frozen=True, slots=True)
class _Record:
    place: int
    """Of the call among those of the log."""
    result: str


class RecordedSession:
    """The recorded results of one conversation."""

    def __init__(self, logged: tuple[Message, ...]) -> None:
        self._logged = logged
        self._records: dict[tuple[Key, Written], list[_Record]] | None = None

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """The recorded result, if there is one."""
        if self._records is None:
            self._records = _records(done_calls(self._logged))
        written = _written(done_calls(messages, before=call))
        records = self._records.get((_key(call), written), [])
        common = _common(self._logged, messages)
        reached = sum(len(message.tool_calls) for message in self._logged[:common])
        before = [record for record in records if record.place < reached]
        return before[-1].result if before else records[0].result if records else None

    async def aclose(self) -> None:
        """Nothing is held."""


def _records(calls: Iterable[Done]) -> dict[tuple[Key, Written], list[_Record]]:
    """The results of a log, by the call and what had been written before it."""
    found: dict[tuple[Key, Written], list[_Record]] = {}
    writes: Counter[Key] = Counter()
    written: Written = frozenset()
    for place, done in enumerate(calls):
        if done.result is not None:
            found.setdefault((_key(done.call), written), []).append(_Record(place, done.result))
        if _may_write(done):
            writes[_key(done.call)] += 1
            written = frozenset(writes.items())
    return found


def _written(calls: Iterable[Done]) -> Written:
    return frozenset(Counter(_key(done.call) for done in calls if _may_write(done)).items())


def _may_write(done: Done) -> bool:
    if (done.result or "").lstrip()[:5].lower() == "error":
        return False
    return not only_reads(done.call.name)


def _common(logged: Sequence[Message], messages: Sequence[Message]) -> int:
    """How many messages both begin with."""
    pairs = enumerate(zip(logged, messages, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(logged), len(messages)))


def _key(call: ToolCall) -> Key:
    """The call, alike however its arguments are ordered and numbers written."""
    if (arguments := call.parsed) is None:
        return call.name, call.arguments
    return call.name, json.dumps(_canonical(arguments), sort_keys=True)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
