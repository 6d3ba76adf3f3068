"""A user who says what was written down beforehand, as far as that goes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError, UsageError
from collab_sdk.models.base import ChatModel
from collab_sdk.simulator.base import Situation, User, UserTurn
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End

SCRIPT = "script"


class Script:
    """Fixed turns, in order; None is one that `then` makes up, who also goes on where they end.

    Without `then`, the user leaves when all is said (`End.SCRIPT`). A row's own `script` takes the place of the turns.
    Raises UsageError for what cannot be a turn, for one that is left to nobody, and for another script as `then`.
    """

    def __init__(self, turns: Sequence[str | None] = (), *, then: User | None = None) -> None:
        self.turns = tuple(turns)
        self.then = then
        if isinstance(then, Script):
            raise UsageError("Who goes on after a script is a script too: write its turns behind the others.")
        for place, turn in enumerate(self.turns, start=1):
            if turn is None and then is None:
                raise UsageError(
                    f"Turn {place} of the script is to be made up, and nobody is there to do so: name a user, as in "
                    'Simulator(["hi", None], then="openai/gpt-4o-mini").'
                )
            if turn is not None and not (isinstance(turn, str) and turn.strip()):
                what = "empty" if isinstance(turn, str) else type(turn).__name__
                raise UsageError(f"Turn {place} of the script is {what}; it must be a text, or None for a live user's.")

    @property
    def name(self) -> str:
        return f"{SCRIPT}, then {self.then.name}" if self.then else SCRIPT

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        digest = hashlib.sha256(json.dumps(self.turns).encode()).hexdigest()[:16]
        known: dict[str, Any] = {"user": SCRIPT, "turns": digest}
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
        """Raises SampleError for a turn of a row's script that is left to a live user where there is none."""
        turns = situation.goal.script or self.turns
        is_written = situation.turn < len(turns)
        said = turns[situation.turn] if is_written else None
        if said is not None:
            return UserTurn(message=said, written=True)
        if self.then is not None:
            return await self.then.anext(situation, engine=engine)
        if is_written:
            raise SampleError(f"Turn {situation.turn + 1} of the row's script is left to a live user: name one.")
        return UserTurn(message="", end=End.SCRIPT, reason="the script has no further turn", written=True)
