"""What a check of a judge would cost, found out without a call."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from collab_sdk.cost import (
    GOAL_TOKENS,
    JUDGE_REPLY,
    LISTED,
    MESSAGE_OVERHEAD,
    Bill,
    Prices,
    estimate_scoring,
    template_tokens,
)
from collab_sdk.engine.usage import Ledger
from collab_sdk.judging.checker import REPEATS, Probe, probes_of
from collab_sdk.judging.people import RatedResponse, ReviewedPair
from collab_sdk.messages import Message
from collab_sdk.metrics import as_metrics, tokens_by_role
from collab_sdk.metrics.base import Rubric, artefact_of, rubric_of
from collab_sdk.models.base import CallRole
from collab_sdk.spec import RunSpec
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal


def estimate_judge_check(
    conversations: Iterable[Conversation],
    spec: RunSpec,
    prices: Prices,
    *,
    repeats: int = REPEATS,
    rated: Sequence[RatedResponse] = (),
    reviewed: Sequence[ReviewedPair] = (),
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role: every probe, rated response and reviewed pair."""
    bill = Bill(prices)
    for conversation in conversations:
        shown = probes_of(conversation)
        again = [shown[Probe.WHOLE]] * (repeats - 1) if shown else []
        _judge(bill, spec, conversation.goal, [*shown.values(), *again])
    for pair in reviewed:
        sides = (pair.chosen, pair.rejected)
        ends = [(*side.response, *future.messages) for side in sides for future in side.futures]
        _judge(bill, spec, pair.goals[0], [(*pair.conversation.messages, *end) for end in ends], goals=len(pair.goals))
    ledger = bill.ledger
    for per in ("decision", "turn"):
        chats = [each.conversation for each in rated if each.per == per]
        scoring = estimate_scoring(chats, replace(spec, per=per, goals_per_turn=1), prices, only_last=True)
        for role, usage in scoring.roles.items():
            ledger.roles[role] = ledger.of(role) + usage
    return ledger


def _judge(bill: Bill, spec: RunSpec, goal: Goal | None, shown: Sequence[Sequence[Message]], *, goals: int = 1) -> None:
    """The calls for a chat's goal, for what is listed of it, and for each conversation that is judged by it."""
    if not shown:
        return
    about = count_tokens(goal.text) if goal and goal.text else GOAL_TOKENS
    longest = max(map(_tokens, shown))
    if not (goal and goal.text):
        bill.add(CallRole.GOAL, calls=1, prompt=template_tokens("goal") + longest, reply=GOAL_TOKENS)
    metrics = [metric for metric, _ in as_metrics(spec.metrics).values()]
    known = goal or Goal(text="")
    rubrics = [rubric for metric in metrics if (rubric := rubric_of(metric, known)) is not None]
    bill.add(CallRole.JUDGE, calls=goals, prompt=template_tokens("requirements") + about, reply=LISTED * about)
    # What only shows an artefact is asked about in a call of its own, after one that pulls it out.
    alone = sum(isinstance(rubric, Rubric) and rubric.compare is not None for rubric in rubrics)
    calls = 1 + alone + len({what for metric in metrics if (what := artefact_of(metric, known))})
    around = template_tokens("judge") + sum(count_tokens(rubric.criterion) for rubric in rubrics) + (1 + LISTED) * about
    for messages in shown:
        bill.add(CallRole.JUDGE, calls=calls, prompt=around + _tokens(messages), reply=JUDGE_REPLY)


def _tokens(messages: Sequence[Message]) -> int:
    return sum(tokens_by_role(messages).values()) + MESSAGE_OVERHEAD * len(messages)
