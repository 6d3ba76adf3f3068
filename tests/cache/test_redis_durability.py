"""When Redis has what was written on its disk and at a replica, and what a second try of a write is worth.

The fake counts as Redis does from 7.2 on: a client waits for its own last write, and one that has not written anything
waits for nothing (`call()` in server.c). Real servers, also of 7.0, are in test_cache_failover.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from collab_redis import scripts
from collab_redis.redis_rows import REPLIES, RedisRows
from collab_redis.replicas import Replicas

from collab_sdk.errors import LostConnectionError
from collab_sdk.secrets import Address

ROW = {"key": b"row"}


@dataclass
class Server:
    rows: dict[str, bytes] = field(default_factory=dict)
    written: int = 0
    """How much it has written, in all."""
    on_disk: int = 0
    """Of that."""
    replicated: int = 0

    def connect(self, *, syncs: bool, replicas: int) -> RedisRows:
        seen = Replicas("redis://here")
        seen.counted(replicas)
        address = Address("redis://here")
        return RedisRows(Client(self), address, run_id="run", scanned=set(), syncs=syncs, replicas=seen, warnings=())


class Client:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._written = 0
        """How far the server had written after this client's last write."""

    def _write(self) -> None:
        self._server.written += 1
        self._written = self._server.written

    def register_script(self, text: str) -> Any:
        return {scripts.ADD: self._add, scripts.REPLACE: self._replace}.get(text)

    def _add(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[bytes | None]:
        assert list(keys) == [REPLIES]
        there = []
        for key, row in zip(arguments[1::2], arguments[2::2], strict=True):
            there.append(self._server.rows.get(key))
            if there[-1] is None:
                self._server.rows[key] = row
                self._write()
        return there

    def _replace(self, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        for key, old, new in zip(arguments[1::3], arguments[2::3], arguments[3::3], strict=True):
            if self._server.rows.get(key) == old:
                self._server.rows[key] = new
                self._write()

    def set(self, key: str, value: str) -> None:
        assert key.startswith("collab:")
        self._write()

    def info(self, section: str) -> dict[str, Any]:
        return {"connected_slaves": 0}

    def execute_command(self, name: str, *arguments: int) -> Any:
        if name == "WAITAOF":
            return [int(self._server.on_disk >= self._written), 0]
        assert name == "WAIT"
        return int(self._server.replicated >= self._written)


def written_twice(server: Server, rows: list[RedisRows]) -> None:
    """By two connections; the second finds the row that the first has left."""
    for connection in rows:
        with pytest.raises(LostConnectionError):
            connection.add(ROW)
    assert server.rows == ROW


def test_a_write_that_is_tried_again_waits_for_the_disk_as_the_first_does():
    server = Server()
    rows = [server.connect(syncs=True, replicas=0) for _ in range(2)]
    written_twice(server, rows)
    server.on_disk = server.written + 1
    assert rows[1].add(ROW) == [b"row"]


def test_a_write_that_is_tried_again_waits_for_a_replica_as_the_first_does():
    server = Server()
    rows = [server.connect(syncs=False, replicas=1) for _ in range(2)]
    written_twice(server, rows)
    server.replicated = server.written + 1
    assert rows[1].add(ROW) == [b"row"]


def test_a_row_that_is_signed_anew_is_as_durable_as_one_that_is_added():
    server = Server(rows={"key": b"old"})
    rows = [server.connect(syncs=True, replicas=1) for _ in range(2)]
    for connection in rows:
        with pytest.raises(LostConnectionError, match="disk has not taken a write"):
            connection.replace({"key": (b"old", b"row")})
    assert server.rows == ROW
    server.on_disk = server.written + 1
    with pytest.raises(LostConnectionError, match="take no writes"):
        rows[1].replace({"key": (b"old", b"row")})
