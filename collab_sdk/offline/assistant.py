"""The assistant: does at once what it was told, or first asks about what is open. It never sees a goal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from collab_sdk.offline.reading import read_assistant
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.words import is_question, squash, wishes
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Message

DONE = ("Done: {}.", "All set: {}.", "Sure, {}.", "Okay, that's {}.", "Of course, you get {}.")
CLOSINGS = ("Great, all done then.", "Perfect, that's settled.", "You're welcome.", "Glad that works for you.")
ANSWERS = ("It depends, but the usual choice is fine.", "In short, yes.", "Both are common, so go with what you like.")
LEADS = ("", "Sure. ", "Happy to. ", "Of course. ")

QUESTION_ROUNDS = 2
QUESTIONS_AT_ONCE = 2
RESTATED = 12
DETAILED = 25
"""Words. A request of that length leaves nothing open that the open question would find."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """What a kind of request usually leaves open: questions, each with the words that show it is settled."""

    spoken_of: re.Pattern[str]
    questions: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]
    menu: str = ""


def _topic(spoken_of: str, *questions: tuple[str, tuple[str, ...]], menu: str = "") -> Topic:
    return Topic(
        spoken_of=re.compile(rf"\b(?:{spoken_of})s?\b", re.IGNORECASE),
        questions=tuple((re.compile(rf"\b(?:{settled})\b", re.I), phrasings) for settled, phrasings in questions),
        menu=menu,
    )


TOPICS = (
    _topic(
        r"latte|mocha|coffee|espresso|cappuccino|macchiato|cortado|americano|tea|chai|cold brew|flat white|cocoa",
        (r"here|to ?go|take ?(?:away|out)|carry ?out", ("Is that for here or to go?", "For here, or to go?")),
        (
            r"milk|oat|almond|soy|whole|non-?fat|2%|decaf\w*|syrup|vanilla|hazelnut|caramel|chocolate|sweet\w*|sugar|single"
            r"|double|triple|iced|small|medium|large|black|plain",
            ("Anything in it: a milk, a syrup, decaf, another size?", "Any milk, syrup, size, or decaf?"),
        ),
        menu="We have vanilla, hazelnut, caramel and chocolate.",
    ),
    _topic(
        r"function|script|code|python|javascript|typescript|sql|regex|program|bug|api",
        (
            r"python|javascript|typescript|java|rust|go|c\+\+|ruby|sql|bash",
            ("Which language should it be in?", "What language do you use?"),
        ),
        (
            r"csv|json|input|list|string|file|table|rows?|dict",
            ("What does the input look like?", "What is the input format?"),
        ),
    ),
    _topic(
        r"essay|e-?mail|post|letter|article|speech|blog|story|poem|report|review|cover letter|toast|note|message",
        (
            r"\d+[- ]?(?:words?|pages?|lines?|minutes?)|short|long|brief|lines?",
            ("How long should it be?", "What length?"),
        ),
        (
            r"formal|informal|casual|friendly|funny|serious|polite|warm|firm|tone|apologetic",
            ("What tone should it have?", "Formal, or more casual?"),
        ),
        (r"readers?|audience|for (?:my|our|the|a)|to (?:my|our|the|a)|boss|class|teacher|team", ("Who will read it?",)),
    ),
    _topic(
        r"trip|travel|flight|hotel|holiday|vacation|reservation|restaurant|weekend (?:in|away)|itinerary|train|book",
        (
            r"january|february|march|april|may|june|july|august|september|october|november|december|today|tomorrow|\w+day"
            r"|next week|weekend|\d+(?:am|pm|th|st|nd|rd)",
            ("When would that be?", "For what dates?"),
        ),
        (r"people|persons?|adults|of us|two|alone|my (?:wife|husband|partner|family)", ("For how many people?",)),
        (r"budget|cheap|under|\$\d+|€\d+|\d+ (?:euros?|dollars?)|afford\w*", ("What is your budget?",)),
    ),
)
OPEN_QUESTIONS = (
    "Before I start: is there anything specific it should have?",
    "Anything specific I should know first?",
    "Any details or preferences that matter to you?",
)


def reply(messages: Sequence[Message], *, manner: str, voice: Voice) -> str:
    """Text that acts on everything the user has said, or one message of questions."""
    said = [message.content for message in messages if message.role == "user"]
    own = [message.content for message in messages if message.role == "assistant"]
    if manner == "proactive" or _told_to_be(messages):
        questions = _questions(said, own, voice)
        if questions:
            return voice.pick(LEADS) + " ".join(questions)
    return _act(said, own, voice)


def _told_to_be(messages: Sequence[Message]) -> bool:
    proactive = load_prompt("proactive").text
    return any(message.role == "system" and proactive in message.content for message in messages)


def _questions(said: Sequence[str], own: Sequence[str], voice: Voice) -> list[str]:
    """What to ask: nothing right after an answer, nothing twice, nothing that the user has mentioned."""
    asked = [text for text in own if not read_assistant(text).acts]
    just_answered = bool(own) and own[-1] in asked
    if just_answered or len(asked) >= QUESTION_ROUNDS or not said or not wishes(said[-1]):
        return []
    everything = "\n".join([*said, *asked])
    for topic in TOPICS:
        if topic.spoken_of.search(everything):
            open_ones = [phrasings for settled, phrasings in topic.questions if not settled.search(everything)]
            return [voice.pick(phrasings) for phrasings in open_ones[:QUESTIONS_AT_ONCE]]
    return [] if asked or len(everything.split()) > DETAILED else [voice.pick(OPEN_QUESTIONS)]


def _act(said: Sequence[str], own: Sequence[str], voice: Voice) -> str:
    if said and is_question(said[-1]):
        menus = [topic.menu for topic in TOPICS if topic.menu and topic.spoken_of.search("\n".join(said))]
        return menus[0] if menus else voice.pick(ANSWERS)
    told = {squash(wish): wish for text in said for wish in wishes(text)}
    closing = bool(own) and read_assistant(own[-1]).acts and bool(said) and not wishes(said[-1])
    if closing or not told:
        return voice.pick(CLOSINGS)
    first, *later = told.values()
    return voice.pick(DONE).format(_plain([first, *later[1 - RESTATED :]]))


def _plain(wishes: Sequence[str]) -> str:
    # A user may type `key: value`; said back like that it would look as if the assistant had read the goal.
    joiner = "; " if any(len(wish.split()) > 8 for wish in wishes) else ", "
    return re.sub(r":(?=\s|$)", ",", joiner.join(wishes)).replace("?", "")
