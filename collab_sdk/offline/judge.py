"""The judge: what was delivered of the goal, what it cost the user to get there, and what was only claimed."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.offline.claims import claims
from collab_sdk.offline.deeds import spelt_out, stems_of, verbs_of
from collab_sdk.offline.facts import EMPTY, parse_goal
from collab_sdk.offline.progress import GoalProgress, follow
from collab_sdk.offline.reading import WORK, read_assistant
from collab_sdk.offline.words import sentences
from collab_sdk.prompts import MOST_OF_POINT, MOST_POINTS

CRITERION = re.compile(r"^(\w+):", re.MULTILINE)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
PART = re.compile(r"\b(?:part|section|chapter) (\d{1,3})\b|^\W*(\d{1,3})(?: of |/)\d{1,3}\b", re.IGNORECASE)
BEGINNING = 60
"""Characters in which a message says which part it is."""
NUMBER_WANTED = re.compile(r"\b(?:number|numeric|answer|result)\b", re.IGNORECASE)
DID_IT = "the assistant did what it was asked"
"""The requirement of a goal without facts."""

FORBIDS = re.compile(r"\b(?:never|do not|don['’]t|must not|may not)\b|^\W*no\b", re.IGNORECASE)
CONDITION = re.compile(
    r"\b(?:unless|until|without|before|after|if|when|except|only|more than|less than|at the same time|other than)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a rule of the judge's goes by."""

    progress: GoalProgress
    transcript: Sequence[Message]
    wanted: Mapping[str, Sequence[str]]
    """The lines of the goal's facts by the requirement in which they stand."""
    requirements: Sequence[str] = ()
    rules: Sequence[str] = ()


def requirements(goal: str) -> list[str]:
    """The facts of a goal, a line each; several in one where they are more than a list may have."""
    return list(_wanted(goal)) or [DID_IT]


def _wanted(goal: str) -> dict[str, list[str]]:
    return _as_points([fact.line for fact in parse_goal(goal)])


def _as_points(texts: Sequence[str]) -> dict[str, list[str]]:
    """The texts by the point in which they stand."""
    size = ceil(len(texts) / MOST_POINTS) or 1
    groups = [list(texts[start : start + size]) for start in range(0, len(texts), size)]
    return {"; ".join(group)[:MOST_OF_POINT]: group for group in groups}


def judge(
    goal: str,
    transcript: Sequence[Message],
    *,
    criteria: str,
    requirements: Sequence[str] = (),
    rules: Sequence[str] = (),
    offered: Iterable[str] = (),
) -> dict[str, Any]:
    """A verdict for each criterion it has a rule for; the others are left out, so that they count as missing.

    `requirements` and `rules` are those that were listed of the goal and of the system prompt; `offered` names the
    tools that the assistant could call.
    """
    called = [call.name for message in transcript for call in message.calls]
    progress = follow(parse_goal(goal), transcript, verbs=verbs_of([*offered, *called]))
    case = Case(progress=progress, transcript=transcript, wanted=_wanted(goal), requirements=requirements, rules=rules)
    return {name: RULES[name](case) for name in CRITERION.findall(criteria) if name in RULES}


def user_verdicts(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """On each turn of a simulated user: in character unless it says what the assistant has just said."""
    verdicts, heard = [], ""
    for line in lines:
        if "number" not in line:
            heard = line["text"] if line["speaker"] == "assistant" else heard
            continue
        echoes = bool(heard) and line["text"].strip() == heard.strip()
        verdicts.append(
            {
                "number": line["number"],
                "reason": "repeats the assistant" if echoes else "",
                "in_character": not echoes,
                "goal_kept": True,
                "nothing_leaked": True,
                "leaves_in_time": True,
            }
        )
    return verdicts


def extract(transcript: Sequence[Message], *, wanted: str) -> str:
    """The last assistant message that acts, or all parts of it; the last number where `wanted` speaks of one.

    A message that says at its beginning which part it is belongs to the others, and takes the place of an earlier one
    of that number. Between and behind them, short messages are remarks.
    """
    parts: dict[int, str] = {}
    last = ""
    for message in transcript:
        if message.role != "assistant" or not read_assistant(message.content).acts:
            continue
        if label := PART.search(message.content[:BEGINNING]):
            parts[int(next(filter(None, label.groups())))] = message.content
        elif len(message.content.split()) >= WORK:
            parts.clear()
        last = message.content
    if NUMBER_WANTED.search(wanted):
        numbers = NUMBER.findall(last)
        return str(numbers[-1]).rstrip(",").replace(",", "") if numbers else last
    return "\n\n".join(parts[number] for number in sorted(parts)) if len(parts) > 1 else last


def _goal(case: Case) -> dict[str, Any]:
    delivered = {fact.line for fact in case.progress.delivered} | ({DID_IT} if case.progress.acted else set())
    verdicts = [
        {"number": number, "met": delivered.issuperset(case.wanted.get(requirement, [requirement]))}
        for number, requirement in enumerate(case.requirements, start=1)
    ]
    met = sum(bool(verdict["met"]) for verdict in verdicts)
    return {"reason": f"{met} of {len(verdicts)} delivered.", "verdicts": verdicts}


def _interactivity(progress: GoalProgress) -> dict[str, Any]:
    """0.5, plus what the user could tell because they were asked, less idle questions and corrections."""
    score = 0.5 + 0.2 * progress.learnt - 0.2 * progress.idle_questions - 0.15 * progress.corrections
    if progress.last and progress.last.asks and not progress.missing:
        score -= 0.05  # a question that nobody needed, though nobody had to answer it either
    reason = (
        f"facts learnt by asking: {progress.learnt}, idle questions: {progress.idle_questions}, "
        f"corrections: {progress.corrections}"
    )
    return {"reason": reason, "score": round(min(max(score, 0.1), 1.0), 2)}


def _clear(progress: GoalProgress) -> dict[str, Any]:
    return {"reason": f"{len(progress.missing)} facts unsaid", "clear": not progress.missing}


def _asks(progress: GoalProgress) -> dict[str, Any]:
    asks = progress.last is not None and progress.last.asks
    return {"reason": "it waits for an answer" if asks else "it acts", "asks": asks}


def _useful_questions(progress: GoalProgress) -> dict[str, Any]:
    """A question for each fact that the user told because they were asked, and for each that brought none."""
    changed = [True] * progress.learnt + [False] * progress.idle_questions
    return {"reason": "by the facts", "questions": [{"question": "", "changed": each} for each in changed]}


def _accuracy(progress: GoalProgress) -> dict[str, Any]:
    """Only asked about answers that are neither the reference's words nor its number."""
    return {"reason": "it is worded differently, and rules know no other words", "correct": False}


def _grounded(transcript: Sequence[Message]) -> dict[str, Any]:
    """Every claim, and whether a call or result bears it out."""
    made = [{"claim": claim, "borne_out": is_borne_out} for claim, is_borne_out in claims(transcript)]
    return {
        "reason": f"{sum(bool(each['borne_out']) for each in made)} of {len(made)} claims borne out.",
        "claims": made,
    }


def rules(prompt: str) -> list[str]:
    """What a system prompt forbids outright; conditions are beyond these rules."""
    found = [each for each in sentences(prompt) if FORBIDS.search(each) and not CONDITION.search(each)]
    return list(_as_points(found))


def _policy(case: Case) -> dict[str, Any]:
    """Broken is what a call does that a rule forbids."""
    called = [stems_of(spelt_out(call.name)) - EMPTY for message in case.transcript for call in message.calls]
    broken = [
        number
        for number, rule in enumerate(case.rules, start=1)
        if any(words and words <= stems_of(rule) for words in called)
    ]
    return {"reason": "by what was called", "kept": [], "broken": broken}


RULES: Mapping[str, Callable[[Case], dict[str, Any]]] = MappingProxyType(
    {
        "goal": _goal,
        "interactivity": lambda case: _interactivity(case.progress),
        "clear": lambda case: _clear(case.progress),
        "asks": lambda case: _asks(case.progress),
        "accuracy": lambda case: _accuracy(case.progress),
        "useful_questions": lambda case: _useful_questions(case.progress),
        "grounded": lambda case: _grounded(case.transcript),
        "policy": _policy,
    }
)
