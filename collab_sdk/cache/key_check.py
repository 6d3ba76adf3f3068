"""Whether a shared cache is used with the same key as here: asked before anything is paid, moved or deleted."""

from collab_sdk.cache.backend import SharedRows
from collab_sdk.cache.contents import Unreadable
from collab_sdk.cache.signing import VARIABLE, Signer
from collab_sdk.cache.upkeep import opened
from collab_sdk.errors import CacheError

LOOKED_AT = 100
"""Rows of a cache that keeps no check value yet."""


class KeyCheck:
    """Compares the check values that the server keeps with those of `signer`, and adds that of its signing key."""

    def __init__(self, signer: Signer, where: str) -> None:
        self._signer = signer
        self._where = where

    def __call__(self, rows: SharedRows) -> None:
        """Raises CacheError where rows may be signed with a key that this process lacks."""
        there, mine = rows.keys([]), self._signer.checks
        if not there:
            self._look_at_rows(rows)
        if mine[0] not in there:
            there = rows.keys(mine)
        if lacking := [check for check in there if check not in mine]:
            keys, more = rows.scan("")  # to count all of a big cache takes minutes
            what = f"{'at least ' if more else ''}{len(keys):,} {'reply' if len(keys) == 1 else 'replies'}"
            self._refuse(f"holds {what} signed with another key (check value {', '.join(lacking)})")

    def _look_at_rows(self, rows: SharedRows) -> None:
        keys = rows.scan("")[0][:LOOKED_AT]
        found = [opened(self._signer, key, row) for key, row in zip(keys, rows.read(keys), strict=True) if row]
        foreign = found.count(Unreadable.FOREIGN)
        if foreign:
            self._refuse(f"holds replies signed with another key: {foreign:,} of the first {len(found):,}")

    def _refuse(self, problem: str) -> None:
        raise CacheError(
            f"The cache at {self._where} {problem}; is {VARIABLE} (check value {', '.join(self._signer.checks)}) that "
            "of this cache? Nothing was moved or deleted. To replace a key, set both, separated by a comma."
        )
