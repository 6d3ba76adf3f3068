"""One request of an app to a model, and what has come back of it."""

import asyncio
import atexit
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from weakref import WeakSet

from collab_sdk.harvest.answer import Answer, PartialAnswer
from collab_sdk.harvest.kept import error_text
from collab_sdk.harvest.recorder import Recorder
from collab_sdk.logs.store import LoggedCall

NOT_UNDERSTOOD = "the answer is in a form that is not known"
STOPPED = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """A request as the recorder of an SDK understands it."""

    call: LoggedCall
    """What is known before anything is answered."""
    read: Callable[[Any], Answer]
    """Makes an answer of a whole response. Raises TypeError for what is not one."""
    partial: PartialAnswer
    fetches: bool = False
    """It asks for an answer that was begun before: what is not complete is still being written, and no answer."""


class Exchange:
    """Collects what a call is recorded as. It is recorded once, however it ends; nothing here raises."""

    def __init__(self, recorder: Recorder, request: ChatRequest) -> None:
        self.recorder = recorder
        self.is_reading = False
        """Whether the app is just now waiting for a piece of the answer."""
        self.has_begun = False
        """Whether a piece of a stream has come."""
        self._request = request
        self._has_unreadable = False
        self._whole: Any = None
        self._started = time.time()
        self._process = os.getpid()
        self._done = False
        _going_on.add(self)
        _watch_for_the_end()

    def arrived(self, whole: Any) -> None:
        """The whole response is here; the app may still fail to make of it what it wants."""
        self._whole = whole

    def answered(self, whole: Any) -> None:
        """The app has the whole response."""
        try:
            answer = self._request.read(whole)
        except Exception:
            self.unreadable(NOT_UNDERSTOOD)
            return
        with self.recorder.quietly():
            self._finish(answer)

    def streamed(self, chunk: Any) -> None:
        """A piece of a stream is here."""
        self.has_begun = True
        try:
            self._request.partial.add(chunk)
        except Exception:
            self._has_unreadable = True

    def ended(self) -> None:
        """The stream has come to its end."""
        self._stop(at_end=True)

    def left(self) -> None:
        """The app reads no further."""
        self._stop(at_end=False)

    def leave_at_the_end(self) -> None:
        """The process ends. What its parent was asking when it forked, the parent will see the end of."""
        if self._process == os.getpid() and not self._done:
            self.left()

    def failed(self, error: BaseException) -> None:
        """The request or the stream raised."""
        with self.recorder.quietly():
            request = self._request
            answer = request.partial.answer() if self._whole is None else request.read(self._whole)
            status = "partial" if answer.replies else "cancelled" if isinstance(error, STOPPED) else "failed"
            self._record(answer, status, error_text(error))

    def unreadable(self, reason: str) -> None:
        """There is an answer, of which nothing can be known."""
        if not self._done:
            self._done = True
            self.recorder.count_unrecorded(reason)

    def _stop(self, *, at_end: bool) -> None:
        """Of a stream with pieces that could not be read, what could be is a part."""
        with self.recorder.quietly():
            answer = self._request.partial.answer(at_end=at_end)
            if not self._has_unreadable:
                self._finish(answer)
            elif answer.replies:
                self._finish(replace(answer, complete=False))
            else:
                self.unreadable(NOT_UNDERSTOOD)

    def _finish(self, answer: Answer) -> None:
        if answer.replies:
            status = "ok" if answer.complete and not answer.error else "partial"
        else:
            status = "failed" if answer.error else "ok" if answer.complete else "cancelled"
        self._record(answer, status, answer.error)

    def _record(self, answer: Answer, status: str, error: str | None) -> None:
        if self._done:
            return
        self._done = True
        call = self._request.call
        if self._request.fetches and not answer.complete:
            return
        self.recorder.record(
            replace(
                call,
                messages=(*answer.context, *call.messages),
                replies=answer.replies,
                status=status,
                error=error,
                response_id=answer.id or call.response_id,
                model=answer.model or call.model,
                usage=answer.usage,
                started=self._started,
                ended=time.time(),
                metadata={**call.metadata, **answer.metadata},
            )
        )


_going_on: WeakSet[Exchange] = WeakSet()


@cache
def _watch_for_the_end() -> None:
    """See that what goes on when the process ends is recorded, before the recorders write for the last time."""
    atexit.register(_leave_all)


def _leave_all() -> None:
    for exchange in list(_going_on):
        exchange.leave_at_the_end()
