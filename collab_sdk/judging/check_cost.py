"""What a check of a judge would cost, found out without a call."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from collab_sdk.cost import (
    GOAL_TOKENS,
    JUDGE_REPLY,
    Bill,
    Prices,
    asked_of,
    estimate_scoring,
    judgement_tokens,
    listed_from,
    template_tokens,
    tokens_of,
    tokens_of_goal,
    tokens_of_tools,
)
from collab_sdk.engine.usage import Ledger
from collab_sdk.judging.checker import REPEATS, Probe, earned_rubric, probes_of
from collab_sdk.judging.people import RatedResponse, ReviewedPair
from collab_sdk.messages import Message
from collab_sdk.metrics import Checklist, Metric, Rubric, as_metrics
from collab_sdk.metrics.base import applies_to
from collab_sdk.models.base import CallRole
from collab_sdk.spec import RunSpec
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
    metrics = [metric for metric, _ in as_metrics(spec.metrics).values()]
    for conversation in conversations:
        shown = probes_of(conversation)
        again = [shown[Probe.WHOLE]] * (repeats - 1) if shown else []
        _probe(bill, metrics, conversation, [*shown.values(), *again])
    for pair in reviewed:
        _compare(bill, metrics, pair)
    ledger = bill.ledger
    for per in ("decision", "turn"):
        chats = [each.conversation for each in rated if each.per == per]
        scoring = estimate_scoring(chats, replace(spec, per=per, goals_per_turn=1), prices, only_last=True)
        for role, usage in scoring.roles.items():
            ledger.roles[role] = ledger.of(role) + usage
    return ledger


def _probe(
    bill: Bill, metrics: Sequence[Metric], conversation: Conversation, shown: Sequence[Sequence[Message]]
) -> None:
    """The calls for a chat's goal, for what is listed of it, and for each conversation that is judged by it."""
    if not shown:
        return
    goal = conversation.goal or Goal(text="")
    if not goal.text:
        prompt = template_tokens("goal") + max(map(tokens_of, shown)) + tokens_of_tools(conversation)
        bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=GOAL_TOKENS)
    applied = [metric for metric in metrics if applies_to(metric, conversation)]
    rubrics = [rubric for metric in applied if (rubric := earned_rubric(metric, goal)) is not None]
    _judge(bill, rubrics, (), goal, conversation, shown, goals=1)


def _compare(bill: Bill, metrics: Sequence[Metric], pair: ReviewedPair) -> None:
    """The calls for the futures of both sides."""
    chat, goal = pair.conversation, max(pair.goals, key=tokens_of_goal)
    sides = (pair.chosen, pair.rejected)
    shown = [(*chat.messages, *side.response, *future.messages) for side in sides for future in side.futures]
    rubrics, wanted = asked_of(metrics, goal, chat)
    _judge(bill, rubrics, wanted, goal, chat, shown, goals=len(pair.goals))


def _judge(
    bill: Bill,
    rubrics: Sequence[Rubric | Checklist],
    wanted: Iterable[str],
    goal: Goal,
    conversation: Conversation,
    shown: Sequence[Sequence[Message]],
    *,
    goals: int,
) -> None:
    about = listed_from(rubrics, goal, conversation)
    bill.add_lists(about, goals=goals)
    beside = tokens_of_goal(goal) + tokens_of_tools(conversation)
    for around in judgement_tokens(rubrics, wanted, about):
        for messages in shown:
            bill.add(CallRole.JUDGE, calls=1, prompt=around + beside + tokens_of(messages), reply=JUDGE_REPLY)
