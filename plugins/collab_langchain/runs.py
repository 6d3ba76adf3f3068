"""The runs of an app that are going on, and what of them is to be recorded when they end."""

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.outputs import LLMResult

from collab_langchain.calls import EndedCall, StartedCall, ended_call
from collab_langchain.identity import Identity
from collab_langchain.marks import marks_of
from collab_sdk.logs import LoggedCall

CALLS_OF_A_ROOT = 64
"""How many calls back the answer of a root run is looked for."""


@dataclass(slots=True, eq=False)
class Root:
    """A run that no other has started: an answer in the making."""

    pending: set[UUID] = field(default_factory=set)
    calls: deque[EndedCall] = field(default_factory=lambda: deque(maxlen=CALLS_OF_A_ROOT))
    over: bool = False
    """It has returned before its calls: a stream that was broken off ends from the outside in."""
    told: bool = False
    """Its answer is recorded; calls that are still pending are the app's own errands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRun:
    """A chain, graph, node, tool or retriever."""

    root: Root
    is_root: bool
    identity: Identity
    wanted: bool
    started: float


@dataclass(frozen=True, slots=True)
class _Pending:
    call: StartedCall
    root: Root | None

    @property
    def started(self) -> float:
        return self.call.started


Started = TypeVar("Started", AppRun, _Pending)


class Runs:
    """What has started and not yet ended. What nobody reports as ended is given up after `time_limit` seconds, or when
    it is the oldest of more than `limit`.

    There are no locks, and every step is one operation on a dict, set or deque, which is atomic: the garbage collector
    may end an abandoned stream, and with it call this, in the middle of any method.
    """

    def __init__(self, *, time_limit: float, limit: int) -> None:
        self._time_limit = time_limit
        self._limit = limit
        self._runs: dict[UUID, AppRun] = {}
        self._calls: dict[UUID, _Pending] = {}
        self._process = os.getpid()

    def get(self, run_id: UUID | None) -> AppRun | None:
        return None if run_id is None else self._runs.get(run_id)

    def enter(self, run_id: UUID, run: AppRun) -> None:
        self._runs[run_id] = run

    def start(self, call: StartedCall, root: Root | None) -> None:
        if root is not None and root.told:  # given up, and goes on all the same
            root = None
        if root is not None:
            root.pending.add(call.run_id)
        self._calls[call.run_id] = _Pending(call, root)

    def end(
        self, run_id: UUID, result: LLMResult | None, now: float, *, error: BaseException | None = None
    ) -> list[LoggedCall]:
        """A call has ended: what there is to record."""
        pending = self._calls.pop(run_id, None)
        if pending is None:
            return []
        if error is not None and _is_control_flow(error):
            return _settled(pending, None)
        status = "ok" if error is None else _status_after(error)
        return _settled(pending, ended_call(pending.call, result, now, status=status, error=error))

    def leave(
        self, run_id: UUID, now: float, *, output: Any = None, error: BaseException | None = None
    ) -> list[LoggedCall]:
        """A run has ended: if it is a root, its answer."""
        run = self._runs.pop(run_id, None)
        if run is None or not run.is_root:
            return []
        root, shown = run.root, marks_of(output)
        if error is not None and _status_after(error) != "partial":
            self._cancel(root, now)
        if root.pending and not any(call.marks & shown for call in list(root.calls)):
            root.over = True
            return []
        return _told(root, shown)

    def expire(self, now: float) -> list[LoggedCall]:
        """Give up what is too old or too much: what there is to record of it."""
        if os.getpid() != self._process:  # what was going on at a fork goes on in the process that forked
            self._process = os.getpid()
            self._runs.clear()
            self._calls.clear()
        records: list[LoggedCall] = []
        for pending in self._given_up(self._calls, now):
            records += _settled(pending, ended_call(pending.call, None, now, status="cancelled"))
        for run in self._given_up(self._runs, now):
            if run.is_root:
                self._cancel(run.root, now)
                records += _told(run.root, frozenset())
        return records

    def _given_up(self, going_on: dict[UUID, Started], now: float) -> Iterator[Started]:
        while True:
            try:
                run_id = next(iter(going_on))
            except (StopIteration, RuntimeError):  # none is left, or another thread is at it
                return
            oldest = going_on.get(run_id)
            if oldest is None or (len(going_on) <= self._limit and now - oldest.started <= self._time_limit):
                return
            if going_on.pop(run_id, None) is not None:
                yield oldest

    def _cancel(self, root: Root, now: float) -> None:
        """LangChain says nothing of a call whose task is cancelled, only of the runs around it."""
        for run_id in list(root.pending):
            if (pending := self._calls.pop(run_id, None)) is not None:
                root.calls.append(ended_call(pending.call, None, now, status="cancelled"))
        root.pending.clear()


def _settled(pending: _Pending, ended: EndedCall | None) -> list[LoggedCall]:
    root = pending.root
    if root is None:
        return [] if ended is None else [ended.record]
    root.pending.discard(pending.call.run_id)
    if ended is not None:
        root.calls.append(ended)
    return _told(root, frozenset()) if root.over and not root.pending else []


def _told(root: Root, shown: frozenset[str]) -> list[LoggedCall]:
    root.told = True
    return [answer.record for answer in _answers(list(root.calls), shown)]


def _answers(calls: Sequence[EndedCall], shown: frozenset[str]) -> list[EndedCall]:
    """One for each conversation: a root run is nearly always in one, but may be a loop over many.

    `shown` are the marks of what the root run returned.
    """
    by_conversation: dict[str | None, list[EndedCall]] = {}
    for call in calls:
        by_conversation.setdefault(call.record.conversation_id, []).append(call)
    return [_answer(group, shown) for group in by_conversation.values()]


def _answer(calls: Sequence[EndedCall], shown: frozenset[str]) -> EndedCall:
    """The last whose reply is shown; where the app reworks replies, the last that was no tool step.

    Titles, guardrails and follow-up questions are often asked for after the answer.
    """
    outputs = [call for call in calls if not call.is_tool_step] or calls
    return next((call for call in reversed(outputs) if call.marks & shown), outputs[-1])


def _is_control_flow(error: BaseException) -> bool:
    """Whether a graph pauses or hands over; LangGraph need not be installed."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)


def _status_after(error: BaseException) -> str:
    """The status of a model call. A stream that its reader breaks off is closed, which raises GeneratorExit in it."""
    if isinstance(error, GeneratorExit):
        return "partial"
    stopped = isinstance(error, asyncio.CancelledError | CancelledError | KeyboardInterrupt | SystemExit)
    return "cancelled" if stopped else "failed"
