"""What is purged is gone: from every table, and from the bytes on disk."""

import sqlite3

import pytest
from support.calls import assistant, call, user

from collab_sdk.errors import StoreError, UsageError
from collab_sdk.logs import ConversationStore
from collab_sdk.logs.store import Purge, Purged

TABLES = ("conversations", "calls", "replies", "messages", "toolsets")


def chat(name, who, *, ended, secret="", tools=()):
    """Two calls; all chats begin with the same exchange."""
    opening = (user("good morning"), assistant("How can I help?"))
    then = (*opening, user(f"I am {name}, {secret}"))
    fields = {"conversation_id": name, "user": who, "tools": tools, "model": f"model-{secret}"}
    return [
        call(f"{name}-1", opening[0], replies=[opening[1]], ended=ended - 1, **fields),
        call(f"{name}-2", *then, replies=[assistant(f"Hello {secret}")], ended=ended, **fields),
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "chats.db"


@pytest.fixture
def store(path):
    with ConversationStore(path) as store:
        for number in range(20):
            tools = ({"function": {"name": f"tool-{number}"}},)
            secret = f"secret-{number}-" * 40
            store.record(chat(f"chat-{number}", f"user-{number % 4}", ended=float(number), secret=secret, tools=tools))
        yield store


def ids(store):
    return {conversation.id for conversation in store.conversations()}


def on_disk(path):
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def counts(path):
    database = sqlite3.connect(path)
    found = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    database.close()
    return found


@pytest.mark.parametrize(
    ("purge", "gone"),
    [
        (Purge(conversation="chat-7"), {7}),
        (Purge(user="user-3"), {3, 7, 11, 15, 19}),
        (Purge(before=5.0), {0, 1, 2, 3, 4}),
        (Purge(before=5.0, user="user-3"), {3}),
        (Purge(conversation="nobody"), set()),
    ],
    ids=["conversation", "user", "age", "age and user", "none"],
)
def test_nothing_of_a_purged_chat_is_left_anywhere_on_disk(store, path, purge, gone):
    assert b"secret-7-" in on_disk(path)
    purged = store.purge(purge)
    left = set(range(20)) - gone
    assert purged == Purged(conversations=len(gone), calls=2 * len(gone), messages=2 * len(gone))
    assert ids(store) == {f"chat-{number}" for number in left}
    for number in range(20):
        for text in (f"secret-{number}-", f'"tool-{number}"', f"chat-{number}-2"):
            assert (text.encode() in on_disk(path)) == (number in left), text
    assert counts(path) == {
        "conversations": len(left),
        "calls": 2 * len(left),
        "replies": 2 * len(left),
        "messages": 2 + 2 * len(left),
        "toolsets": len(left),
    }


def test_what_all_chats_share_goes_with_the_last_of_them(store, path):
    assert store.purge(Purge(before=1000.0)).messages == 42
    assert set(counts(path).values()) == {0}
    assert b"good morning" not in on_disk(path)


def test_what_an_unanswered_call_of_another_chat_said_stays(path):
    with ConversationStore(path) as store:
        store.record(
            [
                call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a"),
                call("2", user("hi"), replies=[], status="failed", conversation_id="b"),
            ]
        )
        assert store.purge(Purge(conversation="a")).messages == 1
        assert store.describe("b").calls == 1
    assert counts(path)["messages"] == 1


def test_a_purge_is_told_before_it_is_done(store, path):
    assert store.count_purge(Purge(user="user-3")) == Purged(conversations=5, calls=10)
    assert len(store) == 20


def test_a_purge_of_nothing_in_particular_is_refused(store):
    with pytest.raises(UsageError, match="needs to be told what goes"):
        store.purge(Purge())


def test_a_purge_that_another_reader_keeps_from_wiping_says_so_and_can_be_repeated(path):
    with ConversationStore(path, patience=0.05) as store:
        store.record(chat("a", "ann", ended=1.0, secret="hush-hush"))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        with pytest.raises(StoreError, match=r"deleted text is still|locked by another"):
            store.purge(Purge(user="ann"))
        assert len(store) == 0
        reader.execute("COMMIT")
        reader.close()
        store.purge(Purge(user="ann"))
    assert b"hush-hush" not in on_disk(path)


def test_a_purged_chat_can_be_recorded_again(store):
    store.purge(Purge(conversation="chat-7"))
    store.record(chat("chat-7", "user-3", ended=50.0, secret="new"))
    assert "chat-7" in ids(store)


def test_text_that_a_richer_record_replaced_is_gone_from_the_tables(path):
    with ConversationStore(path) as store:
        store.record([call("1", user("hi"), replies=[assistant("half of an ans")], status="partial")])
        store.record([call("1", user("hi"), replies=[assistant("half of an answer")])])
    assert counts(path)["messages"] == 2
