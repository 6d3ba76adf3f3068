"""What holds no chats is told in a line; of several snapshots of a chat the longest is read."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cli import chat_row, collab, write_chats

from collab_sdk import read_conversations
from collab_sdk.logs.snapshots import SNAPSHOTS
from collab_sdk.logs.sources import source_of


def said(*texts):
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(*paths):
    errors, notes = [], Counter()
    chats = list(read_conversations(paths, on_error=errors.append, notes=notes))
    return chats, [str(error) for error in errors], notes


def test_files_beside_chats_in_a_folder_are_one_note(tmp_path):
    write_chats(tmp_path / "chats.jsonl")
    write(tmp_path / "user.json", {"id": "user-1", "email": "a@b.c"})
    write(tmp_path / "feedback.jsonl", {"id": 1, "up": True}, {"id": 2, "up": False})
    chats, errors, notes = read(tmp_path)
    assert len(chats) == 2
    assert errors == []
    assert notes == {"files beside the chats, in which there are none: feedback.jsonl, user.json": 2}


def test_a_folder_without_any_chat_says_what_was_found_in_each_file(tmp_path):
    write(tmp_path / "user.json", {"id": "user-1", "email": "a@b.c"})
    write(tmp_path / "feedback.jsonl", {"up": True}, {"up": False})
    chats, errors, _ = read(tmp_path)
    assert not chats
    assert [error.startswith(str(tmp_path)) and "found the keys" in error for error in errors] == [True, True]
    assert "the same for 1 more of its rows" in errors[0]


def test_a_named_file_without_a_chat_is_an_error_beside_others_and_exit_1_alone(tmp_path):
    chats, feedback = write_chats(tmp_path / "chats.jsonl"), write(tmp_path / "feedback.jsonl", *[{"up": True}] * 50)
    assert len(read(chats, feedback)[1]) == 1
    result = collab("logs", "import", feedback, "--store", tmp_path / "s.db")
    assert result.exit_code == 1
    assert result.stderr.count("Failed:") == 1
    assert "found the keys 'up'" in result.stderr
    assert "(the same for 49 more of its rows)" in result.stderr


def test_bad_rows_before_the_first_chat_are_errors_of_their_own(tmp_path):
    log = write(tmp_path / "log.jsonl", {"up": True}, {"up": True}, chat_row(1), {"up": True})
    chats, errors, _ = read(log)
    assert len(chats) == 1
    assert [error.partition(": ")[0].rpartition("/")[2] for error in errors] == [
        "log.jsonl:1",
        "log.jsonl",
        "log.jsonl:4",
    ]


@pytest.mark.parametrize("place", ["", ":12", ", item 3", ":3, item 2, entry 1", ", row 9, value 2"])
def test_a_place_is_told_from_the_name_of_its_file_however_it_looks(place):
    name = "log" + ":1" * 500_000 + ", item x"
    assert source_of(name + place) == name


def test_of_rows_without_ids_each_list_of_a_file_is_a_chat(tmp_path):
    lists = [
        {"data": [{"name": "U", "is_user": True, "mes": "hi"}, {"name": "C", "is_user": False, "mes": f"yo {n}"}]}
        for n in range(2)
    ]
    chats, errors, _ = read(write(tmp_path / ("a:1" * 60), *lists))
    assert not errors
    assert [[message.content for message in chat.messages] for chat in chats] == [["hi", "yo 0"], ["hi", "yo 1"]]


def test_what_this_package_wrote_is_recognised(tmp_path):
    chats = write_chats(tmp_path / "chats.jsonl")
    cache = ("--model", "offline", "--cache-dir", tmp_path / "cache")
    scored = collab("score", chats, "--json", *cache)
    (tmp_path / "scores.jsonl").write_text(scored.stdout)
    assert collab("export-prefs", chats, "-o", tmp_path / "p.jsonl", "--min-margin", "0", *cache).exit_code == 0
    for name in ("scores.jsonl", "p.turns.jsonl"):
        result = collab("logs", "import", tmp_path / name, "--store", tmp_path / "s.db")
        assert result.exit_code == 1
        assert "look at it with collab report" in result.stderr


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"messages": said("hi", "yo")}, "b": {"messages": said("hi", "yo")}},
        {"a": said("hi", "yo"), "b": said("hi", "yo")},
        {"chats": [{"id": "a", "messages": said("hi", "yo")}], "threads": [{"id": "b", "messages": said("hi", "yo")}]},
        {"data": {"chats": [[{"id": "a", "messages": said("hi", "yo")}], {"id": "b", "messages": said("hi", "yo")}]}},
        {
            "ann": {"chats": [{"id": "a", "messages": said("hi", "yo")}]},
            "bo": {"chats": [{"id": "b", "messages": said("x", "y")}]},
        },
    ],
)
def test_chats_in_an_object_are_read_wherever_they_stand(tmp_path, value):
    chats, errors, _ = read(write(tmp_path / "log.json", value))
    assert not errors
    assert sorted(chat.id for chat in chats) == ["a", "b"]


def test_chats_that_were_opened_and_never_used_are_counted(tmp_path):
    used = {"uuid": "a", "chat_messages": [{"sender": "human", "text": "hi"}, {"sender": "assistant", "text": "yo"}]}
    [chat], errors, notes = read(
        write(tmp_path / "log.json", [used, {"uuid": "b", "chat_messages": []}, {"mapping": {}, "current_node": None}])
    )
    assert chat.id == "a"
    assert not errors
    assert notes == {"chats in which nobody has said anything, left out": 2}


def test_problems_of_a_kind_are_shown_once_with_their_count(tmp_path):
    rows = [{"messages": [{"role": f"narrator {n}", "content": "x"}]} for n in range(30)]
    log = write(tmp_path / "log.jsonl", *rows, chat_row(1), {"messages": 7})
    result = collab("logs", "import", log, "--store", tmp_path / "s.db")
    assert result.exit_code == 3
    assert result.stderr.count("Failed:") == 2
    assert f"... and 29 more like that of {log}:1\n" in result.stderr


def test_of_the_snapshots_of_a_chat_the_longest_is_read(tmp_path):
    first, last = {"id": "a", "messages": said("hi", "yo")}, {"id": "a", "messages": said("hi", "yo", "rye?", "yes")}
    for rows in ([first, last], [last, first], [first, first, last, last]):
        [chat], errors, notes = read(write(tmp_path / "log.jsonl", *rows))
        assert len(chat.messages) == 4
        assert not errors
        assert notes == {SNAPSHOTS: len(rows) - 1}


def test_another_chat_with_the_same_id_is_no_snapshot(tmp_path):
    rows = [{"id": "a", "messages": said("hi", "yo")}, {"id": "a", "messages": said("bye", "see you", "x", "y")}]
    [chat], [error], _ = read(write(tmp_path / "log.jsonl", *rows))
    assert chat.messages[0].content == "hi"
    assert "duplicate id 'a'" in error


def test_a_chat_that_only_begins_alike_is_no_snapshot(tmp_path):
    rows = [
        {"id": "a", "messages": said("hi", "yo", "rye?", "yes")},
        {"id": "a", "messages": said("hi", "yo", "bye", "no", "x", "y")},
    ]
    for order in (rows, rows[::-1]):
        [chat], [error], notes = read(write(tmp_path / "log.jsonl", *order))
        assert chat.messages[2].content == order[0]["messages"][2]["content"]
        assert "duplicate id 'a'" in error
        assert not notes


def test_a_longest_snapshot_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("collab_sdk.logs.reader.LONGEST", 50)
    rows = [{"id": "a", "messages": said("hi", "yo")}, {"id": "a", "messages": said("hi", "yo", "rye?", "y" * 60)}]
    chats, errors, _ = read(write(tmp_path / "log.jsonl", *rows))
    assert not chats
    assert len(errors) == 2
    assert errors[1].startswith("the longest version of a chat could not be read again")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), min_size=1, max_size=12))
def test_snapshots_in_any_order_give_each_chat_once_and_whole(tmp_path_factory, snapshots):
    rows = [{"id": name, "messages": said(*map(str, range(2 * length)))} for name, length in snapshots]
    chats, errors, notes = read(write(tmp_path_factory.mktemp("snapshots") / "log.jsonl", *rows))
    assert not errors
    assert {chat.id: len(chat.messages) for chat in chats} == {
        name: max(2 * length for other, length in snapshots if other == name) for name, _ in snapshots
    }
    assert notes[SNAPSHOTS] == len(snapshots) - len(chats)


def test_snapshots_from_a_pipe_cannot_be_weighed(tmp_path):
    rows = [{"id": "a", "messages": said("hi", "yo")}, {"id": "a", "messages": said("hi", "yo", "rye?", "yes")}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    result = collab("logs", "import", "-", "--store", tmp_path / "s.db", stdin=text)
    assert result.exit_code == 3
    assert "duplicate id 'a'" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "[[]]", "{}", "null", "17\n18\n", "\n\n"])
def test_a_file_without_a_row_is_exit_1_with_a_reason(tmp_path, text):
    (tmp_path / "log.json").write_text(text)
    result = collab("logs", "import", tmp_path / "log.json", "--store", tmp_path / "s.db")
    assert result.exit_code == 1
    assert "Failed:" in result.stderr
