"""The rows of a shared cache in a table, and its leases as advisory locks, which end with their connection."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from collab_postgres.postgres_errors import POOLED, explained, load_psycopg
from collab_sdk.cache import LARGEST
from collab_sdk.errors import CacheError
from collab_sdk.secrets import Address

PAGE = 500
READ = "SELECT key, substring(row FOR %s) FROM collab_replies WHERE key = ANY(%s)"
ADD = """
INSERT INTO collab_replies (key, row) SELECT * FROM unnest(%s::text[], %b::bytea[]) ON CONFLICT DO NOTHING RETURNING key
"""
LOCK_KEYS = "LOCK TABLE collab_keys IN SHARE ROW EXCLUSIVE MODE"
DELETE = """
DELETE FROM collab_replies USING unnest(%s::text[], %b::bytea[]) AS seen(key, row)
WHERE collab_replies.key = seen.key AND substring(collab_replies.row FOR %s) = seen.row
"""
QUARANTINE = f"""
WITH odd AS ({DELETE} RETURNING collab_replies.*) INSERT INTO collab_quarantine (key, row) SELECT key, row FROM odd
"""  # noqa: S608 - of constants
LOCK = """
SELECT pg_backend_pid(), pg_try_advisory_lock(number)
FROM unnest(%s::bigint[]) WITH ORDINALITY AS asked(number, place) ORDER BY place
"""
UNLOCK = "SELECT pg_advisory_unlock(number) FROM unnest(%s::bigint[]) AS given(number)"
REPLACE = """
UPDATE collab_replies SET row = anew.row FROM unnest(%s::text[], %b::bytea[], %b::bytea[]) AS anew(key, old, row)
WHERE collab_replies.key = anew.key AND collab_replies.row = anew.old
"""
REGISTER = """
INSERT INTO collab_keys ("check") SELECT %s WHERE NOT EXISTS (SELECT FROM collab_keys WHERE "check" <> ALL(%s))
ON CONFLICT DO NOTHING
"""
FORGET_KEYS = 'DELETE FROM collab_keys WHERE "check" <> ALL(%s)'
SCAN = "SELECT key FROM collab_replies WHERE key > %s ORDER BY key LIMIT %s"
SIZE = "SELECT count(*), pg_total_relation_size('collab_replies') FROM collab_replies"

RIGHTS = {
    "collab_replies": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "collab_quarantine": ("SELECT", "INSERT", "DELETE"),
    "collab_keys": ("SELECT", "INSERT", "DELETE"),
}
"""All that a user of the cache needs, once its tables are there."""


def grants(user: str, tables: Sequence[str] = tuple(RIGHTS)) -> str:
    """The statements that give `user` the rights on these tables."""
    return "; ".join(f"GRANT {', '.join(RIGHTS[table])} ON {table} TO {user}" for table in tables)


class PostgresRows:
    """`connection` is psycopg's, in autocommit mode."""

    def __init__(self, connection: Any, address: Address, *, warnings: Sequence[str] = ()) -> None:
        self.warnings = warnings
        self._connection = connection
        self._address = address
        self._locked: dict[str, int] = {}
        self._backend: int | None = None

    def time(self) -> float:
        [(seconds,)] = self._fetch("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(seconds)

    def keys(self, mine: Sequence[str]) -> list[str]:
        if mine:
            with explained(self._address), self._connection.transaction():
                self._connection.execute(LOCK_KEYS)  # or two could add theirs at once
                self._connection.execute(REGISTER, (mine[0], list(mine)))
        return [check for (check,) in self._fetch('SELECT "check" FROM collab_keys ORDER BY since')]

    def set_keys(self, mine: Sequence[str]) -> None:
        self.keys(mine)
        self._change(FORGET_KEYS, list(mine))

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        found = dict(self._fetch(READ, LARGEST + 1, list(keys)))
        return [found.get(key) for key in keys]

    def add(self, rows: Mapping[str, bytes]) -> list[bytes | None]:
        keys = sorted(rows)  # in one order everywhere, or two writers could wait for each other
        added = {key for (key,) in self._fetch(ADD, keys, [rows[key] for key in keys])}
        others = [key for key in keys if key not in added]
        there = dict(zip(others, self.read(others) if others else [], strict=True))
        return [there.get(key) for key in rows]

    def quarantine(self, rows: Mapping[str, bytes]) -> None:
        self._change(QUARANTINE, list(rows), list(rows.values()), LARGEST + 1)

    def lock(self, keys: Sequence[str], owner: str) -> list[bool]:
        numbers = [_number(key) for key in keys]
        with explained(self._address):
            try:
                answers = self._connection.execute(LOCK, (numbers,)).fetchall()
            except load_psycopg().errors.OutOfMemory:  # of locks, in the whole server: give back what came through
                self._connection.execute(UNLOCK, (numbers,))
                return [False] * len(keys)
        self._check_backend({backend for backend, _ in answers})
        self._locked |= {key: number for key, number, (_, got) in zip(keys, numbers, answers, strict=True) if got}
        return [got for _, got in answers]

    def keep(self, keys: Sequence[str], owner: str) -> None:
        if new := [key for key in keys if key not in self._locked]:
            self.lock(new, owner)
        elif keys:
            self._fetch("SELECT 1")  # the locks go with a connection that somebody closes as idle

    def unlock(self, keys: Sequence[str], owner: str) -> None:
        if numbers := [self._locked.pop(key) for key in keys if key in self._locked]:
            self._fetch(UNLOCK, numbers)

    def scan(self, after: str) -> tuple[list[str], str]:
        keys = [key for (key,) in self._fetch(SCAN, after, PAGE)]
        return keys, keys[-1] if len(keys) == PAGE else ""

    def delete(self, rows: Mapping[str, bytes]) -> None:
        self._change(DELETE, list(rows), list(rows.values()), LARGEST + 1)

    def replace(self, rows: Mapping[str, tuple[bytes, bytes]]) -> None:
        keys = sorted(rows)
        self._change(REPLACE, keys, [rows[key][0] for key in keys], [rows[key][1] for key in keys])

    def quarantined(self) -> int:
        with self._unhurried():
            [(count,)] = self._fetch("SELECT count(*) FROM collab_quarantine")
        return int(count)

    def clear_quarantine(self) -> int:
        with self._unhurried():
            return self._change("DELETE FROM collab_quarantine")

    def rights(self) -> str:
        [(user, is_super)] = self._fetch("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        return (
            f"is used by {user}, a superuser, where a cache needs no more than its tables: CREATE ROLE collab_user "
            f"LOGIN PASSWORD '…'; {grants('collab_user')}"
            if is_super
            else ""
        )

    def size(self) -> tuple[int, int]:
        with self._unhurried():
            [(count, size)] = self._fetch(SIZE)
        return int(count), int(size)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _unhurried(self) -> Iterator[None]:
        """Without a limit of time, for statements that go through a whole table."""
        with explained(self._address), self._connection.transaction():
            self._connection.execute("SET LOCAL statement_timeout = 0")
            yield

    def _fetch(self, query: str, *values: Any) -> list[Any]:
        with explained(self._address):
            rows: list[Any] = self._connection.execute(query, values, binary=True).fetchall()
            return rows

    def _change(self, query: str, *values: Any) -> int:
        with explained(self._address):
            return int(self._connection.execute(query, values).rowcount)

    def _check_backend(self, backends: set[int]) -> None:
        self._backend = self._backend or next(iter(backends), None)
        if backends - {self._backend}:
            raise CacheError(f"The cache at {self._address.shown} {POOLED}.")


def _number(key: str) -> int:
    """The advisory lock of a key; locks are numbers of 64 bits, and those of one database are one set."""
    return int.from_bytes(hashlib.sha256(f"collab/lease/{key}".encode()).digest()[:8], signed=True)
