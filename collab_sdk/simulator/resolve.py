"""Whatever is to play the user, converted once, at the edge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from collab_sdk.errors import UsageError
from collab_sdk.models.base import ChatModel
from collab_sdk.models import files_of
from collab_sdk.models.function import FunctionModel
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.plugins import import_named
from collab_sdk.simulator.base import User
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.person import HUMAN, HumanUser
from collab_sdk.simulator.plain import PLAIN, PlainUser
from collab_sdk.simulator.prompted import PromptedUser
from collab_sdk.simulator.retrieval import LOGS, LoggedUser
from collab_sdk.simulator.script import Script
from collab_sdk.spec import ModelSpec

UserLike = User | ModelLike | Sequence[str | None]
"""What is taken wherever a user is wanted: a User, a name, a model to prompt, a function, the turns of a script."""


def _script(spec: ModelSpec) -> User:
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


def files_of_user(name: str) -> list[Path]:
    """What a user's name reads: logs, source code, weights."""
    kind, _, rest = name.partition(":")
    if kind == "logs":
        return [Path(rest)] if rest else []
    return files_of(rest if kind == "plain" else name)


def is_prompted(name: str) -> bool:
    """Whether a name is that of a model which is told to play the user, and so could play other parts."""
    return name.partition(":")[0] not in SEATS and not name.startswith("py:")


def as_user(user: UserLike) -> User:
    """A User from one, from its name, from a model, a function or a list of turns.

    Raises UsageError for anything else.
    """
    if isinstance(user, User):
        return user
    if isinstance(user, list | tuple):
        return Script(user)
    if isinstance(user, str):
        user = ModelSpec(name=user)
    if not isinstance(user, ModelSpec):
        return _of_bot(user, name=None)
    if not takes_settings(user.name) and (user.api_base or (user.settings is not None and user.settings.sent())):
        raise UsageError(f"{user.name} takes neither settings nor an address: it asks no model.")
    if (seat := SEATS.get(user.name.partition(":")[0])) is not None:
        return seat(user)
    if user.name.startswith("py:"):
        found, versioned = import_named(user.name)
        return _of_bot(found, name=versioned)
    return PromptedUser(user)


def _of_bot(bot: object, *, name: str | None) -> User:
    if isinstance(bot, User):
        return bot
    if isinstance(bot, list | tuple):
        return Script(bot)
    model: ChatModel = as_chat_model(bot, name=name)  # type: ignore[arg-type]
    # A function in this seat is the user itself, and not a model that is told to be one.
    return FunctionUser(bot, name=name) if isinstance(model, FunctionModel) and callable(bot) else PromptedUser(model)
