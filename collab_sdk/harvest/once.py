"""Warnings that are given once, where the same thing may go wrong with every call."""

import logging

log = logging.getLogger("collab_sdk.harvest")


class WarnOnce:
    """Logs its first warning and keeps the others to itself; `stats()` has their number."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, text: str, *values: object) -> None:
        if not self._said:
            self._said = True
            log.warning(f"{text} (said once; stats() counts)", *values)
