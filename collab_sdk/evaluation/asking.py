"""Over-asking: questions to a user whose request was clear."""

from collections.abc import Sequence
from functools import partial

from collab_sdk.messages import Message
from collab_sdk.metrics.base import Rubric, read_verdict, verdict
from collab_sdk.metrics.judge import Judge
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


async def judge_request_is_clear(
    judge: Judge, history: Sequence[Message], *, goal: Goal, conversation_id: str = ""
) -> bool:
    """Whether a history that ends with a user message leaves nothing open that would take a question.

    Raises SampleError if the judge fails or does not answer in the form asked for.
    """
    return await _ajudge(judge, history, "clear", goal, conversation_id)


async def judge_asks_question(
    judge: Judge, messages: Sequence[Message], *, goal: Goal, conversation_id: str = ""
) -> bool:
    """Whether the response that `messages` end with asks in place of delivering.

    Raises SampleError if the judge fails or does not answer in the form asked for.
    """
    return await _ajudge(judge, messages, "asks", goal, conversation_id)


async def _ajudge(judge: Judge, messages: Sequence[Message], question: str, goal: Goal, conversation_id: str) -> bool:
    criterion = load_prompt(f"criterion_{question}").text
    rubric = Rubric(criterion=criterion, form=verdict(question), read=partial(read_verdict, question))
    judgements = await judge.ajudge(
        tuple(messages), goal=goal, rubrics={question: rubric}, conversation_id=conversation_id
    )
    return judgements[question].value == 1
