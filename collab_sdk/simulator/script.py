"""A user who says what was written down beforehand, as far as that goes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.models.base import ChatModel
from collab_sdk.simulator.base import Situation, User, UserTurn
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End


class Script:
    """Fixed turns, in order; None is one that `then` makes up, who also goes on where they end.

    Without `then`, the user leaves when all is said (`End.SCRIPT`). The turns of a row's own `script` come first.
    """

    def __init__(self, turns: Sequence[str | None] = (), *, then: User | None = None) -> None:
        self.turns = tuple(turns)
        self.then = then

    @property
    def name(self) -> str:
        return f"script, then {self.then.name}" if self.then else "script"

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        digest = hashlib.sha256(json.dumps(self.turns).encode()).hexdigest()[:16]
        known: dict[str, Any] = {"user": "script", "turns": digest}
        if self.then is None:
            return known
        return None if (then := self.then.fingerprint) is None else {**known, "then": dict(then)}

    @property
    def model(self) -> ChatModel | None:
        return self.then.model if self.then else None

    @property
    def settings(self) -> ModelSettings | None:
        return self.then.settings if self.then else None

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        turns = situation.goal.script or self.turns
        said = turns[situation.turn] if situation.turn < len(turns) else None
        if said is not None:
            return UserTurn(message=said)
        if self.then is None:
            return UserTurn(message="", end=End.SCRIPT, reason="the script has no further turn")
        return await self.then.anext(situation, engine=engine)
