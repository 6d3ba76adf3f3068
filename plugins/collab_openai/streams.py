"""Seeing what an app reads from a stream, as it reads it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from openai import AsyncStream, Stream

from collab_openai.exchange import Exchange


def watch(stream: Stream[Any] | AsyncStream[Any], exchange: Exchange) -> None:
    """Let an exchange see the stream, which stays the object it is."""
    close: Any = stream.close
    if isinstance(stream, Stream):
        stream._iterator = _Watched(stream._iterator, exchange)

        def closed() -> None:
            exchange.ended()
            close()

        stream.close = closed  # type: ignore[method-assign]
        return
    stream._iterator = _AsyncWatched(stream._iterator, exchange)

    async def aclosed() -> None:
        exchange.ended()
        await close()

    stream.close = aclosed  # type: ignore[method-assign]


class _Watched:
    """Not a generator: that would end late, or never, where the app breaks off and lets go of the stream."""

    def __init__(self, chunks: Iterator[Any], exchange: Exchange) -> None:
        self._chunks = chunks
        self._exchange = exchange

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._exchange.ended()
            raise
        except BaseException as error:
            self._exchange.failed(error)
            raise
        self._exchange.streamed(chunk)
        return chunk

    def __del__(self) -> None:
        self._exchange.ended()


class _AsyncWatched:
    def __init__(self, chunks: AsyncIterator[Any], exchange: Exchange) -> None:
        self._chunks = chunks
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._exchange.ended()
            raise
        except BaseException as error:
            self._exchange.failed(error)
            raise
        self._exchange.streamed(chunk)
        return chunk

    def __del__(self) -> None:
        self._exchange.ended()
