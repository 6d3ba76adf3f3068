"""Seeing what an app reads of an answer, as it reads it. Streams and HTTP responses stay the objects they are."""

import json
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import Any

from collab_sdk.harvest.answer import loosened
from collab_sdk.harvest.exchange import NOT_UNDERSTOOD, Exchange

UNREAD = "the app did not read the answer, or not as text"


def watch_stream(stream: Any, exchange: Exchange, *, is_only_way: bool) -> None:
    """Let an exchange see what an SDK's stream yields.

    `is_only_way`: nothing can be read but through it, so the answer is over when the app lets go of it.
    """
    # The chunks come from a copy: they refer to what they are made by, and so the stream would be kept, and its
    # connection open, until the garbage is collected.
    source = copy(stream)
    vars(source).pop("_iterator", None)
    watched = _AsyncStream if hasattr(stream, "__anext__") else _Stream
    stream._iterator = watched(source.__stream__(), exchange, is_only_way)


def watch_closing(response: Any, exchange: Exchange) -> None:
    """Let an exchange see when an HTTP response is closed, or let go of."""
    _see(response, _Closing(exchange), _closing)


def watch_body(response: Any, exchange: Exchange) -> None:
    """Let an exchange see what is read of an HTTP response, as bytes, text or lines, and when it is closed."""
    body = _Body(exchange)
    if response.is_stream_consumed:  # it has been read whole already
        body.add(response.content)
        body.end()
    else:
        _see(response, body, _reading)


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
    def __init__(self, pieces: Any, exchange: Exchange, is_used: bool) -> None:
        super().__init__(pieces, exchange)
        self._is_used = is_used

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
        self._body.add((piece.encode("utf-8", "replace") if isinstance(piece, str) else piece) + self._ending)

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


class _Closing:
    """Tells an exchange that the app closes a response, or lets go of it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def leave(self) -> None:
        if not self.exchange.is_reading:  # at its end, a response closes itself
            self._left()

    def __del__(self) -> None:
        self.leave()

    def _left(self) -> None:
        self.exchange.left()


class _Body(_Closing):
    """A JSON object, or server-sent events, of which each has one."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._pieces: list[bytes] = []
        self._unread = b""
        self._event: list[bytes] = []
        self._is_whole: bool | None = None

    def add(self, piece: bytes) -> None:
        if self._is_whole:
            self._pieces.append(piece)
            return
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
            whole = _json(b"".join([self._unread, *self._pieces]))
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

    def _left(self) -> None:
        if self._is_whole is False or self.exchange.has_begun:
            self.exchange.left()
        else:
            self.exchange.unreadable(UNREAD)

    def _add_line(self, line: bytes) -> None:
        """An event is known by its data, which an app that reads line by line has before the line that ends it."""
        if line.startswith(b"data:"):
            self._event.append(line[5:])
            data = b"\n".join(self._event).strip()
            if (chunk := _json(data)) is not None:
                self._event = []
                self.exchange.streamed(chunk)
            elif data == b"[DONE]":
                self._event = []
        elif not line and self._event:
            self._event = []
            self.exchange.unreadable(NOT_UNDERSTOOD)


def _json(text: bytes) -> Any:
    """What the text says; None if it is not JSON."""
    try:
        return loosened(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _see(response: Any, closing: _Closing, kind: Callable[[type], type]) -> None:
    # A class of its own, as methods of the object alone would refer to it: then it, and its connection, would be kept
    # until the garbage is collected.
    response.__class__ = kind(type(response))
    response._collab_closing = closing


@cache
def _closing(kind: Any) -> type:
    """Such responses, which tell when they are closed."""

    def close(self: Any) -> None:
        self._collab_closing.leave()
        kind.close(self)

    async def aclose(self: Any) -> None:
        self._collab_closing.leave()
        await kind.aclose(self)

    return _like(kind, close=close, aclose=aclose)


@cache
def _reading(kind: type) -> type:
    """Such responses, which also tell what is read of them."""
    methods: dict[str, Any] = {}
    for name in ("iter_bytes", "iter_text", "iter_lines"):
        methods[name] = _method(getattr(kind, name), _Pieces)
        methods[f"a{name}"] = _method(getattr(kind, f"a{name}"), _AsyncPieces)
    return _like(_closing(kind), **methods)


def _method(read: Any, reading: type[_Pieces | _AsyncPieces]) -> Any:
    ending = b"\n" if read.__name__.endswith("lines") else b""

    def method(self: Any, *how: Any, **named: Any) -> Any:
        return reading(read(self, *how, **named), self._collab_closing, ending)

    return method


def _like(kind: type[Any], **methods: Any) -> type[Any]:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), {**names, **methods})
