"""A shared cache when something goes wrong: servers that die, hang, fill up, evict, refuse, or were never there."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from collab_postgres.server import PostgresServer
from collab_redis.redis_errors import LEAST_RIGHTS
from collab_redis.redis_rows import RedisRows
from collab_redis.server import RedisServer
from support.caches import REQUEST, SERVED, PostgresPlace, RedisPlace, get, key_of, place_of, put, shared
from support.cli import collab, spawn, write_bot, write_chats
from support.databases import HMAC_KEY, PASSWORD, QUOTED, Postgres, Redis, free_port, pooled, running
from support.hosts import two_hosts

from collab_sdk import ChatReply, Engine
from collab_sdk.cache.open import open_cache
from collab_sdk.cache.signing import Signer
from collab_sdk.errors import CacheError, UnknownNameError
from collab_sdk.secrets import Address

KEY = key_of("k")
SERVERS = {"redis": Redis, "postgres": Postgres}


@pytest.fixture(autouse=True)
def hmac_key(monkeypatch):
    monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", HMAC_KEY)


@pytest.fixture(params=SERVED)
def place(request, tmp_path):
    """In a server that other tests use too."""
    place = place_of(request.param, request, tmp_path)
    yield place
    place.close()


@pytest.fixture(params=SERVED)
def own(request):
    """In a server that the test may kill."""
    with running(SERVERS[request.param]) as server:
        place = {"redis": RedisPlace, "postgres": PostgresPlace}[request.param](server)
        yield place
        place.close()


def one_line(error: pytest.ExceptionInfo) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 600
    assert PASSWORD not in said
    assert QUOTED not in said
    assert error.value.__cause__ is None
    return said


def stats(url: str) -> str:
    """What `collab cache stats` says of a cache that cannot be used."""
    result = collab("cache", "stats", "--cache", url)
    assert result.exit_code == 1, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert not {PASSWORD, QUOTED, HMAC_KEY} & set(re.split(r"[\s@]", line)) and PASSWORD not in line
    return line


def test_a_row_under_another_key_or_secret_is_moved_aside(place):
    cache = place.open()
    put(cache, KEY, "genuine")
    place.write(key_of("other"), place.read(KEY))
    place.write(KEY, Signer("x" * 40).close(KEY, {}))
    assert get(cache, key_of("other")) is None
    assert get(cache, KEY) is None
    assert cache.quarantined == cache.stats().quarantined == 2
    if isinstance(place, PostgresPlace):
        aside = {key for (key,) in place.run("SELECT key FROM collab_quarantine")}
    else:
        with place.server.client() as client:
            aside = {key.decode().rpartition(":")[0] for key in client.hkeys("collab:quarantine:v1")}
    assert aside == {KEY, key_of("other")}
    assert cache.stats().records == 0


def test_what_is_moved_aside_later_under_the_same_key_replaces_nothing(place):
    cache = place.open()
    for number in range(2):
        place.write(KEY, f"damaged {number}".encode())
        assert get(cache, KEY) is None
    assert cache.stats().quarantined == 2


def test_a_row_that_was_mended_in_the_meantime_is_not_moved_aside(place):
    cache = place.open()
    put(cache, KEY, "genuine")
    cache._looking.ask(lambda rows: rows.quarantine({KEY: b"what was there before"}))
    assert get(cache, KEY) == "genuine"


@pytest.mark.server
def test_a_lease_whose_time_is_up_goes_to_the_next_and_is_not_given_up_by_its_old_holder(redis_server):
    place = RedisPlace(redis_server)
    rows = RedisServer(redis_server.url).connect()
    assert rows.lock([KEY], "first") == [True]
    assert rows.lock([KEY], "second") == [False]
    with redis_server.client() as client:
        client.pexpire(f"collab:lease:v1:{KEY}", 1)
        while client.exists(f"collab:lease:v1:{KEY}"):
            pass
    assert rows.lock([KEY], "second") == [True]
    rows.keep([KEY], "first")
    rows.unlock([KEY], "first")
    assert rows.lock([KEY], "first") == [False]
    rows.close()
    place.close()


@pytest.mark.server
def test_a_lease_in_postgres_ends_with_its_connection(request, tmp_path):
    place = place_of("postgres", request, tmp_path)
    first, second = (PostgresServer(place.where).connect() for _ in range(2))
    assert first.lock([KEY], "first") == [True]
    assert second.lock([KEY], "second") == [False]
    first.close()
    while second.lock([KEY], "second") == [False]:
        pass
    second.close()
    place.close()


@pytest.mark.server
@pytest.mark.parametrize("is_lost", [False, True], ids=["one connection", "a lost connection"])
def test_a_key_that_redis_scans_twice_comes_once(is_lost, redis_server, monkeypatch):
    """It may while a hash shrinks."""
    pages = [(b"7", [b"a", b"b"]), (b"0", [b"b", b"c"])]
    monkeypatch.setattr(RedisRows, "_run", lambda self, script, keys, arguments: pages[arguments[0] != "0"])
    server = RedisServer(redis_server.url)
    rows = server.connect()
    for _ in range(2):
        first, after = rows.scan("")
        if is_lost:
            rows.close()
            rows = server.connect()
        assert [first, rows.scan(after)] == [["a", "b"], (["c"], "")]
    rows.close()


def test_what_was_acknowledged_survives_a_kill_and_what_was_on_its_way_is_kept_after_it(own):
    cache = own.open()
    acknowledged = [key_of(number) for number in range(30)]
    for key in acknowledged:
        put(cache, key, key)
    own.server.kill()

    async def main() -> list[str]:
        late = asyncio.create_task(cache.aput(key_of("late"), ChatReply(content="late"), request=REQUEST))
        looked_up = asyncio.create_task(cache.aget(acknowledged[0]))
        await asyncio.to_thread(own.server.start)
        return [(await late).content, (await looked_up).content]

    assert asyncio.run(main()) == ["late", acknowledged[0]]
    assert [get(own.open(), key) for key in acknowledged] == acknowledged
    assert get(own.open(), key_of("late")) == "late"


def test_leases_are_held_on_to_when_the_server_comes_back(own):
    first, second = own.open(), own.open()

    async def main() -> bool:
        async with first.lease(KEY):
            own.server.kill()
            await asyncio.to_thread(own.server.start)
            async with first.lease(key_of("any")):  # the first question on the new connection
                pass
            try:
                async with asyncio.timeout(0.3), second.lease(KEY):
                    return False
            except TimeoutError:
                return True

    assert asyncio.run(main())


def test_a_server_that_stays_away_ends_the_run_with_one_line(own):
    cache = own.open(patience=2)
    own.server.kill()
    with pytest.raises(CacheError, match=r"does not answer: .* tried again for 2 s") as error:
        get(cache, KEY)
    assert own.where.rpartition("@")[2].partition("?")[0] in one_line(error)
    with pytest.raises(CacheError):
        put(cache, key_of("other"), "2")


def test_a_server_that_stayed_away_is_not_waited_for_again_until_it_is_back(own, monkeypatch):
    cache = own.open(patience=0.2)
    own.server.kill()
    with pytest.raises(CacheError, match="does not answer"):
        get(cache, KEY)
    with monkeypatch.context() as patched:
        patched.setattr("collab_sdk.cache.connection.time.sleep", lambda _: pytest.fail("it was waited for again"))
        with pytest.raises(CacheError, match="does not answer"):
            get(cache, KEY)
    own.server.start()
    assert put(cache, KEY, "back") == get(cache, KEY) == "back"


def test_a_server_that_hangs_holds_up_nothing_but_its_own_answers(own):
    cache = own.open()
    put(cache, KEY, "1")

    async def main() -> str:
        own.server.pause()
        answer = asyncio.create_task(cache.aget(KEY))
        write = asyncio.create_task(cache.aput(key_of("w"), ChatReply(content="w"), request=REQUEST))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not answer.done()
        assert not write.done()
        own.server.resume()
        await write
        return (await answer).content

    assert asyncio.run(main()) == "1"


def test_a_server_that_never_answers_ends_the_run(own):
    cache = own.open(patience=0.15)
    own.server.pause()
    with pytest.raises(CacheError, match=r"has not answered for 0.3 s") as error:
        get(cache, KEY)
    one_line(error)
    own.server.resume()


def test_a_run_that_is_over_does_not_wait_for_a_server_that_is_gone(own):
    cache = own.open(patience=1000)
    put(cache, KEY, "1")
    own.server.kill()

    async def main() -> None:
        late = asyncio.create_task(cache.aput(key_of("late"), ChatReply(content="late"), request=REQUEST))
        await asyncio.sleep(0)
        late.cancel()

    asyncio.run(main())
    cache.close()


def test_a_password_is_hidden_wherever_it_stands():
    address = Address("postgresql://me@h/d?password=hidden%20pass&sslkey=abc")
    assert "hidden" not in address.shown + repr(address)
    assert address.said(ValueError("no use: hidden pass, postgresql://me@h/d?password=hidden%20pass&sslkey=abc")) == (
        "no use: [secret], [secret]"
    )


def test_a_fork_has_connections_of_its_own(place):
    cache = place.open()
    put(cache, KEY, "parent")
    child = os.fork()
    if child == 0:
        try:
            ok = get(cache, KEY) == "parent" and put(cache, key_of("child"), "child") == "child"
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert get(cache, key_of("child")) == "child"
    assert put(cache, key_of("parent"), "parent") == "parent"


# What cannot hold a cache.


def test_without_a_key_of_its_own_a_shared_cache_is_refused_with_the_way_out(place, monkeypatch):
    for wrong, said in ((None, "is not set"), ("short", "has 5 characters, fewer than 32")):
        monkeypatch.delenv("COLLAB_CACHE_HMAC_KEY")
        if wrong:
            monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", wrong)
        assert f"COLLAB_CACHE_HMAC_KEY {said}: make one with `openssl rand -hex 32`" in stats(place.where)
        monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", HMAC_KEY)


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_nobody_at_the_address_is_one_line(scheme):
    with socket.socket() as taken:  # bound, and so nobody else's; but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        line = stats(f"{scheme}://me:{QUOTED}@127.0.0.1:{port}/0")
    assert f"{scheme}://127.0.0.1:{port}/0 does not answer" in line


@pytest.mark.parametrize(("scheme", "options"), [("redis", ""), ("postgresql", "?sslmode=disable")])
def test_somebody_else_at_the_address_is_one_line(scheme, options):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        line = stats(f"{scheme}://me:{QUOTED}@127.0.0.1:{server.getsockname()[1]}/0{options}")
    assert "127.0.0.1" in line


@pytest.fixture
def certificate(tmp_path):
    """A certificate that nobody has signed but its owner, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *made], check=True, capture_output=True)
    return certificate, key


@pytest.mark.server
def test_a_redis_whose_certificate_is_signed_by_somebody_unknown_is_refused_with_the_way_out(certificate):
    signed, key = certificate
    port = free_port()
    files = ["--tls-cert-file", signed, "--tls-key-file", key, "--tls-auth-clients", "no", "--tls-ca-cert-file", signed]
    with running(Redis, "--tls-port", str(port), *map(str, files)):
        url = f"rediss://:{QUOTED}@127.0.0.1:{port}/0"
        assert "not trusted here: name who signed it with ?ssl_ca_certs=FILE" in stats(url)
        cache = shared(f"{url}?ssl_ca_certs={signed}")
        assert put(cache, KEY, "sealed twice") == get(cache, KEY) == "sealed twice"
        cache.close()


@pytest.mark.server
def test_a_postgres_whose_certificate_is_signed_by_somebody_unknown_is_refused_with_the_way_out(certificate):
    signed, key = certificate
    with running(Postgres) as server:
        data = server.folder / "data"
        for file, name in ((signed, "server.crt"), (key, "server.key")):
            shutil.copy(file, data / name)
            (data / name).chmod(0o600)
            if server.as_user:
                shutil.chown(data / name, "postgres", "postgres")
        server.run("ALTER SYSTEM SET ssl = on")
        server.run("SELECT pg_reload_conf()")
        url = f"{server.url_of(server.new_database())}?sslmode=verify-full"
        assert "not trusted here: name who signed it with ?sslrootcert=FILE" in stats(f"{url}&sslrootcert=system")
        assert "not trusted here: name who signed it with ?sslrootcert=FILE" in stats(
            f"{url}&sslrootcert=/no/such/file"
        )
        cache = shared(f"{url}&sslrootcert={signed}")
        assert cache._looking.ask(lambda rows: rows._connection.pgconn.ssl_in_use)
        assert put(cache, KEY, "sealed twice") == get(cache, KEY) == "sealed twice"
        cache.close()


@pytest.mark.parametrize("kind", SERVED)
def test_what_is_sent_to_another_machine_in_clear_text_is_warned_of(kind):
    with two_hosts() as hosts, running(SERVERS[kind], *hosts.options[kind]) as server:
        if not hosts.names:
            pytest.skip("needs an address of another machine")
        hosts.admit(server)
        where = server.url if kind == "redis" else server.url_of(server.new_database())
        with pytest.warns(UserWarning, match=f"in clear text, to {hosts.addresses[0]}"):
            shared(hosts.url(where, 0)).close()
        told = collab("cache", "stats", "--cache", hosts.url(where, 0)).stderr
        assert "Warning: The cache at" in told
        assert PASSWORD not in told


@pytest.mark.server
def test_a_redis_that_evicts_is_refused(redis_server):
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "its maxmemory-policy is allkeys-lru. Set it with `redis-cli CONFIG SET" in stats(redis_server.url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.server
def test_a_redis_that_is_told_to_evict_ends_the_run(redis_server, monkeypatch):
    monkeypatch.setattr("collab_redis.redis_rows.LOOK_EVERY", 0.0)
    place = RedisPlace(redis_server)
    cache = place.open()
    put(cache, KEY, "kept")
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(CacheError, match="would throw away what was paid for: its maxmemory-policy is allkeys-lru"):
            put(cache, key_of("next"), "kept, too")
        client.config_set("maxmemory-policy", "noeviction")
    assert get(place.open(), key_of("next")) == "kept, too"
    place.close()


@pytest.mark.server
def test_a_redis_that_is_full_keeps_what_it_has_and_says_so(redis_server):
    place = RedisPlace(redis_server)
    cache = place.open()
    put(cache, KEY, "1")
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(CacheError, match="is full, and keeps what it has: raise its maxmemory") as error:
                put(cache, key_of("other"), "2")
            assert get(cache, KEY) == "1"
        finally:
            client.config_set("maxmemory", "0")
    one_line(error)
    assert put(cache, key_of("other"), "2") == "2"
    place.close()


@pytest.mark.server
def test_a_redis_whose_disk_takes_nothing_says_so(tmp_path):
    with running(Redis, "--appendonly", "no", "--save", "1 1", "--enable-protected-configs", "yes") as server:
        with pytest.warns(UserWarning, match="keeps replies in memory"):
            cache = shared(server.url)
        put(cache, KEY, "1")
        with server.client() as client:
            gone = tmp_path / "gone"
            gone.mkdir()
            client.config_set("dir", str(gone))
            gone.rmdir()
            client.bgsave()
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                pass
        with pytest.raises(CacheError, match="cannot write to its disk") as error:
            put(cache, key_of("other"), "2")
        one_line(error)
        cache.close()


@pytest.mark.server
def test_a_replica_is_refused(redis_server):
    with running(Redis, "--replicaof", "127.0.0.1", str(redis_server.port), "--masterauth", PASSWORD) as replica:
        assert "is a replica that takes no writes: give the URL of its primary" in stats(replica.url)


@pytest.mark.server
def test_what_redis_refuses_is_said_with_the_way_out(redis_server):
    place, port = RedisPlace(redis_server), redis_server.port
    with redis_server.client() as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+reader-pass"], keys=["*"], categories=["+@read", "+@connection"]
        )
        client.set("collab:replies:v1", "a string")
    assert "refuses the user or password" in stats(f"redis://:wrong-password@127.0.0.1:{port}/0")
    assert "asks for a password" in stats(f"redis://127.0.0.1:{port}/0")
    assert "has no database of that number" in stats(f"{redis_server.url[:-1]}99")
    assert "does not let this user do what a cache needs" in stats(f"redis://reader:reader-pass@127.0.0.1:{port}/0")
    assert "holds something else" in stats(redis_server.url)
    place.close()


@pytest.mark.server
def test_a_redis_user_with_the_least_rights_can_do_all_that_a_cache_does(redis_server, tmp_path):
    place = RedisPlace(redis_server)
    put(place.open(), KEY, "1")
    assert "may do more than a cache needs" in collab("cache", "stats", "--cache", place.where).stderr
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "least", "on", ">simple-pass", *LEAST_RIGHTS.split())
    looked_after(f"redis://least:simple-pass@127.0.0.1:{redis_server.port}/0", tmp_path)
    with redis_server.client() as client:
        client.acl_deluser("least")
    place.close()


@pytest.mark.server
def test_a_postgres_user_with_the_least_rights_can_do_all_that_a_cache_does(postgres_server, tmp_path):
    place = PostgresPlace(postgres_server)
    put(place.open(), KEY, "1")
    told = collab("cache", "stats", "--cache", place.where).stderr
    assert "collab, a superuser, where a cache needs no more than its tables" in told
    place.run("CREATE USER least PASSWORD 'simple-pass'")
    for statement in re.search(r"GRANT.*collab_user", told)[0].split("; "):
        place.run(statement.replace("collab_user", "least"))
    looked_after(postgres_server.url_of(place.database, user="least", password="simple-pass"), tmp_path)
    place.run("DROP OWNED BY least")
    place.run("DROP USER least")
    place.close()


def looked_after(url: str, folder: Path) -> None:
    """All that a cache does, without a word on rights."""
    cache = shared(url)
    cache._writing.ask(lambda rows: rows.quarantine({KEY: b"junk"}))
    assert put(cache, key_of("new"), "2") == get(cache, key_of("new")) == "2"

    async def lease() -> None:
        async with cache.lease(KEY):
            pass

    asyncio.run(lease())
    cache.close()
    for command in (
        ["stats"],
        ["reseal"],
        ["prune", "--older-than", "1", "--yes"],
        ["prune", "--unreadable", "--yes"],
        ["clear", "--yes"],
    ):
        result = collab("cache", *command, "--cache", url)
        assert result.exit_code == 0, result.output
        assert result.stderr == ""


@pytest.mark.server
def test_what_postgres_refuses_is_said_with_the_way_out(postgres_server):
    place, server = PostgresPlace(postgres_server), postgres_server
    for user in ("reader", "nobody"):
        server.run(f"DROP USER IF EXISTS {user}")
        server.run(f"CREATE USER {user} PASSWORD 'simple-pass'")
    assert "does not let this user" in stats(server.url_of(place.database, user="nobody", password="simple-pass"))
    place.open()
    place.run("GRANT SELECT ON collab_replies TO reader")
    line = stats(server.url_of(place.database, user="reader", password="simple-pass"))
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON collab_replies TO" in line
    assert "refuses the user or password" in stats(server.url_of(place.database, password="wrong-password"))
    assert "refuses the user or password" in stats(server.url_of(place.database).replace(f":{QUOTED}", ""))
    assert "has no such database" in stats(server.url_of("nowhere"))
    place.run("ALTER ROLE nobody NOLOGIN")
    assert "ALTER ROLE NAME LOGIN" in stats(server.url_of(place.database, user="nobody", password="simple-pass"))
    place.run(f"REVOKE CONNECT ON DATABASE {place.database} FROM PUBLIC")
    assert "GRANT CONNECT ON DATABASE" in stats(server.url_of(place.database, user="reader", password="simple-pass"))
    place.run(f"GRANT CONNECT ON DATABASE {place.database} TO PUBLIC")
    read_only = server.url_of(place.database) + "?options=-c%20default_transaction_read_only%3Don"
    assert "takes no writes" in stats(read_only)
    place.run("COMMENT ON TABLE collab_replies IS 'collab/cache/v0'")
    assert "was made by another version of collab-sdk (collab/cache/v0; this one needs" in stats(place.where)
    place.run("COMMENT ON TABLE collab_replies IS 'collab/cache/v1'")
    place.run("DROP TABLE collab_keys")
    assert "let the owner of its tables open it once" in stats(
        server.url_of(place.database, user="reader", password="simple-pass")
    )
    place.close()
    for user in ("reader", "nobody"):
        place.run(f"DROP OWNED BY {user}")
        server.run(f"DROP USER {user}")


@pytest.mark.server
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_may_not_share_the_connections_out(postgres_server, tmp_path, mode):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    with pooled(postgres_server, mode) as pooler:
        url = pooler.url_of(postgres_server.new_database())
        result = collab("score", logs, "--model", "offline", "--cache", url)
    if mode == "session":
        assert result.exit_code == 0, result.output
    else:
        assert result.exit_code == 1
        assert "is behind a pooler that shares its connections out" in result.stderr.splitlines()[-1]


def test_a_postgres_whose_disk_is_full_says_so_and_keeps_what_it_has(own):
    if not isinstance(own, PostgresPlace):
        pytest.skip("Redis's has tests of its own")
    disk = own.server.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk takes the right to mount one")
    try:
        (disk / "space").mkdir()
        subprocess.run(["chown", "-R", "postgres", str(disk / "space")], check=True)
        own.run(f"CREATE TABLESPACE small LOCATION '{disk / 'space'}'")
        cache = own.open()
        own.run("ALTER TABLE collab_replies SET TABLESPACE small")
        put(cache, KEY, "1")
        with pytest.raises(CacheError, match="is full: free space on its disk") as error:
            for number in range(100):
                put(cache, key_of(number), os.urandom(60_000).hex())
        one_line(error)
        assert get(cache, KEY) == "1"
        own.close()
    finally:
        own.server.kill()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_an_unknown_scheme_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Unknown kind of cache 'mysql'\. .*postgresql, redis"):
        open_cache("mysql://localhost")


@pytest.mark.parametrize(
    ("module", "url", "extra"), [("redis", "redis://h", "redis"), ("psycopg", "postgresql://h/d", "postgres")]
)
def test_a_missing_client_names_the_extra(module, url, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'collab-sdk[{extra}]'" in stats(url)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h:port/0", "redis://h/0?no_such=1", "postgresql://h:1/d?no_such=1"),
        *(
            "redis://h/0?decode_responses=True",
            "redis://h/0?encoding=nope",
            "redis://h/0?retry=1",
            "rediss://h/0?timeout=1",
        ),
    ],
)
def test_what_is_no_address_is_said(url):
    assert "write it like" in stats(url)


# The command line.


def test_two_names_for_two_caches_are_refused_but_a_flag_wins_over_the_environment(tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    result = collab("cache", "stats", "--cache", one, "--cache-dir", other)
    assert result.exit_code == 2
    assert "--cache and --cache-dir name two caches" in result.stderr
    monkeypatch.setenv("COLLAB_CACHE_DIR", str(one))
    assert str(other) in collab("cache", "stats", "--cache", other).stdout
    monkeypatch.setenv("COLLAB_CACHE", str(one))
    monkeypatch.delenv("COLLAB_CACHE_DIR")
    assert str(other) in collab("cache", "stats", "--cache-dir", other).stdout
    assert str(one) in collab("cache", "stats").stdout
    assert Engine(cache=str(one)).cache.stats().records == 0


def test_a_shared_cache_is_looked_after_like_one_on_disk(place, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    first = collab("score", logs, "--model", "offline", "--cache", place.where, "--json")
    assert first.exit_code == 0, first.output
    again = collab("score", logs, "--model", "offline", "--cache", place.where, "--json", "--max-calls", "0")
    assert again.stdout == first.stdout
    shown = place.where.replace(re.search(r"//(.*@)", place.where)[1], "")
    assert f"{shown}: " in collab("cache", "stats", "--cache", place.where).stdout
    doctor = next(line for line in collab("doctor", "--cache", place.where).stdout.splitlines() if " cache " in line)
    assert shown in doctor
    assert PASSWORD not in doctor
    records = place.open().stats().records
    copied = collab("cache", "copy", place.where, tmp_path / "copy")
    assert copied.stdout == f"Copied {records} of {records} replies from {shown} to {tmp_path / 'copy'}.\n"
    options = ["--cache-dir", tmp_path / "copy", "--json", "--max-calls", "0"]
    assert collab("score", logs, "--model", "offline", *options).stdout == first.stdout
    assert "Deleted 0 replies" in collab("cache", "prune", "--older-than", "1", "--cache", place.where).stdout
    cleared = collab("cache", "clear", "--yes", "--cache", place.where)
    assert cleared.stdout == f"Deleted {records} replies from {shown}.\n"


def test_a_run_whose_server_is_killed_goes_on_with_the_same_command(own, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 3)
    bot = write_bot(tmp_path, "time.sleep(0.03)\nreturn f'{len(list(messages))} messages. What size?'")
    command = ["export-prefs", logs, "-a", bot, "--model", "offline", "-o", "prefs.jsonl", "--concurrency", "4"]
    command += ["--min-margin", "0", "--min-confidence", "0"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    calls = tmp_path / "calls.txt"
    process = spawn(*command, "--cache", own.where, cwd=tmp_path, env=environment)
    while not calls.exists() or len(calls.read_text()) < 10:
        assert process.poll() is None, process.communicate()
    own.server.kill()
    own.server.start()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    killed, paid = (tmp_path / "prefs.jsonl").read_bytes(), len(calls.read_text())
    assert PASSWORD not in stderr

    calls.unlink()
    undisturbed = spawn(*command, "--cache", tmp_path / "disk", cwd=tmp_path, env=environment)
    undisturbed.communicate(timeout=120)
    assert (tmp_path / "prefs.jsonl").read_bytes() == killed
    assert paid - len(calls.read_text()) <= 4


WORKER = """
import asyncio, os, sys
from collab_sdk import ChatReply, ChatRequest, Engine, Limits, Message

class Upstream:
    name, fingerprint, price = "upstream", {"model": "upstream"}, None
    def __init__(self):
        self.log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async def achat(self, request):
        os.write(self.log, f"{request.messages[0].content}\\n".encode())
        await asyncio.sleep(0.002)
        return ChatReply(content="answer to " + request.messages[0].content)

async def main():
    engine, model = Engine(cache=sys.argv[1], limits=Limits(concurrency=8)), Upstream()
    async def one(number):
        request = ChatRequest(role="assistant", messages=(Message(role="user", content=str(number)),))
        assert (await engine.call(model, request)).content == f"answer to {number}"
    await asyncio.gather(*(one(number) for number in range(100)))
    engine.cache.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", SERVED)
def test_eight_processes_on_two_hosts_pay_for_each_call_once(kind, tmp_path):
    log = tmp_path / "upstream.log"
    with two_hosts() as hosts, running(SERVERS[kind], *hosts.options[kind]) as server:
        hosts.admit(server)
        where = server.url if kind == "redis" else server.url_of(server.new_database())

        def worker(host: int) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", WORKER, hosts.url(where, host), str(log)]
            return subprocess.Popen([*hosts.enter(host), *command])

        workers = [worker(number % 2) for number in range(8)]
        assert [process.wait(120) for process in workers] == [0] * 8
    assert Counter(log.read_text().split()) == {str(number): 1 for number in range(100)}
