"""Questions about a story, some of them ambiguous: Abg-CoQA (Guo et al., AKBC 2021), table 2 of the paper."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.messages import Message
from collab_sdk.tasks.base import Row, Task, first_text
from collab_sdk.types import Conversation, Goal

LABELS = {"ambiguous": True, "non_ambiguous": False}


def read(row: Row) -> Conversation:
    """The story and the questions so far, then the one in question; `metadata["ambiguous"]` says what it is."""
    label = first_text(row, "ambiguity")
    target = row.get("target_turn")
    if label not in LABELS or not isinstance(target, Mapping):
        raise InputError(f"expected a target_turn, and an ambiguity of {' or '.join(LABELS)}")
    question = first_text(target, "question")
    story = f"Here is a story, about which I have questions.\n\n{first_text(row, 'story')}"
    said = [*_history(row), Message(role="user", content=question)]
    opening = Message(role="user", content=f"{story}\n\n{said[0].content}")
    meant, answer = _meant(row)
    goal = Goal(text=f"The answer, from the story, to: {question}\nIf asked what is meant: {meant}", reference=answer)
    metadata = {"ambiguous": LABELS[label]}
    return Conversation(id=str(row.get("id") or ""), messages=(opening, *said[1:]), goal=goal, metadata=metadata)


def _history(row: Row) -> Iterator[Message]:
    for turn in _objects(row.get("history_turns"), "history_turns"):
        yield Message(role="user", content=first_text(turn, "question"))
        yield Message(role="assistant", content=first_text(turn, "answer"))


def _meant(row: Row) -> tuple[str, str | None]:
    """What the asker says when asked back, and the answer to that: of the first reading, where there are several."""
    clarification = row.get("clarification_turn")
    answers = clarification.get("answers") if isinstance(clarification, Mapping) else None
    reading = next(iter(_objects(answers, "answers")), None)
    said = "just that." if reading is None else first_text(reading, "clr_ans")
    answer: Any = row["target_turn"].get("answer") if reading is None else reading.get("org_ans")
    return said, answer if isinstance(answer, str) and answer.strip() else None


def _objects(value: Any, name: str) -> Sequence[Row]:
    """The list of objects that a field holds, empty where there is none. Raises InputError for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise InputError(f"expected {name!r} to be a list of objects")
    return value


TASK = Task(
    name="abg-coqa",
    metric=None,
    read=read,
    exchanges=1,
    kinds="ambiguous",
    fields="story, history_turns, target_turn, ambiguity and clarification_turn",
    source="Abg-CoQA is at https://github.com/MeiqiGuo/AKBC2021-Abg-CoQA (MIT; its stories are CoQA's, each under its "
    "own licence): take abg-coqa/coqa_abg_test.json, and for training coqa_abg_train.json.",
)
