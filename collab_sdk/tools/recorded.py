"""Results that the log holds: the same call of the same tool, with the same written before it, gives the same again.

A recorded result must not stand where something was written since. Which calls write is read off their names: those
that begin with a word such as get, find, list, search, look, check, read, fetch, query, calculate, think or show only
read, unless the rest of the name leaves doubt (get_or_create, check_in); every other call may have changed something,
unless its result is an error.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from collab_sdk.messages import Message, ToolCall, only_reads
from collab_sdk.tools.base import Done, Scene, done_calls, is_error

Key = tuple[str, str]
Place = tuple[Key, int]
"""A call, and what was written before it: the sum of the hashes of the calls that may have changed something."""
MOST_WRITTEN = 2**128
MOST_LOGS = 128
"""Logs whose results are kept at hand."""


class RecordedTools:
    """Answers calls that the log has answered, by name and arguments, as long as nothing else was written since.

    A result stands where the same writing calls were made before it in the log as in this future, in whatever order. Of
    several, the first such call of the conversation gets the first, the second the second, and so on, and those after
    the last one get the last. So the log's own results after the point count too, a bot that asks again until something
    is ready gets what the log got, a recorded write leads on to what was read after it, and a write that is not on
    record leaves the rest to somebody who knows what was written, such as the simulated tools.
    """

    name = "recorded"
    code = None
    tools = ()

    def __init__(self) -> None:
        self._logs: OrderedDict[int, Records] = OrderedDict()

    def open(self, scene: Scene) -> "RecordedSession":
        """The tools of a new future."""
        records = self._logs.pop(id(scene.logged), None) or Records(scene.logged)
        self._logs[id(scene.logged)] = records  # which holds on to the log, so that no other one gets its id
        if len(self._logs) > MOST_LOGS:
            self._logs.popitem(last=False)
        return RecordedSession(records)


class Records:
    """The results of a log, by the call and what had been written before it, in their order."""

    def __init__(self, logged: tuple[Message, ...]) -> None:
        self.logged = logged
        self._keys: dict[ToolCall, Key] = {}
        self._results: dict[Place, list[str]] | None = None

    def at(self, place: Place) -> list[str]:
        """The results of a call there; they are read off the log when the first one is asked for."""
        if self._results is None:
            self._results = {}
            for done, found in _places(done_calls(self.logged), self._logged_key):
                if done.result is not None:
                    self._results.setdefault(found, []).append(done.result)
        return self._results.get(place, [])

    def key(self, call: ToolCall) -> Key:
        """Of a call, which is often one of the log's."""
        return self._keys.get(call) or _key(call)

    def _logged_key(self, call: ToolCall) -> Key:
        return self._keys.setdefault(call, _key(call))


class RecordedSession:
    """The recorded results of one conversation."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """The recorded result, if there is one."""
        made = done_calls(messages, before=call)
        *before, (_, place) = _places([*made, Done(call, None)], self._records.key)
        results = self._records.at(place)
        again = sum(done.result is not None and found == place for done, found in before)
        return results[min(again, len(results) - 1)] if results else None

    async def aclose(self) -> None:
        """Nothing is held."""


def _places(calls: Iterable[Done], key_of: Callable[[ToolCall], Key]) -> Iterator[tuple[Done, Place]]:
    """The calls, each with its place; what was written is the same in whatever order it was."""
    written = 0
    for done in calls:
        key = key_of(done.call)
        yield done, (key, written)
        if not only_reads(done.call.name) and not is_error(done.result or ""):
            digest = hashlib.blake2b("\0".join(key).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            written = (written + int.from_bytes(digest)) % MOST_WRITTEN


def _key(call: ToolCall) -> Key:
    """The call, alike however its arguments are ordered and numbers written."""
    try:
        if (arguments := call.parsed) is not None:
            return call.name, json.dumps(_canonical(arguments), sort_keys=True)
    except RecursionError:  # nested too deep to be put into a form
        pass
    return call.name, call.arguments


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
