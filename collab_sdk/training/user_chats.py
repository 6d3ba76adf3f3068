"""Logged chats whose users are to be learnt, each with its goal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from collab_sdk.errors import CollabError, InputError
from collab_sdk.files import beside, is_sqlite, parse_json
from collab_sdk.logs import format_of, log_files, read_conversations, read_rows
from collab_sdk.types import Conversation, Goal

PREFERENCES = ("preferences", "ranked")
"""Formats whose rows are replies compared, and no chats that took place."""
NO_GOAL = "chats without a goal"


@dataclass(frozen=True, kw_only=True, slots=True)
class UserChats:
    """The chats of a training, and what is known of the rows that are none."""

    train: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...] | None = None
    """Those of a file `NAME.eval.jsonl` beside it; None without one."""
    faults: Mapping[str, Sequence[str]]
    """Where rows cannot be learnt from, by why."""
    notes: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[Conversation, ...]:
        return (*self.train, *(self.held_out or ()))

    @property
    def without_goal(self) -> tuple[Conversation, ...]:
        return tuple(chat for chat in self.everything if not has_goal(chat))

    def with_goals(self, goals: Mapping[str, Goal | CollabError], *, by: str) -> Self:
        """With the goals that `by` inferred, by the ids of the chats that had none; where that failed, a fault."""
        failed = {id: error for id, error in goals.items() if isinstance(error, CollabError)}
        faults = {problem: list(places) for problem, places in self.faults.items()}
        for id, error in failed.items():
            faults.setdefault(f"{NO_GOAL}, as none could be inferred: {error}", []).append(id)
        inferred = len(goals) - len(failed)
        goals_were = "goal was" if inferred == 1 else "goals were"
        said = f"{inferred:,} {goals_were} inferred by {by}, from the whole chat."

        def completed(chats: Iterable[Conversation]) -> tuple[Conversation, ...]:
            return tuple(_with_goal(chat, goals.get(chat.id)) for chat in chats if chat.id not in failed)

        return replace(
            self,
            train=completed(self.train),
            held_out=None if self.held_out is None else completed(self.held_out),
            faults=faults,
            notes=(*self.notes, *([said] if inferred else [])),
        )


def has_goal(chat: Conversation) -> bool:
    """Whether its row says what the user wants."""
    return chat.goal is not None and bool(chat.goal.text.strip())


def read_user_chats(path: Path, *, limit: int | None = None) -> UserChats:
    """The chats in logs of any format, the first `limit` of them, and those held out in `NAME.eval.jsonl` beside them.

    Raises InputError for preferences: they are replies to the same history, not chats.
    """
    faults: dict[str, list[str]] = {}
    notes: Counter[str] = Counter()

    def read(file: Path, limit: int | None) -> tuple[Conversation, ...]:
        _refuse_preferences(file)
        return tuple(read_conversations([file], unanswered=True, limit=limit, on_error=refuse, notes=notes))

    def refuse(error: InputError) -> None:
        faults.setdefault(error.problem, []).append(error.where or str(path))

    train, eval_file = read(path, limit), beside(path, "eval")
    held_out = read(eval_file, None) if path.is_file() and eval_file.exists() else None
    left_out = tuple(f"{count:,} {what}" for what, count in notes.items())
    return UserChats(train=train, held_out=held_out, faults=faults, notes=left_out)


def _refuse_preferences(path: Path) -> None:
    for file in log_files([path]):
        for where, text in () if is_sqlite(file) else read_rows(file, _ignore):
            if _format_name(text) in PREFERENCES:
                raise InputError(
                    "this is a preference, of which no whole chat is known: give --role user the logged chats that it "
                    "was made from",
                    where=where,
                )


def _format_name(text: bytes) -> str:
    try:
        return format_of(parse_json(text))[0].name
    except InputError:
        return ""


def _ignore(error: InputError) -> None:
    """It is reported when the chats are read."""


def _with_goal(chat: Conversation, goal: Goal | CollabError | None) -> Conversation:
    return chat if goal is None or isinstance(goal, CollabError) else replace(chat, goal=goal)
