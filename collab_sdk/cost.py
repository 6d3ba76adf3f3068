"""What a run would cost, found out without a call."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil
from statistics import fmean, pstdev
from types import EllipsisType
from typing import Any, Self

from collab_sdk.engine.usage import Ledger
from collab_sdk.errors import UsageError
from collab_sdk.goals import SETTLED, most_goals
from collab_sdk.messages import Message
from collab_sdk.metrics import Metric, Rubric, as_metrics, tokens_by_role
from collab_sdk.metrics.base import Checklist, applies_to, artefact_of, check_goal, rubric_of
from collab_sdk.metrics.judge import MOST_TOGETHER
from collab_sdk.models.base import CallRole
from collab_sdk.preferences.candidates import logged_candidates
from collab_sdk.preferences.contrasts import FIRST
from collab_sdk.prompts import MOST_OF_CONTINUATIONS, PointTag, fence_persona, load_prompt
from collab_sdk.simulator import STYLE_EXAMPLES, HumanUser, LoggedUser, PlainUser, Script, User, as_user, typed_by_user
from collab_sdk.spec import Price, RunSpec
from collab_sdk.tasks import Task
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal, Turn

__all__ = [
    "GOAL_TOKENS",
    "Bill",
    "Prices",
    "UserCosts",
    "asked_of",
    "estimate_evaluation",
    "estimate_goals",
    "estimate_openings",
    "estimate_personas",
    "estimate_scoring",
    "judgement_tokens",
    "listed_from",
    "template_tokens",
    "tokens_of",
    "tokens_of_goal",
    "tokens_of_tools",
]

MESSAGE_OVERHEAD = 10
"""Tokens that a message's wrapping adds: its line in a transcript, or its role in a chat template."""
GOAL_TOKENS = 140
"""Of a goal that is still to be inferred, with the points that its chat left open."""
JUDGE_REPLY = 120
PERSONA_TOKENS = 200
"""Of a persona that is still to be described."""
LISTED = 1.5
"""Tokens of a list of points, for each of what it is made of: their numbers and quotes come on top."""
ANSWER, REQUEST = 250, 40
"""Tokens of a bot's and of a user's message, which nobody has written yet: about those of the paper's tasks."""
SIMULATOR_REASON = 40
"""What the simulator, or who plays the tools, writes beside its message or result."""
CALL, TOOL = 60, 100
"""Tokens of a call with its result, and of a tool's specification, which nobody has written yet."""
MOST_OF_STATE = 10_000
"""Of the calls so far, and of recorded results, as who plays the tools sees them."""
CHARACTERS = 5
"""Of a token, at most, in long texts."""
ROUNDING = 1e-6
"""By which thirds of calls may miss a whole number."""
SIMULATED = "simulated"
UNKNOWN_TOOL: Mapping[str, Any] = {"type": "function", "function": {"name": "tool"}}


Prices = Mapping[CallRole, Price | None]
"""Of a token, by the role of a call; None where nobody knows."""


def estimate_scoring(
    conversations: Iterable[Conversation],
    spec: RunSpec,
    prices: Prices,
    *,
    with_pairs: bool = False,
    only_last: bool = False,
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role, of scoring every assistant turn, or decision.

    Or of each conversation the last alone, with `only_last`. With `with_pairs` the spec's number of candidates is
    compared at each turn, as PreferenceExporter does: each with the futures asked for, of which the two whose order is
    hard to tell may get up to three times as many, and most get fewer. Without, the logged response is scored. Every
    future is taken to its full window, with messages as long as the conversation's are on average, and rather more
    calls of tools than in its turns, all simulated if tools are; nothing is taken to be cached. Left out are retries
    and repairs of unreadable replies. Conversations are read one by one and not kept.
    """
    plan = _Plan(
        spec=spec,
        metrics=tuple(metric for metric, _ in as_metrics(spec.metrics).values()),
        candidates=spec.pairs.candidates if with_pairs else 1,
        only_last=only_last,
        users=UserCosts.of(spec),
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
        _add_brief(conversation, bill)
        if task.metric:  # it may go by a list of what the goal asks for, which serves all bots
            about = count_tokens(conversation.goal.text) if conversation.goal else GOAL_TOKENS
            prompt = template_tokens("requirements") + (about or GOAL_TOKENS)
            bill.add(CallRole.JUDGE, calls=1, prompt=prompt, reply=LISTED * (about or GOAL_TOKENS))
    users = UserCosts.of(spec)
    for price in bots:
        bill.prices = {**prices, CallRole.ASSISTANT: price}
        for conversation in known:
            _add_conversation(conversation, spec, task, bill, users)
    return bill.ledger


def estimate_openings(
    conversations: Iterable[Conversation], spec: RunSpec, prices: Prices, *, exchanges: int
) -> Ledger:
    """An upper estimate of calls, tokens and US dollars by role, of making chats of a task's rows.

    `exchanges` are those that are played; without any, only what a row lacks is written: the brief, the first message.
    """
    bill, users = Bill(prices), UserCosts.of(spec)
    for conversation in conversations:
        _add_brief(conversation, bill)
        if exchanges:
            _add_exchanges(conversation, spec, exchanges, bill, users, samples=1, opening=_tokens_said(conversation))
        elif not conversation.messages:
            users.bill(bill, calls=1, asked=tokens_of_goal(conversation.goal), says=REQUEST)
    return bill.ledger


def estimate_goals(conversations: Iterable[Conversation], price: Price | None) -> Ledger:
    """An upper estimate of calls, tokens and US dollars of inferring a goal for each conversation."""
    bill = Bill({CallRole.GOAL: price})
    for conversation in conversations:
        prompt = template_tokens("goal") + tokens_of(conversation.messages)
        bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=GOAL_TOKENS)
    return bill.ledger


def estimate_personas(conversations: Iterable[Conversation], price: Price | None) -> Ledger:
    """An upper estimate of calls, tokens and US dollars of describing the users of conversations."""
    bill = Bill({CallRole.GOAL: price})
    for conversation in conversations:
        if typed := typed_by_user(conversation):
            prompt = template_tokens("persona") + sum(count_tokens(text) + MESSAGE_OVERHEAD for text in typed)
            bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=PERSONA_TOKENS)
    return bill.ledger


def _add_brief(conversation: Conversation, bill: "Bill") -> None:
    """What is asked for a goal that the row lacks."""
    if conversation.goal is None or not conversation.goal.text:
        material = conversation.goal.reference if conversation.goal else ""
        text = (material or "") + "".join(message.content for message in conversation.messages)
        bill.add(CallRole.GOAL, calls=1, prompt=template_tokens("goal") + count_tokens(text), reply=GOAL_TOKENS)


def _tokens_said(conversation: Conversation) -> int:
    return sum(count_tokens(message.content) + MESSAGE_OVERHEAD for message in conversation.messages)


def _add_conversation(conversation: Conversation, spec: RunSpec, task: Task, bill: "Bill", users: "UserCosts") -> None:
    exchanges = spec.evaluation.exchanges or task.exchanges
    opening = 0 if task.is_log else _tokens_said(conversation)
    samples = spec.samples * (1 + len(spec.compared_personas))
    whole = _add_exchanges(conversation, spec, exchanges, bill, users, samples=samples, opening=opening)
    # One call for the rubrics, one for the artefact, one for the artefact's verdict, one for the questions, at most.
    verdicts = 4 if task.metric else 1
    prompt = template_tokens("judge") + whole
    bill.add(CallRole.JUDGE, calls=verdicts * samples, prompt=prompt, reply=JUDGE_REPLY)


def _add_exchanges(
    conversation: Conversation,
    spec: RunSpec,
    exchanges: int,
    bill: "Bill",
    users: "UserCosts",
    *,
    samples: int,
    opening: int,
) -> int:
    """Bill exchanges after an opening of so many tokens; the tokens of a whole conversation with its goal."""
    about, calls = tokens_of_goal(conversation.goal), _calls_per_turn(conversation, spec)
    for step in range(exchanges):
        said = opening + step * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD + calls * CALL)
        if step or not opening:
            users.bill(bill, calls=samples, asked=about + said, says=REQUEST)
        bill.add(CallRole.ASSISTANT, calls=samples * (calls + 1), prompt=said + REQUEST, reply=ANSWER)
        if calls and SIMULATED in spec.tools:
            prompt = template_tokens("tools") + TOOL + min(step * calls * CALL, MOST_OF_STATE)
            bill.add(CallRole.TOOLS, calls=samples * calls, prompt=prompt, reply=CALL + SIMULATOR_REASON)
    return opening + exchanges * (ANSWER + REQUEST + 2 * MESSAGE_OVERHEAD + calls * CALL) + about


class Bill:
    """Adds up calls and what they cost."""

    def __init__(self, prices: Prices) -> None:
        self.ledger = Ledger()
        self.prices = prices

    def add(
        self, role: CallRole, *, calls: int, prompt: float, reply: float, price: Price | EllipsisType | None = ...
    ) -> None:
        """`prompt` and `reply` are the tokens of one call; `price` is its own, where that is not the role's."""
        usage = self.ledger.of(role)
        usage.calls += calls
        usage.prompt_tokens += round(calls * prompt)
        usage.completion_tokens += round(calls * reply)
        price = self.prices.get(role) if price is ... else price
        if price is None:
            usage.unpriced_calls += calls
        else:
            usage.usd += calls * price.of(prompt, reply)

    def add_lists(self, about: Mapping[PointTag, int], *, goals: int) -> None:
        """The calls that list points: of each goal its requirements, of a system prompt its rules once."""
        for points, tokens in about.items() if goals else ():
            lists = goals if points == "requirements" else bool(tokens)
            self.add(CallRole.JUDGE, calls=lists, prompt=template_tokens(points) + tokens, reply=LISTED * tokens)


@dataclass(kw_only=True, slots=True)
class _UserCost:
    """What one of the users is asked with, and how often so far."""

    share: float
    user: User
    due: float = 0.0
    billed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class UserCosts:
    """Who plays the user, with what that costs. Scripts, logs and people need no call, functions no tokens.

    Of several, each is taken to play its share of the futures.
    """

    asked: Sequence[_UserCost]
    """Those whose turns are calls."""
    is_one: bool
    persona: int
    """Tokens of the longest persona."""

    @classmethod
    def of(cls, spec: RunSpec) -> Self:
        """Raises UsageError for a user who cannot be played."""
        total = sum(user.weight for user in spec.simulators)
        known = [_UserCost(user=as_user(each), share=each.weight / total) for each in spec.simulators]
        asked = [each for each in known if not isinstance(each.user, HumanUser | LoggedUser | Script)]
        persona = max((count_tokens(fence_persona(each)) for each in spec.personas), default=0)
        return cls(asked=asked, is_one=len(spec.simulators) == 1, persona=persona)

    def bill(self, bill: "Bill", *, calls: int, asked: float, says: float, style: float = 0) -> None:
        """So many turns of the user, who sees `asked` tokens of goal and conversation and writes `says`."""
        for each in self.asked:
            each.due += calls * each.share
            so_far = ceil(each.due - ROUNDING)
            now, each.billed = so_far - each.billed, so_far
            model = each.user.model
            if model is None:
                bill.add(CallRole.SIMULATOR, calls=now, prompt=0, reply=0, price=Price(prompt=0.0, completion=0.0))
                continue
            if isinstance(each.user, PlainUser):
                prompt, reply = count_tokens(load_prompt("plain").text) + asked, says
            else:
                prompt, reply = template_tokens("simulator") + style + asked, says + SIMULATOR_REASON
            price = ... if self.is_one else model.price
            bill.add(CallRole.SIMULATOR, calls=now, prompt=prompt + self.persona, reply=reply, price=price)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lengths:
    """Tokens of a conversation's parts; of its messages with their overhead."""

    up_to: list[int]
    """Of the first n messages, by n, with calls and results."""
    said_up_to: list[int]
    """Of what user and assistant said in them."""
    user: float
    assistant: float
    """What it says in one turn."""
    turn: float
    """All of a turn: text, calls and results."""
    call: float
    """A call and its result."""
    calls: int
    """Of a turn."""
    tools: int
    """What the assistant could call."""
    goal: int
    style: int

    @classmethod
    def of(cls, conversation: Conversation, spec: RunSpec) -> "_Lengths":
        goal, messages, turns = conversation.goal, conversation.messages, list(conversation.turns())
        each = [tokens_of([message]) for message in messages]
        spoken = [count_tokens(message.content) if message.role in ("user", "assistant") else 0 for message in messages]
        said = [n for n, message in zip(spoken, messages, strict=True) if message.role == "user"]
        texts = [count_tokens(turn.text) for turn in turns]
        whole = [tokens_of(turn.response) for turn in turns]
        calls = _calls_per_turn(conversation, spec)
        deeds = max(0.0, _mean(whole) - _mean(texts) - MESSAGE_OVERHEAD)
        return cls(
            up_to=list(accumulate(each, initial=0)),
            said_up_to=list(accumulate((n + MESSAGE_OVERHEAD * bool(n) for n in spoken), initial=0)),
            user=_mean(said),
            assistant=_mean(texts),
            turn=_mean(texts) + MESSAGE_OVERHEAD + (deeds or calls * CALL),
            call=deeds / calls if deeds and calls else CALL,
            calls=calls,
            tools=tokens_of_tools(conversation),
            goal=tokens_of_goal(goal),
            style=sum(said[:STYLE_EXAMPLES]),
        )


def _calls_per_turn(conversation: Conversation, spec: RunSpec) -> int:
    """Calls in a turn: of the log's, mean and standard deviation, rounded up; one where there could be some."""
    if not spec.tools or not (spec.brings_tools or conversation.uses_tools):
        return 0
    counts = [sum(len(message.tool_calls) for message in turn.response) for turn in conversation.turns()]
    many = ceil(fmean(counts) + pstdev(counts)) if counts else 1
    return min(spec.calls_per_turn, max(1, many))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What is done at every turn."""

    spec: RunSpec
    metrics: tuple[Metric, ...]
    candidates: int
    only_last: bool
    users: "UserCosts"

    def estimate(self, conversation: Conversation, bill: Bill) -> None:
        if self.spec.brings_tools and not conversation.tools:
            conversation = replace(conversation, tools=(UNKNOWN_TOOL,))
        lengths = _Lengths.of(conversation, self.spec)
        goal = conversation.goal or Goal(text="")
        if not goal.text.strip():
            prompt = template_tokens("goal") + lengths.up_to[-1] + lengths.tools
            bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=GOAL_TOKENS)
        try:
            for metric in self.metrics:
                if applies_to(metric, conversation):
                    check_goal(metric, goal)
            rubrics, wanted = asked_of(self.metrics, goal, conversation)
        except UsageError:  # a goal that a metric cannot measure: the run refuses the conversation before any call
            return
        about = listed_from(rubrics, goal, conversation)
        judgement = judgement_tokens(rubrics, wanted, about)
        in_groups = self._in_groups(conversation) if _about_all(rubrics) else 1
        played = most_goals(conversation, self.spec.goals_per_turn)
        known = 1 if goal.text.strip() else SETTLED
        proposed = max(0, played - known) if goal.reference is None else 0
        # Without a goal in the row, what followed is judged by what was asked for, which no future is played by.
        judged_by = min(played, known) + (0 if goal.text.strip() else 1)
        goals, samples = 0, self._samples(conversation)
        for turn in list(conversation.units(self.spec.per))[-1 if self.only_last else 0 :]:
            drawn = max(0, self.candidates - (len(logged_candidates(turn)) if self.candidates > 1 else 1))
            self._turn(turn, lengths, judgement, bill, drawn=drawn, samples=samples, in_groups=in_groups)
            goals = goals or judged_by
            if proposed:
                others = proposed * lengths.goal
                prompt = template_tokens("goals") + lengths.goal + lengths.said_up_to[len(turn.history)]
                bill.add(CallRole.GOAL, calls=1, prompt=prompt, reply=others)
                goals += proposed
        bill.add_lists(about, goals=goals)

    def _samples(self, conversation: Conversation) -> int:
        """Futures of a candidate: at first, several goals may take more than are asked for."""
        samples = self.spec.samples if self.spec.window else 1
        if self.candidates == 1 or samples == 1 or self.spec.pairs.plays_all:
            return samples
        return max(samples, FIRST * most_goals(conversation, self.spec.goals_per_turn))

    def _in_groups(self, conversation: Conversation) -> int:
        """How many futures are judged in one call: those by one goal that come at once."""
        rule = self.spec.pairs
        if self.candidates == 1 or not rule.judge_groups:
            return 1
        rounds = -(-self._samples(conversation) // most_goals(conversation, self.spec.goals_per_turn))
        return min(MOST_TOGETHER, self.candidates * (rounds if rule.plays_all else 1))

    def _turn(
        self,
        turn: Turn,
        lengths: _Lengths,
        judgement: list[int],
        bill: Bill,
        *,
        drawn: int,
        samples: int,
        in_groups: int,
    ) -> None:
        user, is_turn = lengths.user, self.spec.per == "turn"
        history, heard = lengths.up_to[len(turn.history)], lengths.said_up_to[len(turn.history)]
        # Half of the candidates are drawn under the proactive prompt; its share is spread over all that are drawn.
        half = min(drawn, self.candidates // 2)
        proactive = half / drawn * count_tokens(load_prompt("proactive").text) if drawn else 0
        self._act(lengths, bill, turns=drawn, said=history + proactive, calls=lengths.calls if is_turn else 0)

        logged = tokens_of(turn.response)
        length = (logged + (self.candidates - 1) * lengths.turn) / self.candidates
        start, exchange = history + length, user + MESSAGE_OVERHEAD + lengths.turn
        futures = self.candidates * samples
        last = turn.response[-1]
        if lengths.calls and (last.role == "tool" or last.tool_calls or (drawn and not is_turn)):
            self._act(lengths, bill, turns=futures, said=start, calls=lengths.calls, goes_on=True)
        for step in range(self.spec.window):
            spoken = heard + length + step * (user + lengths.assistant + 2 * MESSAGE_OVERHEAD)
            self.users.bill(bill, calls=futures, asked=lengths.goal + spoken, style=lengths.style, says=user)
            said = start + step * exchange + user + MESSAGE_OVERHEAD
            self._act(lengths, bill, turns=futures, said=said, calls=lengths.calls)
        whole = start + self.spec.window * exchange + lengths.goal + lengths.tools
        is_same = not turn.rest and not self.spec.window  # as what is played: nothing, and judged once
        observed = 0 if turn.followed is None or is_same else 1
        continuation = length + self.spec.window * exchange
        in_groups = min(in_groups, int(MOST_OF_CONTINUATIONS / CHARACTERS / continuation))
        if in_groups > 1:
            around, *judgement = judgement
            more = (in_groups - 1) * continuation
            prompt = template_tokens("judge_group") - template_tokens("judge") + around + whole + more
            bill.add(CallRole.JUDGE, calls=ceil(futures / in_groups), prompt=prompt, reply=in_groups * JUDGE_REPLY)
            bill.add(CallRole.JUDGE, calls=observed, prompt=around + whole, reply=JUDGE_REPLY)
        for around in judgement:
            bill.add(CallRole.JUDGE, calls=futures + observed, prompt=around + whole, reply=JUDGE_REPLY)

    def _act(
        self, lengths: _Lengths, bill: Bill, *, turns: int, said: float, calls: int, goes_on: bool = False
    ) -> None:
        """So many turns of the assistant with so many calls each, one after the other, or the end of such turns."""
        decisions = calls if goes_on else calls + 1
        prompt = said + lengths.tools + calls / 2 * lengths.call
        bill.add(CallRole.ASSISTANT, calls=turns * decisions, prompt=prompt, reply=lengths.turn / max(1, decisions))
        if calls and SIMULATED in self.spec.tools:
            state = min(said, MOST_OF_STATE) + min(calls * lengths.call, MOST_OF_STATE)
            prompt = template_tokens("tools") + TOOL + state
            bill.add(CallRole.TOOLS, calls=turns * calls, prompt=prompt, reply=lengths.call + SIMULATOR_REASON)


def asked_of(
    metrics: Iterable[Metric], goal: Goal, conversation: Conversation
) -> tuple[list[Rubric | Checklist], set[str]]:
    """What the judge is asked about a future, and what is pulled out of it."""
    found = [metric for metric in metrics if applies_to(metric, conversation)]
    rubrics = [rubric for metric in found if (rubric := rubric_of(metric, goal)) is not None]
    return rubrics, {what for metric in found if (what := artefact_of(metric, goal)) is not None}


def listed_from(rubrics: Iterable[Rubric | Checklist], goal: Goal, conversation: Conversation) -> dict[PointTag, int]:
    """Tokens of what the lists of points are made of."""
    return {
        rubric.points: tokens_of_goal(goal)
        if rubric.points == "requirements"
        else count_tokens(rubric.material(goal, conversation.messages))
        for rubric in rubrics
        if isinstance(rubric, Checklist)
    }


def judgement_tokens(
    rubrics: Sequence[Rubric | Checklist], wanted: Iterable[str], about: Mapping[PointTag, int]
) -> list[int]:
    """Tokens around goal and transcript of the judge's calls for one future; `about` is what lists are made of."""
    listed = [rubric for rubric in rubrics if isinstance(rubric, Checklist)]
    given = [rubric for rubric in rubrics if isinstance(rubric, Rubric)]
    together = [count_tokens(rubric.criterion) for rubric in given if rubric.compare is None]
    together += [count_tokens(rubric.criterion) + round(LISTED * about[rubric.points]) for rubric in listed]
    alone = [count_tokens(rubric.criterion) for rubric in given if rubric.compare is not None]
    asked = [sum(together), *alone] if together else alone
    return [template_tokens("judge") + n for n in asked] + [
        template_tokens("extract") + count_tokens(what) for what in wanted
    ]


def _about_all(rubrics: Iterable[Rubric | Checklist]) -> bool:
    """Whether any is about the whole conversation."""
    return any(isinstance(rubric, Checklist) or rubric.compare is None for rubric in rubrics)


def tokens_of(messages: Sequence[Message]) -> int:
    """Of messages with their calls, results and overhead."""
    return sum(tokens_by_role(messages).values()) + MESSAGE_OVERHEAD * len(messages)


def tokens_of_goal(goal: Goal | None) -> int:
    """Of the goal, or about those of one that is still to be inferred."""
    return count_tokens(goal.text) if goal and goal.text else GOAL_TOKENS


def tokens_of_tools(conversation: Conversation) -> int:
    """Of what the assistant could call."""
    return count_tokens(json.dumps([dict(tool) for tool in conversation.tools])) if conversation.tools else 0


def template_tokens(name: str) -> int:
    """Tokens of a prompt before anything is filled in."""
    return count_tokens(load_prompt(name).text) + count_tokens(load_prompt(f"{name}_turn").text)


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
