"""The seat of the logs: what the real user said in the most similar situation."""

import asyncio
import json
import sys
import warnings
from contextlib import closing

import pytest
from support.cli import collab
from support.fakes import chat
from support.paths import DATA

from collab_sdk import Engine, Rollout, Simulator
from collab_sdk.errors import MissingExtraError, SampleError, UsageError
from collab_sdk.logs import ConversationStore
from collab_sdk.messages import Message
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'collab-sdk[evaluate]'")


def write(path, *chats, **fields):
    """Logged chats, each the texts of user and assistant in turn."""
    rows = ({"id": f"log-{n}", "messages": chat(*texts), **fields} for n, texts in enumerate(chats))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"logs:{path}"


TRAINS = ("a train to Berlin please", "which day do you travel", "on Friday at noon", "booked", "great, that is all")
COFFEES = ("a mocha please", "which size shall the drink be", "a large one", "it is ready", "thanks")


def test_the_logs_take_the_seat_in_five_lines(tmp_path):
    user = write(tmp_path / "chats.jsonl", TRAINS, COFFEES)
    bot = FakeChatModel(lambda request: "which size would you like?")
    rollout = Rollout(assistant=bot, simulator=user, window=1, samples=1, engine=Engine(cache=None))
    [future] = rollout.futures(chat("a tea", "which size of the drink?"), goal="a drink")
    assert future.messages[0].content in {message for each in (TRAINS, COFFEES) for message in each[2::2]}
    assert future.user == user


def test_the_reply_is_that_of_the_most_similar_situation(tmp_path):
    many = [(f"wish {n}", f"wholly other words {n}", f"reply {n}") for n in range(30)]
    asked = [("a drink", "which size shall the drink be", f"size {n}") for n in range(6)]
    users = Simulator(write(tmp_path / "chats.jsonl", *many, *asked))
    messages = chat("one drink", "which size shall it be?")
    said = {users.reply(messages, goal="unheard of", sample=str(n)).message for n in range(40)}
    assert said <= {f"size {n}" for n in range(6)}
    assert len(said) > 2, "it is drawn among the nearest"
    again = [users.reply(messages, goal="unheard of", sample="7") for _ in range(3)]
    assert again[0] == again[1] == again[2], "the same draw is the same message"


def test_among_equal_situations_those_are_drawn_whose_chats_fit_the_goal(tmp_path):
    tea = [("hello", "what would you like?", f"a green tea, number {n}") for n in range(8)]
    train = [("hello", "what would you like?", f"a train to Berlin on Friday {n}") for n in range(60)]
    users = Simulator(write(tmp_path / "chats.jsonl", *train, *tea))
    messages = chat("hello", "what would you like?")
    # A chat's first messages say what its user wants, where the row has no goal.
    said = {users.reply(messages, goal="drink: green tea", sample=str(n)).message for n in range(20)}
    assert {message.split(",")[0] for message in said} == {"a green tea"}


def test_a_conversation_begins_as_the_chat_whose_goal_is_nearest(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", TRAINS, COFFEES))
    assert users.reply([], goal="a large mocha").message == "a mocha please"
    assert users.reply([], goal="to travel to Berlin by train").message == "a train to Berlin please"


def test_the_goal_of_the_row_goes_before_the_first_messages(tmp_path):
    path = tmp_path / "chats.jsonl"
    rows = [{"id": n, "messages": chat("hi", "yes?", f"go {n}"), "goal": f"a {n}"} for n in ("pony", "unicorn")]
    path.write_text("\n".join(map(json.dumps, rows)))
    users = Simulator(f"logs:{path}")
    [said] = {users.reply([], goal="a unicorn", sample=str(n)).message for n in range(5)}
    assert said == "hi"
    assert users.reply(chat("hello", "what?"), goal="a unicorn", sample="1").message in ("go pony", "go unicorn")


def test_the_user_leaves_where_the_logged_one_left(tmp_path):
    ended = [("a mocha", f"it is ready at the counter {n}") for n in range(5)]
    users = Simulator(write(tmp_path / "chats.jsonl", COFFEES, *ended))
    left = users.reply(chat("a tea", "ready at the counter"), goal="a tea")
    assert (left.message, left.end) == ("", End.USER_DONE)


def test_a_goodbye_at_the_end_of_a_chat_is_said_and_left_with(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", ("a mocha", "here it is", "thanks, bye")))
    left = users.reply(chat("a tea", "here it is"), goal="a tea")
    assert (left.message, left.end) == ("thanks, bye", End.USER_DONE)
    asked = Simulator(write(tmp_path / "open.jsonl", ("a mocha", "here it is", "is it large?")))
    assert asked.reply(chat("a tea", "here it is"), goal="a tea").end is None, "the chat was broken off"


def test_nobody_leaves_where_the_log_breaks_off_within_the_answer(tmp_path):
    user = write(tmp_path / "chats.jsonl", ("a mocha", "which si"), metadata={"partial_turns": [0]})
    with pytest.raises(UsageError, match="no user answers an assistant"):
        Simulator(user)


def test_nothing_is_said_that_stands_in_the_chat_that_is_played(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", TRAINS, COFFEES))
    start = chat(*COFFEES[:2])
    for known in ("log-1", "logs/log-1", "of-another-name"):
        said = {
            users.reply(start, goal="a large mocha", sample=str(n), conversation_id=known).message for n in range(20)
        }
        assert not said & set(COFFEES), known


def test_a_copy_of_the_chat_under_another_id_is_left_out_too(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", TRAINS, COFFEES, COFFEES, (*COFFEES[:2], "a small one")))
    said = {
        users.reply(chat(*COFFEES[:2]), goal="mocha", sample=str(n), conversation_id="log-1").message for n in range(30)
    }
    assert "a large one" not in said
    assert "a small one" in said, "a chat that only begins alike is somebody else's"


def test_logs_of_the_played_chat_alone_make_a_missing_sample_with_blame(tmp_path):
    user = write(tmp_path / "chats.jsonl", COFFEES)
    with pytest.raises(SampleError, match="no other chat"):
        Simulator(user).reply(chat(*COFFEES[:2]), goal="a mocha")
    rollout = Rollout(
        assistant=FakeChatModel(lambda request: "ok"), simulator=user, samples=1, engine=Engine(cache=None)
    )
    [future] = rollout.futures(chat(*COFFEES[:2]), goal="a mocha")
    assert future.end is End.USER_FAILED
    assert future.reward is None


def test_no_long_message_is_said_twice(tmp_path):
    chats = [(f"hello {n}", "what would you like to drink", f"a large mocha with syrup {n}") for n in range(2)]
    users = Simulator(write(tmp_path / "chats.jsonl", *chats))
    said = users.reply(chat("hi", "what would you like to drink"), goal="a mocha").message
    again = [*chat("hi", "what to drink", said), Message(role="assistant", content="what would you like to drink")]
    other = users.reply(again, goal="a mocha").message
    assert other.startswith("a large mocha")
    assert other != said


def test_calls_and_results_are_no_part_of_a_situation(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", TRAINS, COFFEES))
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        *chat("a tea"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "which day do you travel"},
        {"role": "assistant", "content": "which size shall the drink be"},
    ]
    plain = [users.reply([*messages[:1], messages[-1]], goal="x", sample=str(n)) for n in range(5)]
    assert [users.reply(messages, goal="x", sample=str(n)) for n in range(5)] == plain


@pytest.mark.parametrize(
    ("said", "asked", "reply"),
    [("我要一杯茶", "您要大杯还是小杯？", "大杯"), ("una mesa", "¿para qué día?", "el viernes"), ("🙂", "🙂🙂", "👍")],
)
def test_other_languages_and_signs_are_found(tmp_path, said, asked, reply):
    others = [(f"x{n}", f"foreign {n}", f"none {n}") for n in range(30)]
    users = Simulator(write(tmp_path / "chats.jsonl", *others, *[(said, asked, reply)] * 5))
    found = {users.reply(chat("…", asked), goal="?", sample=str(n)).message for n in range(10)}
    assert found == {reply}


def test_a_store_is_read_like_any_log(tmp_path):
    write(tmp_path / "chats.jsonl", TRAINS, COFFEES)
    result = collab("logs", "import", tmp_path / "chats.jsonl", "--store", tmp_path / "chats.db")
    assert result.exit_code == 0, result.output
    (tmp_path / "chats.jsonl").unlink()
    stored = Simulator(f"logs:{tmp_path / 'chats.db'}")
    assert stored.reply([], goal="a large mocha").message == "a mocha please"
    with closing(ConversationStore(tmp_path / "chats.db")):
        assert Simulator(f"logs:{tmp_path}").reply([], goal="a large mocha").message == "a mocha please"


def test_the_fingerprint_is_of_the_contents(tmp_path):
    one, copy = write(tmp_path / "a.jsonl", TRAINS, COFFEES), write(tmp_path / "b.jsonl", TRAINS, COFFEES)
    other = write(tmp_path / "c.jsonl", TRAINS, (*COFFEES[:2], "a small one"))
    known = [Simulator(each).fingerprints["simulator"] for each in (one, copy, other)]
    assert known[0] == known[1] != known[2]
    left = Simulator(write(tmp_path / "d.jsonl", TRAINS[:4])).fingerprints
    broken_off = write(tmp_path / "d.jsonl", TRAINS[:4], metadata={"partial_turns": [1]})
    assert Simulator(broken_off).fingerprints != left, "where users leave is part of who they are"
    write(tmp_path / "a.jsonl", COFFEES)
    assert Simulator(one).fingerprints["simulator"] != known[0], "logs that have changed are read again"


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([{"role": "assistant", "content": "hello"}], "no user speaks"),
        (chat("hi", "hello"), "no user answers an assistant"),
        (chat("hi"), "no user answers an assistant"),
    ],
)
def test_logs_without_users_end_in_one_line_before_any_call(tmp_path, messages, problem):
    path = tmp_path / "empty.jsonl"
    path.write_text(json.dumps({"id": "a", "messages": messages}))
    with pytest.raises(UsageError, match=f"empty.jsonl: {problem}"):
        Simulator(f"logs:{path}")
    command = ["score", DATA / "coffee_chats.jsonl", "-a", "offline", "--judge", "offline", "--limit", "1"]
    result = collab(*command, "--simulator", f"logs:{path}", "--cache-dir", tmp_path / "cache")
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert problem in line
    assert "empty.jsonl" in line


def test_bad_rows_are_warned_of_and_the_others_used(tmp_path):
    user = write(tmp_path / "chats.jsonl", TRAINS, COFFEES)
    with open(tmp_path / "chats.jsonl", "a", encoding="utf-8") as file:
        file.write("{broken\n")
    with pytest.warns(UserWarning, match="1 bad rows are not used"):
        users = Simulator(user)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert users.reply([], goal="a mocha").message == "a mocha please"


def test_without_scikit_learn_it_ends_in_one_line(tmp_path, monkeypatch):
    user = write(tmp_path / "chats.jsonl", TRAINS)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'collab-sdk\[evaluate\]'"):
        Simulator(user)


def test_the_event_loop_goes_on_while_the_index_is_made(tmp_path):
    users = Simulator(write(tmp_path / "chats.jsonl", *[TRAINS, COFFEES] * 500))

    async def ticks() -> int:
        count = 0
        reply = asyncio.create_task(users.areply(chat("a tea", "which size?"), goal="a tea"))
        while not reply.done():
            count += 1
            await asyncio.sleep(0)
        await reply
        return count

    assert asyncio.run(ticks()) > 2


def test_every_message_of_real_chats_comes_from_another_chat(tmp_path):
    path = DATA / "coffee_chats.jsonl"
    users, rows = Simulator(f"logs:{path}"), [json.loads(line) for line in path.read_text().splitlines()]
    said_in: dict[str, set[str]] = {}
    for row in rows:
        for message in row["messages"]:
            if message["role"] == "user":
                said_in.setdefault(message["content"].strip(), set()).add(row["id"])
    for row in rows[:20]:
        for place, message in enumerate(row["messages"][:-1]):
            if message["role"] != "assistant":
                continue
            said = users.reply(
                row["messages"][: place + 1], goal=row["goal"], sample="1", conversation_id=row["id"]
            ).message
            assert not said or said_in[said] - {row["id"]}
