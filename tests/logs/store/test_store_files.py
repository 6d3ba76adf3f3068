"""The store's file: who may read it, who else writes it, and what is wrong with it."""

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from support.calls import assistant, call, user

from collab_sdk import read_conversations
from collab_sdk.errors import CollabError, InputError, StoreError
from collab_sdk.logs import ConversationStore, Purge
from collab_sdk.logs.store import database, schema

WRITER = """
import sys
from collab_sdk.logs import ConversationStore, LoggedCall
path, who = sys.argv[1:]
store = ConversationStore(path)
for number in range(40):
    for run in (f"{who}-{number}", f"both-{number}"):
        asked = {"role": "user", "content": run}
        answer = {"role": "assistant", "content": "yes"}
        store.record([LoggedCall(run_id=run, conversation_id=run, messages=(asked,), replies=(answer,))])
    print(number, flush=True)
if who == "killed":
    sys.stdin.read()
"""


def recorded(number=0, *, text="hi"):
    return call(f"run-{number}", user(text), replies=[assistant("Hello!")], conversation_id=f"c{number}")


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.fixture
def any_mode():
    before = os.umask(0)
    yield
    os.umask(before)


def test_nobody_else_can_read_the_file_or_what_is_beside_it_whatever_the_umask(tmp_path, any_mode):
    folder = tmp_path / "private"
    with ConversationStore(folder / "chats.db") as store:
        store.record([recorded()])
        assert modes(folder) == {"chats.db": 0o600, "chats.db-wal": 0o600, "chats.db-shm": 0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_reading_its_own_store_does_not_let_go_of_what_a_process_holds(tmp_path):
    """Or another process that closes the store would take it for the last, and clear away what is still written to."""
    path = tmp_path / "chats.db"
    code = "import sys; from collab_sdk.logs import ConversationStore; ConversationStore(sys.argv[1]).close()"
    with ConversationStore(path) as store:
        store.record([recorded(0)])
        assert len(list(read_conversations([path]))) == 1
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        store.record([recorded(1)])
        assert (tmp_path / "chats.db-wal").exists()
    assert {chat.id for chat in read_conversations([path])} == {"c0", "c1"}


def test_the_file_is_private_before_sqlite_opens_it(tmp_path, any_mode, monkeypatch):
    seen = []
    connect = sqlite3.connect

    def watched(name, *arguments, **options):
        if "chats.db" in name:
            seen.append(modes(tmp_path))
        return connect(name, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", watched)
    ConversationStore(tmp_path / "chats.db").close()
    assert seen == [{"chats.db": 0o600}]


def test_a_folder_that_was_there_keeps_its_mode(tmp_path, any_mode):
    shared = tmp_path / "shared"
    shared.mkdir(0o755)
    ConversationStore(shared / "chats.db").close()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


@pytest.mark.parametrize("ending", ["-wal", "-journal", "-shm"])
def test_what_others_may_have_put_beside_the_file_is_refused_and_not_touched(tmp_path, ending):
    path, other = tmp_path / "chats.db", tmp_path / "other"
    ConversationStore(path).close()
    other.write_text("not SQLite's")
    other.chmod(0o644)
    beside = tmp_path / f"chats.db{ending}"
    beside.symlink_to(other)
    with pytest.raises(StoreError, match=f"chats.db{ending} is not a regular file: remove it"):
        ConversationStore(path)
    assert (other.read_text(), stat.S_IMODE(other.stat().st_mode)) == ("not SQLite's", 0o644)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs the right to give files away")
def test_a_log_of_changes_that_another_user_put_there_is_refused(tmp_path):
    path = tmp_path / "chats.db"
    ConversationStore(path).close()
    (tmp_path / "chats.db-wal").touch(0o600)
    for file in tmp_path.iterdir():
        os.chown(file, 1234 if file.suffix == ".db" else 4321, -1)
    with pytest.raises(StoreError, match=r"chats\.db-wal belongs to another user: remove it"):
        ConversationStore(path)


def test_several_processes_write_at_once_and_nothing_is_lost_or_doubled(tmp_path):
    path = tmp_path / "chats.db"  # not even the file is there yet
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, who], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for who in "abc"]
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said.decode()
    with ConversationStore(path) as store:
        assert len(store) == len(list(store.conversations())) == 4 * 40


def test_threads_share_a_store_and_read_while_others_write(tmp_path):
    with ConversationStore(tmp_path / "chats.db") as store:
        failures = []

        def work(first):
            try:
                for number in range(first, first + 20):
                    store.record([recorded(number)])
                    assert len(list(store.listing(limit=3))) <= 3
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(10 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(store) == 50


def test_a_killed_process_loses_nothing_it_was_told_is_stored(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "chats.db"), "killed"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while process.stdout.readline() != b"20\n":
        pass
    process.kill()
    process.communicate()
    with ConversationStore(tmp_path / "chats.db") as store:
        stored = {chat.id for chat in store.conversations()}
    assert stored >= {f"{who}-{number}" for who in ("killed", "both") for number in range(21)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_store_goes_on_in_both_processes_after_a_fork(tmp_path):
    with ConversationStore(tmp_path / "chats.db") as store:
        store.record([recorded(0)])
        child = os.fork()
        if not child:
            store.record([recorded(1)])
            os._exit(0)
        store.record([recorded(2)])
        assert os.waitpid(child, 0)[1] == 0
        assert sorted(chat.id for chat in store.conversations()) == ["c0", "c1", "c2"]


def test_a_locked_store_says_so_and_works_once_it_is_free(tmp_path):
    path = tmp_path / "chats.db"
    with ConversationStore(path, patience=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            store.record([recorded()])
        other.execute("ROLLBACK")
        other.close()
        store.record([recorded()])
        assert len(store) == 1


def test_a_full_disk_costs_the_write_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PRAGMAS", (*database.PRAGMAS, "max_page_count = 60"))
    with ConversationStore(tmp_path / "chats.db") as store:
        store.record([recorded(0)])
        with pytest.raises(StoreError, match=r"disk is full.*nothing of this write was kept"):
            store.record([recorded(1), recorded(2, text="long " * 100_000)])
        store.record([recorded(3)])
        assert [chat.id for chat in store.conversations()] == ["c0", "c3"]


def test_a_store_of_the_first_version_is_brought_up_with_all_it_holds(tmp_path):
    """It held system prompts within histories, and knew no chat by anything else."""
    path = tmp_path / "chats.db"
    said = ["Be kind.", "hi", "Hello!", "more", "Sure."]
    roles = ["system", "user", "assistant", "user", "assistant"]
    with sqlite3.connect(path) as plain:
        schema.MIGRATIONS[0].run(plain)
        plain.executemany("INSERT INTO conversations VALUES (?, ?, ?)", [(1, "a", 1.0), (2, "orphan-x", 2.0)])
        plain.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?)",
            [
                (place + 1, place or None, bytes([place]), place + 1, json.dumps({"role": role, "content": text}))
                for place, (role, text) in enumerate(zip(roles, said, strict=True))
            ],
        )
        tools = json.dumps({"tools": [{"type": "function", "function": {"name": "weather"}}]})
        plain.execute("INSERT INTO toolsets VALUES (1, x'00', ?)", (tools,))
        details = json.dumps({"usage": {"prompt_tokens": 3}, "metadata": {"tier": "gold", "response_id": "r1"}})
        columns = "id, run, conversation, named, history, ended, depth, tie, started, status, source, toolset, cached"
        plain.executemany(
            f"INSERT INTO calls ({columns}, details) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0.5, 'ok', 'openai', ?, 0, ?)",
            [
                (1, "one", 1, 1, 2, 1.0, 2, 1, details),
                (2, "two", 2, 0, 4, 2.0, 4, None, "{}"),
                (3, "damaged", 1, 1, 2, 3.0, 2, None, "no object"),
            ],
        )
        plain.executemany("INSERT INTO replies VALUES (?, 0, ?, 0, NULL, ?, ?, 0)", [(1, 3, 1.0, 2), (2, 5, 2.0, 4)])
        plain.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        plain.execute("PRAGMA user_version = 1")
    plain.close()
    with ConversationStore(path) as store:
        [chat] = store.conversations()
        store.record([call("three", user("hi"), replies=[assistant("Hey.")], conversation_id="a")])
        assert store.describe("a").calls == 3
        assert store.unrecorded() == {"damaged when the store was brought up to version 2": 1}
    assert (chat.id, [message.content for message in chat.messages]) == ("a", said)
    assert chat.metadata == {"source": "openai", "tier": "gold"}
    assert len(chat.tools) == 1
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert plain.execute("SELECT count(*) FROM messages").fetchone() == (6,)
    plain.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([recorded()])
    with monkeypatch.context() as patched:
        steps = "ALTER TABLE calls ADD COLUMN region TEXT; ALTER TABLE nowhere ADD COLUMN region TEXT"
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, schema.Migration(steps)))
        with pytest.raises(StoreError, match="no such table: nowhere"):
            ConversationStore(path)
    with ConversationStore(path) as store:
        assert len(store) == 1


def test_an_empty_file_and_an_empty_database_become_stores(tmp_path):
    (tmp_path / "empty.db").touch()
    planted = sqlite3.connect(tmp_path / "planted.db")
    planted.execute("PRAGMA user_version = 0")
    planted.execute("VACUUM")
    planted.close()
    for name in ("empty.db", "planted.db"):
        with ConversationStore(tmp_path / name) as store:
            store.record([recorded()])


def newer(path):
    ConversationStore(path).close()
    return ["PRAGMA user_version = 99"]


def foreign(path):
    return ["CREATE TABLE songs (title TEXT)"]


def triggered(path):
    ConversationStore(path).close()
    return ["CREATE TRIGGER steal AFTER INSERT ON messages BEGIN DELETE FROM calls; END"]


def viewed(path):
    ConversationStore(path).close()
    return ["DROP TABLE toolsets", "CREATE VIEW toolsets AS SELECT 1 AS id, x'00' AS hash, '{}' AS body"]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (newer, r"newer collab-sdk \(version 99\): pip install -U"),
        (foreign, "a database, but no conversation store"),
        (triggered, r"triggers, which no conversation store has \(steal\)"),
        (viewed, r"tables are not those of a conversation store \(toolsets\)"),
    ],
)
def test_another_kind_of_database_is_refused_and_left_as_it_is(tmp_path, plant, said):
    path = tmp_path / "chats.db"
    statements = plant(path)
    planted = sqlite3.connect(path)
    for statement in statements:
        planted.execute(statement)
    planted.commit()
    planted.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    planted.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=said):
        ConversationStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at", b"SQLite format 3\0" + b"\1" * 5000]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "chats.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged, or is not a database: collab logs import"):
        ConversationStore(path)
    assert path.read_bytes() == content


def test_a_damaged_store_says_so(tmp_path):
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([recorded(number, text=f"{number} " * 500) for number in range(50)])
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    with pytest.raises(StoreError, match="damaged"), ConversationStore(path) as store:
        list(store.conversations())


def planted(path, *statements):
    """Change a store as no version of it would."""
    plain = sqlite3.connect(path)
    for statement in statements:
        plain.execute(statement)
    plain.commit()
    plain.close()


DEEP = "[" * 100_000
ODD = {
    "a body that is no object": "UPDATE messages SET body = '[]' WHERE body LIKE '%odd%'",
    "a body without end": f"UPDATE messages SET body = '{DEEP}' WHERE body LIKE '%odd%'",
    "a body that is no text": "UPDATE messages SET body = 5 WHERE body LIKE '%odd%'",
    "a body that is no UTF-8": "UPDATE messages SET body = CAST(x'7b22ff7d' AS TEXT) WHERE body LIKE '%odd%'",
    "a role that is no text": """UPDATE messages SET body = '{"role": {}}' WHERE body LIKE '%odd%'""",
    "times that are text": "UPDATE calls SET ended = 'soon' WHERE run = 'run-1'",
    "a name that is bytes": "UPDATE conversations SET name = x'ff00' WHERE name = 'c1'",
    "a reply that is nowhere": "UPDATE replies SET message = 99999 WHERE call = 2",
    "a circle": "UPDATE messages SET parent = id WHERE body LIKE '%odd%'",
    "details that are none": "UPDATE calls SET details = '7' WHERE run = 'run-1'",
    "a model that is bytes": "UPDATE calls SET model = x'ff00' WHERE run = 'run-1'",
    "huge numbers": "UPDATE calls SET history = 9223372036854775807, tie = -9223372036854775808 WHERE run = 'run-1'",
}


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_chat_costs_the_others_nothing_in_export_and_list(tmp_path, odd):
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([recorded(0), recorded(1, text="odd"), recorded(2)])
    planted(path, ODD[odd])
    problems = []
    with ConversationStore(path) as store:
        read = {chat.id for chat in store.conversations(on_error=problems.append)}
        listed = {chat.id for chat in store.listing(on_error=problems.append)}
        assert read | listed >= {"c0", "c2"}
        assert problems or read == listed == {"c0", "c1", "c2"}, "nothing is left out in silence"
        assert all(isinstance(problem, InputError) and "\n" not in str(problem) for problem in problems)
        store.purge(Purge(before=1e12))


def test_a_chat_without_calls_is_listed_shown_and_purged(tmp_path):
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([recorded(0), recorded(1)])
    planted(path, "DELETE FROM replies WHERE call = 1", "DELETE FROM calls WHERE run = 'run-0'")
    with ConversationStore(path) as store:
        assert {chat.id: chat.calls for chat in store.listing()} == {"c0": 0, "c1": 1}
        assert store.describe("c0").turns == 0
        assert store.get("c0") is None
        assert [chat.id for chat in store.conversations()] == ["c1"]
        assert store.purge(Purge(conversation="c0")).conversations == 1
        assert len(store) == 1


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, overwritten or cut off."""
    changed, place = bytearray(data), chance.randrange(len(data))
    kind = chance.randrange(4)
    if kind == 0:
        return data[:place]
    if kind == 1:
        changed[place : place + 40] = chance.randbytes(len(changed[place : place + 40]))
    elif kind == 2:  # where the pointers of a page are
        changed[place - place % 4096 + chance.randrange(60)] = chance.randrange(256)
    else:
        for _ in range(chance.choice((1, 8, 40))):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_store_that_is_damaged_anywhere_ends_in_chats_or_in_one_line(tmp_path):
    whole = tmp_path / "whole"
    with ConversationStore(whole / "chats.db") as store:
        for number in range(12):
            again = call(f"again-{number}", user("hi"), replies=[assistant("Hey.")], conversation_id=f"c{number}")
            store.record([recorded(number), again, call(f"new-{number}", user(str(number)), replies=[assistant("x")])])
        open_copy = shutil.copytree(whole, tmp_path / "open", ignore=shutil.ignore_patterns("*lock", "*pending*"))
    chance, problems, damaged = random.Random(20), [], tmp_path / "damaged"
    for _ in range(150):
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(chance.choice((whole, open_copy)), damaged)
        file = chance.choice(sorted(file for file in damaged.iterdir() if file.stat().st_size))
        file.write_bytes(mutated(file.read_bytes(), chance))
        for use in (
            lambda store: list(store.conversations(on_error=problems.append)),
            lambda store: list(store.listing(on_error=problems.append)),
            lambda store: (store.describe("c1"), store.get("c1")),
            lambda store: store.record([recorded(1, text="other"), recorded(99)]),
            lambda store: store.purge(Purge(before=1e12)),
        ):
            try:
                with ConversationStore(damaged / "chats.db", patience=0.1) as store:
                    use(store)
            except CollabError as error:
                problems.append(error)
    assert len(problems) > 50
    assert not any("\n" in str(problem) for problem in problems)


def test_an_index_that_leads_back_is_not_read_for_ever(tmp_path):
    """A row found under a larger id than its own was read again and again."""
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([replace(recorded(number), conversation_id=f"{number} " * 150) for number in range(20)])
    plain = sqlite3.connect(path)
    [root] = plain.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'conversations'").fetchone()
    [size] = plain.execute("PRAGMA page_size").fetchone()
    plain.execute("PRAGMA journal_mode = DELETE")
    plain.close()
    content = bytearray(path.read_bytes())

    def number(place, length):
        return int.from_bytes(content[place : place + length], "big")

    page = (root - 1) * size
    assert content[page] == 5, "a page that leads to others"
    second = (number(page + 8, 4) - 1) * size  # the last of them
    first_row = second + number(second + 8, 2)
    content[first_row + 2] = 1  # behind two bytes of length: its id
    path.write_bytes(content)
    with pytest.raises(StoreError, match="out of order"), ConversationStore(path) as store:
        assert all(store.conversations())
    with ConversationStore(path) as store:
        assert len(list(store.listing())) <= 20


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened: it is a folder"):
        ConversationStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be opened: .*file is not a folder"):
        ConversationStore(tmp_path / "file" / "chats.db")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_may_only_be_read_is_read(tmp_path, monkeypatch, what):
    path = tmp_path / "chats.db"
    with ConversationStore(path) as store:
        store.record([recorded()])
    kept = path if what == "file" else tmp_path
    monkeypatch.setattr(os, "access", lambda path, mode: path != kept)
    with ConversationStore(path) as store:
        assert [chat.id for chat in store.conversations()] == ["c0"]
        with pytest.raises(StoreError, match="permission denied"):
            store.record([recorded(1)])
    assert [file.name for file in tmp_path.iterdir()] == ["chats.db"], "and nothing is written beside it"


def test_a_closed_store_says_so(tmp_path):
    store = ConversationStore(tmp_path / "chats.db")
    store.close()
    with pytest.raises(StoreError, match="it is closed"):
        store.record([recorded()])
