"""A function of one's own that plays the user."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError
from collab_sdk.models.base import ChatModel
from collab_sdk.secrets import one_line
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End


class FunctionUser:
    """A function of the messages so far, sync or async: it returns what the user says next, or None to leave.

    It may also ask by name for `goal` (a Goal), `persona`, `turn` and `sample`, and return a UserTurn.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        self._name = name
        self._asked = _asked(function)

    @property
    def name(self) -> str:
        return self._name or str(getattr(self.function, "__name__", type(self.function).__name__))

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return {"user": self._name} if self._name else None

    @property
    def model(self) -> ChatModel | None:
        return None

    @property
    def settings(self) -> ModelSettings | None:
        return None

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        known = {
            "goal": situation.goal,
            "persona": situation.persona,
            "turn": situation.turn,
            "sample": situation.sample,
        }
        given = {name: known[name] for name in self._asked}
        messages = [message.to_dict() for message in situation.messages]
        try:
            if inspect.iscoroutinefunction(self.function):
                said = await self.function(messages, **given)
            else:
                said = await asyncio.to_thread(self.function, messages, **given)
                said = await said if inspect.isawaitable(said) else said
        except Exception as error:
            what = f"{type(error).__name__}: {one_line(str(error), 200)}"
            raise SampleError(f"{self.name} as user raised {what}.") from None
        if isinstance(said, UserTurn):
            return said
        if said is None:
            return UserTurn(message="", end=End.USER_DONE)
        if not isinstance(said, str):
            raise SampleError(f"{self.name} as user returned {type(said).__name__}: return a text, None or a UserTurn.")
        return UserTurn(message=said)


def _asked(function: Callable[..., Any]) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
    return [name for name in names[1:] if name in ("goal", "persona", "turn", "sample")]
