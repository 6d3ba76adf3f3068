"""Seeing streams end that an app breaks off, of which LiteLLM tells nobody."""

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.responses.litellm_completion_transformation.streaming_iterator import LiteLLMCompletionStreamingIterator
from litellm.responses.streaming_iterator import BaseResponsesAPIStreamingIterator

Tell = Callable[[str, Any, Any], None]
"""Called with what happened to a stream, `began`, `read`, `failed` or `closed`, the stream, and the event or error."""


@functools.cache
def watch_streams(tell: Tell) -> None:
    """Have `tell` called with what happens to the streams that LiteLLM gives the app, from now on.

    LiteLLM has no hook for it, so that methods of its classes are wrapped; they do and return what they always did.
    """
    for stream in (CustomStreamWrapper, BaseResponsesAPIStreamingIterator):
        _after(stream, "__init__", lambda self, _: tell("began", self, None))
        _after(stream, "close", lambda self, _: _closed(tell, self))
        _after_awaited(stream, "aclose", lambda self, _: _closed(tell, self))
    for stream in {*_kinds(BaseResponsesAPIStreamingIterator), LiteLLMCompletionStreamingIterator}:
        _after(stream, "__next__", lambda self, event: tell("read", self, event))
        _after_awaited(stream, "__anext__", lambda self, event: tell("read", self, event))


def _kinds(kind: type) -> Iterator[type]:
    yield kind
    one: type
    for one in kind.__subclasses__():
        yield from _kinds(one)


def _closed(tell: Tell, stream: Any) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        tell("failed", stream, error)  # LiteLLM closes what failed, and then tells of the failure
    else:
        tell("closed", stream, None)


def _after(kind: type, name: str, seen: Callable[[Any, Any], None]) -> None:
    method = kind.__dict__.get(name)
    if method is None:  # not in this version
        return

    @functools.wraps(method)
    def watched(self: Any, *args: Any, **options: Any) -> Any:
        result = method(self, *args, **options)
        seen(self, result)
        return result

    setattr(kind, name, watched)


def _after_awaited(kind: type, name: str, seen: Callable[[Any, Any], None]) -> None:
    method = kind.__dict__.get(name)
    if method is None:
        return

    @functools.wraps(method)
    async def watched(self: Any, *args: Any, **options: Any) -> Any:
        result = await method(self, *args, **options)
        seen(self, result)
        return result

    setattr(kind, name, watched)
