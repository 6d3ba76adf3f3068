"""Who plays the user of each future, and what they say."""

import copy
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from collab_sdk.concurrency import run_sync, sync_twins
from collab_sdk.engine.engine import Engine, default_engine
from collab_sdk.errors import RunStoppedError, SampleError, UsageError
from collab_sdk.messages import Message, as_messages
from collab_sdk.models.base import ChatModel, spec_of, without_settings
from collab_sdk.personas import PERSONAS, as_personas
from collab_sdk.secrets import one_line
from collab_sdk.simulator.base import Situation, User, UserTurn, checked_turn
from collab_sdk.simulator.faults import check_turn
from collab_sdk.simulator.human import HumanUser
from collab_sdk.simulator.prompted import PromptedUser
from collab_sdk.simulator.resolve import UserLike, as_user
from collab_sdk.simulator.script import Script
from collab_sdk.spec import ModelSettings, UserSpec
from collab_sdk.types import Goal, Persona

Users = UserLike | Mapping[UserLike, float] | Sequence[UserSpec]
"""One user, or several with the share of futures that each plays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """The user of one future, with what they want and who they are."""

    user: User
    goal: Goal
    engine: Engine

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def persona(self) -> str:
        """The name of their persona; empty without one."""
        return self.goal.persona.name if self.goal.persona else ""

    def played_alone(self) -> AbstractAsyncContextManager[Any]:
        """Is entered for as long as the future is played: a person plays one at a time."""
        user = self.user.then if isinstance(self.user, Script) and self.user.then else self.user
        return user.one_at_a_time if isinstance(user, HumanUser) else nullcontext()

    async def areply(
        self, messages: Sequence[Message], *, turn: int, sample: str, conversation_id: str = ""
    ) -> UserTurn:
        """What they say next, or that they leave.

        Raises UserFaultError for what no user would say, and another SampleError where nobody knows.
        """
        situation = Situation(
            messages=tuple(messages), goal=self.goal, turn=turn, sample=sample, conversation_id=conversation_id
        )
        said = await self.anext(situation)
        check_turn(said, situation, name=self.name)
        return said

    async def anext(self, situation: Situation) -> UserTurn:
        """What they say, unchecked. Raises SampleError where they cannot be played, whatever their code raises."""
        try:
            said = await self.user.anext(situation, engine=self.engine)
        except (RunStoppedError, SampleError):
            raise
        except (Exception, SystemExit) as error:
            raise SampleError(f"{self.name} as user raised {type(error).__name__}: {one_line(str(error))}") from error
        return checked_turn(said, name=self.name)


@sync_twins
class Simulator:
    """Plays the user of a conversation: sees the goal and who the user is; the assistant sees neither.

    `user` is anything that can play one: the name of a model, which is prompted to play the user; `plain:MODEL`;
    `logs:PATH`; a function; a list of turns, or a Script; a User. A mapping has several of them with the share of
    futures that each plays. Which one does is drawn for each sample of a conversation, so that all responses compared
    meet the same users; so is which of `personas` they are, each a Persona or a name of the library, unless a row has
    one of its own.

    `then` makes up the turns that a list of turns leaves open (None), and goes on where it ends:
    `Simulator(["hi", None, "no nuts"], then="openai/gpt-4o-mini")`.
    """

    _group = ""

    def __init__(
        self,
        user: Users,
        *,
        then: UserLike | None = None,
        personas: Sequence[Persona | str] = (),
        engine: Engine | None = None,
    ) -> None:
        shares = _shares(user)
        if not shares or not all(map(_is_share, (share for _, share in shares))):
            raise UsageError("A simulator needs at least one user, each with a share, a number above 0.")
        live = None if then is None else as_user(then)
        self.users: tuple[User, ...] = tuple(as_user(each, then=live) for each, _ in shares)
        if live is not None and not any(isinstance(each, Script) for each in self.users):
            raise UsageError(f"{self.name} says all there is to say, so nobody comes then: leave then= out.")
        self.shares = tuple(float(share) for _, share in shares)
        self.personas = as_personas(personas)
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """Asks the models. The default one, with the user's cache, is made by the first use."""
        self._engine = self._engine or default_engine()
        return self._engine

    def with_engine(self, engine: Engine) -> "Simulator":
        """The same users, asked through another engine."""
        other = copy.copy(self)
        other._engine = engine
        return other

    @property
    def name(self) -> str:
        """For people and files."""
        return " + ".join(each.name for each in self.users)

    @property
    def model(self) -> ChatModel | None:
        """That of the first user who is a prompted model: it also judges, and plays the tools, unless others do."""
        return next((each.model for each in self.users if isinstance(each, PromptedUser)), None)

    @property
    def models(self) -> dict[str, ChatModel]:
        """Those that are asked, by role: `simulator`, of several `simulator 2` and so on."""
        return {role: user.model for role, user in self._roles() if user.model is not None}

    @property
    def fingerprints(self) -> dict[str, Mapping[str, Any] | None]:
        """Of all users, by role."""
        return {role: user.fingerprint for role, user in self._roles()}

    @property
    def specs(self) -> tuple[UserSpec, ...]:
        """The users as data, as they are asked."""
        return tuple(_spec(user, share) for user, share in zip(self.users, self.shares, strict=True))

    def _roles(self) -> Iterable[tuple[str, User]]:
        return ((f"simulator {n}" if n > 1 else "simulator", user) for n, user in enumerate(self.users, start=1))

    @property
    def player(self) -> ChatModel | None:
        """That model without its settings, which are those of a user at their keyboard: for other roles."""
        return None if self.model is None else without_settings(self.model)

    def for_group(self, name: str) -> "Simulator":
        """The same users, drawn alike for the futures of all replies in the group: by its name and the future's."""
        other = copy.copy(self)
        other._group = name
        return other

    def seat(self, goal: Goal, *, draw: str) -> Seat:
        """Who plays the user of one future. `draw` names it: the same draw is the same user."""
        draw = f"{self._group}/{draw.rpartition('/')[2]}" if self._group else draw
        digest = hashlib.sha256(draw.encode("utf-8", "surrogatepass")).digest()
        random = Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - no secret
        most = max(self.shares)  # the sum of large ones may be infinite
        [user] = random.choices(self.users, weights=[share / most for share in self.shares])
        if goal.persona is None and self.personas:
            goal = replace(goal, persona=random.choice(self.personas))
        elif goal.persona is not None and not goal.persona.says_something:  # a row may name one of the library
            goal = replace(goal, persona=PERSONAS.get(goal.persona.name, goal.persona))
        if goal.script and not isinstance(user, Script):
            user = Script(then=user)
        return Seat(user=user, goal=goal, engine=self.engine)

    def reply(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        turn: int = 0,
        sample: str = "",
        conversation_id: str = "",
    ) -> UserTurn:
        return run_sync(self.areply(messages, goal=goal, turn=turn, sample=sample, conversation_id=conversation_id))

    async def areply(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        turn: int = 0,
        sample: str = "",
        conversation_id: str = "",
    ) -> UserTurn:
        """The user's answer to a conversation that ends with an assistant message. `sample` tells draws apart.

        `turn` is how often this user has spoken there before: a script goes on from it, and a user from the logs takes
        the messages before it for those of the chat that is played. Raises SampleError if the user cannot be played.
        """
        seat = self.seat(Goal.of(goal), draw=sample)
        return await seat.areply(as_messages(messages), turn=turn, sample=sample, conversation_id=conversation_id)


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and not isinstance(share, bool) and 0 < share < math.inf


def _shares(users: Users) -> list[tuple[UserLike, float]]:
    if isinstance(users, Mapping):
        return list(users.items())
    if isinstance(users, list | tuple) and users and all(isinstance(each, UserSpec) for each in users):
        return [(each, each.weight) for each in users]
    return [(users, 1.0)]  # type: ignore[list-item]


def _spec(user: User, share: float) -> UserSpec:
    if user.model is None or user.settings is None:
        return UserSpec(name=user.name, weight=share, settings=ModelSettings())
    known = spec_of(user.model, user.settings)
    return UserSpec(
        name=user.name,
        api_base=known.api_base,
        api_key_env=known.api_key_env,
        settings=known.settings,
        price=known.price,
        weight=share,
    )
