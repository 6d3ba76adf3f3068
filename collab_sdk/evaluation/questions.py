"""Which of the bot's questions were worth asking."""

from collections.abc import Sequence
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.metrics import Judge, Judgement, Rubric
from collab_sdk.metrics.base import MOST_ITEMS
from collab_sdk.models.form import Flag, Form, Items, Note, Record
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal

NAME = "useful_questions"
QUESTION_MARKS = "?\uff1f\u061f\u037e\u055e"
"""Latin, full-width, Arabic, Greek and Armenian."""
QUESTION: Form = Record(fields={"question": Note(), "changed": Flag()})
FORM: Form = Record(
    fields={"reason": Note(), "questions": Items(item=QUESTION, at_most=MOST_ITEMS, keyed=("question", "changed"))},
    bare="questions",
)
MARKS = QUESTION_MARKS + ";"
"""Without any of these no question was asked, in most scripts (Greek is often written with a semicolon); the judge
tells the rest from rhetoric."""


async def auseful_questions(
    judge: Judge, messages: Sequence[Message], *, goal: Goal, conversation_id: str = ""
) -> tuple[bool, ...]:
    """For each question that the bot asked, whether its answer changed the outcome.

    A bot that asks about what does not matter, to look busy or to put work off, shows here, whatever its
    interactivity. Raises SampleError if the judge fails or does not answer in the form asked for.
    """
    asked = [message for message in messages if message.role == "assistant"][:-1]
    if not any(mark in message.content for message in asked for mark in MARKS):
        return ()
    rubric = Rubric(criterion=load_prompt(f"criterion_{NAME}").text, form=FORM, read=_read)
    judgements = await judge.ajudge(tuple(messages), goal=goal, rubrics={NAME: rubric}, conversation_id=conversation_id)
    return tuple(map(bool, judgements[NAME].items))


def has_question_mark(text: str) -> bool:
    """Of any script."""
    return any(mark in text for mark in QUESTION_MARKS)


def _read(answer: Any) -> Judgement:
    items = tuple(float(each["changed"]) for each in answer["questions"])
    return Judgement(value=sum(items) / len(items) if items else 0.0, items=items)
