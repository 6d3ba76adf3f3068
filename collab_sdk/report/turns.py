"""Scored turns, gathered into the conversations that they are of.

A turn's row repeats all that was said before it; a conversation holds each message once.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.report.fields import (
    Row,
    count,
    deeds,
    future,
    futures,
    mapping,
    messages,
    number,
    numbers,
    rows,
    said,
    text,
    texts,
)

ID_LENGTH = 16
"""Hexadecimal digits of a pair's id: of 10,000 pairs two share one with a probability of 3 in 10^12."""


def pair_id(row: Row) -> str | None:
    """What names the pair of a turn's row wherever it lies: a hash of where it is from and what it says."""
    pair = mapping(row.get("pair"))
    if not pair:
        return None
    history = rows(row.get("history"))
    spoken = [[message["role"], message["content"]] for message in messages(history)]
    origin = [text(row.get("conversation_id")), count(row.get("turn"))]
    value = [*origin, spoken, deeds(history), deeds(pair.get("chosen")), deeds(pair.get("rejected"))]
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:ID_LENGTH]


def is_held_out(row: Row) -> bool:
    """Whether the pair of a turn's row is in the file of the chats that are held out."""
    return text(mapping(row.get("written_to")).get("file")).endswith(".eval.jsonl")


def conversations_of(turns: Iterable[Row]) -> Iterator[Row]:
    """The conversations, in order; rows of one conversation follow each other."""
    gathered: Row | None = None
    for row in turns:
        history = messages(row.get("history"))
        if gathered is None or not _goes_on(gathered, row, history):
            if gathered is not None:
                yield _closed(gathered)
            gathered = {"id": text(row.get("conversation_id")), "goal": text(row.get("goal")), "messages": []}
            gathered |= {"turns": [], "made_with": mapping(row.get("made_with"))}
            gathered["per"] = "decision" if gathered["made_with"].get("per") == "decision" else "turn"
        gathered["messages"] = history
        gathered["turns"].append(_turn(row, at=len(history)))
    if gathered is not None:
        yield _closed(gathered)


def _goes_on(gathered: Row, row: Row, history: list[Row]) -> bool:
    """Whether the row is of a later turn of the same conversation."""
    known: list[Row] = gathered["messages"]
    same = gathered["id"] == text(row.get("conversation_id")) and len(history) > len(known)
    return same and history[: len(known)] == known


def _closed(gathered: Row) -> Row:
    """With what followed the last history, as far as it is known: the logged response, and what came after it."""
    logged = next((one for one in gathered["turns"][-1]["candidates"] if one["source"] in ("logged", "")), None)
    if logged is not None and gathered["turns"][-1]["scored_response"]:
        observed = logged["observed"] or {"messages": []}
        gathered["messages"] = [*gathered["messages"], *logged["messages"], *observed["messages"]]
    for turn in gathered["turns"]:
        del turn["scored_response"]
    return gathered


def _turn(row: Row, *, at: int) -> Row:
    response = row.get("response")
    candidates = [_candidate(candidate) for candidate in rows(row.get("candidates"))]
    if isinstance(response, list):  # a row of `collab score`: the logged response alone
        candidates = [_candidate({**row, "source": "logged", "messages": response})]
    return {
        "turn": count(row.get("turn")),
        "at": at,
        "goals": texts(row.get("goals")),
        "candidates": candidates,
        "lost": texts(row.get("lost")),
        "refused": text(row.get("refused")) or None,
        "pair": _pair(row, candidates),
        "held_out": is_held_out(row),
        "review": mapping(row.get("review")) or None,
        "scored_response": isinstance(response, list) or any(one["source"] == "logged" for one in candidates),
    }


def _candidate(row: Row) -> Row:
    n_ok, n = count(row.get("n_ok")), count(row.get("n"))
    return {
        "source": text(row.get("source")),
        "text": said(row.get("messages")),
        "messages": messages(row.get("messages")),
        "mr": number(row.get("mr")),
        "stderr": number(row.get("stderr")),
        "n_ok": n_ok,
        "n": n,
        "lost": max(n - n_ok, 0) or count(row.get("missing")),
        "bounds": _bounds(row.get("bounds")),
        "metrics": numbers(row.get("metrics")),
        "futures": list(futures(row.get("futures"))),
        "observed": future(row.get("observed")),
    }


def _bounds(value: Any) -> list[float] | None:
    """The lowest and the highest that the MR would be with what is missing."""
    ends = [number(end) for end in value] if isinstance(value, list) else []
    known = [end for end in ends if end is not None]
    return known if len(known) == len(ends) == 2 else None


def _pair(row: Row, candidates: list[Row]) -> Row | None:
    """The pair, its sides as places among the candidates; None where one of them is not there."""
    pair: Any = mapping(row.get("pair"))
    done = [deeds(candidate.get("messages")) for candidate in rows(row.get("candidates"))]
    sides = {side: deeds(pair.get(side)) for side in ("chosen", "rejected")}
    if len(done) != len(candidates) or not all(side and side in done for side in sides.values()):
        return None
    places = {side: done.index(value) for side, value in sides.items()}
    return {
        "id": pair_id(row),
        **places,
        "margin": number(pair.get("margin")),
        "confidence": number(pair.get("confidence")),
    }
