"""Looking after the rows of a shared cache: counting them, deleting them, signing them anew."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

from collab_sdk.cache.backend import SharedRows
from collab_sdk.cache.base import UNREADABLE
from collab_sdk.cache.connection import Connection
from collab_sdk.cache.contents import Contents, Unreadable, Walk
from collab_sdk.cache.record import Row, reply_in, written_in
from collab_sdk.cache.signing import Signer, is_whole


class Upkeep:
    """Goes through all rows over `connection`, a page at a time."""

    def __init__(self, connection: Connection, signer: Signer) -> None:
        self._connection = connection
        self._signer = signer

    def rows(self) -> Iterator[tuple[str, Row | Unreadable]]:
        for page in self._pages():
            yield from self._opened(page).items()

    def walk(self, is_wanted: Callable[[Row], bool], *, also: Collection[Unreadable] = (), delete: bool) -> Contents:
        """Counts what there is. With `delete`, what is wanted goes, and unreadable rows of the kinds `also`."""
        walk = Walk(is_wanted, also)
        for page in self._pages():
            picked = walk.pick(self._opened(page))
            if delete and picked:  # and not what somebody has put in the place of one since
                self._connection.ask(partial(_delete, {key: page[key] for key in picked}))
        return replace(walk.contents, aside=self._aside())

    def reseal(self, *, dry_run: bool) -> Contents:
        """Sign anew what is not signed with the first key, which is what matches; the others are needed no more."""
        walk, outdated = Walk(lambda row: True), 0
        for page in self._pages():
            rows = self._opened(page)
            picked = [key for key in walk.pick(rows) if not self._signer.is_current(key, page[key])]
            outdated += len(picked)
            if picked and not dry_run:
                anew = {key: (page[key], self._signer.close(key, rows[key])) for key in picked}
                self._connection.ask(partial(_replace, anew))
        if not dry_run:
            self._connection.ask(lambda rows: rows.set_keys(self._signer.checks[:1]))
        found = walk.contents
        return replace(found, matching=outdated, others=found.matching - outdated, aside=self._aside())

    def _aside(self) -> int:
        return self._connection.ask(lambda rows: rows.quarantined())

    def _opened(self, page: Mapping[str, bytes]) -> dict[str, Row | Unreadable]:
        return {key: opened(self._signer, key, signed) for key, signed in page.items()}

    def _pages(self) -> Iterator[dict[str, bytes]]:
        keys, after = self._connection.ask(lambda rows: rows.scan(""))
        while True:
            found = self._connection.ask(partial(_read, keys))
            yield {key: signed for key, signed in zip(keys, found, strict=True) if signed is not None}
            if not after:
                return
            keys, after = self._connection.ask(partial(_scan, after))


def opened(signer: Signer, key: str, signed: bytes) -> Row | Unreadable:
    """The row, or why it cannot be read."""
    try:
        row: Row = signer.open(key, signed)
        reply_in(row)
        written_in(row)
    except UNREADABLE:
        is_foreign = not signer.has_signed(key, signed) and is_whole(signed)
        return Unreadable.FOREIGN if is_foreign else Unreadable.DAMAGED
    return row


def _read(keys: list[str], rows: SharedRows) -> list[bytes | None]:
    return rows.read(keys)


def _scan(after: str, rows: SharedRows) -> tuple[list[str], str]:
    return rows.scan(after)


def _delete(seen: dict[str, bytes], rows: SharedRows) -> None:
    rows.delete(seen)


def _replace(anew: dict[str, tuple[bytes, bytes]], rows: SharedRows) -> None:
    rows.replace(anew)
