"""A call as the rows it is kept in."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import StoreError
from collab_sdk.files import to_json
from collab_sdk.logs.store.call import LoggedCall
from collab_sdk.logs.store.chain import BEGINNING, Node, canonical, chain
from collab_sdk.logs.store.merge import STATUSES

Order = tuple[float, int, int]
"""When a call ended, the messages of its history, a number made from its run id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRows:
    """A call, made canonical, with all that can be computed before the file is locked."""

    call: LoggedCall
    lead: list[Node]
    """The system prompts that the history begins with; apart, as they change while the rest stays."""
    history: list[Node]
    """The rest."""
    replies: list[Node]
    shown: list[Node]
    tools: Node | None
    details: str

    @property
    def last(self) -> bytes | None:
        """`own` of the last that the assistant said in the history."""
        return next((node.own for node in reversed(self.history) if node.role == "assistant"), None)

    @property
    def order(self) -> Order:
        digest = hashlib.blake2b(self.call.run_id.encode(), digest_size=8).digest()
        return self.call.ended, len(self.lead) + len(self.history), int.from_bytes(digest, signed=True)


def to_rows(call: LoggedCall) -> CallRows:
    """Raises StoreError for a call that no file can hold."""
    try:
        return _rows(_clean(call))
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"The call {call.run_id!r} cannot be stored: {type(error).__name__}: {error}.") from error


def _rows(call: LoggedCall) -> CallRows:
    first = next((place for place, message in enumerate(call.messages) if message.get("role") != "system"), None)
    split = len(call.messages) if first is None else first
    history = chain(call.messages[split:])
    after = history[-1] if history else BEGINNING
    replies = [node for reply in call.replies for node in chain([reply], after=after)]
    details = {"parameters": call.parameters, "usage": call.usage, "metadata": call.metadata}
    return CallRows(
        call=call,
        lead=chain(call.messages[:split]),
        history=history,
        replies=replies,
        shown=chain(call.shown),
        tools=chain([{"tools": list(call.tools)}])[0] if call.tools else None,
        details=to_json({key: value for key, value in details.items() if value}),
    )


def _clean(call: LoggedCall) -> LoggedCall:
    if call.status not in STATUSES:
        raise ValueError(f"unknown status {call.status!r}; expected one of {', '.join(STATUSES)}")
    return replace(
        call,
        run_id=_text(call.run_id),
        conversation_id=_text(call.conversation_id) if call.conversation_id else None,
        messages=tuple(canonical(message) for message in call.messages),
        replies=tuple(_distinct(canonical({"role": "assistant", **reply}) for reply in call.replies)),
        shown=tuple(canonical(message) for message in call.shown),
        response_id=_text(call.response_id) if call.response_id else None,
        previous_response=_text(call.previous_response) if call.previous_response else None,
        error=_text(call.error) if call.error else None,
        source=_text(call.source),
        model=_text(call.model) if call.model else None,
        user=_text(call.user) if call.user else None,
        started=_seconds(call.started),
        ended=_seconds(call.ended),
    )


def _distinct(replies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What says the same thing again is no other reply."""
    kept: list[dict[str, Any]] = []
    for reply in replies:
        if reply not in kept:
            kept.append(reply)
    return kept


def _text(value: Any) -> str:
    """Text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode()


def _seconds(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
