"""The rows of a shared cache as the fields of one hash, which knows its own length and goes in one step."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from collab_redis import scripts
from collab_redis.redis_errors import LEAST_RIGHTS, check_eviction, explained, load_redis
from collab_redis.replicas import WAIT_MS, Replicas
from collab_sdk.cache import LARGEST
from collab_sdk.errors import CacheError
from collab_sdk.secrets import Address

REPLIES, QUARANTINE, LEASE = "collab:replies:v1", "collab:quarantine:v1", "collab:lease:v1:"
KEYS, WAITED = "collab:keys:v1", "collab:waited:v1"
LEASE_MS = 10_000
"""After which the lease of a killed process is free."""
PAGE = 500
SYNC_MS = 20_000
LOOK_EVERY = 30.0
"""Seconds between two looks at what the server would do if its memory were full."""


class RedisRows:
    """`client` is a redis.Redis of one connection, to the server that calls itself `run_id` until it restarts.

    `scanned` has hashes of the keys that a scan has come by, over all connections: Redis gives some twice while its
    hash shrinks. `syncs`: WAITAOF can tell when a write is on the server's disk.
    """

    def __init__(
        self,
        client: Any,
        address: Address,
        *,
        run_id: str,
        scanned: set[int],
        syncs: bool,
        replicas: Replicas,
        warnings: Sequence[str],
    ) -> None:
        self.warnings = warnings
        self._client = client
        self._address = address
        self._run_id = run_id
        self._syncs = syncs
        self._replicas = replicas
        self._look_at = time.monotonic() + LOOK_EVERY
        self._scanned = scanned
        self._scripts = {name: client.register_script(text) for name, text in vars(scripts).items() if name.isupper()}

    def time(self) -> float:
        with explained(self._address):
            return float(self._client.info("server")["server_time_usec"]) / 1e6

    def keys(self, mine: Sequence[str]) -> list[str]:
        there: bytes = self._run("REGISTER", [KEYS], mine)
        return there.decode("utf-8", "replace").split()

    def set_keys(self, mine: Sequence[str]) -> None:
        with explained(self._address):
            self._client.set(KEYS, " ".join(mine))

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        rows: list[bytes | None] = self._run("READ", [REPLIES], [LARGEST + 1, *keys]) if keys else []
        return rows

    def add(self, rows: Mapping[str, bytes]) -> list[bytes | None]:
        there: list[bytes | None] = self._run("ADD", [REPLIES], [LARGEST + 1, *_flat(rows)])
        self._make_durable(has_written=None in there)
        self._check_eviction()
        return there

    def _make_durable(self, *, has_written: bool) -> None:
        """Wait until what is at the server by now is on its disk and at a replica, where it can tell.

        It waits for the last write of this connection. Without one, from Redis 7.2 on, it does not wait at all; but
        the rows that are there already may have been written a moment ago, or by a try whose waiting failed.
        """
        if not has_written:
            with explained(self._address):
                self._client.set(WAITED, "")
        if self._syncs:
            self._sync()
        self._reach_replicas()

    def _sync(self) -> None:
        with explained(self._address):
            synced, _ = self._client.execute_command("WAITAOF", 1, 0, SYNC_MS)
            if not synced:
                raise TimeoutError(f"its disk has not taken a write for {SYNC_MS // 1000} s")

    def _reach_replicas(self) -> None:
        with explained(self._address):
            if self._replicas.are_to_be_counted:
                self._replicas.counted(self._client.info("replication")["connected_slaves"])
            if not self._replicas.are_expected:
                return
            reached = self._client.execute_command("WAIT", 1, WAIT_MS)
        if reached:
            self._replicas.reached()
        else:
            self._replicas.missed()

    def _check_eviction(self) -> None:
        """Raises CacheError where eviction was switched on since: all rows are one key, and would go as a whole."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY
            with explained(self._address):
                check_eviction(self._client.info("memory"), self._address.shown)

    def quarantine(self, rows: Mapping[str, bytes]) -> None:
        self._run("QUARANTINE", [REPLIES, QUARANTINE], [LARGEST + 1, *_flat(rows)])

    def lock(self, keys: Sequence[str], owner: str) -> list[bool]:
        got: list[int] = self._run("LOCK", [LEASE + key for key in keys], [owner, LEASE_MS])
        return [held == 1 for held in got]

    def keep(self, keys: Sequence[str], owner: str) -> None:
        for start in range(0, len(keys), PAGE):
            self.lock(keys[start : start + PAGE], owner)

    def unlock(self, keys: Sequence[str], owner: str) -> None:
        self._run("UNLOCK", [LEASE + key for key in keys], [owner])

    def scan(self, after: str) -> tuple[list[str], str]:
        run_id, _, begin = after.rpartition(":")
        if not after:
            self._scanned.clear()
        elif run_id != self._run_id:  # a cursor means something to that one alone, and here it would skip rows
            raise CacheError(
                f"The cache at {self._address.shown} was restarted, or another server has taken its place, while its "
                "rows were gone through: some are left. Run the same again."
            )
        cursor, found = self._run("SCAN", [REPLIES], [begin or "0", PAGE])
        keys = [key.decode("utf-8", "replace") for key in found]
        fresh = [key for key in dict.fromkeys(keys) if hash(key) not in self._scanned]
        self._scanned.update(map(hash, fresh))
        if cursor == b"0":
            self._scanned.clear()
            return fresh, ""
        return fresh, f"{self._run_id}:{cursor.decode()}"

    def replace(self, rows: Mapping[str, tuple[bytes, bytes]]) -> None:
        triples = [part for key, (old, new) in rows.items() for part in (key, old, new)]
        self._run("REPLACE", [REPLIES], [LARGEST + 1, *triples])
        self._make_durable(has_written=False)  # perhaps: whoever asks again finds them replaced

    def delete(self, rows: Mapping[str, bytes]) -> None:
        self._run("DELETE", [REPLIES], [LARGEST + 1, *_flat(rows)])

    def quarantined(self) -> int:
        with explained(self._address):
            return int(self._client.hlen(QUARANTINE))

    def clear_quarantine(self) -> int:
        return int(self._run("CLEAR", [QUARANTINE], []))

    def size(self) -> tuple[int, int]:
        with explained(self._address):
            return int(self._client.hlen(REPLIES)), int(self._client.memory_usage(REPLIES) or 0)

    def rights(self) -> str:
        redis = load_redis()
        with explained(self._address):
            try:  # whoever may ask this may do more than a cache needs
                user = self._client.acl_whoami()
            except redis.exceptions.NoPermissionError:
                return ""
        return (
            f"is used by a user, {user}, who may do more than a cache needs, such as delete or read other data: "
            f"ACL SETUSER collab on >PASSWORD {LEAST_RIGHTS}"
        )

    def close(self) -> None:
        self._client.close()

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        with explained(self._address):
            return self._scripts[script](keys, arguments)


def _flat(rows: Mapping[str, bytes]) -> list[str | bytes]:
    return [part for row in rows.items() for part in row]
