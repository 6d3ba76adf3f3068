"""An OpenAI client whose calls are recorded."""

import functools
import os
from typing import Any, TypeVar

from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai._legacy_response import LegacyAPIResponse
from openai._response import BaseAPIResponse

from collab_openai.exchange import Exchange
from collab_openai.streams import watch
from collab_openai.threads import Threads
from collab_sdk.errors import UsageError
from collab_sdk.harvest import Recorder, suppressed

Client = TypeVar("Client", OpenAI, AsyncOpenAI)
WRAPPED = "_collab_recorder"


def wrap(client: Client, store: Recorder | str | os.PathLike[str]) -> Client:
    """The client itself, its chat completions and responses recorded from now on, also those of its copies.

    Recorded are `create`, `parse`, `stream` and `with_raw_response`; not `with_streaming_response`, whose body is the
    app's to read. A client that is wrapped already stays as it is. Raises UsageError for what is no client.
    """
    if not isinstance(client, OpenAI | AsyncOpenAI):
        raise UsageError(f"wrap() takes an OpenAI or AsyncOpenAI client, not {type(client).__name__}.")
    if not hasattr(client, WRAPPED):
        recorder = store if isinstance(store, Recorder) else Recorder(store)
        _attach(client, recorder, Threads())
    return client


def _attach(client: Any, recorder: Recorder, threads: Threads) -> Any:
    # Every call of every resource goes through `request`, whichever method of the SDK it began with.
    seen = _async_request if isinstance(client, AsyncOpenAI) else _request
    client.request = functools.wraps(client.request)(functools.partial(seen, client.request, recorder, threads))
    copy = client.copy

    @functools.wraps(copy)
    def recorded_copy(*args: Any, **options: Any) -> Any:
        return _attach(copy(*args, **options), recorder, threads)

    client.copy = client.with_options = recorded_copy
    setattr(client, WRAPPED, recorder)
    return client


def _request(request: Any, recorder: Recorder, threads: Threads, cast_to: Any, options: Any, **how: Any) -> Any:
    exchange = _exchange(recorder, threads, options)
    if exchange is None:
        return request(cast_to, options, **how)
    try:
        result = request(cast_to, options, **how)
    except BaseException as error:
        exchange.failed(error)
        raise
    _observe(exchange, result)
    return result


async def _async_request(
    request: Any, recorder: Recorder, threads: Threads, cast_to: Any, options: Any, **how: Any
) -> Any:
    exchange = _exchange(recorder, threads, options)
    if exchange is None:
        return await request(cast_to, options, **how)
    try:
        result = await request(cast_to, options, **how)
    except BaseException as error:
        exchange.failed(error)
        raise
    _observe(exchange, result)
    return result


def _exchange(recorder: Recorder, threads: Threads, options: Any) -> Exchange | None:
    """What is to be recorded of a request; None if nothing is."""
    if suppressed():
        return None
    with recorder.quietly():
        return Exchange.of(recorder, threads, options)
    return None


def _observe(exchange: Exchange, result: Any) -> None:
    with exchange.recorder.quietly():
        if isinstance(result, LegacyAPIResponse):
            result = result.parse()  # the same object that the app will get from it
        if isinstance(result, Stream | AsyncStream):
            watch(result, exchange)
        elif not isinstance(result, BaseAPIResponse):
            exchange.answered(result)
