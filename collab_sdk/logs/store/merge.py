"""Two records of one run, as one."""

from dataclasses import fields, replace

from collab_sdk.logs.store.call import LoggedCall

STATUSES = ("failed", "cancelled", "partial", "ok")
"""From the one that says least of what the model answered."""
_OF_THE_OUTCOME = ("status", "error", "messages", "replies", "shown_is_turn", "is_side", "is_added")


def merged(stored: LoggedCall, later: LoggedCall) -> LoggedCall:
    """The richer record, its gaps filled from the other; the stored one where neither is richer."""
    rich, poor = (later, stored) if _wealth(later) > _wealth(stored) else (stored, later)
    gaps = [field.name for field in fields(LoggedCall) if not getattr(rich, field.name)]
    filled = {name: getattr(poor, name) for name in gaps if name not in _OF_THE_OUTCOME}
    if "shown" in filled:
        filled["shown_is_turn"] = poor.shown_is_turn
    return replace(rich, **filled, is_side=stored.is_side or later.is_side)


def _wealth(call: LoggedCall) -> tuple[int, int, int, int]:
    text = sum(len(str(reply)) for reply in call.replies)
    return STATUSES.index(call.status), len(call.replies), text, len(call.messages)
