"""Responses worth comparing: those that were logged, fresh samples, and samples drawn under a proactive prompt."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.messages import Message, deeds_of
from collab_sdk.models.instructed import with_instructions
from collab_sdk.prompts import load_prompt
from collab_sdk.rollout import Rollout
from collab_sdk.tools import Scene
from collab_sdk.types import Per, Turn

NOTHING_SAID = "a drawn response was empty"
"""Why such a candidate is missing."""


class Source(StrEnum):
    """Where a candidate comes from."""

    LOGGED = "logged"
    ALTERNATIVE = "alternative"
    """Logged too, but the conversation did not go on from it."""
    SAMPLED = "sampled"
    PROACTIVE = "proactive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A response to a history: text, or calls and their results too."""

    messages: tuple[Message, ...]
    source: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What drawing candidates gave: those that say or do different things, and why others are missing.

    One that was cut off or filtered is among them, with `ended` on its last message: it can be rejected, never chosen.
    One that ends without a word or a call is none: there is nothing in it to learn or to unlearn.
    """

    candidates: tuple[Candidate, ...]
    lost: tuple[str, ...]


async def adraw_candidates(turn: Turn, rollout: Rollout, *, n: int, scene: Scene, per: Per = "turn") -> Draws:
    """`n` candidates, the logged response and its alternatives first; repeated ones are left out.

    What is missing is drawn, half of `n` under the proactive prompt, which makes contrast (section 4.1 of the paper).
    It is in the call only: futures and exported prompts go on from the history as it was logged.
    """
    known = logged_candidates(turn)[:n]
    proactive = n // 2
    sources = [Source.SAMPLED] * (n - 1 - proactive) + [Source.PROACTIVE] * proactive
    lost: list[str] = []

    async def draw(source: Source, number: int) -> Candidate | None:
        told, history = load_prompt("proactive").text, turn.history
        asked = with_instructions(history, told) if source is Source.PROACTIVE else history
        try:
            draw_id = f"{scene.conversation_id}/candidate-{number}"
            messages = await rollout.arespond(asked, sample=draw_id, scene=scene, per=per)
        except SampleError as error:
            lost.append(str(error))
            return None
        if not deeds_of([replace(messages[-1], ended=None)]):
            lost.append(NOTHING_SAID)
            return None
        return Candidate(messages=messages, source=source)

    missing = list(enumerate(sources, start=1))[len(known) - 1 :]  # alternatives stand in for the plain samples first
    drawn = await all_settled(draw(source, number) for number, source in missing)
    candidates = distinct([*known, *(candidate for candidate in drawn if candidate is not None)])
    return Draws(candidates=tuple(candidates), lost=tuple(sorted(lost)))


def logged_candidates(turn: Turn) -> list[Candidate]:
    """What needs no call: the logged response and the other responses to its history."""
    others = (Candidate(messages=messages, source=Source.ALTERNATIVE) for messages in turn.alternatives)
    return distinct([Candidate(messages=turn.response, source=Source.LOGGED), *others])


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that say or do different things, the first of each."""
    first: dict[object, Candidate] = {}
    for candidate in candidates:
        first.setdefault(deeds_of(candidate.messages), candidate)
    return list(first.values())
