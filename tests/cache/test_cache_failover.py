"""Shared caches where servers change places: failovers, replicas, limits of connections, and who cuts idle ones."""

import asyncio
import socket
import threading
from itertools import count

import pytest
from collab_redis.redis_rows import RedisRows
from support.caches import REQUEST, PostgresPlace, RedisPlace, get, key_of, put, shared
from support.databases import HMAC_KEY, Redis, pooled, replicated, running, wait_until, watched

from collab_sdk import ChatReply
from collab_sdk.cache import Contents, SharedCache
from collab_sdk.errors import CacheError

pytestmark = pytest.mark.server
KEY = key_of("k")
NEW_KEY = "f" * 64


def put_many(cache: SharedCache, numbers: range) -> None:
    async def main() -> None:
        puts = (cache.aput(key_of(n), ChatReply(content=str(n)), request=REQUEST) for n in numbers)
        await asyncio.gather(*puts)

    asyncio.run(main())


def missing(cache: SharedCache, numbers: range) -> list[int]:
    return [number for number in numbers if get(cache, key_of(number)) != str(number)]


@pytest.mark.filterwarnings("ignore:The replicas of the cache")  # until the old primary is one
def test_a_failover_by_sentinel_loses_nothing_that_was_acknowledged():
    with watched() as (sentinel, _, replica):
        with pytest.raises(CacheError, match=r"no primary now by its Sentinels .* 'other' is what they call it"):
            shared(sentinel.url.replace("/collab/", "/other/"))
        cache = shared(sentinel.url)
        put_many(cache, range(20))
        with sentinel.client() as asked:
            asked.execute_command("SENTINEL", "FAILOVER", "collab")
        for number in range(20, 60):
            put_many(cache, range(number, number + 1))
        wait_until(lambda: replica.replication()["role"] == "master")
        put_many(cache, range(60, 80))
        cache.close()
        again = shared(sentinel.url)
        assert again.where == f"redis+sentinel://127.0.0.1:{sentinel.port}/collab/0"
        assert missing(again, range(80)) == []
        again.close()


def test_a_primary_that_is_killed_loses_nothing_that_was_acknowledged(monkeypatch):
    monkeypatch.setattr("collab_redis.replicas.GRACE", 0.5)
    with watched() as (sentinel, primary, _):
        cache = shared(sentinel.url)
        put_many(cache, range(20))
        primary.kill()
        with pytest.warns(UserWarning, match="replicas of the cache at .* take no writes"):  # there is no other now
            put_many(cache, range(20, 40))
        assert missing(cache, range(40)) == []
        cache.close()


class Name:
    """An address that stands for whichever server it leads to, as one of a service does."""

    def __init__(self, port: int) -> None:
        self.leads_to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(("127.0.0.1", self.leads_to))
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        other.close()

    def close(self) -> None:
        self._server.close()
        for each in self._open:
            each.close()


def test_a_failover_behind_a_name_is_waited_through():
    with replicated() as (primary, replica):
        name = Name(primary.port)
        cache = shared(primary.url.replace(str(primary.port), str(name.port)))
        put_many(cache, range(20))
        primary.client().execute_command("FAILOVER")
        wait_until(lambda: primary.replication()["role"] == "slave")
        name.leads_to = replica.port
        put_many(cache, range(20, 40))
        assert missing(cache, range(40)) == []
        cache.close()
        name.close()


def test_a_primary_that_has_become_a_replica_ends_the_run_after_a_while_with_its_name():
    with replicated() as (primary, _):
        cache = shared(primary.url, patience=0.3)
        primary.client().execute_command("FAILOVER")
        wait_until(lambda: primary.replication()["role"] == "slave")
        with pytest.raises(CacheError, match=r"is a replica that takes no writes: .* It was tried again for 0.3 s"):
            put(cache, KEY, "1")
        cache.close()


def test_replicas_that_take_no_writes_are_said_once_and_then_not_waited_for(monkeypatch):
    monkeypatch.setattr("collab_redis.replicas.GRACE", 0.0)
    monkeypatch.setattr("collab_redis.replicas.WAIT_MS", 10)
    with replicated() as (primary, replica):
        cache = shared(primary.url)
        put(cache, KEY, "1")
        replica.pause()
        with pytest.warns(UserWarning, match="a failover would lose what is paid for from now on"):
            assert put(cache, key_of("alone"), "2") == "2"
        assert put(cache, key_of("other"), "3") == "3"
        replica.resume()
        cache.close()


def test_what_no_replica_takes_is_not_acknowledged_at_a_second_try(monkeypatch):
    monkeypatch.setattr("collab_redis.replicas.WAIT_MS", 10)
    with replicated() as (primary, replica):
        cache = shared(primary.url, patience=1.0)
        put(cache, KEY, "1")
        replica.pause()
        with pytest.raises(CacheError, match=r"take no writes\. It was tried again|has not answered for"):
            put(cache, key_of("alone"), "2")
        replica.resume()
        assert put(cache, key_of("alone"), "3") == "2"
        cache.close()


@pytest.fixture
def paged(monkeypatch):
    """80 rows in a Redis of its own, more than one page."""
    monkeypatch.setattr("collab_redis.redis_rows.PAGE", 10)
    with running(Redis) as server:
        place = RedisPlace(server)
        put_many(place.open(), range(80))
        yield place
        place.close()


def restart(server: Redis) -> None:
    server.kill()
    server.start()


def test_the_old_key_is_needed_until_every_row_is_signed_with_the_new_one_whatever_restarts(paged, monkeypatch):
    """Redis's cursors mean nothing to another process of it: rows that are skipped would be lost with the old key."""
    cache, replace, pages = paged.open(secret=f"{NEW_KEY},{HMAC_KEY}"), RedisRows.replace, count()

    def replace_and_restart(rows: RedisRows, signed: dict[str, tuple[bytes, bytes]]) -> None:
        replace(rows, signed)
        if next(pages) == 1:
            restart(paged.server)

    monkeypatch.setattr(RedisRows, "replace", replace_and_restart)
    with pytest.raises(CacheError, match=r"was restarted, or another server .*: some are left. Run the same again\."):
        cache.reseal()
    with pytest.raises(CacheError, match="signed with another key"):
        paged.open(secret=NEW_KEY)
    left = cache.reseal().matching
    assert 0 < left < 80
    assert paged.open(secret=NEW_KEY).inspect() == Contents(matching=80)


def test_what_goes_through_all_rows_goes_on_over_a_lost_connection_and_says_so_where_redis_restarts(paged):
    cache = paged.open()
    found = cache.rows()
    next(found)
    with paged.server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert len([*found]) == 79
    found = cache.rows()
    next(found)
    restart(paged.server)
    with pytest.raises(CacheError, match="Run the same again"):
        list(found)


@pytest.fixture
def place(postgres_server):
    place = PostgresPlace(postgres_server)
    yield place
    place.close()


def test_a_database_that_takes_no_writes_for_a_while_is_waited_for(place):
    cache = place.open()
    put(cache, KEY, "1")
    place.run(f"ALTER DATABASE {place.database} SET default_transaction_read_only = on")
    place.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'collab-sdk'",
        place.database,
    )

    async def main() -> str:
        late = asyncio.create_task(cache.aput(key_of("late"), ChatReply(content="late"), request=REQUEST))
        await asyncio.to_thread(place.server.run, f"ALTER DATABASE {place.database} RESET ALL")
        return (await late).content

    assert asyncio.run(main()) == "late"


def leasing_queries(place: PostgresPlace) -> list[tuple[str, str]]:
    """Of the connections that hold advisory locks: when they last asked something, and what."""
    return place.run(
        "SELECT DISTINCT query_start, query FROM pg_stat_activity JOIN pg_locks USING (pid) "
        "WHERE locktype = 'advisory' AND datname = %s",
        place.database,
    )


def test_a_connection_that_holds_leases_is_never_idle_for_long(place, monkeypatch):
    monkeypatch.setattr("collab_sdk.cache.shared.KEEP_EVERY", 0.02)
    place.run(f"ALTER DATABASE {place.database} SET idle_session_timeout = 150")
    cache = place.open()

    async def main() -> None:
        async with cache.lease(KEY):
            seen: set[tuple[str, str]] = set()

            def is_long() -> bool:
                """Longer than the 150 ms after which PostgreSQL would close it."""
                seen.update(leasing_queries(place))
                return len(seen) >= 12

            wait_until(is_long)
            assert {query for _, query in seen} == {"SELECT 1"} | {query for _, query in seen if "advisory" in query}

    asyncio.run(main())


def test_a_pooler_that_closes_idle_connections_costs_no_lease(place, monkeypatch):
    monkeypatch.setattr("collab_sdk.cache.shared.KEEP_EVERY", 0.1)
    with pooled(place.server, "session", client_idle_timeout=1) as pooler:
        first, second = (shared(pooler.url_of(place.database)) for _ in range(2))

        async def main() -> bool:
            async with first.lease(KEY):
                place.run("SELECT pg_sleep(2.5)")
                try:
                    async with asyncio.timeout(0.3), second.lease(KEY):
                        return False
                except TimeoutError:
                    return True

        assert asyncio.run(main())
        first.close()
        second.close()


@pytest.fixture
def limited(place):
    """The URL of a user who may have three connections."""
    place.open().close()
    user = f"limited_{place.database}"
    place.run(f"CREATE USER {user} PASSWORD 'simple-pass' CONNECTION LIMIT 3")
    for table in ("collab_replies", "collab_quarantine", "collab_keys"):
        place.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    yield place.server.url_of(place.database, user=user, password="simple-pass")
    place.run(f"DROP OWNED BY {user}")
    place.run(f"DROP USER {user}")


def test_a_connection_limit_is_waited_for_before_the_first_call_and_named(limited):
    first = shared(limited)
    with pytest.raises(CacheError, match=r"has no connection left .* raise max_connections .* tried again for 0.2 s"):
        shared(limited, patience=0.2)
    threading.Timer(0.1, first.close).start()
    second = shared(limited)
    assert put(second, KEY, "1") == "1"
    second.close()


def test_a_redis_without_a_connection_left_is_named_too():
    with running(Redis, "--maxclients", "4") as server:
        first = shared(server.url)
        with pytest.raises(CacheError, match=r"has no connection left .* raise its maxclients"):
            shared(server.url, patience=0.2)
        first.close()


def test_a_redis_in_memory_alone_is_warned_of():
    with running(Redis, "--appendonly", "no") as server, pytest.warns(UserWarning, match="keeps replies in memory"):
        RedisPlace(server).open().close()
