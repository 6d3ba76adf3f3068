"""What a training notes of its adapter: who was learnt, and which users a bot was trained against.

An evaluation with one of these users says little about any other.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from collab_sdk.files import run_path

METRICS = "metrics.json"
"""What a training leaves in the folder of its adapter."""
TRAINED_AGAINST = "trained_against"
IN_PROCESS = "hf:"
"""Begins the name of a model whose folder is read here."""


def users_in(made_with: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the users in a provenance; none where it does not say."""
    users = made_with.get("simulators")
    named = [user.get("name") for user in users if isinstance(user, Mapping)] if isinstance(users, list | tuple) else []
    return tuple(str(name) for name in named if name)


def users_of_pairs(pairs: Path) -> tuple[str, ...]:
    """Who played while these pairs were made, by the `NAME.run.json` beside them; none where there is none."""
    made_with = _read(run_path(pairs)).get("made_with")
    return users_in(made_with) if isinstance(made_with, Mapping) else ()


def users_of_bot(bot: str) -> tuple[str, ...]:
    """Who played while a bot was trained, as its training noted in its folder, or in the one above a merged model.

    None for a bot that is served from elsewhere.
    """
    _, is_local, path = bot.partition(IN_PROCESS)
    if not is_local:
        return ()
    folder = Path(path.rpartition("@")[2].partition("?")[0]).expanduser()
    if not folder.is_dir():  # a name on the hub, whose parent is the folder that the command runs in
        return ()
    return users_of_adapter(folder) or users_of_adapter(folder.resolve().parent)


def users_of_adapter(folder: Path) -> tuple[str, ...]:
    """Who played while the adapter in a folder was trained."""
    known = _read(folder / METRICS).get(TRAINED_AGAINST)
    return tuple(map(str, known)) if isinstance(known, list) else ()


def role_of_adapter(folder: Path) -> str:
    """Who was learnt in the adapter in a folder, as in `TrainingOptions.role`; empty where it does not say."""
    options = _read(folder / METRICS).get("options")
    return str(options.get("role", "")) if isinstance(options, Mapping) else ""


def same_user_warning(bot: str, trained_against: Iterable[str], users: Iterable[str]) -> str | None:
    """A warning where one of `users` is one that the bot was trained against, in a line."""
    known = set(map(_resolved, trained_against))
    same = [user for user in users if _resolved(user) in known]
    if not same:
        return None
    return (
        f"{bot} was trained against {' and '.join(dict.fromkeys(same))}, who plays the user here too, so that what it "
        "learnt of this one user counts as gain: give another --simulator."
    )


def _resolved(user: str) -> str:
    """The name with its folders as absolute ones."""
    kind, is_local, path = user.partition(IN_PROCESS)
    if not is_local:
        return user
    parts = [part.partition("?")[0] for part in path.split("@")]
    folders = [str(Path(part).expanduser().resolve()) if Path(part).expanduser().is_dir() else part for part in parts]
    return f"{kind}{IN_PROCESS}{'@'.join(folders)}"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, Mapping) else {}
