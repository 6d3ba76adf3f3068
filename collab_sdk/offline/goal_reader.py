"""The goal reader: what the user of a logged chat asked for, and what else they might have wanted."""

from collections.abc import Iterable

from collab_sdk.messages import Message
from collab_sdk.offline.facts import AS_WRITTEN, Fact, parse_goal
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.wishes import wishes
from collab_sdk.offline.words import Words

LINES = 12


def read(transcript: Iterable[Message]) -> str:
    """One `request:` line, then `detail:` lines; at least one line, whatever the chat."""
    texts = [message.content for message in transcript if message.role == "user"]
    found = list(dict.fromkeys(wish for text in texts for wish in wishes(text)))[:LINES]
    if not found:
        found = [" ".join(text.split())[:300] for text in texts if text.strip()][:1] or ["help"]
    return "\n".join([f"request: {found[0]}", *(f"detail: {wish}" for wish in found[1:])])


def propose(goal: str, transcript: Iterable[Message], *, count: int, voice: Voice) -> list[str]:
    """Goals that differ from `goal` in what the user has not said: another value where one is known, or no wish."""
    said = Words("\n".join(message.content for message in transcript if message.role == "user"))
    facts = parse_goal(goal)
    proposed = ("\n".join(filter(None, (_redrawn(fact, said, voice) for fact in facts))) for _ in range(count))
    return list(dict.fromkeys(text for text in proposed if text and text != goal))


def _redrawn(fact: Fact, said: Words, voice: Voice) -> str:
    if fact.said_in(said):
        return fact.line
    others = [*(AS_WRITTEN[rival] for rival in sorted(fact.rivals)), fact.values[0], ""]
    value = voice.pick(others)
    return f"{fact.key}: {value}" if fact.key and value else value
