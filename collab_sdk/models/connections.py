"""Connections to a server whose answers are read no further than they may be long."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

MOST_BYTES = 16 * 2**20
"""Of an answer, unpacked."""
SHOWN_BYTES = 64 * 2**10
"""Of a refusal: the rest is not read."""
LARGE_BYTES = 2**20
"""From here on, answers are read one at a time: the memory would not do for many."""
IDLE_SECONDS = 5.0
"""How long connections are kept after the last call: whoever makes one call after another finds them open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    """Unpacked."""
    is_cut: bool
    """Whether there is more of the body than is read."""


class Connections:
    """The session that the calls of one event loop share.

    It is closed when it has been idle for a while, or when the loop ends and cancels what runs on it.
    """

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._one_large = asyncio.Lock()
        self._calls = 0
        self._closing: asyncio.Task[None] | None = None

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str], proxy: str | None) -> Answer:
        """The answer to a request, which follows no redirect. Of large answers one is read at a time."""
        session, turn = self._opened(), _Turn(self._one_large)
        try:
            async with session.post(url, data=body, headers=headers, proxy=proxy, allow_redirects=False) as response:
                most = MOST_BYTES if response.status == 200 else SHOWN_BYTES
                read = await _beginning(response, most, turn)
            return Answer(status=response.status, headers=response.headers, body=read[:most], is_cut=len(read) > most)
        finally:
            turn.end()
            await self._left()

    def _opened(self) -> "ClientSession":
        import aiohttp

        self._calls += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the gate bounds them
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the engine's
            )
        return self._session

    async def _left(self) -> None:
        self._calls -= 1
        if self._calls:
            return
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the loop may be ending, and nothing that begins now would end
            await self._close()
        else:
            self._closing = asyncio.ensure_future(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        try:
            await asyncio.sleep(IDLE_SECONDS)
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._calls == 0 and self._session is not None:
            session, self._session = self._session, None
            await session.close()


class _Turn:
    """Of one call among those whose answers are large."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._is_ours = False

    async def begin(self) -> None:
        if not self._is_ours:
            await self._lock.acquire()
            self._is_ours = True

    def end(self) -> None:
        if self._is_ours:
            self._lock.release()


async def _beginning(response: "ClientResponse", most: int, turn: _Turn) -> bytes:
    """The body; of one that is longer than `most` bytes only the beginning, and some more than that."""
    body = await response.content.readany()
    if response.content.at_eof():
        return body
    longer = bytearray(body)
    while len(longer) <= most and (piece := await response.content.readany()):
        longer += piece
        if len(longer) > LARGE_BYTES:
            await turn.begin()
            await asyncio.sleep(0)  # unpacking never waits by itself: others, and the deadline, have a turn
    return bytes(longer)
