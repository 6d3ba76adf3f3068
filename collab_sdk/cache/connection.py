"""A connection to a server that may go away for a while."""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from collab_sdk.cache.backend import CacheServer, SharedRows
from collab_sdk.errors import CacheError, LostConnectionError

T = TypeVar("T")
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0


class Connection:
    """Connects when first asked, and again when the connection is lost: for `patience` seconds, then once a question.

    `greeting` is said on every new connection. For any number of threads, one question at a time.
    """

    def __init__(
        self, server: CacheServer, *, patience: float, greeting: Callable[[SharedRows], None] = lambda rows: None
    ) -> None:
        self._server = server
        self._patience = patience
        self._greeting = greeting
        self._busy = threading.Lock()
        self._rows: SharedRows | None = None
        self._process = 0
        self._deadline: float | None = None
        """Until when it is tried again; None while the last question was answered."""
        self._given_up = False

    def ask(self, question: Callable[[SharedRows], T]) -> T:
        """The answer, asked again if it takes that. Raises CacheError where that is in vain."""
        pause = FIRST_PAUSE
        while True:
            try:
                with self._busy:
                    answer = question(self._connected())
                    self._deadline = None
                    return answer
            except LostConnectionError as error:
                self.close()
                now = time.monotonic()
                self._deadline = self._deadline or now + self._patience
                if self._given_up:
                    raise
                if now + pause > self._deadline:
                    self._deadline = now
                    raise CacheError(f"{error} It was tried again for {self._patience:g} s.") from None
            time.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def connect(self) -> SharedRows:
        """The connection. A server that is full is waited for; raises LostConnectionError if nobody answers."""
        try:
            with self._busy:
                return self._connected()
        except LostConnectionError as error:
            if not error.is_full:
                raise
        return self.ask(lambda rows: rows)

    def _connected(self) -> SharedRows:
        if self._rows is None or self._process != os.getpid():  # a fork must not use its parent's connection
            rows = self._server.connect()
            try:
                self._greeting(rows)
            except BaseException:
                rows.close()
                raise
            self._rows, self._process = rows, os.getpid()
        return self._rows

    def give_up(self) -> None:
        """Try no more when the connection is lost: the run is over."""
        self._given_up = True

    def close(self) -> None:
        with self._busy:
            if self._rows is not None and self._process == os.getpid():
                self._rows.close()
            self._rows = None
