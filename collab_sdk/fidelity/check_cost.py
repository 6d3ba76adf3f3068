"""What a check would cost, found out without a call."""

from collections.abc import Sequence
from itertools import accumulate

from collab_sdk.cost import (
    GOAL_TOKENS,
    MESSAGE_OVERHEAD,
    Bill,
    Prices,
    UserCosts,
    estimate_scoring,
    template_tokens,
)
from collab_sdk.engine.usage import Ledger
from collab_sdk.fidelity.user_turns import user_turns
from collab_sdk.fidelity.validity import PROMPT
from collab_sdk.models.base import CallRole
from collab_sdk.spec import RunSpec
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal

VERDICT_TOKENS = 70
"""Of the judge's verdict on one simulated turn."""


def estimate_check(
    conversations: Sequence[Conversation],
    spec: RunSpec,
    prices: Prices,
    *,
    verdicts: bool = False,
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role: every turn compared, and every response scored.

    Scripts, logs and people need no call, and a function's calls cost nothing. With `verdicts`, the judge's calls are
    counted as well.
    """
    bill, users = Bill(prices), UserCosts.of(spec)
    for conversation in conversations:
        _add(conversation, bill, users, infers_goal=not spec.window, verdicts=verdicts)
    ledger = bill.ledger
    if spec.window:
        scoring = estimate_scoring(conversations, spec, prices)
        for role, usage in scoring.roles.items():
            ledger.roles[role] = ledger.of(role) + usage
    return ledger


def _add(conversation: Conversation, bill: Bill, users: UserCosts, *, infers_goal: bool, verdicts: bool) -> None:
    goal = conversation.goal or Goal(text="")
    tokens = [count_tokens(message.content) for message in conversation.messages]
    up_to = list(accumulate((n + MESSAGE_OVERHEAD for n in tokens), initial=0))
    if infers_goal and not goal.text:
        bill.add(CallRole.GOAL, calls=1, prompt=template_tokens("goal") + up_to[-1], reply=GOAL_TOKENS)
    wanted = count_tokens(goal.text) if goal.text else GOAL_TOKENS
    turns = list(user_turns(conversation, goal))
    for turn in turns:
        style = sum(map(count_tokens, turn.earlier))
        asked = wanted + up_to[len(turn.history)]
        users.bill(bill, calls=1, asked=asked, says=count_tokens(turn.real), style=style)
    if verdicts and turns:
        said = sum(count_tokens(turn.real) + 2 * MESSAGE_OVERHEAD for turn in turns)
        prompt = template_tokens(PROMPT) + wanted + up_to[-1] + said
        bill.add(CallRole.JUDGE, calls=1, prompt=prompt, reply=VERDICT_TOKENS * len(turns))
