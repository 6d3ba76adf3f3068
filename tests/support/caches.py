"""Caches of every kind: opening them, putting texts in and getting them back, and tampering with their rows."""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from collab_postgres.server import PostgresServer
from collab_redis.server import RedisServer

from collab_sdk import ChatReply
from collab_sdk.cache.base import Cache, KeptCache
from collab_sdk.cache.disk import DiskCache, _digest
from collab_sdk.cache.record import compress
from collab_sdk.cache.shared import SERVER_PATIENCE, SharedCache
from collab_sdk.cache.signing import Signer
from support.databases import HMAC_KEY, Postgres, Redis

REQUEST = {"messages": [{"role": "user", "content": "Hello!"}]}
SERVERS = {"redis": RedisServer, "rediss": RedisServer, "redis+sentinel": RedisServer, "postgresql": PostgresServer}


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def put(cache: Cache, key: str, text: str) -> str:
    """Returns the text that is kept."""
    return asyncio.run(cache.aput(key, ChatReply(content=text), request=REQUEST)).content


def get(cache: Cache, key: str) -> str | None:
    reply = asyncio.run(cache.aget(key))
    return None if reply is None else reply.content


def shared(url: str, *, patience: float = SERVER_PATIENCE, secret: str = HMAC_KEY, **options: Any) -> SharedCache:
    return SharedCache(SERVERS[url.partition(":")[0]](url), Signer(*secret.split(",")), patience=patience, **options)


class Place:
    """Somewhere to keep a cache, which any number of openers may share."""

    def __init__(self) -> None:
        self._opened: list[KeptCache] = []

    def open(self, **options: Any) -> KeptCache:
        cache = self._open(options)
        self._opened.append(cache)
        return cache

    def close(self) -> None:
        for cache in self._opened:
            cache.close()

    def _open(self, options: Mapping[str, Any]) -> KeptCache:
        raise NotImplementedError

    def write(self, key: str, raw: bytes) -> None:
        """Put `raw` in the place of a row, past the cache."""
        raise NotImplementedError

    def read(self, key: str) -> bytes | None:
        raise NotImplementedError

    def sealed(self, key: str, value: bytes) -> bytes:
        """A row as a colleague with the key might have written it, whose JSON is `value`."""
        seal = Signer(HMAC_KEY)
        body = b"\x01" + compress(value)
        return body[:1] + seal._digest(key, body) + body[1:]


class DiskPlace(Place):
    def __init__(self, folder: Any) -> None:
        super().__init__()
        self.where = str(folder)

    def _open(self, options: Mapping[str, Any]) -> KeptCache:
        return DiskCache(self.where, **options)

    def _run(self, sql: str, *values: object) -> list[Any]:
        with sqlite3.connect(f"{self.where}/cache.db", timeout=0.1) as database:
            rows = database.execute(sql, values).fetchall()
        database.close()
        return rows

    def write(self, key: str, raw: bytes) -> None:
        self._run("UPDATE Cache SET value = ? WHERE key = ?", raw, key)

    def read(self, key: str) -> bytes | None:
        return next((row for (row,) in self._run("SELECT value FROM Cache WHERE key = ?", key)), None)

    def sealed(self, key: str, value: bytes) -> bytes:
        return _digest(value) + compress(value)


class MemoryServer:
    """A server in this process, and its only connection, which any number of openers may share."""

    where = "memory://here"
    warnings: Sequence[str] = ()

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.aside: dict[str, bytes] = {}
        self.leases: dict[str, str] = {}
        self.checks: list[str] = []

    def connect(self) -> "MemoryServer":
        return self

    def time(self) -> float:
        return time.time()

    def keys(self, mine: Sequence[str]) -> list[str]:
        if set(self.checks) <= set(mine):
            self.checks = [*dict.fromkeys([*self.checks, *mine[:1]])]
        return self.checks

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.rows.get(key) for key in keys]

    def add(self, rows: Mapping[str, bytes]) -> list[bytes | None]:
        there = self.read(list(rows))
        self.rows = {**rows, **self.rows}
        return there

    def lock(self, keys: Sequence[str], owner: str) -> list[bool]:
        return [self.leases.setdefault(key, owner) == owner for key in keys]

    def keep(self, keys: Sequence[str], owner: str) -> None:
        self.lock(keys, owner)

    def unlock(self, keys: Sequence[str], owner: str) -> None:
        for key in keys:
            if self.leases.get(key) == owner:
                del self.leases[key]

    def set_keys(self, mine: Sequence[str]) -> None:
        self.checks = list(mine)

    def quarantine(self, rows: Mapping[str, bytes]) -> None:
        self.aside |= rows
        self.delete(rows)

    def quarantined(self) -> int:
        return len(self.aside)

    def clear_quarantine(self) -> int:
        aside, self.aside = self.aside, {}
        return len(aside)

    def scan(self, after: str) -> tuple[list[str], str]:
        return list(self.rows), ""

    def replace(self, rows: Mapping[str, tuple[bytes, bytes]]) -> None:
        self.rows |= {key: new for key, (old, new) in rows.items() if self.rows.get(key) == old}

    def delete(self, rows: Mapping[str, bytes]) -> None:
        self.rows = {key: row for key, row in self.rows.items() if rows.get(key) != row}

    def close(self) -> None:
        pass


SERVED = [pytest.param(kind, marks=pytest.mark.server) for kind in ("redis", "postgres")]
"""The kinds of place that take a server, to parametrize with."""


class RedisPlace(Place):
    def __init__(self, server: Redis) -> None:
        super().__init__()
        self.server, self.where = server, server.url
        with server.client() as client:
            client.flushall()

    def _open(self, options: Mapping[str, Any]) -> KeptCache:
        return shared(self.where, **options)

    def write(self, key: str, raw: bytes) -> None:
        with self.server.client() as client:
            client.hset("collab:replies:v1", key, raw)

    def read(self, key: str) -> bytes | None:
        with self.server.client() as client:
            return client.hget("collab:replies:v1", key)


class PostgresPlace(Place):
    def __init__(self, server: Postgres) -> None:
        super().__init__()
        self.server, self.database = server, server.new_database()
        self.where = server.url_of(self.database)

    def _open(self, options: Mapping[str, Any]) -> KeptCache:
        return shared(self.where, **options)

    def run(self, sql: str, *values: object) -> list[Any]:
        return self.server.run(sql, *values, database=self.database)

    def write(self, key: str, raw: bytes) -> None:
        self.run(
            "INSERT INTO collab_replies VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET row = excluded.row", key, raw
        )

    def read(self, key: str) -> bytes | None:
        return next((row for (row,) in self.run("SELECT row FROM collab_replies WHERE key = %s", key)), None)


def place_of(kind: str, request: Any, folder: Any) -> Place:
    """`request` is pytest's, of a test or fixture."""
    if kind == "disk":
        return DiskPlace(folder)
    server = request.getfixturevalue(f"{kind}_server")
    return RedisPlace(server) if kind == "redis" else PostgresPlace(server)
