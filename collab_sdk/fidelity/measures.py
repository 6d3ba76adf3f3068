"""What can be counted about a user's message."""

import re
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

from collab_sdk.fidelity.user_turns import ComparedTurn
from collab_sdk.words import words

QUESTION = re.compile(r"[?？؟]")
POLITE = re.compile(
    r"\b(?:please|pls|plz|thanks?|thank you|thx|sorry|apologi[sz]e|excuse me|pardon|appreciate|grateful"
    r"|(?:could|would|can|may) (?:you|i)|would (?:like|love)|i['’]d (?:like|love))\b",
    re.IGNORECASE,
)
"""Gratitude, please, apology, and requests as wishes: markers of Danescu-Niculescu-Mizil et al. 2013. English only."""
EMPTY_WORDS = frozenset("a an and any as at be for i in is it me my no not of on or so some the to with you".split())
FACT_END = re.compile(r"\n+|;\s+|(?<=[.!?])\s+")

Measure = Callable[[str, ComparedTurn], float | None]
"""Of a message at a turn; None where there is nothing to count."""


class Described(NamedTuple):
    """A measure with what it says to people."""

    measure: Measure
    meaning: str
    is_yes_or_no: bool = False


def measures(known: Set[str]) -> dict[str, Described]:
    """By name. `known` are the words that are spelt right."""

    def unknown_words(message: str, turn: ComparedTurn) -> float | None:
        return _mean([word not in known for word in words(message) if word.isalpha()])

    return {
        "words": Described(length, "length of a message"),
        "questions": Described(asks, "share that ask something", is_yes_or_no=True),
        "unknown words": Described(unknown_words, "typos and slang, as a share of words"),
        "politeness": Described(is_polite, "share with please, thanks, sorry", is_yes_or_no=True),
        "repetition": Described(repetition, "word overlap with an earlier message"),
        "echo": Described(echo, "share of words just heard"),
        "goal at once": Described(new_facts, "goal leakage: facts in first answer"),
    }


def length(message: str, turn: ComparedTurn) -> float:
    return len(words(message))


def asks(message: str, turn: ComparedTurn) -> float:
    return bool(QUESTION.search(message))


def is_polite(message: str, turn: ComparedTurn) -> float:
    return bool(POLITE.search(message))


def repetition(message: str, turn: ComparedTurn) -> float | None:
    """The greatest Jaccard similarity to what the user had written before, from 0 to 1."""
    said = set(words(message))
    before = [set(words(text)) for text in turn.earlier]
    return max((len(said & other) / len(said | other) for other in before if said | other), default=None)


def echo(message: str, turn: ComparedTurn) -> float | None:
    """The share of the words that matter which the assistant has just said: all of them for a parrot."""
    said = [word for word in words(message) if word not in EMPTY_WORDS]
    heard = set(words(turn.history[-1].content))
    return _mean([word in heard for word in said])


def new_facts(message: str, turn: ComparedTurn) -> float | None:
    """The share of the goal's facts that the message says and the user had not said, at their first turn to compare."""
    goal = facts(turn.goal.text)
    if turn.turn != 1 or not goal:
        return None
    before, now = (set(words(text)) for text in ("\n".join(turn.earlier), message))
    return _mean([_says(now, fact) and not _says(before, fact) for fact in goal])


def facts(goal: str) -> list[frozenset[str]]:
    """A goal's facts, each as the words that matter: `key: value` lines by their value, prose by sentences."""
    found = []
    for line in FACT_END.split(goal):
        key, _, value = line.partition(": ")
        said = frozenset(words(value or key))
        if said:
            found.append(said - EMPTY_WORDS or said)
    return found


def _says(said: Set[str], fact: Set[str]) -> bool:
    """Whether at least half of a fact's words are said."""
    return 2 * len(said & fact) >= len(fact)


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
