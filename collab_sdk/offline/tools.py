"""The stand-in as the player of tools: it answers as they have answered before."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from collab_sdk.prompts import unfence


def result(prompt: str) -> dict[str, str]:
    """What a recorded or earlier call of the same tool gave, one with the same arguments if there is one, or "ok"."""
    [call] = _rows(unfence("call", prompt))
    known = [row for row in _answered(prompt) if row["tool"] == call["tool"]]
    same = [row for row in known if row["arguments"] == call["arguments"]]
    for row in (*same, *known):
        return {"reason": "as it answered before", "result": row["result"]}
    return {"reason": "nothing is known of it", "result": f"ok: {call['tool']}({json.dumps(call['arguments'])})"}


def _answered(prompt: str) -> Iterator[dict[str, Any]]:
    """Examples first, then the calls so far, the last one first."""
    calls = list(_rows(unfence("calls", prompt)))
    yield from (row for row in (*_rows(unfence("examples", prompt)), *reversed(calls)) if "result" in row)


def _rows(text: str) -> Iterable[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
