"""What the store makes of the calls it is handed."""

import sqlite3

import pytest
from support.calls import assistant, call, user
from support.fakes import other_texts

from collab_sdk.errors import StoreError
from collab_sdk.logs import ConversationStore, LoggedCall
from collab_sdk.types import Goal

WEATHER = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]
OPENING = (user("hi"), assistant("Hello!"))


@pytest.fixture
def store(tmp_path):
    with ConversationStore(tmp_path / "chats.db") as store:
        yield store


def texts(conversation):
    return [message.content for message in conversation.messages]


def count(store, table):
    with store._database.reading() as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_chat_is_the_path_to_its_latest_reply(store):
    store.record([call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a", ended=1)])
    store.record([call("2", *OPENING, user("more"), replies=[assistant("Sure.")], conversation_id="a", ended=2)])
    [chat] = store.conversations()
    assert chat.id == "a"
    assert texts(chat) == ["hi", "Hello!", "more", "Sure."]
    assert chat.alternatives == {}


def test_several_generations_regenerations_and_forks_are_alternatives_of_one_history(store):
    store.record(
        [
            call("1", user("hi"), replies=[assistant("Hello!"), assistant("Hey.")], conversation_id="a", ended=1),
            call("2", *OPENING, user("more"), replies=[assistant("Sure.")], conversation_id="a", ended=2),
            call("3", *OPENING, user("more"), replies=[assistant("Gladly.")], conversation_id="a", ended=3),
            call("4", user("hi"), assistant("Yo"), user("?"), replies=[assistant("!")], conversation_id="a", ended=2.5),
        ]
    )
    [chat] = store.conversations()
    assert texts(chat) == ["hi", "Hello!", "more", "Gladly."]
    assert other_texts(chat) == {0: ("Hey.", "Yo"), 1: ("Sure.",)}


def test_a_generation_that_only_differs_in_spaces_is_no_alternative(store):
    store.record([call("1", user("hi"), replies=[assistant("Hello!"), assistant("Hello! \n")], ended=1)])
    [chat] = store.conversations()
    assert chat.alternatives == {}


def test_a_run_is_stored_once_and_its_richer_record_wins(store):
    full = call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a", model="m", ended=2)
    store.record([call("1", user("hi"), replies=[assistant("Hel")], status="partial", user="ann", ended=1)])
    for _ in range(2):
        store.record([full, full])
    store.record([call("1", user("hi"), replies=[], status="failed", error="TimeoutError", ended=3)])
    [chat] = store.conversations()
    assert (chat.id, texts(chat)) == ("a", ["hi", "Hello!"])
    assert chat.metadata == {"model": "m", "user": "ann"}
    assert [count(store, table) for table in ("conversations", "calls", "replies", "messages")] == [1, 1, 1, 2]


def test_a_failed_or_cancelled_call_makes_no_turn_but_is_known(store):
    store.record(
        [
            call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a", ended=1),
            call("2", *OPENING, user("more"), replies=[], status="failed", error="ValueError: no", conversation_id="a"),
            call("3", user("hi"), replies=[assistant("He")], status="cancelled", conversation_id="a", ended=3),
            call("4", user("hi"), replies=[], status="failed", conversation_id="b", ended=4),
        ]
    )
    [chat] = store.conversations()
    assert texts(chat) == ["hi", "Hello!", "more"], "what the user said to the failed call was said"
    assert chat.alternatives == {}
    assert store.describe("a").failed == ("ValueError: no", "cancelled")
    assert store.describe("b").turns == 0
    assert store.get("b") is None


def test_a_reply_that_was_broken_off_is_marked_and_is_no_alternative(store):
    store.record([call("1", user("hi"), replies=[assistant("Hel")], status="partial", conversation_id="a", ended=1)])
    [chat] = store.conversations()
    assert (texts(chat), chat.metadata) == (["hi", "Hel"], {"partial_turns": [0]})
    store.record([call("2", user("hi"), replies=[assistant("Hello!")], conversation_id="a", ended=2)])
    [chat] = store.conversations()
    assert (texts(chat), chat.metadata, chat.alternatives) == (["hi", "Hello!"], {}, {})


def test_tool_calls_their_results_and_the_tools_are_kept(store):
    asked, tools = user("Rome?"), ({"type": "function", "function": {"name": "weather"}},)
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    compact = [{**WEATHER[0], "function": {"name": "weather", "arguments": '{"city":"Rome"}'}, "index": 0}]
    store.record(
        [
            call("1", asked, replies=[assistant(None, tool_calls=WEATHER, refusal=None)], tools=tools, ended=1),
            call(
                "2",
                asked,
                assistant("", tool_calls=compact),
                result,
                replies=[assistant("Sunny.")],
                tools=tools,
                ended=2,
            ),
        ]
    )
    [chat] = store.conversations()
    assert [message.role for message in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[1].tool_calls[0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert chat.messages[2].tool_call_id == "c1"
    assert chat.tools == tools
    assert count(store, "toolsets") == 1


def test_a_call_without_an_id_joins_the_chat_it_goes_on_from(store):
    store.record([call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a", ended=1)])
    parts = {"role": "assistant", "content": [{"type": "text", "text": "Hello!"}], "name": None}
    store.record([call("2", user("hi"), parts, user("more"), replies=[assistant("Sure.")], ended=2)])
    store.record([call("3", user("hi"), replies=[assistant("Hello!")], ended=3)])
    named, orphan = store.conversations()
    assert (named.id, texts(named)) == ("a", ["hi", "Hello!", "more", "Sure."])
    assert orphan.id.startswith("orphan-")
    assert texts(orphan) == ["hi", "Hello!"]


def test_a_call_without_an_id_never_joins_another_users_chat(store):
    store.record([call("1", user("hi"), replies=[assistant("Hello!")], user="ann", ended=1)])
    store.record([call("2", *OPENING, user("I am ill"), replies=[assistant("Oh.")], user="bob", ended=2)])
    assert [chat.users for chat in store.listing()] == [("bob",), ("ann",)]


def test_a_late_record_of_the_beginning_brings_its_continuation_home(store):
    store.record([call("2", *OPENING, user("more"), replies=[assistant("Sure.")], ended=2)])
    store.record([call("1", user("hi"), replies=[assistant("Hello!")], conversation_id="a", ended=1)])
    [chat] = store.conversations()
    assert (chat.id, len(chat.messages)) == ("a", 4)
    assert len(store) == 1


def test_a_long_chat_is_stored_once_not_once_a_call(store):
    history = []
    for turn in range(30):
        history.append(user(f"question {turn}"))
        store.record([call(f"run-{turn}", *history, replies=[assistant(f"answer {turn}")], ended=float(turn))])
        history.append(assistant(f"answer {turn}"))
    assert count(store, "messages") == 60
    assert texts(next(store.conversations())) == [message["content"] for message in history]


def test_chats_come_in_the_order_they_were_first_seen_and_are_listed_latest_first(store):
    for number, ended in enumerate([3.0, 1.0, 2.0]):
        store.record(
            [call(str(number), user("hi"), replies=[assistant("yes")], conversation_id=f"c{number}", ended=ended)]
        )
    assert [chat.id for chat in store.conversations()] == ["c0", "c1", "c2"]
    assert [chat.id for chat in store.listing(limit=2)] == ["c0", "c2"]


def test_chats_can_be_recorded_while_they_are_read(store):
    for number in range(3):
        store.record([call(str(number), user("hi"), replies=[assistant("yes")], conversation_id=f"c{number}")])
    seen = []
    for chat in store.conversations():
        seen.append(chat.id)
        if len(seen) < 5:
            store.record([call(f"n{len(seen)}", user("x"), replies=[assistant("y")], conversation_id=f"n{len(seen)}")])
    assert seen == ["c0", "c1", "c2", "n1", "n2", "n3", "n4"]


def test_what_an_app_says_of_a_chat_is_its_metadata_and_its_goal(store):
    said = {"tier": "gold", "collab_goal": {"text": "a toast"}}
    recorded = call("1", user("hi"), replies=[assistant("Hello!")], source="openai", metadata=said)
    store.record([recorded])
    [chat] = store.conversations()
    assert chat.metadata == {"source": "openai", "tier": "gold"}
    assert chat.goal == Goal(text="a toast")


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": ("hi",)},
        {"metadata": {"when": object()}},
        {"status": "great"},
        {"usage": {"tokens": float("nan")}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_call_that_no_file_can_hold_is_refused_by_name_and_nothing_of_its_batch_is_kept(store, wrong):
    good = call("1", user("hi"), replies=[assistant("Hello!")])
    bad = LoggedCall(**({"run_id": "bad", "messages": (user("hi"),), "replies": ()} | wrong))
    with pytest.raises(StoreError, match="The call 'bad' cannot be stored"):
        store.record([good, bad])
    assert len(store) == 0


def test_text_that_utf_8_cannot_hold_and_times_that_are_none_are_mended(store):
    store.record(
        [call("\ud800", user("a\ud800b\0"), replies=[assistant("ok")], conversation_id="\udfff", ended=float("inf"))]
    )
    [chat] = store.conversations()
    assert texts(chat) == ["a\ufffdb\0", "ok"]


def test_an_unreadable_chat_is_reported_with_its_place_and_the_others_are_read(store):
    store.record(
        [
            call(
                "1", {"role": "wizard", "content": "abracadabra"}, replies=[assistant("Poof.")], conversation_id="bad"
            ),
            call("2", user("hi"), replies=[assistant("Hello!")], conversation_id="good"),
        ]
    )
    problems = []
    assert [chat.id for chat in store.conversations(on_error=problems.append)] == ["good"]
    [problem] = problems
    assert "conversation 'bad'" in str(problem)
    assert "unknown role 'wizard'" in str(problem)


def test_messages_that_go_in_a_circle_are_reported_and_the_others_are_read(store, tmp_path):
    for name in ("bad", "good"):
        first = call(f"{name}1", user(name), replies=[assistant("Hello!")], conversation_id=name, ended=1)
        then = call(
            f"{name}2", *first.messages, *first.replies, user("x"), replies=[assistant("y")], conversation_id=name
        )
        store.record([first, then])
    planted = sqlite3.connect(tmp_path / "chats.db")
    planted.execute("UPDATE messages SET parent = (SELECT max(id) FROM messages WHERE id < 5) WHERE id = 1")
    planted.commit()
    planted.close()
    problems = []
    assert [chat.id for chat in store.conversations(on_error=problems.append)] == ["good"]
    assert "not a tree" in str(problems[0])
    opening = (user("bad"), assistant("Hello!"))
    store.record([call("late", *opening, user("y"), replies=[assistant("z")], user="ann", ended=9)])  # and does end
