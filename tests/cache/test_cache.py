import json
import os
import pickle
import sqlite3
import stat
import threading
import zlib

import pytest
from support.caches import get, put

from collab_sdk import ChatReply
from collab_sdk.cache.disk import DiskCache
from collab_sdk.cache.record import reply_in, row_of, to_json
from collab_sdk.errors import CacheError
from collab_sdk.messages import Message


@pytest.fixture
def cache(tmp_path):
    with_rows = DiskCache(tmp_path / "cache")
    yield with_rows
    with_rows.close()


def rewrite(cache: DiskCache, sql: str, *values: object) -> None:
    with sqlite3.connect(cache.directory / "cache.db") as database:
        assert database.execute(sql, values).rowcount == 1
    database.close()


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("/tmp/collab-sdk-cache-executed-a-pickle",)


def test_what_was_acknowledged_is_there_for_another_opener(cache):
    put(cache, "k", "déjà vu \ud83d\ude00 \ud800")
    other = DiskCache(cache.directory)
    assert get(other, "k") == "déjà vu \ud83d\ude00 \ud800"
    other.close()


def test_nothing_is_ever_evicted(cache):
    assert cache._rows.eviction_policy == "none"
    assert cache._rows.cull_limit == 0


def test_the_directory_is_private_from_the_first_byte(cache):
    put(cache, "k", "1")
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in cache.directory.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("mode", 4),
        ("value", pickle.dumps(Bomb())),
        ("value", b"short"),
        ("value", b"\0" * 16 + zlib.compress(b'{"record": {"reply": "forged"}}')),
        ("value", b"\0" * 16 + zlib.compress(b"0" * (65 << 20))),
        ("value", "text"),
        ("value", 7),
        ("filename", "/etc/passwd"),
    ],
)
def test_a_hostile_row_is_a_miss_that_is_counted_and_then_overwritten(cache, column, value):
    put(cache, "k", "genuine")
    rewrite(cache, f"UPDATE Cache SET {column} = ?", value)
    assert get(cache, "k") is None
    assert cache.quarantined == 1
    put(cache, "k", "again")
    assert get(cache, "k") == "again"
    assert not os.path.exists("/tmp/collab-sdk-cache-executed-a-pickle")


def test_a_file_that_a_hostile_row_names_is_neither_read_nor_deleted(cache, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(pickle.dumps(Bomb()))
    put(cache, "k", "genuine")
    rewrite(cache, "UPDATE Cache SET mode = 4, value = NULL, filename = ?", str(victim))
    assert get(cache, "k") is None
    put(cache, "k", "again")
    assert cache.prune(older_than=-1).matching == 1
    assert victim.exists()
    assert not os.path.exists("/tmp/collab-sdk-cache-executed-a-pickle")


def test_a_directory_that_cannot_be_used_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"The cache directory .*file/cache cannot be used: .*--cache-dir"):
        DiskCache(tmp_path / "file" / "cache")


def test_a_database_that_cannot_be_written_is_said_at_once(cache):
    put(cache, "k", "1")
    cache._writer.close()  # the next one opens its own connection, with these settings
    rewrite(cache, "INSERT INTO Settings VALUES ('sqlite_query_only', 1)")
    with pytest.raises(CacheError, match=r"cannot be written: .*readonly database.*--cache-dir"):
        put(cache, "other", "1")


@pytest.fixture
def impatient(cache, monkeypatch):
    """SQLite itself waits 10 ms for a lock, not 60 s."""
    monkeypatch.setattr(cache._rows, "_timeout", 0.01)
    return cache


def test_a_lock_that_another_process_holds_is_waited_for(impatient):
    holder = sqlite3.connect(impatient.directory / "cache.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: holder.execute("ROLLBACK"))
    release.start()
    put(impatient, "k", "1")
    release.join()
    holder.close()
    assert get(impatient, "k") == "1"


def test_a_lock_that_is_never_let_go_ends_the_run(impatient, monkeypatch):
    monkeypatch.setattr("collab_sdk.cache.disk.LOCK_PATIENCE", 0.1)
    holder = sqlite3.connect(impatient.directory / "cache.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(CacheError, match="cannot be written: database is locked"):
        put(impatient, "k", "1")
    holder.close()


CALL = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{"}}
STEP = {"role": "tool", "content": "ok", "name": None, "tool_calls": [], "tool_call_id": "1", "reasoning": ""}


def test_a_row_with_calls_and_steps_is_read_back():
    reply = ChatReply(content="", tool_calls=(CALL,), steps=(Message(**{**STEP, "tool_calls": ()}),))
    assert reply_in(json.loads(to_json(row_of({}, reply, written=0.0)))) == reply


@pytest.mark.parametrize(
    "parts",
    [
        {"tool_calls": "x"},
        {"tool_calls": 5},
        {"tool_calls": [5]},
        {"tool_calls": [CALL] * 1000},
        {"steps": "x"},
        {"steps": 5},
        {"steps": [5]},
        {"steps": [{"role": "tool"}]},
        {"steps": [{**STEP, "role": "user"}]},
        {"steps": [{**STEP, "content": None}]},
        {"steps": [{**STEP, "tool_calls": 5}]},
        {"steps": [{**STEP, "tool_calls": ["x"]}]},
        {"steps": [{**STEP, "tool_call_id": 5}]},
        {"steps": [{**STEP, "reasoning": 5}]},
        {"steps": [{**STEP, "shell": "rm"}]},
        {"steps": {"role": "tool"}},
    ],
    ids=str,
)
def test_a_hostile_row_of_calls_or_steps_is_no_reply(parts):
    row = json.loads(to_json(row_of({}, ChatReply(content="x"), written=0.0)))
    row["record"]["reply"] |= parts
    with pytest.raises(ValueError, match="reply"):
        reply_in(row)
