"""A bot that is a function, or anything callable."""

import copy
import inspect
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, SupportsIndex

from collab_sdk.concurrency import in_thread
from collab_sdk.errors import BotError, CollabError, UsageError
from collab_sdk.models.base import ChatReply, ChatRequest
from collab_sdk.models.bot_replies import bot_reply
from collab_sdk.secrets import one_line
from collab_sdk.spec import Price

MessageDicts = list[dict[str, Any]]
OFFERED = ("messages", "thread_id", "metadata", "tools")
"""What a bot's parameters may be called."""


class NamedBot:
    """What is alike in all bots that are somebody's own code: their name decides whether replies are cached.

    `name` is the owner's word that the same input may be answered from the cache; without one it is `otherwise` for
    people, and nothing is cached. An `@VERSION` at its end is for the cache alone.
    """

    def __init__(self, name: str | None, *, otherwise: str) -> None:
        self.name = (name or otherwise).partition("@")[0]
        self.fingerprint: Mapping[str, Any] | None = {"bot": name} if name else None
        self.price: Price | None = None


class FunctionModel(NamedBot):
    """A sync or async function of the messages. Its parameters are filled by name: those in OFFERED.

    A first parameter of any other name gets the messages. Every call comes with the full history and a `thread_id`
    never used before, so a bot that keeps its own history cannot mix up two futures. `tools` are those of the
    conversation, in OpenAI's form; a default of the bot's own is left.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self._function = function
        super().__init__(name, otherwise=str(getattr(function, "__qualname__", type(function).__name__)))
        self._parameters = _parameters(function, self.name)
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._warned = False

    async def achat(self, request: ChatRequest) -> ChatReply:
        history = WatchedHistory(copy.deepcopy(message.to_dict()) for message in request.messages)
        offered = {
            "messages": history,
            "thread_id": uuid.uuid4().hex,
            "metadata": dict(request.metadata),
            "tools": copy.deepcopy(request.offered().get("tools", [])),
        }
        arguments = {parameter: offered[meaning] for parameter, meaning in self._parameters.items()}
        try:
            value = await self._call(arguments)
        except CollabError:
            raise
        except (Exception, SystemExit) as error:
            raise BotError(f"{self.name} raised {type(error).__name__}: {one_line(str(error))}") from error
        if history.only_last_read and len(history) > 1 and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name} read only the last message of the history it was given. Every call is a new thread with "
                "the full history: a bot that keeps its own must start from it, or its scores mean nothing.",
                stacklevel=2,
            )
        return bot_reply(value, request.messages)

    async def _call(self, arguments: dict[str, Any]) -> Any:
        if self._is_async:
            return await self._function(**arguments)
        value = await in_thread(lambda: self._function(**arguments))
        return await value if inspect.isawaitable(value) else value


def _parameters(function: Callable[..., Any], name: str) -> dict[str, str]:
    """Which parameter gets what."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise UsageError(f"{name} has no signature to read; wrap it: lambda messages: ...") from None
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    filled = {p.name: p.name for p in named if p.name in OFFERED and not (p.name == "tools" and _has_own(p))}
    if "messages" not in filled and named and named[0].name not in OFFERED:
        filled[named[0].name] = "messages"
    missing = [p.name for p in named if p.default is p.empty and p.name not in filled]
    if missing or "messages" not in filled.values():
        raise UsageError(
            f"{name}{inspect.signature(function)} cannot be called: a bot takes the messages, and may take thread_id, "
            "metadata and tools."
        )
    return filled


def _has_own(parameter: inspect.Parameter) -> bool:
    """Whether the bot brings a value of its own."""
    return parameter.default is not parameter.empty and bool(parameter.default)


class WatchedHistory(MessageDicts):
    """A list of messages that notices when a bot reads the last one and no other."""

    def __init__(self, messages: Iterator[dict[str, Any]]) -> None:
        super().__init__(messages)
        self._last_read = False
        self._others_read = False

    @property
    def only_last_read(self) -> bool:
        return self._last_read and not self._others_read

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        chosen = range(len(self))[index]
        last = len(self) - 1
        self._note(last_only=list(chosen) == [last] if isinstance(chosen, range) else chosen == last)
        return super().__getitem__(index)

    def _note(self, *, last_only: bool) -> None:
        self._last_read |= last_only
        self._others_read |= not last_only

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._note(last_only=False)
        return super().__iter__()

    def __reversed__(self) -> Iterator[dict[str, Any]]:
        self._note(last_only=False)
        return super().__reversed__()

    def __add__(self, other: Any) -> Any:
        return list(self) + other

    def __radd__(self, other: Any) -> Any:
        return other + list(self)

    def __repr__(self) -> str:  # str and f-strings come here too, and the list's own would read past __iter__
        return repr(list(self))

    def copy(self) -> MessageDicts:
        return list(self)

    def pop(self, index: SupportsIndex = -1) -> dict[str, Any]:
        self._note(last_only=False)
        return super().pop(index)
