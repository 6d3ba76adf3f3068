"""What a run would cost, found out without a call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from collab_sdk.engine.usage import Ledger
from collab_sdk.errors import UsageError
from collab_sdk.metrics import Metric, as_metrics, tokens_by_role
from collab_sdk.metrics.base import artefact_of, check_goal, rubric_of
from collab_sdk.models.base import CallRole
from collab_sdk.preferences.candidates import logged_candidates
from collab_sdk.prompts import load_prompt
from collab_sdk.simulator import STYLE_EXAMPLES
from collab_sdk.spec import Price, RunSpec
from collab_sdk.tasks import Task
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal, Turn

__all__ = ["Bill", "Prices", "estimate_evaluation", "estimate_scoring", "template_tokens"]

MESSAGE_OVERHEAD = 10
"""Tokens that a message's wrapping adds: its line in a transcript, or its role in a chat template."""
GOAL_TOKENS = 80
"""Of a goal that is still to be inferred."""
JUDGE_REPLY = 120
ANSWER, REQUEST = 250, 40
"""Tokens of a bot's and of a user's message, which nobody has written yet: about those of the paper's tasks."""
SIMULATOR_REASON = 40
"""What the simulator writes beside its message."""


Prices = Mapping[CallRole, Price | None]
"""Of a token, by the role of a call; None where nobody knows."""


def estimate_scoring(
    conversations: Iterable[Conversation], spec: RunSpec, prices: Prices, *, with_pairs: bool = False
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role, of scoring every assistant turn.

    With `with_pairs` the spec's number of candidates is compared at each turn, as PreferenceExporter does; without, the
    logged response is scored. Every future is taken to its full window, with messages as long as the conversation's
    are on average; nothing is taken to be cached. Left out are retries and repairs of unreadable replies.
    Conversations are read one by one and not kept.
    """
    plan = _Plan(
        metrics=tuple(metric for metric, _ in as_metrics(spec.metrics).values()),
        samples=spec.samples if spec.window else 1,
        window=spec.window,
        candidates=spec.pairs.candidates if with_pairs else 1,
        goals_per_turn=spec.goals_per_turn,
    )
    bill = Bill(prices)
    for conversation in conversations:
        plan.estimate(conversation, bill)
    return bill.ledger


def estimate_evaluation(
    conversations: Iterable[Conversation],
    spec: RunSpec,
    task: Task,
    prices: Prices,
    *,
    bots: Sequence[Price | None],
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role, of whole conversations of a task with each bot.

    Every conversation is taken to need all its exchanges.
    """
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
            _add_conversation(conversation, spec, task, bill)
    return bill.ledger


def _add_conversation(conversation: Conversation, spec: RunSpec, task: Task, bill: "Bill") -> None:
    exchanges = spec.evaluation.exchanges or task.exchanges
    goal = conversation.goal or Goal(text="")
    about = count_tokens(goal.text) if goal.text else GOAL_TOKENS
    opening = sum(count_tokens(message.content) + MESSAGE_OVERHEAD for message in conversation.messages)
    opening = 0 if task.is_log else opening
    for step in range(exchanges):
        said = opening + step * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD)
        if step or not opening:
            prompt = template_tokens("simulator") + about + said
            bill.add(CallRole.SIMULATOR, calls=spec.samples, prompt=prompt, reply=REQUEST + SIMULATOR_REASON)
        bill.add(CallRole.ASSISTANT, calls=spec.samples, prompt=said + REQUEST, reply=ANSWER)
    whole = opening + exchanges * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD) + about
    # One call for the rubrics, one for the artefact, one for the artefact's verdict, one for the questions, at most.
    verdicts = 4 if task.metric else 1
    prompt = template_tokens("judge") + whole
    bill.add(CallRole.JUDGE, calls=verdicts * spec.samples, prompt=prompt, reply=JUDGE_REPLY)


class Bill:
    """Adds up calls and what they cost."""

    def __init__(self, prices: Prices) -> None:
        self.ledger = Ledger()
        self.prices = prices

    def add(self, role: CallRole, *, calls: int, prompt: float, reply: float) -> None:
        """`prompt` and `reply` are the tokens of one call."""
        usage = self.ledger.of(role)
        usage.calls += calls
        usage.prompt_tokens += round(calls * prompt)
        usage.completion_tokens += round(calls * reply)
        price = self.prices.get(role)
        if price is None:
            usage.unpriced_calls += calls
        else:
            usage.usd += calls * price.of(prompt, reply)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lengths:
    """Tokens of a conversation's parts; of its messages with their overhead."""

    up_to: list[int]
    """Of the first n messages, by n."""
    user: float
    assistant: float
    goal: int
    style: int

    @classmethod
    def of(cls, conversation: Conversation) -> "_Lengths":
        goal = conversation.goal
        tokens = [count_tokens(message.content) for message in conversation.messages]
        said = {
            role: [n for n, message in zip(tokens, conversation.messages, strict=True) if message.role == role]
            for role in ("user", "assistant")
        }
        return cls(
            up_to=list(accumulate((n + MESSAGE_OVERHEAD for n in tokens), initial=0)),
            user=_mean(said["user"]),
            assistant=_mean(said["assistant"]),
            goal=count_tokens(goal.text) if goal and goal.text else GOAL_TOKENS,
            style=sum(said["user"][:STYLE_EXAMPLES]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What is done at every turn."""

    metrics: tuple[Metric, ...]
    samples: int
    window: int
    candidates: int
    goals_per_turn: int

    def estimate(self, conversation: Conversation, bill: Bill) -> None:
        lengths = _Lengths.of(conversation)
        goal = conversation.goal or Goal(text="")
        if not goal.text:
            prompt = template_tokens("goal") + lengths.up_to[-1]
            bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=GOAL_TOKENS)
        try:
            judgement = self._judgement(goal)
        except UsageError:  # a goal that a metric cannot measure: the run refuses the conversation before any call
            return
        for turn in conversation.turns():
            known = len(logged_candidates(turn)) if self.candidates > 1 else 1
            self._turn(turn, lengths, judgement, bill, drawn=max(0, self.candidates - known))
            if self.goals_per_turn > 1 and goal.reference is None:
                others = (self.goals_per_turn - 1) * lengths.goal
                prompt = template_tokens("goals") + lengths.goal + lengths.up_to[len(turn.history)]
                bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=others)

    def _judgement(self, goal: Goal) -> list[int]:
        """Tokens around goal and transcript of the judge's calls for one future."""
        for metric in self.metrics:
            check_goal(metric, goal)
        rubrics = [rubric for metric in self.metrics if (rubric := rubric_of(metric, goal)) is not None]
        wanted = {what for metric in self.metrics if (what := artefact_of(metric, goal)) is not None}
        together = [count_tokens(rubric.criterion) for rubric in rubrics if rubric.compare is None]
        alone = [count_tokens(rubric.criterion) for rubric in rubrics if rubric.compare is not None]
        asked = [sum(together), *alone] if together else alone
        return [template_tokens("judge") + n for n in asked] + [
            template_tokens("extract") + count_tokens(what) for what in wanted
        ]

    def _turn(self, turn: Turn, lengths: _Lengths, judgement: list[int], bill: Bill, *, drawn: int) -> None:
        user, assistant = lengths.user, lengths.assistant
        history = lengths.up_to[len(turn.history)]
        # Half of the candidates are drawn under the proactive prompt; its share is spread over all that are drawn.
        half = min(drawn, self.candidates // 2)
        proactive = half / drawn * count_tokens(load_prompt("proactive").text) if drawn else 0
        bill.add(CallRole.ASSISTANT, calls=drawn, prompt=history + proactive, reply=assistant)

        logged = tokens_by_role(turn.response).get("assistant", 0)
        start = history + MESSAGE_OVERHEAD + (logged + (self.candidates - 1) * assistant) / self.candidates
        exchange = user + assistant + 2 * MESSAGE_OVERHEAD
        futures = self.candidates * self.samples
        for step in range(self.window):
            played = start + step * exchange
            prompt = template_tokens("simulator") + lengths.goal + lengths.style + played
            bill.add(CallRole.SIMULATOR, calls=futures, prompt=prompt, reply=user + SIMULATOR_REASON)
            asked = played + user + MESSAGE_OVERHEAD
            bill.add(CallRole.ASSISTANT, calls=futures, prompt=asked, reply=assistant)
        whole = start + self.window * exchange + lengths.goal
        observed = 1 if turn.rest else 0
        for around in judgement:
            bill.add(CallRole.JUDGE, calls=futures + observed, prompt=around + whole, reply=JUDGE_REPLY)


def template_tokens(name: str) -> int:
    """Tokens of a prompt before anything is filled in."""
    return count_tokens(load_prompt(name).text) + count_tokens(load_prompt(f"{name}_turn").text)


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
