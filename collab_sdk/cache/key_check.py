"""Whether a shared cache is used with the same key as here: asked before anything is paid, moved or deleted.

The server keeps the check value of the key from the first lease or row on: to look at an empty cache, or to try what
would be deleted from it, binds it to no key.
"""

from collections.abc import Sequence

from collab_sdk.cache.backend import SharedRows
from collab_sdk.cache.contents import Unreadable
from collab_sdk.cache.signing import VARIABLE, Signer
from collab_sdk.cache.upkeep import opened
from collab_sdk.errors import CacheError

LOOKED_AT = 100
"""Rows of a cache that keeps no check value yet."""


class KeyCheck:
    """Compares the check values that the server keeps with those of `signer`."""

    def __init__(self, signer: Signer, where: str) -> None:
        self._signer = signer
        self._where = where

    def __call__(self, rows: SharedRows) -> None:
        """Raises CacheError where rows may be signed with a key that this process lacks."""
        there = rows.keys([])
        if not there and self._has_rows(rows):
            there = rows.keys(self._signer.checks)
        self._compare(rows, there)

    def claim(self, rows: SharedRows) -> None:
        """The same, and adds the check value of the signing key: rows that carry it may come."""
        self(rows)
        self._compare(rows, rows.keys(self._signer.checks))

    def _compare(self, rows: SharedRows, there: Sequence[str]) -> None:
        mine = self._signer.checks
        if lacking := [check for check in there if check not in mine]:
            keys, more = rows.scan("")  # to count all of a big cache takes minutes
            what = f"{'at least ' if more else ''}{len(keys):,} {'reply' if len(keys) == 1 else 'replies'}"
            self._refuse(f"holds {what} signed with another key (check value {', '.join(lacking)})")

    def _has_rows(self, rows: SharedRows) -> bool:
        """Whether a cache that keeps no check value yet has rows. Raises CacheError for those of another key."""
        keys = rows.scan("")[0][:LOOKED_AT]
        found = [opened(self._signer, key, row) for key, row in zip(keys, rows.read(keys), strict=True) if row]
        foreign = found.count(Unreadable.FOREIGN)
        if foreign:
            self._refuse(f"holds replies signed with another key: {foreign:,} of the first {len(found):,}")
        return bool(found)

    def _refuse(self, problem: str) -> None:
        raise CacheError(
            f"The cache at {self._where} {problem}; is {VARIABLE} (check value {', '.join(self._signer.checks)}) that "
            "of this cache? Nothing was moved or deleted. To replace a key, set both, separated by a comma."
        )
