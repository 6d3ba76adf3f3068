"""What an evaluation would cost, found out without a call."""

from collections.abc import Iterable, Mapping, Sequence

from collab_sdk.cost import GOAL_TOKENS, JUDGE_REPLY, MESSAGE_OVERHEAD, SIMULATOR_REASON, Bill, template_tokens
from collab_sdk.engine.usage import Ledger
from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.models.base import CallRole, Price
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal

ANSWER, REQUEST = 250, 40
"""Tokens of a bot's and of a user's message, which nobody has written yet: about those of the paper's tasks."""


def estimate_evaluation(
    conversations: Iterable[Conversation],
    evaluator: Evaluator,
    bots: Sequence[Price | None],
    *,
    prices: Mapping[CallRole, Price | None],
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role: as if every conversation took all its exchanges."""
    known = list(conversations)
    bill = Bill(prices)
    for conversation in known:
        if conversation.goal is None or not conversation.goal.text:
            material = conversation.goal.reference if conversation.goal else ""
            text = (material or "") + "".join(message.content for message in conversation.messages)
            bill.add(CallRole.GOAL, calls=1, prompt=template_tokens("goal") + count_tokens(text), reply=GOAL_TOKENS)
    for price in bots:
        bill.prices = {**prices, CallRole.ASSISTANT: price}
        for conversation in known:
            _add(conversation, evaluator, bill)
    return bill.ledger


def _add(conversation: Conversation, evaluator: Evaluator, bill: Bill) -> None:
    goal = conversation.goal or Goal(text="")
    about = count_tokens(goal.text) if goal.text else GOAL_TOKENS
    opening = sum(count_tokens(message.content) + MESSAGE_OVERHEAD for message in conversation.messages)
    opening = 0 if evaluator.task.is_log else opening
    for step in range(evaluator.exchanges):
        said = opening + step * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD)
        if step or not opening:
            prompt = template_tokens("simulator") + about + said
            bill.add(CallRole.SIMULATOR, calls=evaluator.samples, prompt=prompt, reply=REQUEST + SIMULATOR_REASON)
        bill.add(CallRole.ASSISTANT, calls=evaluator.samples, prompt=said + REQUEST, reply=ANSWER)
    whole = opening + evaluator.exchanges * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD) + about
    # One call for the rubrics, one for the artefact, one for the artefact's verdict, one for the questions, at most.
    verdicts = 4 if evaluator.reward.metrics else 1
    prompt = template_tokens("judge") + whole
    bill.add(CallRole.JUDGE, calls=verdicts * evaluator.samples, prompt=prompt, reply=JUDGE_REPLY)
