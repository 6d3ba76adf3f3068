"""Scores, and the run that made them, as JSON values for files and reports."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.types import Future, MRScore

__all__ = ["RUN_SCHEMA", "SCORE_SCHEMA", "future_row", "message_row", "response_row", "run_row", "score_row"]

SCORE_SCHEMA = "collab/score/v2"
RUN_SCHEMA = "collab/run/v1"


def response_row(score: MRScore, history: Iterable[Message], made_with: Mapping[str, Any]) -> dict[str, Any]:
    """The score of a logged response, as a row of its own, with all that a report shows beside it."""
    return {
        "schema": SCORE_SCHEMA,
        "conversation_id": score.conversation_id,
        "turn": score.turn,
        "goal": score.goal,
        **({"goals": list(score.goals)} if score.goals else {}),
        "history": [message.to_dict() for message in history],
        "response": [message_row(message) for message in score.response],
        **score_row(score),
        "made_with": dict(made_with),
    }


def score_row(score: MRScore) -> dict[str, Any]:
    """A score as JSON values."""
    return {
        "mr": score.value,
        "stderr": score.stderr,
        **({"mr_calibrated": score.calibrated} if score.calibrated is not None else {}),
        "n_ok": score.n_ok,
        "n": score.n,
        **({"bounds": list(score.bounds)} if score.bounds is not None else {}),
        "metrics": dict(score.metrics),
        "futures": [future_row(future) for future in score.futures],
        "observed": future_row(score.observed) if score.observed else None,
    }


def future_row(future: Future) -> dict[str, Any]:
    """A future as JSON values."""
    row = asdict(replace(future, messages=()))
    return {**row, "messages": [message_row(message) for message in future.messages]}


def message_row(message: Message) -> dict[str, Any]:
    """A message as JSON values, with how it ended where it did not end by itself."""
    return {**message.to_dict(), **({"ended": message.ended} if message.ended else {})}


def run_row(made_with: Mapping[str, Any], usage: Mapping[str, Any], **details: Any) -> dict[str, Any]:
    """What a run was made with, `details`, and its calls and cost by role.

    Among the details, `requests` tells by role how requests differ from what was asked for, since the server took no
    other.

    A file of its own: what is answered from the cache costs nothing, so a resumed run writes the same scores, and
    another cost.
    """
    return {"schema": RUN_SCHEMA, "made_with": dict(made_with), **details, "usage": dict(usage)}
