"""What a server must be able to do to hold a shared cache: the interface that its plugin fills."""

from collections.abc import Mapping, Sequence
from typing import Protocol

LARGEST = 8 << 20
"""Bytes of a row. Of what is larger one byte more is read, so that it is known to be cut off."""


class SharedRows(Protocol):
    """One connection; used by one thread at a time.

    Every method may be asked again with the same arguments after it raised LostConnectionError, whether or not it was
    done then. For anything else that goes wrong it raises CacheError.
    """

    warnings: Sequence[str]
    """What is wrong with the server, and can be tolerated: each follows "The cache at ...", and says what to do."""

    def time(self) -> float:
        """By the server's clock, in seconds since 1970."""

    def keys(self, mine: Sequence[str]) -> list[str]:
        """The check values that are kept of signing keys.

        The first of `mine` is added in the same step, unless one is kept that is not among them.
        """

    def set_keys(self, mine: Sequence[str]) -> None:
        """Keep these check values alone."""

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The row of each key, at most LARGEST + 1 bytes of it."""

    def add(self, rows: Mapping[str, bytes]) -> list[bytes | None]:
        """Add rows where the key is not taken: what was there already, for each.

        Returns when they are as durable as the server makes them.
        """

    def quarantine(self, rows: Mapping[str, bytes]) -> None:
        """Move rows aside, if they are still as they were `read`."""

    def lock(self, keys: Sequence[str], owner: str) -> list[bool]:
        """Take the leases that nobody else has; which of them `owner` has now."""

    def keep(self, keys: Sequence[str], owner: str) -> None:
        """Go on holding leases; called every few seconds, and when the connection is new.

        It asks the server something, so that nobody on the way takes the connection for one that is idle.
        """

    def unlock(self, keys: Sequence[str], owner: str) -> None:
        """Give up leases, as far as `owner` still has them."""

    def scan(self, after: str) -> tuple[list[str], str]:
        """Some of the keys, and where to go on; both ends of the way are the empty string.

        A key comes once, also where it goes on over a new connection to the server. Raises CacheError where the
        server cannot go on there, so that no row is skipped.
        """

    def replace(self, rows: Mapping[str, tuple[bytes, bytes]]) -> None:
        """Write the second row of each in the place of the first, if that is still there."""

    def delete(self, rows: Mapping[str, bytes]) -> None:
        """Delete rows, if they are still as they were `read`."""

    def quarantined(self) -> int:
        """How many rows were moved aside."""

    def clear_quarantine(self) -> int:
        """Delete what was moved aside; how many rows that were."""

    def size(self) -> tuple[int, int]:
        """How many rows, and their bytes at the server."""

    def rights(self) -> str:
        """What this user may do that a cache does not need, as one of the `warnings`; '' if nothing."""

    def close(self) -> None: ...


class CacheServer(Protocol):
    """Where a shared cache is."""

    where: str
    """Its URL, without password."""

    def connect(self) -> SharedRows:
        """Raises LostConnectionError if nobody answers, CacheError if the server cannot hold a cache."""
