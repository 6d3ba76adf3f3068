"""A function of one's own that plays the user."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.concurrency import in_thread
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import RunStoppedError, SampleError, UsageError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.secrets import one_line
from collab_sdk.simulator.base import Situation, UserTurn, checked_turn
from collab_sdk.spec import ModelSettings, Price
from collab_sdk.types import End
from collab_sdk.values import dumps, loads

OFFERED = ("messages", "goal", "persona", "turn", "sample")
"""What a user function's parameters may be called."""
TIMEOUT = "timeout"
"""In a request's metadata: the seconds that the function may take."""


class FunctionUser:
    """A function of the messages so far, sync or async: it returns what the user says next, or None to leave.

    Messages are dicts with `role` and `content`. The function may also ask by name for `goal` (a Goal), `persona`,
    `turn` (how often it has spoken) and `sample`, and may return a UserTurn. What it returns is cached under `name`,
    where it has one: change that, best by an `@VERSION` at its end, when the function changes.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        named = name or str(getattr(function, "__qualname__", type(function).__name__))
        self.name = named.partition("@")[0]
        self.fingerprint: Mapping[str, Any] | None = {"user": name} if name else None
        self._parameters = _parameters(function, self.name)
        self._calls = _Calls(self)
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )

    @property
    def model(self) -> ChatModel | None:
        return None

    @property
    def settings(self) -> ModelSettings | None:
        return None

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError if the function raises, hangs, or returns what is no turn of a user's."""
        told = dumps(replace(situation, messages=()))
        request = ChatRequest(
            role=CallRole.SIMULATOR,
            messages=(Message(role="system", content=told), *situation.messages),
            sample=situation.sample,
            conversation_id=situation.conversation_id,
            metadata={TIMEOUT: engine.limits.timeout},
        )
        reply = await engine.call(self._calls, request)
        turn: UserTurn = loads(UserTurn, reply.content)
        return turn

    async def aask(self, situation: Situation, *, seconds: float) -> UserTurn:
        """What the function says. Raises SampleError as `anext` does."""
        offered: dict[str, Any] = {
            "messages": [{"role": message.role, "content": message.content} for message in situation.messages],
            "goal": situation.goal,
            "persona": situation.persona,
            "turn": situation.turn,
            "sample": situation.sample,
        }
        arguments = {parameter: offered[meaning] for parameter, meaning in self._parameters.items()}
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                said = await self._call(arguments)
        except (RunStoppedError, SampleError):  # of a call that the function made: a budget that is spent, a fault
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise SampleError(f"{self.name} as user gave no answer in {seconds:g} s.") from None
            raise SampleError(f"{self.name} as user raised {type(error).__name__}: {one_line(str(error))}") from error
        if said is None:
            return UserTurn(message="", end=End.USER_DONE)
        turn = UserTurn(message=said) if isinstance(said, str) else said
        if not isinstance(turn, UserTurn):
            raise SampleError(
                f"{self.name} as user returned {type(said).__name__}: expected a text, None to leave, or a UserTurn."
            )
        # Whoever wrote it, it comes from code, and is checked like all that is made up.
        return replace(checked_turn(turn, name=self.name), written=False)

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        if self._is_async:
            return await self.function(**arguments)
        said = await in_thread(lambda: self.function(**arguments))
        return await said if inspect.isawaitable(said) else said


class _Calls:
    """The turns of a function as a model's calls, so that they are bounded, counted and kept as all calls are."""

    timeout = None  # the function has one of its own: a user who hangs is a missing sample, and ends no run

    def __init__(self, user: FunctionUser) -> None:
        self._user = user
        self.name = user.name
        self.fingerprint = user.fingerprint
        self.price: Price | None = None

    async def achat(self, request: ChatRequest) -> ChatReply:
        # All that is asked stands in the request: the engine keeps one model for all calls of one fingerprint.
        told, *spoken = request.messages
        situation = replace(loads(Situation, told.content), messages=tuple(spoken))
        return ChatReply(content=dumps(await self._user.aask(situation, seconds=request.metadata[TIMEOUT])))


def _parameters(function: Callable[..., Any], name: str) -> dict[str, str]:
    """Which parameter gets what. Raises UsageError for a function that cannot be called so."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise UsageError(f"{name} has no signature to read; wrap it: lambda messages: ...") from None
    named = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    filled = {p.name: p.name for p in named if p.name in OFFERED}
    if "messages" not in filled and named and named[0].name not in OFFERED:
        filled[named[0].name] = "messages"
    missing = [p.name for p in named if p.default is p.empty and p.name not in filled]
    if missing or "messages" not in filled.values():
        raise UsageError(
            f"{name}{signature} cannot play the user: it takes the messages, and may take goal, persona, turn and "
            "sample by these names."
        )
    return filled
