"""Responses worth comparing: the logged one, fresh samples, and samples drawn under a proactive prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.prompts import load_prompt
from collab_sdk.rollout import Rollout
from collab_sdk.types import Message, Turn


class Source(StrEnum):
    """Where a candidate comes from."""

    LOGGED = "logged"
    SAMPLED = "sampled"
    PROACTIVE = "proactive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A response to a history."""

    text: str
    source: Source


async def adraw_candidates(
    turn: Turn, rollout: Rollout, *, n: int, conversation_id: str
) -> list[Candidate | SampleError]:
    """`n` candidates, the logged response among them, or the errors that took their place; repeated texts left out.

    Half of them are drawn under the proactive prompt, which makes contrast (section 4.1 of the paper). It is in the
    call only: futures and exported prompts go on from the history as it was logged.
    """
    proactive = n // 2
    sources = [Source.SAMPLED] * (n - 1 - proactive) + [Source.PROACTIVE] * proactive
    draws = await all_settled(
        _adraw(turn.history, source, rollout, sample=f"{conversation_id}/candidate-{number}")
        for number, source in enumerate(sources, start=1)
    )
    return list(_distinct([Candidate(text=turn.response.content, source=Source.LOGGED), *draws]))


async def _adraw(
    history: Sequence[Message], source: Source, rollout: Rollout, *, sample: str
) -> Candidate | SampleError:
    prompted = with_instructions(history, load_prompt("proactive").text) if source is Source.PROACTIVE else history
    try:
        return Candidate(text=await rollout.arespond(prompted, sample=sample), source=source)
    except SampleError as error:
        return error


def with_instructions(history: Sequence[Message], instructions: str) -> list[Message]:
    """The history with `instructions` behind its system prompt, or as its system prompt if it has none."""
    if history and history[0].role == "system":
        return [replace(history[0], content=f"{history[0].content}\n\n{instructions}"), *history[1:]]
    return [Message(role="system", content=instructions), *history]


def _distinct(draws: Iterable[Candidate | SampleError]) -> Iterable[Candidate | SampleError]:
    seen = set()
    for draw in draws:
        if isinstance(draw, Candidate):
            words = " ".join(draw.text.split())
            if words in seen:
                continue
            seen.add(words)
        yield draw
