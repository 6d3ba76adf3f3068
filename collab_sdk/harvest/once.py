"""Warnings of the recorder, most of them given once, where the same thing may go wrong with every call."""

import logging
from contextlib import suppress

log = logging.getLogger("collab_sdk.harvest")


def warn(text: str, *values: object) -> None:
    """Log a warning. A handler of the app's that fails ends neither the app's call nor the thread that writes."""
    with suppress(Exception):
        log.warning(text, *values)


class WarnOnce:
    """Logs its first warning and keeps the others to itself; `stats()` has their number."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, text: str, *values: object) -> None:
        if not self._said:
            self._said = True
            warn(f"{text} (said once; stats() counts)", *values)
