"""The runs of an app that are going on, and what of them is to be recorded when they end."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.outputs import ChatGenerationChunk, LLMResult

from collab_langchain.answers import matching
from collab_langchain.calls import EndedCall, StartedCall, broken_off_call, ended_call, reply_marks
from collab_langchain.identity import Identity
from collab_langchain.latest import Latest
from collab_langchain.telling import Root, Telling, errand
from collab_langchain.transcripts import transcript_of
from collab_sdk.logs import LoggedCall

CALLS_OF_A_ROOT = 64
"""How many calls back the answer of a root run is looked for."""
ENDED = 4096
"""Of so many runs that have ended, and calls that are left out, it is remembered what they belong to."""


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
        self._ended: Latest[UUID, AppRun] = Latest(ENDED)
        self._left_out: Latest[UUID, Root] = Latest(ENDED)
        self._telling = Telling()
        self._process = os.getpid()

    def get(self, run_id: UUID | None) -> AppRun | None:
        """A run that is going on, or one whose answer is given: its errands may begin after it."""
        if run_id is None:
            return None
        ended = self._ended.get(run_id)
        return self._runs.get(run_id) or (ended if ended is not None and ended.root.is_answered else None)

    def enter(self, run_id: UUID, run: AppRun) -> None:
        self._runs[run_id] = run

    def start(self, call: StartedCall, root: Root | None) -> None:
        if root is not None and root.told and (root.is_given_up or not root.is_answered):  # it goes on all the same
            root = None
        if root is not None:
            root.pending[call.run_id] = None
        self._calls[call.run_id] = _Pending(call, root)

    def leave_out(self, run_id: UUID, root: Root) -> None:
        """A call has started that the app does not want recorded: what it says is not the run's own answer either."""
        self._left_out.put(run_id, root)

    def stream(self, run_id: UUID, piece: ChatGenerationChunk | str) -> None:
        if (pending := self._calls.get(run_id)) is not None:
            pending.call.pieces.append(piece)

    def end(
        self, run_id: UUID, result: LLMResult | None, now: float, *, error: BaseException | None = None
    ) -> list[LoggedCall]:
        """A call has ended: what there is to record."""
        if (root := self._left_out.pop(run_id)) is not None:
            root.left_out.update(reply_marks(result))
            return []
        pending = self._calls.pop(run_id, None)
        if pending is None:
            return []
        if error is not None and _is_control_flow(error):
            return self._settled(pending, None, now)
        return self._settled(pending, ended_call(pending.call, result, now, error=error), now)

    def leave(
        self, run_id: UUID, now: float, *, inputs: Any = None, output: Any = None, error: BaseException | None = None
    ) -> list[LoggedCall]:
        """A run has ended: if it is a root, its answer."""
        run = self._runs.pop(run_id, None)
        if run is None:
            return []
        self._ended.put(run_id, run)
        if not run.is_root or run.root.is_ignored:
            return []
        root = run.root
        if inputs is not None:  # a stream's, of which nothing was known when it began
            root.take(inputs)
        root.find_question()
        if error is not None and not _is_control_flow(error):
            self._break_off(root, now)
            return self._telling.told(root, None, now, is_failed=True)
        transcript = transcript_of(root.question, output, _is_reply_of(root)) if root.is_chain else None
        if transcript is None or matching(list(root.calls), transcript) is None:
            if self._is_broken_off(root, output):
                self._break_off(root, now)
                return self._telling.told(root, None, now, is_failed=True)
            if transcript is None and root.pending:
                root.over = True
                return []
        return self._telling.told(root, transcript, now)

    def abandon(self, run_id: UUID, now: float) -> list[LoggedCall]:
        """The task that made a call is cancelled: what had come of it."""
        pending = self._calls.pop(run_id, None)
        return [] if pending is None else self._settled(pending, broken_off_call(pending.call, now), now)

    def expire(self, now: float, *, everything: bool = False) -> list[LoggedCall]:
        """Give up what is too old or too much, or everything: what there is to record of it."""
        if os.getpid() != self._process:  # what was going on at a fork goes on in the process that forked
            self._process = os.getpid()
            self._runs.clear()
            self._calls.clear()
            self._ended.clear()
            self._left_out.clear()
        records: list[LoggedCall] = []
        for pending in self._given_up(self._calls, now, everything):
            records += self._settled(pending, broken_off_call(pending.call, now), now)
        for run in self._given_up(self._runs, now, everything):
            if run.is_root:
                run.root.is_given_up = True
                self._break_off(run.root, now)
                records += self._telling.told(run.root, None, now, is_failed=True)
        return records

    def _given_up(self, going_on: dict[UUID, Started], now: float, everything: bool) -> Iterator[Started]:
        while True:
            try:
                run_id = next(iter(going_on))
            except (StopIteration, RuntimeError):  # none is left, or another thread is at it
                return
            oldest = going_on.get(run_id)
            is_due = len(going_on) > self._limit or (oldest is not None and now - oldest.started > self._time_limit)
            if oldest is None or not (everything or is_due):
                return
            if going_on.pop(run_id, None) is not None:
                yield oldest

    def _break_off(self, root: Root, now: float) -> None:
        """LangChain tells only the runs around a call that its task is cancelled or its graph's stream closed."""
        for run_id in list(root.pending):
            if (pending := self._calls.pop(run_id, None)) is not None:
                root.calls.append(broken_off_call(pending.call, now))
        root.pending.clear()

    def _is_broken_off(self, root: Root, output: Any) -> bool:
        """Whether a chain has returned a piece of a reply: closing its stream ends it so, before its model."""
        if not isinstance(output, str):
            output = getattr(output, "text", None)
        if not isinstance(output, str):
            return False
        pending = [self._calls.get(run_id) for run_id in list(root.pending)]
        return any(each.call.streamed.startswith(output) for each in pending if each is not None and each.call.pieces)

    def _settled(self, pending: _Pending, ended: EndedCall | None, now: float) -> list[LoggedCall]:
        root = pending.root
        if root is None:
            return [] if ended is None else _rootless(ended.record)
        root.pending.pop(pending.call.run_id, None)
        if ended is not None and root.told:
            return errand(root, ended)
        if ended is not None:
            root.calls.append(ended)
        if root.over and not root.pending:
            return self._telling.told(root, None, now)
        return errand(root, root.calls.popleft()) if len(root.calls) > CALLS_OF_A_ROOT else []


def _rootless(record: LoggedCall) -> list[LoggedCall]:
    return [] if record.is_side and record.conversation_id is None else [record]


def _is_reply_of(root: Root) -> Callable[[str], bool]:
    return lambda text: any(text in call.marks for call in list(root.calls))


def _is_control_flow(error: BaseException) -> bool:
    """Whether a graph pauses or hands over; LangGraph need not be installed."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
