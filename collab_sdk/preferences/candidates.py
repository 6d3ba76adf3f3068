"""Responses worth comparing: those that were logged, fresh samples, and samples drawn under a proactive prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.models.instructed import with_instructions
from collab_sdk.prompts import load_prompt
from collab_sdk.rollout import Rollout
from collab_sdk.types import Message, Turn


class Source(StrEnum):
    """Where a candidate comes from."""

    LOGGED = "logged"
    ALTERNATIVE = "alternative"
    """Logged too, but the conversation did not go on from it."""
    SAMPLED = "sampled"
    PROACTIVE = "proactive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A response to a history."""

    text: str
    source: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What drawing candidates gave: those that say different things, and why others are missing."""

    candidates: tuple[Candidate, ...]
    lost: tuple[str, ...]


async def adraw_candidates(
    turn: Turn, rollout: Rollout, *, n: int, conversation_id: str, alternatives: Sequence[str] = ()
) -> Draws:
    """`n` candidates, the logged response and its alternatives first; repeated texts are left out.

    What is missing is drawn, half of `n` under the proactive prompt, which makes contrast (section 4.1 of the paper).
    It is in the call only: futures and exported prompts go on from the history as it was logged.
    """
    known = logged_candidates(turn, alternatives)[:n]
    proactive = n // 2
    sources = [Source.SAMPLED] * (n - 1 - proactive) + [Source.PROACTIVE] * proactive
    lost: list[str] = []

    async def draw(source: Source, number: int) -> Candidate | None:
        history: Sequence[Message] = turn.history
        if source is Source.PROACTIVE:
            history = with_instructions(history, load_prompt("proactive").text)
        try:
            draw_id = f"{conversation_id}/candidate-{number}"
            text = await rollout.arespond(history, sample=draw_id, conversation_id=conversation_id)
        except SampleError as error:
            lost.append(str(error))
            return None
        return Candidate(text=text, source=source)

    missing = list(enumerate(sources, start=1))[len(known) - 1 :]  # alternatives stand in for the plain samples first
    drawn = await all_settled(draw(source, number) for number, source in missing)
    candidates = distinct([*known, *(candidate for candidate in drawn if candidate is not None)])
    return Draws(candidates=tuple(candidates), lost=tuple(sorted(lost)))


def logged_candidates(turn: Turn, alternatives: Sequence[str]) -> list[Candidate]:
    """What needs no call: the logged response and the other responses to its history."""
    others = (Candidate(text=text, source=Source.ALTERNATIVE) for text in alternatives if text.strip())
    return distinct([Candidate(text=turn.response.content, source=Source.LOGGED), *others])


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that say different things, the first of each."""
    by_text: dict[str, Candidate] = {}
    for candidate in candidates:
        by_text.setdefault(" ".join(candidate.text.split()), candidate)
    return list(by_text.values())
