"""What a kind of request usually leaves open, and how to ask for it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from collab_sdk.offline.voice import Voice

AT_ONCE = 2
DETAILED = 15
"""Words. A request of that length leaves nothing that the open question would find."""
OPEN_QUESTIONS = (
    "Before I start: is there anything specific it should have?",
    "Anything specific I should know first?",
    "Any details or preferences that matter to you?",
)


@dataclass(frozen=True, slots=True)
class Question:
    settled: re.Pattern[str]
    """Words that show the user has said it, or was asked for it before."""
    phrasings: tuple[str, ...]
    point: str
    values: tuple[str, ...]
    """What it asks about, and answers that people give."""


@dataclass(frozen=True, slots=True)
class Topic:
    spoken_of: re.Pattern[str]
    questions: tuple[Question, ...]


def _topic(spoken_of: str, *questions: Question) -> Topic:
    return Topic(_any_of(f"(?:{spoken_of})s?"), questions)


def _question(settled: str, *phrasings: str, point: str, values: tuple[str, ...]) -> Question:
    return Question(_any_of(settled), phrasings, point, values)


def _any_of(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE)


COFFEE = _topic(
    r"latte|mocha|coffee|espresso|cappuccino|macchiato|cortado|americano|tea|chai|cold brew|flat white|hot chocolate",
    _question(
        r"here|to ?go|take ?(?:away|out)|carry ?out",
        "Is that for here or to go?",
        "For here, or to go?",
        point="order type",
        values=("here", "to go"),
    ),
    _question(
        r"milk|oat|almond|soy|whole|non-?fat|2%|decaf\w*|syrup|vanilla|hazelnut|caramel|sauce|sweet\w*|sugar"
        r"|single|double|triple|iced|small|medium|large|black|plain",
        "Anything in it: a milk, a syrup, decaf, another size?",
        "Any milk, syrup, size, or decaf?",
        point="milk",
        values=("oat milk", "whole milk", "almond milk", "soy milk"),
    ),
)
CODE = _topic(
    r"function|script|code|python|javascript|typescript|sql|regex|program|bug|api",
    _question(
        r"python|javascript|typescript|java|rust|go|c\+\+|ruby|sql|bash|language",
        "Which language should it be in?",
        "What language do you use?",
        point="language",
        values=("Python", "JavaScript"),
    ),
    _question(
        r"csv|json|input|lists?|strings?|files?|tables?|rows?|dicts?",
        "What does the input look like?",
        "What is the input format?",
        point="input format",
        values=("a CSV file", "a list of strings", "a JSON file"),
    ),
)
WRITING = _topic(
    r"essay|e-?mail|post|letter|article|speech|blog|story|poem|report|review|toast|note|message",
    _question(
        r"\d+[- ]?(?:words?|pages?|lines?|minutes?)|(?:two|three|few) \w+|short|long|brief|lines?|length",
        "How long should it be?",
        "What length?",
        point="length",
        values=("200 words", "one page", "three sentences"),
    ),
    _question(
        r"formal|informal|casual|friendly|funny|serious|polite|warm|firm|tone|apologetic",
        "What tone should it have?",
        "Formal, or more casual?",
        point="tone",
        values=("formal", "casual"),
    ),
    _question(
        r"readers?|read it|audience|for (?:my|our|the)|to (?:my|our|the)|boss|class|teacher|team",
        "Who will read it?",
        "Who is it for?",
        point="audience",
        values=("my boss", "my class", "my friends"),
    ),
)
TRAVEL = _topic(
    r"trip|travel|flight|hotel|holiday|vacation|reservation|restaurant|weekend (?:in|away)|itinerary|train",
    _question(
        r"january|february|march|april|may|june|july|august|september|october|november|december|today|tomorrow|\w+day"
        r"|next week|this weekend|\d+ ?(?:am|pm|th|st|nd|rd)|dates|when would",
        "When would that be?",
        "For what dates?",
        point="dates",
        values=("next weekend", "in March", "the first week of July"),
    ),
    _question(
        r"people|persons?|adults?|of us|two|alone|my (?:wife|husband|partner|family)",
        "For how many people?",
        "How many people are going?",
        point="people",
        values=("two people", "four people", "just me"),
    ),
    _question(
        r"budget|cheap|under|[$€]\d+|\d+ (?:euros?|dollars?)|afford\w*|spend",
        "What is your budget?",
        "How much would you like to spend?",
        point="budget",
        values=("under 500 euros", "about 2000 euros"),
    ),
)
TOPICS = (COFFEE, CODE, WRITING, TRAVEL)


def topic_of(text: str) -> Topic | None:
    return next((topic for topic in TOPICS if topic.spoken_of.search(text)), None)


def open_questions(said: Sequence[str], asked: Sequence[str], voice: Voice) -> list[str]:
    """The questions to put to a user who has `said` and been `asked` that much; none if nothing seems open."""
    everything = "\n".join([*said, *asked])
    if topic := topic_of(everything):
        unsettled = [question for question in topic.questions if not question.settled.search(everything)]
        return [voice.pick(question.phrasings) for question in unsettled[:AT_ONCE]]
    return [] if asked or len(everything.split()) > DETAILED else [voice.pick(OPEN_QUESTIONS)]
