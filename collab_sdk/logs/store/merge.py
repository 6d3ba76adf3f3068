"""Two records of one run, as one."""

from dataclasses import fields, replace

from collab_sdk.logs.store.call import LoggedCall

STATUSES = ("failed", "cancelled", "partial", "ok")
"""From the one that says least of what the model answered."""
_OF_THE_OUTCOME = ("status", "error", "messages", "replies")


def merged(stored: LoggedCall, later: LoggedCall) -> LoggedCall:
    """The richer record, its gaps filled from the other; the stored one where neither is richer."""
    rich, poor = (later, stored) if _wealth(later) > _wealth(stored) else (stored, later)
    gaps = [field.name for field in fields(LoggedCall) if not getattr(rich, field.name)]
    return replace(rich, **{name: getattr(poor, name) for name in gaps if name not in _OF_THE_OUTCOME})


def _wealth(call: LoggedCall) -> tuple[int, int, int, int]:
    text = sum(len(str(reply)) for reply in call.replies)
    return STATUSES.index(call.status), len(call.replies), text, len(call.messages)
