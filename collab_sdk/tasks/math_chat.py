"""Problems with one right answer: MATH, or GSM8K in its own schema."""

from math import isfinite

from collab_sdk.errors import InputError
from collab_sdk.tasks.base import Hub, Row, Task, first_text
from collab_sdk.types import Conversation, Goal

BOXED = "\\boxed{"


def read(row: Row) -> Conversation:
    """`problem` or `question`; the reference is `answer`, behind its #### if it has one, or what `solution` boxes."""
    problem = first_text(row, "problem", "question")
    goal = Goal(text=f"problem: {problem}\nwanted: its answer", reference=_answer(row))
    return Conversation(id="", messages=(), goal=goal)


def _answer(row: Row) -> str:
    given = row.get("answer")
    if isinstance(given, int | float) and not isinstance(given, bool) and isfinite(given):
        given = str(given)
    if isinstance(given, str) and given.strip():
        answer = given.rpartition("####")[2]
    else:
        answer = _boxed(first_text(row, "answer", "solution"))
    if not answer.strip():
        raise InputError("no final answer in it")
    return answer.strip()


def _boxed(solution: str) -> str:
    """What the last \\boxed{...} holds, braces inside included."""
    _, found, rest = solution.rpartition(BOXED)
    depth = 1
    for place, sign in enumerate(rest if found else ""):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth == 0:
            return rest[:place]
    return ""


TASK = Task(
    name="math-chat",
    metric="accuracy",
    read=read,
    hub=Hub(dataset="lighteval/MATH-Hard", split="test"),
    fields="problem or question, and answer or solution",
    source="MATH-Hard, the level-5 problems of MATH, is at https://huggingface.co/datasets/lighteval/MATH-Hard (MIT).",
)
