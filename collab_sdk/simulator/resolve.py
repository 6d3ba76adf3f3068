"""Whatever is to play the user, converted once, at the edge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UsageError
from collab_sdk.models import files_of
from collab_sdk.models.base import ChatModel
from collab_sdk.models.providers import provider_of
from collab_sdk.models.resolve import ModelLike, as_chat_model, is_own_function
from collab_sdk.plugins import import_named, names
from collab_sdk.simulator.base import Situation, User, UserTurn
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.human import HUMAN, HumanUser
from collab_sdk.simulator.plain import PLAIN, PlainUser, family_of
from collab_sdk.simulator.prompted import PromptedUser
from collab_sdk.simulator.retrieval import LOGS, LoggedUser
from collab_sdk.simulator.script import SCRIPT, Script
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings, ModelSpec

UserLike = User | ModelLike | Sequence[str | None]
"""What is taken wherever a user is wanted: a User, a name, a model to prompt, a function, the turns of a script."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """Users of one kind."""

    make: Callable[[ModelSpec], User]
    asks_model: bool = False


def _script(spec: ModelSpec) -> User:
    if spec.name != SCRIPT:
        raise UsageError(
            f"{spec.name!r} names no script: write script, and the turns into the rows or a list in Python."
        )
    return Script()


def _logs(spec: ModelSpec) -> User:
    if not (path := _rest(spec.name)):
        raise UsageError(f"{spec.name!r} names no logs: write {LOGS}:PATH.")
    return LoggedUser(path)


KINDS: Mapping[str, _Kind] = {
    PLAIN: _Kind(make=lambda spec: PlainUser(replace(spec, name=_rest(spec.name))), asks_model=True),
    LOGS: _Kind(make=_logs),
    SCRIPT: _Kind(make=_script),
    HUMAN: _Kind(make=lambda _: HumanUser()),
}
"""By the name, or what stands before its first colon; any other name is that of a model, which is prompted."""


def takes_settings(name: str) -> bool:
    """Whether a user of that name may be played by a model, which has a server and settings."""
    kind = KINDS.get(_kind(name))
    return kind is None or kind.asks_model


def default_settings(name: str) -> ModelSettings:
    """How a user of that name is asked where nothing else is said."""
    return family_of(_rest(name)).settings if _kind(name) == PLAIN else ROLE_DEFAULTS["simulator"]


def files_of_user(name: str) -> list[Path]:
    """What a user's name reads: logs, source code, weights."""
    if _kind(name) == LOGS:
        return [Path(_rest(name))] if _rest(name) else []
    return files_of(_rest(name) if _kind(name) == PLAIN else name)


def is_prompted(name: str) -> bool:
    """Whether a name is that of a model which is told to play the user, and so could play other parts."""
    return _kind(name) not in (*KINDS, "py")


def as_user(user: UserLike, *, then: User | None = None) -> User:
    """A User from one, from its name, from a model, a function or a list of turns.

    `then` makes up the turns that a list leaves open, and goes on where it ends. Raises UsageError for anything else.
    """
    found = _of_name(user, then) if isinstance(user, str | ModelSpec) else _of_object(user, then)
    if then is not None and isinstance(found, Script) and found.then is None:
        return Script(found.turns, then=then)
    return found


def _of_name(name: str | ModelSpec, then: User | None) -> User:
    spec = ModelSpec(name=name) if isinstance(name, str) else name
    if (kind := KINDS.get(_kind(spec.name))) is not None:
        if not kind.asks_model:
            _check_not_asked(spec)
        return kind.make(spec)
    if spec.name.startswith(f"{SCRIPT}, "):
        raise UsageError(f"{spec.name!r} is a script with turns of its own, which Python alone can make.")
    if _kind(spec.name) != "py":
        return PromptedUser(spec)
    found, versioned = import_named(spec.name)
    user = _of_object(found, then, name=versioned)
    if user is found or not isinstance(user, PromptedUser):
        _check_not_asked(spec)
        return user if isinstance(user, OWN) else _Imported(user=user, code=versioned)
    if spec.api_base or spec.api_key_env:
        raise UsageError(f"{spec.name} takes no address and no key: it reaches its model itself.")
    return PromptedUser(spec)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Imported:
    """A User of somebody's module: its code is part of who it is."""

    user: User
    code: str

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        known = self.user.fingerprint
        return None if known is None else {**known, "code": self.code}

    @property
    def model(self) -> ChatModel | None:
        return self.user.model

    @property
    def settings(self) -> ModelSettings | None:
        return self.user.settings

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        return await self.user.anext(situation, engine=engine)


OWN = (FunctionUser, HumanUser, LoggedUser, PlainUser, PromptedUser, Script)
"""Users of this package, whose fingerprint says all."""


def _check_not_asked(spec: ModelSpec) -> None:
    """Raise UsageError for settings, an address, a key or a price of a user for whom no model is asked by name."""
    if spec.api_base or spec.api_key_env or spec.price or (spec.settings is not None and spec.settings.sent()):
        raise UsageError(
            f"{spec.name} takes no settings, address, key or price as user: they are for a model that is named."
        )


def _of_object(found: object, then: User | None, *, name: str | None = None) -> User:
    if isinstance(found, type):
        raise UsageError(f"{found.__name__} is a class: give an object of it to play the user.")
    if isinstance(found, User):
        return found
    if isinstance(found, list | tuple):
        return _of_turns(found, then)
    if is_own_function(found):  # which is the user itself, and not a model that is told to be one
        return FunctionUser(found, name=name)  # type: ignore[arg-type]
    try:
        return PromptedUser(as_chat_model(found, name=name))  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(
            f"{name or type(found).__name__} cannot play the user: {error} A list of turns or a User can, too."
        ) from None


def _of_turns(turns: Sequence[str | None], then: User | None) -> Script:
    """Raises UsageError where all turns are names of users: somebody wants several, and not a script."""
    if not turns:
        raise UsageError("The script has no turn: give at least one text.")
    if all(isinstance(turn, str) and _is_name(turn) for turn in turns):
        raise UsageError(
            f"{turns[0]!r} in a list is a line of a script, though it reads like a user's name: for users give a name "
            "alone, or {name: share, ...}; for a script that says so, Script([...])."
        )
    return Script(turns, then=then)


def _is_name(text: str) -> bool:
    """Whether a text is the name of a user or a model, and nothing that people write."""
    if not text or any(map(str.isspace, text)):
        return False
    has_scheme = ":" in text and _kind(text) in (*KINDS, *names("chat_models"), "py", "proactive", "prompt")
    return has_scheme or text in (*KINDS, *names("chat_models")) or provider_of(text) is not None


def _kind(name: str) -> str:
    if not name.strip():
        raise UsageError("The name of the user is empty: give that of a model, plain:MODEL, logs:PATH or another.")
    return name.partition(":")[0]


def _rest(name: str) -> str:
    return name.partition(":")[2]
