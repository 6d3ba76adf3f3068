"""The user: answers what is asked, corrects one thing at a time, leaves when content or, if told to, out of patience.

Here, too, is how a user is described by what they typed.
"""

import re
from collections.abc import Sequence
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.offline.facts import Fact, parse_goal
from collab_sdk.offline.progress import GoalProgress, follow
from collab_sdk.offline.reading import Reading
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.words import squash, tokens_of

ANSWERS = ("{}", "{} please", "{}, please")
JOINS = (" and ", ", ")
CORRECTIONS = ("no, {} please", "not quite, {}", "{} please", "no, make it {}", "that's not it, {}", "no. {}")
REMINDERS = ("like i said, {}", "{}, as i said", "i said {}")
LONG_CORRECTIONS = ("you left something out. {}", "not quite. {}", "no. {}", "{}")
OPENERS = ("hi, i'd like {}", "can i get {}?", "{} please", "hello, i need {}")
NO_PREFERENCE = ("no preference", "doesn't matter", "any is fine", "whatever, just go ahead", "you choose")
NOTHING_ELSE = ("no, nothing else", "no, that's all", "nope, just go ahead", "nothing special")
THANKS = ("thanks", "great, thanks", "perfect, thank you", "ok thanks", "that's it, thanks")
FED_UP = ("forget it", "never mind, bye", "this is useless, bye", "ok, i give up")
LONG = 5
"""Words. A value longer than that is a sentence of its own."""
SAID = 2
"""Times that the same is said before the user gives up."""
RECITED = 10
"""Words. A longer sentence that is said as it stands in the goal is a recital."""
FEW = 6
"""Words of a short message."""
OWN = {"you are": "i am", "you were": "i was", "you": "i", "your": "my", "yours": "mine", "yourself": "myself"}
ADDRESSED = re.compile(r"\b(?:you (?:are|were)|you|your|yours|yourself)\b", re.IGNORECASE)
"""A goal that speaks to its user is said in the first person."""
ARTICLES = re.compile(r"\b(?:an?|the) (?=\w)", re.IGNORECASE)
"""Who types a long sentence of their goal leaves them out, and so does not recite it."""
SPOKEN = {"here": "for here"}


def reply(goal: str, transcript: Sequence[Message], *, patience: int | None, voice: Voice) -> dict[str, Any]:
    """The user's next message as `reason`, `done`, `ending` and `message`."""
    facts = parse_goal(goal)
    progress = follow(facts, transcript)
    missing = "; ".join(fact.line for fact in progress.missing) or "nothing"
    message, ending = _message(progress, voice), "none"
    if not message:
        message, ending = voice.pick(THANKS), "satisfied"
    elif (patience is not None and _useless(facts, transcript) >= patience) or _has_said(message, transcript):
        message, ending = voice.pick(FED_UP), "gave up"
    return {
        "reason": f"got {len(progress.delivered)} of {len(progress.facts)}, still to say: {missing}",
        "done": ending != "none",
        "ending": ending,
        "message": message,
    }


def _has_said(message: str, transcript: Sequence[Message]) -> bool:
    """Whether the user would say for the third time what brought them nowhere twice."""
    own = [said.content for said in transcript if said.role == "user"]
    return own[-SAID:] == [message] * SAID


def describe(messages: Sequence[str]) -> dict[str, Any]:
    """How somebody who typed these messages writes, in the form of a persona."""
    words = [len(tokens_of(text)) for text in messages]
    letters = "".join(messages)
    traits = ["When you are asked something, you answer it and no more."]
    if sum(text.rstrip().endswith("?") for text in messages) * 2 > len(messages):
        traits = ["When you want something, you put it as a question."]
    how = ["a few words" if sum(words) <= FEW * len(words) else "whole sentences"]
    if letters == letters.lower():
        how.append("no capitals")
    if not any(text.rstrip().endswith((".", "!", "?")) for text in messages):
        how.append("no punctuation at the end")
    return {"traits": traits, "writes": ", ".join(how), "forgets": "", "patience": 0}


def _useless(facts: tuple[Fact, ...], transcript: Sequence[Message]) -> int:
    """How many answers brought the user nowhere: work that is not what they want, questions that they cannot answer."""
    useless = 0
    for place, message in enumerate(transcript, start=1):
        progress = follow(facts, transcript[:place])
        if message.role != "assistant" or progress.last is None:
            continue
        asked = _asked_for(progress, progress.last) if progress.last.questions else []
        useless += bool(progress.missing) and progress.known.issuperset(asked)
    return useless


def _message(progress: GoalProgress, voice: Voice) -> str:
    """What the user still has to say; empty when they have got everything."""
    last, next_missing = progress.last, progress.missing[:1]
    if last is None:
        return _phrase(next_missing, voice, OPENERS) if next_missing else "hello?"
    if last.questions and not (progress.complete and last.open_ended):
        asked = _asked_for(progress, last)
        if news := [fact for fact in asked if fact not in progress.known]:
            return _phrase(news, voice, ANSWERS)
        if not last.acts:
            again = [fact for fact in asked if not any(map(_is_long, fact.values))]
            nothing = NOTHING_ELSE if last.open_ended else NO_PREFERENCE
            return _phrase(again, voice, REMINDERS) if again else voice.pick(nothing)
    return _phrase(next_missing, voice, CORRECTIONS) if next_missing else ""


def _asked_for(progress: GoalProgress, reading: Reading) -> list[Fact]:
    words = set(tokens_of(reading.questions))
    asked = [fact for fact in progress.facts if not fact.cues.isdisjoint(words)]
    if not asked and reading.open_ended:
        return [fact for fact in progress.facts if fact not in progress.known][:2]
    return asked


def _phrase(facts: Sequence[Fact], voice: Voice, phrasings: Sequence[str]) -> str:
    """The facts' values as a person says them, in one message, nothing twice."""
    values = {squash(value): value for value in (_spoken(voice.pick(fact.values), fact.key) for fact in facts)}
    if any(map(_is_long, values.values())):
        said = ". ".join(values.values())
        return voice.pick(LONG_CORRECTIONS).format(said) if phrasings is CORRECTIONS else said
    *before, last = values.values()
    said = f"{', '.join(before)}{voice.pick(JOINS)}{last}" if before else last
    return voice.pick(phrasings).format(said)


def _is_long(value: str) -> bool:
    return value.count(" ") >= LONG


def _spoken(value: str, key: str) -> str:
    value = ADDRESSED.sub(lambda found: OWN[found[0].lower()], value)
    value = ARTICLES.sub("", value) if value.count(" ") >= RECITED else value
    # A bare number means nothing to anyone who was asked two things at once.
    if key and value.isdecimal():
        return f"{value} {key}" if key.endswith("s") else f"{key} {value}"
    return SPOKEN.get(value.lower(), value)
