"""Logged chats whose users are to be learnt, each with its goal."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import CollabError, InputError, SampleError
from collab_sdk.files import beside, is_sqlite, parse_json
from collab_sdk.goals import GoalReader
from collab_sdk.logs import format_of, log_files, read_conversations, read_rows
from collab_sdk.types import Conversation, Goal

PREFERENCES = ("preferences", "ranked")
"""Formats whose rows compare replies, and are not chats that took place."""
NO_GOAL = "chats without a goal"
GOAL_TO_COME = "What this chat's user wants, in a sentence or two that are still to be inferred from the whole chat."
"""In place of a goal that is not inferred yet, of about the length that it will have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UserChats:
    """The chats of a training, and what is known of the rows that could not be read as chats."""

    train: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...] | None = None
    """The chats of a file `NAME.eval.jsonl` beside the logs; None without such a file."""
    faults: Mapping[str, Sequence[str]]
    """Where rows cannot be learnt from, by why."""
    notes: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[Conversation, ...]:
        return (*self.train, *(self.held_out or ()))

    @property
    def without_goal(self) -> tuple[Conversation, ...]:
        """The chats whose goal is to be inferred: not those in which no user speaks."""
        return tuple(filter(_needs_goal, self.everything))

    def with_goals(self, goals: Sequence[Goal | CollabError], *, by: str) -> Self:
        """With the goals that `by` inferred, in the order of `without_goal`; a chat whose goal failed is a fault."""
        faults = {problem: list(places) for problem, places in self.faults.items()}
        inferred = sum(isinstance(goal, Goal) for goal in goals)
        found = iter(goals)

        def completed(chats: Iterable[Conversation]) -> Iterator[Conversation]:
            for chat in chats:
                if not _needs_goal(chat):
                    yield chat
                elif isinstance(goal := next(found), Goal):
                    yield replace(chat, goal=goal)
                else:
                    faults.setdefault(f"{NO_GOAL}, as none could be inferred: {goal}", []).append(chat.id)

        goals_were = "goal was" if inferred == 1 else "goals were"
        said = f"{inferred:,} {goals_were} inferred by {by}, from the whole chat."
        return replace(
            self,
            train=tuple(completed(self.train)),
            held_out=None if self.held_out is None else tuple(completed(self.held_out)),
            faults=faults,
            notes=(*self.notes, *([said] if inferred else [])),
        )

    def with_stand_ins(self, *, by: str) -> Self:
        """With a stand-in for each goal that `by` would infer, to check or estimate a training before `by` is paid."""
        return self.with_goals([Goal(text=GOAL_TO_COME)] * len(self.without_goal), by=by)

    async def ainferred(self, reader: GoalReader, *, on_progress: Callable[[int, int], None] | None = None) -> Self:
        """With the goals that `reader` infers, in one call a chat. `on_progress` gets the chats done and those failed.

        Raises RunStoppedError if the run cannot go on.
        """
        done = failed = 0

        async def infer(chat: Conversation) -> Goal | CollabError:
            nonlocal done, failed
            try:
                found: Goal | CollabError = await reader.aread(chat)
            except SampleError as error:
                found = error
                failed += 1
            done += 1
            if on_progress is not None:
                on_progress(done, failed)
            return found

        return self.with_goals(await all_settled(map(infer, self.without_goal)), by=reader.model.name)


def has_goal(chat: Conversation) -> bool:
    """Whether its row says what the user wants."""
    return chat.goal is not None and bool(chat.goal.text.strip())


def _needs_goal(chat: Conversation) -> bool:
    return not has_goal(chat) and any(message.role == "user" for message in chat.messages)


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
