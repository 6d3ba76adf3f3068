"""The callback handler that records what a LangChain or LangGraph app does."""

import asyncio
import atexit
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial, wraps
from typing import Any, Self
from uuid import UUID
from weakref import WeakSet

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult

from collab_langchain.calls import started_call
from collab_langchain.identity import NOBODY, identity
from collab_langchain.runs import AppRun, Runs
from collab_langchain.snapshot import openai_dicts
from collab_langchain.telling import Root
from collab_sdk.harvest import IGNORE_TAG, CallContext, CallStore, Recorder, RecorderStats, suppressed
from collab_sdk.logs import LoggedCall

PENDING_LIMIT = 10_000
INTERNAL_MARKS = ("lc_source", "lc_internal_call")
"""Metadata by which LangChain's middleware marks calls of its own: summaries, tool selection, tool emulation."""

HIDING_TAGS = frozenset({"nostream", "langsmith:nostream"})
"""By which an app tells LangGraph to keep a call's tokens from its stream."""


def _quiet(callback: Callable[..., None]) -> Callable[..., Any]:
    """LangChain lets some exceptions of a handler through to the app, and prints the others."""

    @wraps(callback)
    def guarded(self: "CollabCallbackHandler", *arguments: Any, **named: Any) -> None:
        with self._recorder.quietly():
            callback(self, *arguments, **named)

    return guarded


class CollabCallbackHandler(BaseCallbackHandler):
    """Records the conversations of an app, sync or async: `config={"callbacks": [CollabCallbackHandler("chats.db")]}`.

    Of each root run the call is kept whose reply the person saw, with what they and the app said to each other by the
    run's input and output; its other calls (titles, guards, sub-agents) are kept as side calls, beside the chat. Not
    recorded are calls tagged `collab:ignore` and those inside `suppress()`; with `only`, nothing but calls in a run or
    LangGraph node of these names.

    `store` may be a Recorder, which comes with its own options; for what `sync` to `queue_size` mean see there. Runs
    that never report their end are given up after `time_limit` seconds, calls among them recorded as cancelled.
    `clock` gives Unix seconds.
    """

    run_inline = True

    def __init__(
        self,
        store: Recorder | CallStore | str | os.PathLike[str],
        *,
        only: Iterable[str] = (),
        sync: bool = False,
        sample: float = 1.0,
        consent: Callable[[CallContext], bool] | None = None,
        redact: Callable[[str], str] | None = None,
        salt: str | None = None,
        queue_size: int = 10_000,
        time_limit: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recorder = (
            store
            if isinstance(store, Recorder)
            else Recorder(
                store, sync=sync, sample=sample, consent=consent, redact=redact, salt=salt, queue_size=queue_size
            )
        )
        self._only = frozenset(only)
        self._clock = clock
        self._runs = Runs(time_limit=time_limit, limit=PENDING_LIMIT)
        _living.add(self)
        _watch_for_the_end()
        self._watched: dict[UUID, tuple[asyncio.Task[Any], Callable[[asyncio.Task[Any]], None]]] = {}

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything recorded so far is in the store; False if that takes longer than `timeout` seconds."""
        return self._recorder.flush(timeout)

    def stats(self) -> RecorderStats:
        return self._recorder.stats()

    def close(self) -> None:
        """Record what is still going on as cancelled, and write what is queued."""
        self._end_all()
        self._recorder.close()

    def _end_all(self) -> None:
        with self._recorder.quietly():
            self._record(self._runs.expire(self._clock(), everything=True))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:  # some apps copy their configs
        return self

    @_quiet
    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **unused: Any,
    ) -> None:
        self._enter(run_id, parent_run_id, tags or [], metadata or {}, name, inputs=inputs, is_chain=True)

    @_quiet
    def on_tool_start(
        self,
        *_: Any,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **unused: Any,
    ) -> None:
        self._enter(run_id, parent_run_id, tags or [], metadata or {}, name)

    @_quiet
    def on_chain_end(self, output: Any, *, run_id: UUID, inputs: Any = None, **unused: Any) -> None:
        self._record(self._runs.leave(run_id, self._clock(), inputs=inputs, output=output))

    @_quiet
    def on_chain_error(self, error: BaseException, *, run_id: UUID, inputs: Any = None, **unused: Any) -> None:
        self._record(self._runs.leave(run_id, self._clock(), inputs=inputs, error=error))

    # Models are called within tools and retrievers too, and their answer is the chain's.
    on_retriever_start = on_tool_start
    on_tool_end = on_retriever_end = on_chain_end
    on_tool_error = on_retriever_error = on_chain_error

    @_quiet
    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **details: Any,
    ) -> None:
        self._start(run_id, parent_run_id, messages, tags or [], metadata or {}, details)

    @_quiet
    def on_llm_start(
        self,
        serialized: Any,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **details: Any,
    ) -> None:
        messages = [[HumanMessage(text)] for text in prompts]
        self._start(run_id, parent_run_id, messages, tags or [], metadata or {}, details)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **unused: Any) -> None:
        self._runs.stream(run_id, token if chunk is None else chunk)

    @_quiet
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **unused: Any) -> None:
        self._unwatch(run_id)
        self._record(self._runs.end(run_id, response, self._clock()))

    @_quiet
    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, response: LLMResult | None = None, **unused: Any
    ) -> None:
        self._unwatch(run_id)
        self._record(self._runs.end(run_id, response, self._clock(), error=error))

    def _enter(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: Sequence[str],
        metadata: Mapping[str, Any],
        name: str | None,
        *,
        inputs: Any = None,
        is_chain: bool = False,
    ) -> None:
        above, now = self._runs.get(parent_run_id), self._clock()
        whose = identity(metadata, above.identity if above else NOBODY)
        wanted = self._is_wanted(above, metadata, name)
        if above is None:
            self._give_up(now)
            root = Root(
                run_id=run_id,
                identity=whose,
                started=now,
                is_chain=is_chain,
                is_ignored=_is_left_out(tags),
                is_chosen=not wanted,
                name=name or "",
            )
            if is_chain:
                root.take(inputs)
        else:
            root = above.root
            root.is_graph = root.is_graph or "langgraph_node" in metadata
        self._runs.enter(run_id, AppRun(root=root, is_root=above is None, identity=whose, wanted=wanted, started=now))

    def _start(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        messages: Sequence[Sequence[BaseMessage]],
        tags: Sequence[str],
        metadata: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> None:
        now = self._clock()
        self._give_up(now)
        above = self._runs.get(parent_run_id)
        if _is_left_out(tags):
            if above is not None:
                self._runs.leave_out(run_id, above.root)
            return
        if not self._is_wanted(above, metadata, details.get("name")):
            return
        try:
            said = openai_dicts(messages[0])
        except Exception as error:
            self._recorder.count_unrecorded(f"messages that cannot be read: {type(error).__name__}")
            return
        call = started_call(
            run_id,
            identity(metadata, above.identity if above else NOBODY),
            said,
            ids=tuple(message.id for message in messages[0]),
            arguments=details.get("invocation_params") or {},
            metadata=metadata,
            is_internal=any(mark in metadata for mark in INTERNAL_MARKS),
            is_hidden=not HIDING_TAGS.isdisjoint(tags),
            now=now,
        )
        self._runs.start(call, above.root if above else None)
        if above is None:
            self._watch(run_id)

    def _watch(self, run_id: UUID) -> None:
        """LangChain says nothing of a call by itself whose task is cancelled."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop is running
            return
        if task is not None:
            watch = partial(self._task_ended, run_id)
            self._watched[run_id] = task, watch
            task.add_done_callback(watch)

    def _unwatch(self, run_id: UUID) -> None:
        if (watched := self._watched.pop(run_id, None)) is not None:
            task, watch = watched
            task.remove_done_callback(watch)

    def _task_ended(self, run_id: UUID, task: "asyncio.Task[Any]") -> None:
        self._watched.pop(run_id, None)
        if task.cancelled():
            with self._recorder.quietly():
                self._record(self._runs.abandon(run_id, self._clock()))

    def _give_up(self, now: float) -> None:
        records = self._runs.expire(now)
        if lost := sum(record.status == "cancelled" for record in records):
            self._recorder.count_unrecorded("calls whose end was never reported", lost)
        self._record(records)

    def _is_wanted(self, above: AppRun | None, metadata: Mapping[str, Any], name: str | None) -> bool:
        if not self._only or (above is not None and above.wanted):
            return True
        return name in self._only or metadata.get("langgraph_node") in self._only

    def _record(self, records: Iterable[LoggedCall]) -> None:
        for record in records:
            self._recorder.record(record)


_living: WeakSet[CollabCallbackHandler] = WeakSet()


@cache
def _watch_for_the_end() -> None:
    """See that what goes on when the process ends is recorded, before the recorders write for the last time."""
    atexit.register(_end_all)


def _end_all() -> None:
    for handler in list(_living):
        handler._end_all()


def _is_left_out(tags: Sequence[str]) -> bool:
    return IGNORE_TAG in tags or suppressed()
