"""The calls that have begun: what surrounds them, and how it is known that LiteLLM will not tell of their end."""

import asyncio
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collab_sdk.harvest import current_conversation, suppressed

ORDER = ("cancelled", "failed", "partial", "ok")
"""What is known of an ending is replaced by a better one only."""
LIMIT = 10_000
"""Calls that are remembered; of more than this, the oldest are forgotten."""


@dataclass(kw_only=True, slots=True)
class BegunCall:
    """One call, and what came of it so far."""

    details: Mapping[str, Any]
    """What LiteLLM knows of it, which it goes on filling in."""
    conversation: str | None = field(default_factory=current_conversation)
    suppressed: bool = field(default_factory=suppressed)
    sent: bool = False
    """Whether the endpoint was asked; else LiteLLM may answer from its cache."""
    is_told: bool = True
    """Whether LiteLLM tells this logger of it."""
    cached: bool = False
    error: str | None = None
    chunks: list[Any] | None = None
    """What has come of a streamed chat completion."""
    response: Any = None
    """What has come of a streamed response."""
    last_event: Any = None
    has_unreadable: bool = False
    """Whether an event of it was in a form that is not known."""
    watched: list[Any] = field(default_factory=list)
    """Weak references and callbacks that tell when nobody waits any more; they last as long as they are kept."""


class BegunCalls:
    """The calls that have begun and not ended, by id, and how the last ones ended.

    `on_gone` is given a call of which nobody is waiting for the end any more.
    """

    def __init__(self, on_gone: Callable[[str, BegunCall], None]) -> None:
        # Without a lock, which a fork could leave held: each step is one of the interpreter's own.
        self._open: OrderedDict[str, BegunCall] = OrderedDict()
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._on_gone = on_gone
        self._process = os.getpid()

    def begin(self, call_id: str, details: Mapping[str, Any]) -> BegunCall:
        """The call with this id, begun now if it had not: LiteLLM keeps the id where it falls back to another model."""
        if self._process != os.getpid():  # a fork: its parent's calls are not its own
            self._open.clear()
            self._process = os.getpid()
        begun = self._open.get(call_id)
        if begun is None:
            begun = self._open[call_id] = BegunCall(details=details)
            if len(self._open) > LIMIT:
                self._gone(next(iter(self._open)))
        return begun

    def find(self, call_id: str) -> BegunCall | None:
        return self._open.get(call_id)

    def watch(self, call_id: str, what: Any) -> None:
        """Take the call for ended when an object is gone that lives as long as anybody waits for it."""
        if (begun := self._open.get(call_id)) is not None:
            begun.watched.append(weakref.ref(what, lambda _: self.gone(call_id)))

    def watch_task(self, call_id: str) -> None:
        """Take a call that is awaited for ended when the task ends that awaits it: it was cancelled."""
        task = asyncio.current_task()
        if task is None:
            return

        def ended(_: Any) -> None:
            if (begun := self._open.get(call_id)) is not None and begun.sent:
                self.gone(call_id)

        task.add_done_callback(ended)
        begun = self._open[call_id]
        begun.watched.append(_Undo(task, ended))

    def end(self, call_id: str, status: str) -> bool:
        """Note how a call ended. False if that is known: LiteLLM tells of it more than once.

        A call that was given up may have failed, and one that failed may still be answered, by another model.
        """
        before = self._ended.get(call_id)
        if before is not None and ORDER.index(status) <= ORDER.index(before):
            return False
        self._ended[call_id] = status
        if len(self._ended) > LIMIT:
            self._ended.popitem(last=False)
        return True

    def close(self, call_id: str) -> None:
        """Let go of what is known of a call."""
        if (begun := self._open.pop(call_id, None)) is not None:
            for watched in begun.watched:
                if isinstance(watched, _Undo):
                    watched()

    def gone(self, call_id: str) -> None:
        """Nobody waits for this call any more."""
        if call_id in self._open:
            self._gone(call_id)

    def finish(self) -> None:
        """At the end of the process: what has not ended will not."""
        if self._process == os.getpid():
            for call_id in list(self._open):
                self._gone(call_id)

    def _gone(self, call_id: str) -> None:
        begun = self._open.get(call_id)
        if begun is not None:
            self._on_gone(call_id, begun)
            self.close(call_id)


@dataclass(frozen=True, slots=True)
class _Undo:
    """Takes a callback from a task that may live on."""

    task: "asyncio.Task[Any]"
    callback: Callable[[Any], None]

    def __call__(self) -> None:
        loop = self.task.get_loop()
        if not loop.is_closed():
            self.task.remove_done_callback(self.callback)
