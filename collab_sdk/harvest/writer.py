"""The one thread that writes to a store what the app's threads hand over."""

import contextlib
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from collab_sdk.errors import CollabError
from collab_sdk.harvest.once import WarnOnce, warn
from collab_sdk.harvest.pace import SHORTEST, Pace, Yielding
from collab_sdk.harvest.pending import Pending, collect_lost
from collab_sdk.harvest.sampling import Places
from collab_sdk.logs.store import LoggedCall

BATCH = 256
IDLE = 1.0
PAUSES = (0.1, 1.0)
"""Seconds before another try at a batch that the store refuses: a lock or a full disk may pass."""
QUEUE_FULL = "the queue was full, or the recorder closed"
KILLED = "lost in the queue of a process that was killed"


class CallStore(Protocol):
    """Where calls are kept. Raises StoreError.

    One that has `add_unrecorded(counts: Mapping[str, int])`, as ConversationStore, is also told how many calls could
    not be recorded, by reason.
    """

    def record(self, calls: Sequence[LoggedCall]) -> None: ...

    def close(self) -> None: ...


class Writer:
    """Takes calls without waiting and commits them in batches.

    Its thread starts with the first call and ends when there has been none for a second, and closes the store then: an
    idle writer holds neither thread nor file, and can be forgotten like any object.
    """

    def __init__(self, open_store: Callable[[], CallStore], *, path: Path | None = None) -> None:
        """`path` is the store's file, beside which the length of the queue is kept; None: nowhere."""
        self._open_store = open_store
        self._path = path
        self._store: CallStore | None = None
        self._pending: Pending | None = None
        self.places: Places = OrderedDict()
        self.reset()

    def before_fork(self) -> None:
        """Wait until no store is being opened: a half-open one would take its parent's locks into the child."""
        self._opening.acquire()

    def after_fork(self) -> None:
        self._opening.release()

    def reset(self) -> None:
        """Begin anew, as a forked child must: without its parent's thread, locks and queue."""
        self._store = None
        if self._pending is not None:
            self._pending.leave()
            self._pending = None
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._queue: deque[tuple[float, LoggedCall]] = deque()  # each with the time when it was queued
        self._in_hand: float | None = None  # when the oldest of the batch was queued that is being written
        self._pace = Pace()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._awaited = 0
        self._committing: set[int] = set()
        self._warn = WarnOnce()
        self.taken = self.recorded = self.failed = self.dropped = self.lost = 0
        self.skipped = self.redaction_failures = 0
        self.unrecorded: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()  # what the store has not been told of, by reason
        self._news = self._told = 0  # how often there was such, and how much of it the store has been offered

    @property
    def settled(self) -> int:
        return self.recorded + self.failed

    @property
    def waiting(self) -> float:
        """Seconds since the oldest call that is not settled was queued."""
        with self._changed:
            since = self._in_hand or (self._queue[0][0] if self._queue else None)
            return 0.0 if since is None else time.monotonic() - since

    def put(self, call: LoggedCall, limit: int | None = None) -> None:
        """Queue a call, or count it as dropped if `limit` are queued already.

        Once the interpreter is ending it is too late: no thread begins any more, and one that stands may hold a lock.
        """
        if sys.is_finalizing():
            return
        with self._changed:
            if limit is not None and self.taken - self.settled >= limit:
                self.dropped += 1
                self._miss(QUEUE_FULL)
            else:
                self._queue.append((time.monotonic(), call))
                self.taken += 1
                self._note()
                if self._thread is None:
                    self._start()
                elif len(self._queue) == 1:
                    self._changed.notify_all()

    def write(self, call: LoggedCall) -> None:
        """Commit a call before returning, in the caller's thread."""
        if threading.get_ident() in self._committing:  # the garbage collector has ended a stream amid a commit
            self.put(call)
            return
        with self._changed:
            self.taken += 1
        error: BaseException | None = None
        try:
            error = self._attempt([call])
        except BaseException as interrupt:
            error = interrupt
            raise
        finally:
            self._settle([call], error)

    def count_failure(self, error: BaseException) -> None:
        """Count a call that could not even be taken."""
        if sys.is_finalizing():
            return
        with self._changed:
            self.taken += 1
        self._settle([None], error)

    def count_unrecorded(self, reason: str, calls: int) -> None:
        if sys.is_finalizing():
            return
        with self._changed:
            is_new = reason not in self.unrecorded
            self.unrecorded[reason] += calls
            self._miss(reason, calls)
        if is_new:
            warn("A call of a chat model is not recorded: %s (said once; stats() counts).", reason)

    def count_skipped(self) -> None:
        with self._changed:
            self.skipped += 1

    def count_redaction_failure(self) -> None:
        with self._changed:
            self.redaction_failures += 1

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything taken so far is settled; False if that takes longer than `timeout` seconds."""
        with self._changed:
            if self._untold:
                self._news += 1  # once more, if the store has refused it
            goal, news = self.taken, self._news
            self._awaited += 1
            if self._has_work() and self._thread is None:
                self._start()
            alone = self._thread is None
        try:
            while alone and self._has_work():
                self._work()
            with self._changed:
                return self._changed.wait_for(lambda: self.settled >= goal and self._told >= news, timeout)
        finally:
            with self._changed:
                self._awaited -= 1

    def finish(self, timeout: float) -> None:
        """At the end of the process: write what is queued, without long waits for a store that refuses."""
        self._hurry.set()
        if self.flush(timeout):
            self._let_go()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="collab-harvest", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads, or the interpreter is ending: the next call tries
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._work()
                self._hurry.wait(self._breath())
        finally:
            with self._changed:
                if self._thread is threading.current_thread():  # whatever ended it, the next call starts another
                    self._thread = None

    def _work(self) -> None:
        if batch := self._next_batch():
            began = time.monotonic()
            self._write_batch(batch)
            self._pace.took(time.monotonic() - began)
        self._in_hand = None
        self._tell_untold()

    def _has_work(self) -> bool:
        return bool(self._queue) or self._told < self._news

    def _wait_for_work(self) -> bool:
        """False when there has been none for a while: then the thread ends."""
        with self._changed:
            if self._changed.wait_for(self._has_work, IDLE):
                return True
            self._thread = None
        self._let_go()
        return False

    def _write_batch(self, batch: Sequence[LoggedCall]) -> None:
        error = self._attempt(batch)
        for pause in PAUSES:
            if not isinstance(error, CollabError) or self._hurry.wait(pause):
                break
            error = self._attempt(batch)
        if error is not None and len(batch) > 1:
            self._one_by_one(batch)
        else:
            self._settle(batch, error)

    def _miss(self, reason: str, calls: int = 1) -> None:
        """Have the store told, by the thread, of calls that it will not get."""
        with self._changed:
            self._untold[reason] += calls
            self._news += 1
            if self._thread is None:
                self._start()
            else:
                self._changed.notify_all()

    def _tell_untold(self) -> None:
        """What the store refuses is kept, and offered again along with what comes later."""
        with self._changed:
            counts, self._untold, news = self._untold, Counter(), self._news
        error = self._attempt(counts) if counts else None
        with self._changed:
            if error is not None:
                self._untold.update(counts)
            self._told = news
            self._changed.notify_all()

    def _one_by_one(self, calls: Sequence[LoggedCall]) -> None:
        """Write what can be written of calls that cannot be written together."""
        failures = 0
        for position, call in enumerate(calls):
            error = self._attempt([call])
            self._settle([call], error)
            failures = failures + 1 if error is not None else 0
            if error is not None and failures == 2:  # it is not a call that is in the way, it is the store
                self._settle(calls[position + 1 :], error)
                return

    def _next_batch(self) -> Sequence[LoggedCall]:
        with self._changed:
            queued = len(self._queue)
            self._in_hand = self._queue[0][0] if queued else None
            if self._in_hand is None:
                return ()
            size = min(BATCH, queued) if self._awaited else self._pace.batch(queued, self._in_hand)
            batch = [self._queue.popleft()[1] for _ in range(size)]
            return batch if self._pace.is_late(self._in_hand) else Yielding(batch)

    def _breath(self) -> float:
        """Seconds to wait before the next batch."""
        with self._changed:
            if self._awaited:
                return 0.0
            return self._pace.breath(len(self._queue), self._queue[0][0]) if self._queue else SHORTEST

    def _attempt(self, what: Sequence[LoggedCall] | Mapping[str, int]) -> BaseException | None:
        """Write calls or counts, and return what was in the way. Nothing may end this thread, or reach the app's."""
        thread = threading.get_ident()
        self._committing.add(thread)
        try:
            store = self._opened()
            if not isinstance(what, Mapping):
                store.record(what)
            elif (add := getattr(store, "add_unrecorded", None)) is not None:
                add(what)
        except KeyboardInterrupt:  # the user's, if this is the main thread
            raise
        except BaseException as error:
            return error
        finally:
            self._committing.discard(thread)
        return None

    def _opened(self) -> CallStore:
        with self._opening:
            if self._store is None:
                self._open_pending()
                self._store = self._open_store()
                self._open_pending()  # at first there was no folder for it
            return self._store

    def _open_pending(self) -> None:
        if self._path is None or self._pending is not None:
            return
        with contextlib.suppress(OSError):
            if lost := collect_lost(self._path):
                warn("%d calls were lost: a process that recorded to %s was killed.", lost, self._path)
            pending = Pending(self._path)
            with self._changed:
                self.lost += lost
                self._pending = pending
                self._note()
                if lost:
                    self._miss(KILLED, lost)

    def _settle(self, calls: Sequence[LoggedCall | None], error: BaseException | None) -> None:
        with self._changed:
            if error is None:
                self.recorded += len(calls)
            else:
                self.failed += len(calls)
                self._miss(f"not kept: {type(error).__name__}", len(calls))
            self._note()
            self._changed.notify_all()
        if error is not None:
            self._warn("Calls are not recorded: %s: %s", type(error).__name__, error)

    def _note(self) -> None:
        if self._pending is not None:
            self._pending.set(self.taken, self.settled)

    def _let_go(self) -> None:
        """Close the files."""
        with self._opening, self._changed:
            if self._has_work():  # a thread that has just begun needs them
                return
            store, self._store = self._store, None
            pending, self._pending = self._pending, None
        with contextlib.suppress(Exception):
            if store is not None:
                store.close()
        with contextlib.suppress(OSError):
            if pending is not None:
                pending.close()
