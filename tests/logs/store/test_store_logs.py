"""Logs into a store, and a store as a log."""

import gzip
import json
import time
from dataclasses import replace

import pytest
from support.calls import assistant, call, user
from support.cli import chat_row, write_chats
from support.fakes import other_texts, says

from collab_sdk import read_conversations
from collab_sdk.errors import InputError
from collab_sdk.logs import ConversationStore, Purge, count_conversations
from collab_sdk.messages import as_messages
from collab_sdk.types import Conversation, Goal


def conversation(name="c", *texts, **fields):
    roles = ("user", "assistant")
    messages = as_messages({"role": roles[n % 2], "content": text} for n, text in enumerate(texts))
    return Conversation(id=name, messages=messages, **fields)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chats.db"


def through_a_store(path, *conversations):
    with ConversationStore(path) as store:
        store.add(conversations, imported=1.0)
        return list(store.conversations())


def test_what_is_imported_comes_out_as_it_went_in(path):
    whole = conversation(
        "c",
        *("hi", "Hello!", "more", "Sure.", "thanks"),
        goal=Goal(text="a toast", reference="cheers"),
        tools=({"type": "function", "function": {"name": "toast"}},),
        metadata={"tier": "gold", "rating": 4},
        alternatives={0: (says("Hey."), says("Yo.")), 1: (says("Gladly."),)},
    )
    assert through_a_store(path, whole) == [whole]


TOLD = 1_690_000_000.0  # in 2023


@pytest.mark.parametrize(
    "row",
    [
        {"ended": TOLD},
        {"created_at": "2023-07-22T04:26:40Z"},
        {"metadata": {"timestamp": "2023-07-22T06:26:40+02:00"}},
        {"metadata": {"create_time": TOLD - 9, "update_time": TOLD * 1000}},
        {"messages": [{**user("hi")}, {**assistant("Hello!"), "timestamp": TOLD}]},
    ],
    ids=["row", "ISO", "metadata", "milliseconds", "message"],
)
def test_an_imported_chat_has_the_time_that_its_log_tells_here_and_further_on(tmp_path, path, row):
    logs = tmp_path / "chats.jsonl"
    logs.write_text(json.dumps({"id": "old", "messages": [user("hi"), assistant("Hello!")], **row}))
    with ConversationStore(path) as store:
        for _ in range(2):
            store.add(read_conversations([logs]))
        [chat] = store.conversations()
    assert chat.ended == TOLD
    with ConversationStore(tmp_path / "other.db") as store:
        store.add([chat, conversation("new", "hi", "Hello!")])
        assert {chat.id: chat.last_active < time.time() - 90 * 86_400 for chat in store.listing()} == {
            "old": True,
            "new": False,
        }
        assert store.purge(Purge(before=time.time() - 90 * 86_400)).conversations == 1
        assert [(chat.id, chat.ended) for chat in store.conversations()] == [("new", None)]


@pytest.mark.parametrize("time", [4e9, -1, 3, "soon", None, True, "9999-12-31T23:59:59-23:59", 1e300])
def test_a_time_that_cannot_be_is_that_of_the_import(tmp_path, path, time):
    logs = tmp_path / "chats.jsonl"
    logs.write_text(json.dumps({"id": "a", "messages": [user("hi"), assistant("Hello!")], "timestamp": time}))
    with ConversationStore(path) as store:
        store.add(read_conversations([logs]), imported=1.7e9)
        assert store.describe("a").last_active == 1.7e9


def test_importing_again_adds_nothing_and_a_chat_that_went_on_goes_on(path):
    short = conversation("c", "hi", "Hello!")
    for chats in ([short, short], [short], [conversation("c", "hi", "Hello!", "more", "Sure.")], [short]):
        found = through_a_store(path, *chats)
    assert found == [conversation("c", "hi", "Hello!", "more", "Sure.")]


def test_another_chat_under_the_same_id_is_not_mixed_in(path):
    with ConversationStore(path) as store:
        store.add([conversation("1", "hi", "Hello!")])
        problems = []
        assert store.add([conversation("1", "bye", "Bye!"), conversation("2", "a", "b")], on_error=problems.append) == 1
        assert [str(problem) for problem in problems] == ["duplicate id '1'; another chat has it in the store"]
        with pytest.raises(InputError, match="duplicate id '1'"):
            store.add([conversation("1", "bye", "Bye!")])
        assert [len(chat.messages) for chat in store.conversations()] == [2, 2]


def test_a_store_is_read_like_any_other_log(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 3)
    chats = list(read_conversations([logs]))
    folder = tmp_path / "logs"
    with ConversationStore(folder / "chats.db") as store:
        store.add(chats)
        (folder / "chats.db-pending-123-0a1b2c3d").write_bytes(bytes(16))  # an app's that records
        assert list(read_conversations([folder])) == chats, "while it is open, with its -wal beside it"
    assert list(read_conversations([folder / "chats.db"])) == chats
    assert count_conversations([folder, logs]) == 6


def test_what_is_wrong_with_a_store_is_reported_and_other_logs_are_read(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with ConversationStore(tmp_path / "bad.db") as store:
        store.record([call("1", {"role": "wizard", "content": "x"}, replies=[assistant("y")], conversation_id="w")])
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    problems = []
    paths = [tmp_path / "bad.db", tmp_path / "broken.db", logs]
    found = list(read_conversations(paths, on_error=lambda error: problems.append(str(error))))
    assert [chat.id for chat in found] == ["chat-0"]
    assert len(problems) == 2
    assert "bad.db, conversation 'w'" in problems[0]
    assert "broken.db" in problems[1]
    assert count_conversations([tmp_path / "broken.db"]) is None


def test_reading_a_store_changes_nothing_in_it(path):
    through_a_store(path, conversation("c", "hi", "Hello!"))
    before = path.read_bytes()
    list(read_conversations([path]))
    assert path.read_bytes() == before


def test_chats_with_one_id_in_a_store_and_a_file_are_told_apart(tmp_path, path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    through_a_store(path, *read_conversations([logs]))
    problems = []
    assert len(list(read_conversations([path, logs], on_error=problems.append))) == 1
    assert "duplicate id 'chat-0'" in str(problems[0])


def test_rows_with_alternatives_go_from_file_to_store_to_file(tmp_path, path):
    row = chat_row(0, alternatives={"1": ["Large or small?"]})
    logs = tmp_path / "chats.jsonl.gz"
    logs.write_bytes(gzip.compress(json.dumps(row).encode()))
    [chat] = through_a_store(path, *read_conversations([logs]))
    assert other_texts(chat) == {1: ("Large or small?",)}


def test_apps_and_logs_share_a_store(path):
    with ConversationStore(path) as store:
        store.record([call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="c", ended=5.0)])
        store.add([replace(conversation("c", "hi", "Hey."), metadata={"tier": "gold"})], imported=1.0)
        [chat] = store.conversations()
        assert chat.messages[1].content == "Hello!", "the app's call is the later one"
        assert other_texts(chat) == {0: ("Hey.",)}


def test_other_responses_that_end_in_a_call_or_its_result_come_out_again(path):
    asked = {"id": "c1", "type": "function", "function": {"name": "cancel", "arguments": '{"order": 5}'}}
    other = {**asked, "function": {"name": "look_up", "arguments": "{}"}}
    bare = as_messages([{"role": "assistant", "content": None, "tool_calls": [other]}])
    made = {"role": "assistant", "content": None, "tool_calls": [asked]}
    done = as_messages([made, {"role": "tool", "content": "OK", "tool_call_id": "c1"}])
    log = replace(conversation("c", "cancel 5", "Which?"), alternatives={0: (bare, done)})
    [read] = through_a_store(path, log)
    assert sorted(map(len, read.alternatives[0])) == [1, 2]
