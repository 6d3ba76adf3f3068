"""The user: answers what is asked, corrects one thing at a time, leaves when content."""

from collections.abc import Sequence
from typing import Any

from collab_sdk.offline.facts import Fact, parse_goal
from collab_sdk.offline.progress import Progress, follow
from collab_sdk.offline.reading import Reading
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.words import squash, tokens_of
from collab_sdk.types import Message

ANSWERS = ("{}", "{} please", "{}, please", "{}", "i'd like {}")
CORRECTIONS = ("no, {} please", "not quite, {}", "{} please", "no, make it {}", "that's not it, {}", "no. {}")
REMINDERS = ("like i said, {}", "{}, as i said", "i said {}")
LONG_CORRECTIONS = ("you left something out. {}", "not quite. {}", "no. {}", "{}")
OPENERS = ("hi, i'd like {}", "can i get {}?", "{} please", "hello, i need {}")
NO_PREFERENCE = ("no preference", "doesn't matter", "any is fine", "whatever, just go ahead", "you choose")
NOTHING_ELSE = ("no, nothing else", "no, that's all", "nope, just go ahead", "nothing special")
THANKS = ("thanks", "great, thanks", "perfect, thank you", "ok thanks", "that's it, thanks")
LONG = 5
"""Words. A value longer than that is a sentence of its own."""
SPOKEN = {"here": "for here"}


def reply(goal: str, transcript: Sequence[Message], *, voice: Voice) -> dict[str, Any]:
    """The user's next message as `reason`, `done` and `message`."""
    progress = follow(parse_goal(goal), transcript)
    content = bool(progress.facts) and len(progress.delivered) == len(progress.facts)
    if progress.last is None:
        return _say(progress, _open(progress, voice))
    if progress.last.questions and not (content and progress.last.open_ended):
        asked = _asked_for(progress, progress.last)
        news = [fact for fact in asked if fact not in progress.known]
        if news:
            return _say(progress, _phrase(news, voice, ANSWERS))
        if not progress.last.acts and asked:
            return _say(progress, _phrase(asked, voice, REMINDERS))
        if not progress.last.acts:
            return _say(progress, voice.pick(NOTHING_ELSE if progress.last.open_ended else NO_PREFERENCE))
    if missing := progress.missing[:1]:
        return _say(progress, _phrase(missing, voice, CORRECTIONS))
    return _say(progress, voice.pick(THANKS), done=True)


def _say(progress: Progress, message: str, *, done: bool = False) -> dict[str, Any]:
    missing = "; ".join(fact.line for fact in progress.missing) or "nothing"
    reason = f"got {len(progress.delivered)} of {len(progress.facts)}, missing: {missing}"
    return {"reason": reason, "done": done, "message": message}


def _open(progress: Progress, voice: Voice) -> str:
    """What to say when the assistant has not spoken since: the first thing not yet said."""
    missing = progress.missing[:1]
    return _phrase(missing, voice, OPENERS) if missing else "hello?"


def _asked_for(progress: Progress, reading: Reading) -> list[Fact]:
    words = set(tokens_of(reading.questions))
    asked = [fact for fact in progress.facts if not fact.cues.isdisjoint(words)]
    if not asked and reading.open_ended:
        return [fact for fact in progress.facts if fact not in progress.known][:2]
    return asked


def _phrase(facts: Sequence[Fact], voice: Voice, phrasings: Sequence[str]) -> str:
    """The facts' values as a person says them, in one message, nothing twice."""
    values = {squash(value): value for value in (_spoken(voice.pick(fact.values), fact.key) for fact in facts)}
    if any(len(value.split()) > LONG for value in values.values()):
        said = ". ".join(values.values())
        return voice.pick(LONG_CORRECTIONS).format(said) if phrasings is CORRECTIONS else said
    *before, last = values.values()
    return voice.pick(phrasings).format(f"{', '.join(before)} and {last}" if before else last)


def _spoken(value: str, key: str) -> str:
    # A bare number means nothing to anyone who was asked two things at once.
    if key and value.isdecimal():
        return f"{value} {key}" if key.endswith("s") else f"{key} {value}"
    return SPOKEN.get(value.lower(), value)
