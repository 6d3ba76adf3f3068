"""Whether what was written is at a replica, too, which a failover would make the primary."""

import time
import warnings

from collab_sdk.errors import LostConnectionError

WAIT_MS = 1_000
"""For a replica to take a write."""
GRACE = 5.0
"""Seconds in which replicas that are missed may be so because one of them is becoming the primary."""
PAUSE = 30.0
"""Seconds until missing replicas are looked for again."""


class Replicas:
    """Those of the server at `where`, as the connections of this process have seen them."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._expected = False
        self._missed_since: float | None = None
        self._look_at = 0.0

    def counted(self, connected: int) -> None:
        """So many are connected. Raises LostConnectionError as `missed` does."""
        self._look_at = time.monotonic() + PAUSE
        if connected:
            self._expected = True
        elif self._expected:
            self.missed()

    @property
    def are_expected(self) -> bool:
        """Whether a write should wait for one."""
        return self._expected

    @property
    def are_to_be_counted(self) -> bool:
        return not self._expected and time.monotonic() >= self._look_at

    def reached(self) -> None:
        self._missed_since = None

    def missed(self) -> None:
        """None has taken a write. Raises LostConnectionError at first: whoever connects anew may find the new primary.

        Where that lasts, a warning is given, and writes wait for no replica until they are counted again.
        """
        now = time.monotonic()
        self._missed_since = self._missed_since or now
        if now < self._missed_since + GRACE:
            raise LostConnectionError(f"The replicas of the cache at {self._where} take no writes.")
        self._expected, self._missed_since, self._look_at = False, None, now + PAUSE
        warnings.warn(
            f"The replicas of the cache at {self._where} take no writes, so a failover would lose what is paid for "
            "from now on. See that they run.",
            stacklevel=2,
        )
