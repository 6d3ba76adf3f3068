"""What `collab cache copy`, `prune` and `reseal` say of what they did, whatever the server is."""

from contextlib import closing

import pytest
from support.caches import HMAC_KEY, REQUEST, MemoryServer, get, key_of, put
from support.cli import collab

from collab_sdk import ChatReply
from collab_sdk.cache import Copied, SharedCache, copy_cache
from collab_sdk.cache.disk import DiskCache
from collab_sdk.cache.record import row_of
from collab_sdk.cache.signing import Signer

SMALL, LARGE, LARGER = (key_of(name) for name in ("small", "large", "larger"))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A directory with two replies that are too large for a server."""
    monkeypatch.setattr("collab_sdk.cache.shared.LARGEST", 500)
    cache = DiskCache(tmp_path / "source")
    for key, length in ((LARGE, 100), (SMALL, 1), (LARGER, 200)):
        text = "".join(key_of(number) for number in range(length))  # which does not compress
        cache.add({key: row_of(REQUEST, ChatReply(content=text[: 10 * length]), written=1.0)})
    yield cache
    cache.close()


def test_what_is_too_large_for_a_server_is_counted_and_the_rest_copied(source):
    server = MemoryServer()
    target = SharedCache(server, Signer(HMAC_KEY))
    copied = copy_cache(source, target)
    assert (copied.read, copied.added, set(copied.too_large)) == (3, 1, {LARGE, LARGER})
    assert all(size > 500 for size in copied.too_large.values())
    assert copy_cache(source, target) == Copied(read=3, too_large=copied.too_large)
    assert set(server.rows) == {SMALL}
    put(target, key_of("other"), "mine")  # it is not broken by that
    assert get(target, key_of("other")) == "mine"
    target.close()


def test_a_copy_names_what_is_too_large_and_ends_with_an_exit_code_of_its_own(source, monkeypatch):
    monkeypatch.setattr("collab_redis.open_cache", lambda url, **options: SharedCache(MemoryServer(), Signer(HMAC_KEY)))
    result = collab("cache", "copy", source.where, "redis://here")
    assert result.exit_code == 3
    assert result.stdout == f"Copied 1 of 3 replies from {source.where} to memory://here.\n"
    [line] = result.stderr.splitlines()
    assert line.startswith("2 replies not copied: memory://here holds none of more than ")
    assert f"and the largest, {LARGER[:12]}…, has " in line


def test_a_big_table_is_gone_through_and_not_counted_besides(source, monkeypatch):
    """On PostgreSQL to count one takes minutes; this server cannot tell its size at all."""
    server = MemoryServer()
    other, both = "f" * 64, f"{'f' * 64},{HMAC_KEY}"
    with closing(SharedCache(server, Signer(HMAC_KEY), clock=lambda: 1.0)) as cache:
        put(cache, key_of("old"), "paid long ago")
    with closing(SharedCache(server, Signer(*both.split(",")))) as cache:
        put(cache, key_of("new"), "paid just now")
        put(cache, key_of("aside"), "1")
        server.rows[key_of("aside")] = b"junk"
        assert get(cache, key_of("aside")) is None
        server.rows[key_of("cut")] = server.rows[key_of("new")][:-7]
    monkeypatch.setattr("collab_redis.open_cache", lambda url, **options: SharedCache(server, Signer(*both.split(","))))
    where = ["--cache", "redis://here"]
    kept = "Unreadable, and kept: 1 damaged, 1 moved aside earlier."
    signed = collab("cache", "reseal", *where)
    assert signed.stdout == "Signed 1 reply anew at memory://here; 1 were signed with this key.\n"
    assert kept in signed.stderr
    assert server.checks == [*Signer(other).checks]
    copied = collab("cache", "copy", source.where, "redis://here")
    assert copied.stdout == f"Copied 1 of 3 replies from {source.where} to memory://here.\n"
    pruned = collab("cache", "prune", "--older-than", "10000", "--yes", *where)  # the copied one, which is of 1970, too
    assert pruned.stdout == "Deleted 2 replies from memory://here; 2 are left.\n"
    assert kept in pruned.stderr
    rest = collab("cache", "prune", "--unreadable", "--yes", *where)
    assert rest.stdout == "Deleted 2 replies from memory://here; 1 are left.\n"
    assert set(server.rows) == {key_of("new")}
    assert server.aside == {}
