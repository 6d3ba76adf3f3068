"""HTTP connections to a server, kept open between calls."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import ClientSession

IDLE_SECONDS = 5.0
"""How long they are kept after the last call: whoever makes one call after another finds them open."""


class Connections:
    """The session that the calls of one event loop share: `async with connections as session`.

    It is closed when it has been idle for a while, or when the loop ends and cancels what runs on it.
    """

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._calls = 0
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ClientSession":
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

    async def __aexit__(self, *exception: object) -> None:
        self._calls -= 1
        if self._calls == 0:
            self._closing = asyncio.ensure_future(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        try:
            await asyncio.sleep(IDLE_SECONDS)
        finally:
            if self._calls == 0 and self._session is not None:
                session, self._session = self._session, None
                await session.close()
