"""`collab logs`: import, list, show, export, purge."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from support.calls import assistant, call, user
from support.cli import chat_row, collab, write_chats
from support.reports import called, came_back, said

from collab_sdk.cache import open_cache
from collab_sdk.harvest import salted_user
from collab_sdk.logs import ConversationStore

ASKED = user("Weather in \x1b[31mRome\x07?\nAnd tomorrow?")


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 3)


@pytest.fixture
def imported(tmp_path, logs):
    collab("logs", "import", logs, "--store", tmp_path / "chats.db")
    return tmp_path / "chats.db"


@pytest.fixture
def harvested(tmp_path):
    """A chat with a tool call, two responses to one history, one broken off, and a call that failed."""
    with ConversationStore(tmp_path / "app.db") as store:
        tool = assistant(
            None, tool_calls=[{"id": "c", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}]
        )
        seen = (ASKED, tool, {"role": "tool", "tool_call_id": "c", "content": "sunny"})
        more = (*seen, assistant("Sunny."), user("Paris?"))
        fields = {"conversation_id": "42", "source": "langchain", "model": "gpt-4o", "user": salted_user("ann", "salt")}
        store.record(
            [
                call("1", ASKED, replies=[tool], ended=1e9, **fields),
                call("2", *seen, replies=[assistant("Sunny."), assistant("Hot, take a hat.")], ended=1e9 + 1, **fields),
                call("3", *more, replies=[], status="failed", error="TimeoutError: slow", ended=1e9 + 2, **fields),
                call("4", *more, replies=[assistant("Pa")], status="partial", ended=1e9 + 3, **fields),
            ]
        )
    return tmp_path / "app.db"


def test_logs_are_imported_once_however_often_that_is_asked_for(tmp_path, logs):
    store = tmp_path / "chats.db"
    first, again = (collab("logs", "import", logs, "--store", store) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert f"Imported 3 chats into {store}: 3 new, 0 that it had." in first.stderr
    assert f"Imported 3 chats into {store}: 0 new, 3 that it had." in again.stderr


def test_rows_that_cannot_be_imported_are_told_and_the_others_are_in(tmp_path, logs):
    with logs.open("a") as log:
        log.write('{"messages": []}\n' + json.dumps(chat_row(3)) + "\n")
    result = collab("logs", "import", logs, "--store", tmp_path / "chats.db")
    assert result.exit_code == 3
    assert "chats.jsonl:4: no messages" in result.stderr
    assert "Imported 4 chats" in result.stderr


def test_export_gives_back_what_was_imported(tmp_path, logs, imported):
    out = tmp_path / "out.jsonl"
    result = collab("logs", "export", imported, "-o", out)
    assert result.exit_code == 0, result.output
    assert "Wrote 3 chats" in result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.pop("schema") for row in rows] == ["collab/conversation/v1"] * 3
    given = [json.loads(line) for line in logs.read_text().splitlines()]
    assert [row | {"goal": row["goal"]["text"]} for row in rows] == given


def test_export_goes_to_stdout_and_in_other_formats(imported):
    result = collab("logs", "export", imported, "--format", "sharegpt", "--limit", 2)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["conversations"][0]["from"] for row in rows] == ["human", "human"]


def test_list_shows_the_latest_first_and_says_how_many_there_are(imported, harvested):
    result = collab("logs", "list", "--store", imported, "--limit", 2)
    assert len(re.findall(r"^chat-\d +import +2 ", result.stdout, re.MULTILINE)) == 2
    assert "2 of 3 chats" in result.stderr
    line = collab("logs", "list", "--store", harvested).stdout.splitlines()[-1]
    assert re.match(r"42 +langchain +2 +2001-09-09 \d\d:\d\d +gpt-4o +[0-9a-f]{32}", line)


def test_list_gives_json_lines_with_everything(harvested):
    [row] = [json.loads(line) for line in collab("logs", "list", "--store", harvested, "--json").stdout.splitlines()]
    assert row["schema"] == "collab/stored-chat/v1"
    assert (row["id"], row["turns"], row["calls"], row["failed"]) == ("42", 2, 4, ["TimeoutError: slow"])


def test_a_long_id_is_shown_whole_in_a_narrow_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    name = "thread-0c51ba56-8fab-4a6e-aa91-6067f10b855f"
    with ConversationStore(tmp_path / "chats.db") as store:
        fields = {"conversation_id": name, "source": "langchain", "user": salted_user("ann", "salt")}
        store.record([call("1", user("hi"), replies=[assistant("yes")], **fields)])
    shown = collab("logs", "list", "--store", tmp_path / "chats.db").stdout
    assert name in shown
    users = "".join(line[shown.splitlines()[0].index("user") :].strip() for line in shown.splitlines()[2:])
    assert users == salted_user("ann", "salt"), "folded, and nothing of it is cut off"


def test_an_empty_store_has_nothing_to_list(tmp_path):
    ConversationStore(tmp_path / "chats.db").close()
    result = collab("logs", "list", "--store", tmp_path / "chats.db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No result: there is no chat in" in result.stderr


def test_show_prints_the_chat_with_what_else_was_said_and_what_went_wrong(harvested):
    result = collab("logs", "show", "42", "--store", harvested)
    assert result.exit_code == 0, result.output
    blocks = [" ".join(block.split()) for block in result.stdout.split("\n\n")]
    assert blocks[0].startswith("42 · 2 turns · langchain · gpt-4o · 2001-09-09")
    assert blocks[1:] == [
        "user: Weather in [31mRome ? And tomorrow?",
        'assistant, turn 0: → weather(city="Rome") ← sunny Sunny.',
        'or, turn 0: → weather(city="Rome") ← sunny Hot, take a hat.',
        "user: Paris?",
        "assistant, turn 1 (broken off): Pa",
        "1 call without an answer: TimeoutError: slow",
    ]


@pytest.fixture
def beside(tmp_path):
    """A chat of two turns with a title beside it, one without, and calls that could not be recorded."""
    told = {"role": "system", "content": "Give a title of five words. " * 20}
    with ConversationStore(tmp_path / "app.db") as store:
        first, then = [user("Two tickets, please."), assistant("Where to?")], user("Rome")
        fields = {"conversation_id": "42", "source": "langchain"}
        store.record(
            [
                call("1", first[0], replies=first[1:], ended=1e9, **fields),
                call("t", told, first[0], replies=[assistant("Tickets")], ended=1e9 + 1, is_side=True, **fields),
                call("2", *first, then, replies=[assistant("Done.")], ended=1e9 + 2, **fields),
                call("3", user("hi"), replies=[assistant("Hello!")], ended=1e8, conversation_id="7"),
            ]
        )
        store.add_unrecorded({"its reply could\x1b[31m not be read": 12})
    return tmp_path / "app.db"


def test_list_counts_the_calls_beside_chats_and_those_that_are_in_none(beside, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = collab("logs", "list", "--store", beside)
    assert re.search(r"^id +source +turns +calls +last", result.stdout, re.MULTILINE)
    assert re.search(r"^42 +langchain +2 +1 +2001", result.stdout, re.MULTILINE)
    assert re.search(r"^7 +- +1 +1973", result.stdout, re.MULTILINE)
    assert "Note: 12 calls not recorded: its reply could not be read\n" in result.stderr
    listed = collab("logs", "list", "--store", beside, "--json")
    assert [json.loads(line)["side_calls"] for line in listed.stdout.splitlines()] == [1, 0]
    assert "12 calls not recorded" in listed.stderr


def test_show_tells_of_calls_beside_the_chat_and_shows_them_on_demand(beside, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = collab("logs", "show", "42", "--store", beside).stdout
    assert shown.endswith("Done.\n\n1 side call (--side-calls shows it)\n")
    assert "Tickets" not in shown
    shown = collab("logs", "show", "42", "--store", beside, "--side-calls").stdout
    title, *lines = shown.split("Done.\n\n")[1].splitlines()
    assert title.startswith("side call 1 · langchain · 2001-09-09")
    assert lines == [
        "  system: Give a title of five words. Give a title of five wor… (560 characters)",
        "  user:",
        "    Two tickets, please.",
        "  assistant:",
        "    Tickets",
    ]


@pytest.mark.parametrize("command", [("logs", "export"), ("score", "--model", "offline", "--limit", "1")])
def test_what_reads_a_store_says_what_it_leaves_out(beside, command):
    assert "Note: 1 x calls beside the chats" in collab(*command, beside).stderr


def shown_steps(tmp_path, *messages):
    """The lines of a turn with steps, as `logs show` has them."""
    row = {"id": "42", "messages": [{"role": "user", "content": "hi"}, *messages]}
    (tmp_path / "chats.jsonl").write_text(json.dumps(row))
    collab("logs", "import", tmp_path / "chats.jsonl", "--store", tmp_path / "steps.db")
    result = collab("logs", "show", "42", "--store", tmp_path / "steps.db")
    assert result.exit_code == 0, result.output
    return result.stdout.split("assistant, turn 0:\n")[1].splitlines()


def test_steps_are_a_line_each_with_results_under_their_calls(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parallel = [*called("look_up", '{"order": 5}', "a")["tool_calls"], *called("stock", "[broken", "b")["tool_calls"]]
    lines = shown_steps(
        tmp_path,
        {"role": "assistant", "content": "Let me see.", "tool_calls": parallel},
        came_back("y" * 2000, "b"),
        came_back("status:\nSHIPPED", "a"),
        called("", "", "c"),
        came_back("", "c"),
        said("It has shipped."),
    )
    assert lines == [
        "    Let me see.",
        "      → look_up(order=5)",
        "      ← status: SHIPPED",
        "      → stock([broken)",
        f"      ← {'y' * 52}… (2,000 characters)",
        "      → ?()",
        "      ← nothing",
        "    It has shipped.",
    ]
    assert max(map(len, lines)) == 80


def test_steps_cannot_drive_the_terminal(tmp_path):
    evil = "\x1b]0;owned\x07\u202e\x9b2J"
    lines = shown_steps(tmp_path, called(evil, json.dumps({evil: evil})), came_back(evil), called(evil, evil, "c2"))
    assert len(lines) == 3
    assert all("owned" in line for line in lines)
    assert not set("".join(lines)) & {"\x1b", "\x07", "\x9b", "\u202e"}


@pytest.mark.parametrize("arguments", [("show", "42"), ("list",)])
def test_text_from_chats_cannot_drive_the_terminal(tmp_path, arguments):
    evil = "\x1b]0;owned\x07\u202e\x9b2J"
    with ConversationStore(tmp_path / "chats.db") as store:
        fields = {"source": evil, "model": evil, "user": evil, "status": "partial"}
        store.record([call("1", user(evil), replies=[assistant(evil)], conversation_id="42", **fields)])
        store.record([call("2", user("x"), replies=[], conversation_id=evil, **fields | {"error": evil})])
    shown = collab("logs", *arguments, "--store", tmp_path / "chats.db").stdout
    assert "owned" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_an_unknown_chat_is_an_error_in_one_line(imported):
    result = collab("logs", "show", "nobody", "--store", imported)
    assert result.exit_code == 1
    assert result.stderr == f"Error: The store {imported} has no conversation 'nobody'.\n"


@pytest.mark.parametrize("command", [("list",), ("show", "x"), ("purge", "--user", "x")])
def test_a_store_that_is_not_there_is_not_made(tmp_path, command):
    result = collab("logs", *command, "--store", tmp_path / "chats.db")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert not (tmp_path / "chats.db").exists()


def test_purge_asks_first_and_says_what_goes(imported):
    refused = collab("logs", "purge", "--store", imported, "--conversation", "chat-1", stdin="n\n")
    assert refused.exit_code == 1
    assert f"Delete 1 chat with 1 call from {imported}? This cannot be undone." in refused.stderr
    done = collab("logs", "purge", "--store", imported, "--conversation", "chat-1", stdin="y\n")
    assert done.exit_code == 0, done.output
    assert f"Deleted 1 chat with 1 call and 4 messages from {imported}; 2 left." in done.stdout
    assert b"train to Berlin" not in imported.read_bytes()


def test_purge_needs_to_be_told_what_goes(imported):
    result = collab("logs", "purge", "--store", imported, "--yes")
    assert result.exit_code == 2
    assert "Say what goes: --older-than, --conversation or --user." in result.stderr


@pytest.mark.parametrize(
    "options",
    [("--user", "ann", "--salt", "salt"), ("--user", salted_user("ann", "salt")), ("--older-than", 30)],
    ids=["own id", "stored id", "age"],
)
def test_purge_finds_chats_by_user_and_by_age(harvested, options):
    result = collab("logs", "purge", "--store", harvested, *options, "--yes")
    assert "Deleted 1 chat with 4 calls and 7 messages" in result.stdout


def test_purge_by_age_goes_by_the_time_that_an_imported_log_tells(tmp_path, logs):
    old = chat_row(7, metadata={"timestamp": "2023-07-22T04:26:40Z"})
    logs.write_text(logs.read_text() + json.dumps(old) + "\n")
    store = tmp_path / "chats.db"
    collab("logs", "import", logs, "--store", store)
    assert re.search(r"^chat-7 .* 2023-07-2", collab("logs", "list", "--store", store).stdout, re.MULTILINE)
    result = collab("logs", "purge", "--store", store, "--older-than", 90, "--yes")
    assert "Deleted 1 chat with 1 call" in result.stdout
    assert "3 left" in result.stdout


def test_purge_spares_what_does_not_match(imported):
    for options in (("--older-than", 1), ("--user", "ann"), ("--conversation", "nobody")):
        result = collab("logs", "purge", "--store", imported, *options, "--yes")
        assert "Deleted 0 chats with 0 calls and 0 messages" in result.stdout
        assert "3 left" in result.stdout


def cached(cache):
    with closing(open_cache(str(cache))) as replies:
        return json.dumps([row for _, row in replies.rows()])


def test_purge_takes_what_was_said_from_the_cache_of_replies_too(tmp_path):
    logs, store, cache = tmp_path / "chats.jsonl", tmp_path / "chats.db", tmp_path / "cache"
    odd = 'My "<code>" is\nX-4711 [INST], and I live at the old mill.'
    rows = [chat_row(0), chat_row(1)]
    rows[1]["messages"][0]["content"] = odd
    said_by_both = rows[0]["messages"][2]["content"]
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    collab("logs", "import", logs, "--store", store)
    assert collab("score", store, "--model", "offline", "--cache", cache).exit_code == 0
    assert "the old mill" in cached(cache)
    assert said_by_both in cached(cache)
    purged = collab("logs", "purge", "--store", store, "--conversation", "chat-1", "--cache", cache, "--yes")
    assert purged.exit_code == 0, purged.output
    assert re.search(rf"Deleted [1-9]\d* replies from {cache}; [1-9]\d* left\.", purged.stdout)
    assert "the old mill" not in cached(cache)
    assert said_by_both in cached(cache), "what others said stays"
    with closing(sqlite3.connect(cache / "cache.db")) as file:
        assert file.execute("PRAGMA freelist_count").fetchone() == (0,), "nothing of it is in pages that are free"


def test_purge_says_what_else_may_hold_the_text(imported):
    said = collab("logs", "purge", "--store", imported, "--conversation", "chat-1", "--yes").stderr.splitlines()[-1]
    assert all(word in said for word in ("--cache", "preference", "reports", ".turns.jsonl", "backups"))


def test_purge_refuses_a_cache_that_is_not_there_before_anything_is_deleted(tmp_path, imported):
    result = collab("logs", "purge", "--store", imported, "--user", "x", "--cache", tmp_path / "none", "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no cache" in result.stderr


def test_score_and_export_prefs_take_a_store(tmp_path, imported):
    scored = collab("score", imported, "--model", "offline", "--limit", 1, "--json")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout.splitlines()[0])["conversation_id"] == "chat-0"
    exported = collab("export-prefs", imported, "--model", "offline", "-o", tmp_path / "prefs.jsonl")
    assert exported.exit_code == 0, exported.output
    assert {json.loads(line)["conversation_id"] for line in (tmp_path / "prefs.jsonl").read_text().splitlines()}


LED = [
    said("order 5?", "user"),
    called("look_up", '{"order": 5}'),
    came_back("SHIPPED"),
    said("Be brief now.", "system"),
    said("It has shipped."),
    said("thanks", "user"),
]


def test_what_the_system_says_within_a_turn_is_its_own_and_stays_where_it_was(tmp_path):
    row = {"schema": "collab/conversation/v1", "id": "led", "messages": LED}
    row["alternatives"] = {"0": [[*LED[1:3], said("It is on its way.")]]}
    (tmp_path / "led.jsonl").write_text(json.dumps(row))
    store = tmp_path / "led.db"
    assert collab("logs", "import", tmp_path / "led.jsonl", "--store", store).exit_code == 0
    shown = collab("logs", "show", "led", "--store", store).stdout
    assert re.findall(r"\n(\S.*|  or.*):\n", shown) == [
        "user",
        "assistant, turn 0",
        "system",
        "assistant, turn 0",
        "  or, turn 0",
        "user",
    ]
    with ConversationStore(store) as chats:
        chat = chats.get("led")
    assert [message.to_dict()["content"] for message in chat.messages] == [message["content"] or "" for message in LED]
    [turn] = chat.turns()
    assert [message.content for message in turn.alternatives[0]][1:] == ["SHIPPED", "It is on its way."]
    assert len(turn.alternatives) == 1
