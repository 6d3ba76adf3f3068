"""Seeing what an app reads of an answer, as it reads it. Streams and HTTP responses stay the objects they are."""

import json
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from collab_sdk.harvest.completion import Loose
from collab_sdk.harvest.exchange import NOT_UNDERSTOOD, Exchange

UNREAD = "the app did not read the answer, or not as text"


def watch_stream(stream: Any, exchange: Exchange, *, is_only_way: bool) -> None:
    """Let an exchange see what an SDK's stream yields.

    `is_only_way`: nothing can be read but through it, so the answer is over when the app lets go of it.
    """
    watched = _AsyncStream if hasattr(stream, "__anext__") else _Stream
    stream._iterator = watched(stream._iterator, exchange, is_only_way)
    _before_closing(stream, "close", exchange.left)


def watch_body(response: Any, exchange: Exchange) -> None:
    """Let an exchange see what is read of an HTTP response, as bytes, text or lines."""
    body = _Body(exchange)
    if response.is_stream_consumed:  # it has been read whole already
        body.add(response.content)
        body.end()
        return
    for name in ("iter_bytes", "iter_text", "iter_lines"):
        _see_pieces(response, name, _Pieces, body)
        _see_pieces(response, f"a{name}", _AsyncPieces, body)
    _before_closing(response, "close", body.leave)
    _before_closing(response, "aclose", body.leave)


class _Reading:
    """Goes on in what the app reads. Only the outermost of several, one made of another, tells the exchange.

    None of them is a generator: that would end late, or never, where the app breaks off and lets go.
    """

    def __init__(self, pieces: Any, exchange: Exchange) -> None:
        self._pieces = pieces
        self._exchange = exchange

    def _seen(self, piece: Any) -> None:
        raise NotImplementedError

    def _ended(self) -> None:
        raise NotImplementedError

    def _next(self) -> Any:
        exchange = self._exchange
        if exchange.is_reading:
            return next(self._pieces)
        exchange.is_reading = True
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._ended()
            raise
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            exchange.is_reading = False
        self._seen(piece)
        return piece

    async def _anext(self) -> Any:
        exchange = self._exchange
        if exchange.is_reading:
            return await anext(self._pieces)
        exchange.is_reading = True
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._ended()
            raise
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            exchange.is_reading = False
        self._seen(piece)
        return piece


class _StreamReading(_Reading):
    def __init__(self, pieces: Any, exchange: Exchange, is_only_way: bool) -> None:
        super().__init__(pieces, exchange)
        self._is_used = is_only_way

    def _seen(self, piece: Any) -> None:
        self._is_used = True
        self._exchange.streamed(piece)

    def _ended(self) -> None:
        self._exchange.ended()

    def __del__(self) -> None:
        if self._is_used:
            self._exchange.left()


class _Stream(_StreamReading):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._next()


class _AsyncStream(_StreamReading):
    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self._anext()


class _BodyReading(_Reading):
    def __init__(self, pieces: Any, body: "_Body", ending: bytes) -> None:
        super().__init__(pieces, body.exchange)
        self._body = body
        self._ending = ending

    def _seen(self, piece: Any) -> None:
        self._body.add((piece.encode() if isinstance(piece, str) else piece) + self._ending)

    def _ended(self) -> None:
        self._body.end()


class _Pieces(_BodyReading):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._next()

    def close(self) -> None:
        self._pieces.close()


class _AsyncPieces(_BodyReading):
    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self._anext()

    async def aclose(self) -> None:
        await self._pieces.aclose()


class _Body:
    """A JSON object, or server-sent events, of which each has one."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._unread = b""
        self._event: list[bytes] = []
        self._is_whole: bool | None = None

    def add(self, piece: bytes) -> None:
        self._unread += piece
        if self._is_whole is None and (begun := self._unread.lstrip()):
            self._is_whole = begun.startswith(b"{")
        if self._is_whole is False:
            *lines, self._unread = self._unread.split(b"\n")
            for line in lines:
                self._add_line(line.rstrip(b"\r"))

    def end(self) -> None:
        """Everything is read."""
        if self._is_whole:
            whole = _json(self._unread)
            if whole is None:
                self.exchange.unreadable(NOT_UNDERSTOOD)
            else:
                self.exchange.answered(whole)
        elif self._is_whole is False:
            for line in (self._unread, b""):
                self._add_line(line)
            self.exchange.ended()
        else:
            self.exchange.unreadable(UNREAD)

    def leave(self) -> None:
        """The app reads no further."""
        if self.exchange.is_reading:  # at its end, a response closes itself
            return
        if self._is_whole is False or self.exchange.has_begun:
            self.exchange.left()
        else:
            self.exchange.unreadable(UNREAD)

    def __del__(self) -> None:
        self.leave()

    def _add_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._event.append(line[5:])
        elif not line and self._event:
            data, self._event = b"\n".join(self._event).strip(), []
            if data != b"[DONE]":
                chunk = _json(data)
                if chunk is None:
                    self.exchange.unreadable(NOT_UNDERSTOOD)
                else:
                    self.exchange.streamed(chunk)


def _json(text: bytes) -> Any:
    """What the text says; None if it is not JSON."""
    try:
        return json.loads(text, object_hook=Loose)
    except ValueError:
        return None


def _see_pieces(response: Any, name: str, reading: type[_Pieces | _AsyncPieces], body: _Body) -> None:
    read: Any = getattr(type(response), name)
    itself = weakref.ref(response)  # a reference would keep it, and its connection, until the garbage is collected
    ending = b"\n" if name.endswith("lines") else b""
    setattr(response, name, lambda *how, **named: reading(read(itself(), *how, **named), body, ending))


def _before_closing(thing: Any, name: str, tell: Callable[[], None]) -> None:
    close: Any = getattr(type(thing), name)
    itself = weakref.ref(thing)

    def closed() -> Any:
        tell()
        return close(itself())

    setattr(thing, name, closed)
