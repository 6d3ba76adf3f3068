"""Which writers a process has: one for a file, however many recorders there are, written out when the process ends."""

import atexit
import os
import sys
import threading
from functools import cache, partial
from pathlib import Path
from weakref import WeakSet, WeakValueDictionary

from collab_sdk.harvest.writer import CallStore, Writer
from collab_sdk.logs.store import ConversationStore

AT_EXIT = 10.0
"""Seconds that the end of a process may wait for a slow disk."""

LOCK_PATIENCE = 5.0
"""Seconds to wait for other processes that write: in `sync` mode it is the app that waits."""

_all: WeakSet[Writer] = WeakSet()
_by_path: WeakValueDictionary[Path, Writer] = WeakValueDictionary()
_crossing: list[Writer] = []
_lock = threading.Lock()


def writer_for(store: CallStore | str | os.PathLike[str]) -> Writer:
    """The writer of a store: of a file the same one for all; a store of the app's own is neither opened nor closed."""
    _watch_for_the_end()
    with _lock:
        if not isinstance(store, str | os.PathLike):
            writer = Writer(lambda: _Borrowed(store))
        else:
            path = Path(os.fspath(store)).absolute()
            known = _by_path.get(path)
            writer = known or Writer(partial(ConversationStore, path, patience=LOCK_PATIENCE), path=path)
            _by_path[path] = writer
        _all.add(writer)
    return writer


class _Borrowed:
    """A store that somebody else closes."""

    def __init__(self, store: CallStore) -> None:
        self.record = store.record
        self.add_unrecorded = getattr(store, "add_unrecorded", None)

    def close(self) -> None:
        return


@cache
def _watch_for_the_end() -> None:
    atexit.register(finish_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


def finish_all() -> None:
    """Write everything that is queued."""
    for writer in list(_all):
        writer.finish(AT_EXIT)


def _before_fork() -> None:
    for writer in list(_all):
        writer.before_fork()
        _crossing.append(writer)


def _after_fork() -> None:
    while _crossing:
        _crossing.pop().after_fork()


def _in_child() -> None:
    global _lock
    _crossing.clear()
    _lock = threading.Lock()
    for writer in list(_all):
        writer.reset()
    if util := sys.modules.get("multiprocessing.util"):  # its children end without atexit
        util.register_after_fork(_all, lambda _: util.Finalize(None, finish_all, exitpriority=10))
