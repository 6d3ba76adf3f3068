"""The logs.db of simonw/llm, whose tables are made here as its migrations make them."""

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from support.fakes import other_texts

from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer, read_conversations

OLD = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (
    id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT, response TEXT,
    response_json TEXT, conversation_id TEXT REFERENCES conversations(id), duration_ms INTEGER, datetime_utc TEXT
);
"""
TOOLS = """
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT);
CREATE TABLE prompt_fragments (
    response_id TEXT, fragment_id INTEGER, "order" INTEGER, PRIMARY KEY (response_id, fragment_id, "order")
);
CREATE TABLE prompt_attachments (
    response_id TEXT, attachment_id TEXT, "order" INTEGER, PRIMARY KEY (response_id, attachment_id)
);
CREATE TABLE tool_calls (
    id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, arguments TEXT, tool_call_id TEXT
);
CREATE TABLE tool_results (
    id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, output TEXT, tool_call_id TEXT
);
"""
NEW = """
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT REFERENCES messages(hash), role TEXT,
    provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT,
    payload TEXT);
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT,
    datetime_utc TEXT);
"""


@pytest.fixture
def make(tmp_path):
    """Makes a database of these tables, and hands back its connection and path."""

    def make(*tables):
        path = tmp_path / "logs.db"
        database = sqlite3.connect(path)
        database.executescript("".join(tables))
        return database, path

    return make


def insert(database, table, **row):
    marks = ", ".join("?" * len(row))
    columns = ", ".join(f'"{name}"' for name in row)
    with database:
        database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


def respond(database, name, prompt, response, *, conversation="c1", **row):
    insert(
        database,
        "responses",
        **{"id": name, "model": "gpt-4o", "prompt": prompt, "response": response, "conversation_id": conversation},
        **row,
        datetime_utc=f"2026-01-01T00:00:0{name[-1]}",
    )


def say(database, name, parent, role, *parts):
    """A message of parts: text, or the fields of a part."""
    insert(database, "messages", hash=name, parent_hash=parent, role=role)
    for position, part in enumerate(parts):
        fields = {"type": "text", "text": part} if isinstance(part, str) else part
        insert(database, "parts", message_hash=name, position=position, **fields)


def read(path, **options):
    errors = []
    conversations = list(read_conversations([path], on_error=errors.append, **options))
    return conversations, [(error.where.removeprefix(str(path)), error.problem) for error in errors]


def said(conversation):
    return [(message.role, message.content) for message in conversation.messages]


def test_responses_are_joined_by_their_conversation_and_the_system_prompt_comes_once(make):
    database, path = make(OLD)
    respond(database, "r2", "and you?", "fine", system="Be brief.")
    respond(database, "r1", "hi", "hello", system="Be brief.")
    respond(database, "r3", "alone", "yes", conversation=None)
    [first, second], errors = read(path)
    assert errors == []
    assert first.id == "c1"
    assert said(first) == [
        ("system", "Be brief."),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "and you?"),
        ("assistant", "fine"),
    ]
    assert first.metadata == {"model": "gpt-4o"}
    assert (second.id, said(second)) == ("r3", [("user", "alone"), ("assistant", "yes")])


def test_tools_fragments_and_attachments_of_the_older_tables_are_read(make):
    database, path = make(OLD, TOOLS)
    respond(database, "r1", "weather here?", "")
    respond(database, "r2", "", "It rains.")
    insert(database, "fragments", id=1, content="I am in Rome.")
    insert(database, "prompt_fragments", response_id="r1", fragment_id=1, order=0)
    insert(database, "prompt_attachments", response_id="r1", attachment_id="a", order=0)
    insert(database, "tool_calls", response_id="r1", name="weather", arguments='{"city": "Rome"}', tool_call_id="t1")
    insert(database, "tool_results", response_id="r2", name="weather", output="rain", tool_call_id="t1")
    notes = Counter()
    [conversation], _ = read(path, notes=notes)
    assert said(conversation) == [
        ("user", "I am in Rome.\nweather here?\n[attachment]"),
        ("assistant", ""),
        ("tool", "rain"),
        ("assistant", "It rains."),
    ]
    assert conversation.messages[1].tool_calls[0]["function"]["arguments"] == '{"city": "Rome"}'
    assert notes == {"[attachment] in place of content that is not text": 1}


def test_threads_are_read_from_the_message_tree_with_parts_and_fragments(make):
    database, path = make(NEW, TOOLS)
    insert(database, "fragments", id=1, content="I am in Rome.")
    borrowed = {"text_ref": [{"fragment": 1}, {"literal": "\nweather here?"}]}
    call = {"arguments": {"city": "Rome"}, "tool_call_id": "t1"}
    result = {"output": "rain", "tool_call_id": "t1"}
    say(database, "m1", None, "system", "Be brief.")
    say(database, "m2", "m1", "user", {"type": "text", "payload": json.dumps(borrowed)}, {"type": "attachment"})
    say(database, "m3", "m2", "assistant", {"type": "reasoning", "text": "hm"},
        {"type": "tool_call", "tool_name": "weather", "payload": json.dumps(call)})  # fmt: skip
    say(database, "m4", "m3", "tool", {"type": "tool_result", "tool_name": "weather", "payload": json.dumps(result)})
    say(database, "m5", "m4", "assistant", "It rains.")
    insert(database, "threads", id="t", name="weather", tip_message_hash="m5")
    insert(database, "turns", id="n", thread_id="t", tip_message_hash="m5", model="gpt-4o")
    [conversation], errors = read(path)
    assert errors == []
    assert conversation.id == "t"
    assert said(conversation) == [
        ("system", "Be brief."),
        ("user", "I am in Rome.\nweather here?\n[attachment]"),
        ("assistant", ""),
        ("tool", "rain"),
        ("assistant", "It rains."),
    ]
    assert conversation.messages[2].tool_calls[0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert conversation.messages[3].tool_call_id == "t1"
    assert conversation.metadata == {"title": "weather", "model": "gpt-4o"}


def test_what_a_fork_was_answered_is_an_alternative(make):
    database, path = make(NEW)
    say(database, "u", None, "user", "hi")
    say(database, "a", "u", "assistant", "hello")
    say(database, "b", "u", "assistant", "hey")
    insert(database, "threads", id="t1", tip_message_hash="a")
    insert(database, "threads", id="t2", tip_message_hash="b", forked_from="t1")
    conversations, _ = read(path)
    assert [(c.messages[-1].content, other_texts(c)) for c in conversations] == [
        ("hello", {0: ("hey",)}),
        ("hey", {0: ("hello",)}),
    ]


def test_a_conversation_that_went_on_after_the_upgrade_is_read_once(make):
    database, path = make(OLD, NEW)
    respond(database, "r1", "hi", "hello")
    respond(database, "r2", "old", "only", conversation="c2")
    say(database, "u", None, "user", "hi")
    say(database, "a", "u", "assistant", "hello")
    say(database, "v", "a", "user", "bye")
    say(database, "b", "v", "assistant", "ciao")
    insert(database, "threads", id="c1", tip_message_hash="b")
    conversations, errors = read(path)
    assert errors == []
    assert [(c.id, len(c.messages)) for c in conversations] == [("c1", 4), ("c2", 2)]


def test_a_broken_thread_is_an_error_with_its_place_and_the_others_are_read(make):
    database, path = make(NEW)
    say(database, "x", "y", "user", "round")
    say(database, "y", "x", "assistant", "and round")
    say(database, "u", None, "user", "hi")
    say(database, "a", "u", "assistant", "hello")
    say(database, "p", "u", "assistant", {"type": "text", "payload": "[1]"})
    for name, tip in (("cycle", "y"), ("gone", "z"), ("payload", "p"), ("unanswered", "u"), ("good", "a")):
        insert(database, "threads", id=name, tip_message_hash=tip)
    conversations, errors = read(path)
    assert errors == [
        (", thread cycle", "the chain of messages breaks at y"),
        (", thread gone", "the chain of messages breaks at z"),
        (", thread payload", "the payload of a part is not an object"),
        (", thread unanswered", "no assistant message"),
    ]
    assert [conversation.id for conversation in conversations] == ["good"]


def test_bytes_where_text_belongs_do_no_harm(make, tmp_path):
    database, path = make(OLD, TOOLS, NEW)
    respond(database, "r1", b"hi", "hello", system=b"x")
    respond(database, "r2", "hi", "hello", conversation=b"c2")
    insert(database, "tool_calls", response_id="r1", name=b"x", arguments=b"x", tool_call_id=b"x")
    insert(database, "tool_results", response_id="r1", name=b"x", output=b"x", tool_call_id=b"x")
    result = {"type": "tool_result", "payload": b'{"output": 1}'}
    say(database, "u", None, "user", {"type": "text", "text": b"x"}, result)
    say(database, "a", "u", "assistant", "hello", {"type": "tool_call", "tool_name": b"x"})
    insert(database, "threads", id="t", name=b"x", tip_message_hash="a")
    conversations, errors = read(path)
    assert [conversation.id for conversation in conversations][:2] == ["t", "c1"]
    assert conversations[2].id.startswith("chat-")
    assert errors == []
    with JsonlWriter(tmp_path / "out.jsonl") as out:
        for conversation in conversations:
            out.write(get_chat_writer("collab")(conversation))


def test_the_database_is_left_as_it_is_and_read_where_nothing_can_be_written(make):
    database, path = make(OLD)
    respond(database, "r1", "hi", "hello")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    before = path.read_bytes()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert len(read(path)[0]) == 1
        assert path.read_bytes() == before
    finally:
        path.parent.chmod(0o700)


def test_a_database_of_something_else_and_a_damaged_one_are_one_error(make, tmp_path):
    _, path = make("CREATE TABLE songs (name TEXT);")
    conversations, [(where, problem)] = read(path)
    assert (conversations, where) == ([], "")
    assert "no chat log" in problem
    damaged = Path(tmp_path / "damaged.db")
    damaged.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    conversations, [(_, problem)] = read(damaged)
    assert conversations == []
    assert "\n" not in problem
