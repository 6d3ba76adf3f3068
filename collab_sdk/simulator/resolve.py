"""Whatever is to play the user, converted once, at the edge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from collab_sdk.errors import UsageError
from collab_sdk.models import files_of
from collab_sdk.models.resolve import ModelLike, as_chat_model, is_own_function
from collab_sdk.plugins import import_named
from collab_sdk.simulator.base import User
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.person import HUMAN, HumanUser
from collab_sdk.simulator.plain import PLAIN, PlainUser, family_of
from collab_sdk.simulator.prompted import PromptedUser
from collab_sdk.simulator.retrieval import LOGS, LoggedUser
from collab_sdk.simulator.script import Script
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings, ModelSpec

UserLike = User | ModelLike | Sequence[str | None]
"""What is taken wherever a user is wanted: a User, a name, a model to prompt, a function, the turns of a script."""


def _script(spec: ModelSpec) -> User:
    if spec.name != "script":
        raise UsageError(
            f"{spec.name!r} names no script: write script, and the turns into the rows or a list in Python."
        )
    return Script()


def _plain(spec: ModelSpec) -> User:
    return PlainUser(replace(spec, name=spec.name.removeprefix(PLAIN)))


def _logs(spec: ModelSpec) -> User:
    return LoggedUser(spec.name.removeprefix(LOGS))


def _human(spec: ModelSpec) -> User:
    return HumanUser()


SEATS: Mapping[str, Callable[[ModelSpec], User]] = {
    "plain": _plain,
    "logs": _logs,
    "script": _script,
    HUMAN: _human,
}
"""By the name, or what stands before its first colon, who sits down; any other name is a model that is prompted."""


WITHOUT_MODEL = frozenset(("script", "logs", HUMAN))
"""Seats in which nobody asks a model."""


def takes_settings(name: str) -> bool:
    """Whether a user of that name is played by a model, which has a server and settings."""
    return name.partition(":")[0] not in WITHOUT_MODEL


def default_settings(name: str) -> ModelSettings:
    """How a user of that name is asked where nothing else is said."""
    kind, _, model = name.partition(":")
    return family_of(model).settings if kind == "plain" else ROLE_DEFAULTS["simulator"]


def files_of_user(name: str) -> list[Path]:
    """What a user's name reads: logs, source code, weights."""
    kind, _, rest = name.partition(":")
    if kind == "logs":
        return [Path(rest)] if rest else []
    return files_of(rest if kind == "plain" else name)


def is_prompted(name: str) -> bool:
    """Whether a name is that of a model which is told to play the user, and so could play other parts."""
    return name.partition(":")[0] not in SEATS and not name.startswith("py:")


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
    if not takes_settings(spec.name) and (spec.api_base or (spec.settings is not None and spec.settings.sent())):
        raise UsageError(f"{spec.name} takes neither settings nor an address: it asks no model.")
    if (seat := SEATS.get(spec.name.partition(":")[0])) is not None:
        return seat(spec)
    if spec.name.startswith("py:"):
        found, versioned = import_named(spec.name)
        return _of_object(found, then, name=versioned)
    return PromptedUser(spec)


def _of_object(found: object, then: User | None, *, name: str | None = None) -> User:
    if isinstance(found, type):
        raise UsageError(f"{found.__name__} is a class: give an object of it to play the user.")
    if isinstance(found, User):
        return found
    if isinstance(found, list | tuple):
        if not found:
            raise UsageError("The script has no turn: give at least one text.")
        return Script(found, then=then)
    if is_own_function(found):  # which is the user itself, and not a model that is told to be one
        return FunctionUser(found, name=name)  # type: ignore[arg-type]
    try:
        return PromptedUser(as_chat_model(found, name=name))  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(
            f"{name or type(found).__name__} cannot play the user: {error} A list of turns or a User can, too."
        ) from None
