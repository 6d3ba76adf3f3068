"""Whatever order calls are recorded in, the same conversations come out, and nothing is stored twice."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calls import assistant, call, user

from collab_sdk.logs import ConversationStore
from collab_sdk.logs.store import database

SAID = st.sampled_from(["hi", "more", "no"])
ANSWERED = st.sampled_from(["Hello!", "Sure.", "Why?"])
STATUS = st.sampled_from(["ok", "ok", "ok", "partial", "failed"])


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """No power is cut here, and there are hundreds of stores."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "PRAGMAS", (*database.PRAGMAS, "synchronous = OFF"))
        yield


@st.composite
def app_calls(draw):
    """Calls as apps make them: each begins a chat, or goes on from, forks or repeats an earlier one."""
    calls = []
    for number in range(draw(st.integers(1, 12))):
        history, name, who = (), draw(st.sampled_from([None, None, "a", "b"])), draw(st.sampled_from([None, "ann"]))
        if calls and draw(st.integers(0, 3)):
            earlier = draw(st.sampled_from(calls))
            answer = draw(st.sampled_from(earlier.replies or ({"role": "assistant", "content": "unseen"},)))
            history = earlier.messages if draw(st.booleans()) else (*earlier.messages, answer)
            name, who = (earlier.conversation_id, earlier.user) if draw(st.booleans()) else (None, earlier.user)
        if not history or history[-1]["role"] == "assistant":
            history = (*history, user(draw(SAID)))
        replies = [assistant(text) for text in draw(st.lists(ANSWERED, min_size=1, max_size=2))]
        status = draw(STATUS)
        calls.append(
            call(
                f"run-{number}",
                *history,
                replies=() if status == "failed" else replies,
                conversation_id=name,
                user=who,
                status=status,
                ended=1.0 + number // 2,
            )
        )
    return calls


def stored(calls, cuts, folder):
    path = Path(folder) / "chats.db"
    with ConversationStore(path) as store:
        for start, end in zip([0, *cuts], [*cuts, len(calls)], strict=True):
            store.record(calls[start:end])
        conversations = sorted(store.conversations(), key=lambda conversation: conversation.id)
        chats = sorted(store.listing(), key=lambda chat: chat.id)
    return conversations, chats, rows(path)


def rows(path):
    """How many rows each table has, and how many point nowhere."""
    database = sqlite3.connect(path)
    tables = ("conversations", "calls", "replies", "messages")
    counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    lost = [
        "SELECT count(*) FROM calls WHERE conversation NOT IN (SELECT id FROM conversations)",
        "SELECT count(*) FROM calls WHERE follows NOT IN (SELECT id FROM calls)",
        "SELECT count(*) FROM calls WHERE history NOT IN (SELECT id FROM messages)",
        "SELECT count(*) FROM replies WHERE call NOT IN (SELECT id FROM calls)",
        "SELECT count(*) FROM messages WHERE parent NOT IN (SELECT id FROM messages)",
        """SELECT count(*) FROM messages WHERE id NOT IN (SELECT parent FROM messages WHERE parent IS NOT NULL)
           AND id NOT IN (SELECT history FROM calls WHERE history IS NOT NULL)
           AND id NOT IN (SELECT message FROM replies)
           AND id NOT IN (SELECT shown FROM calls WHERE shown IS NOT NULL)""",
        """SELECT count(*) FROM replies WHERE claimed !=
           EXISTS (SELECT 1 FROM calls WHERE follows = replies.call AND anchor = replies.said)""",
    ]
    counts["lost"] = sum(database.execute(query).fetchone()[0] for query in lost)
    database.close()
    return counts


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_order_and_any_repetition_give_the_same_conversations(data):
    calls = data.draw(app_calls())
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        expected = stored(calls, [], one)
        assert expected[2]["lost"] == 0
        again = data.draw(st.permutations(calls + data.draw(st.lists(st.sampled_from(calls), max_size=5))))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(again)), max_size=3)))
        assert stored(again, cuts, other) == expected


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_run_that_is_first_recorded_poorly_ends_as_if_it_never_was(data):
    calls = data.draw(app_calls())
    poor = [
        replace(one, replies=(), status="failed", conversation_id=None, model=None)
        for one in data.draw(st.lists(st.sampled_from(calls), min_size=1))
        if one.status == "ok"
    ]
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        assert stored(poor + calls, [len(poor)], other)[:2] == stored(calls, [], one)[:2]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.tuples(SAID, ANSWERED), min_size=1, max_size=4), min_size=1, max_size=5), st.randoms())
def test_chats_without_ids_that_begin_alike_stay_as_many_as_they_were(chats, random):
    """Each thread sends its whole chat so far; their calls interleave at random."""
    calls, ended = [], 0.0
    ahead = [(number, 1) for number in range(len(chats))]
    while ahead:
        number, length = ahead.pop(random.randrange(len(ahead)))
        *before, (asked, answered) = chats[number][:length]
        history = [message for said, reply in before for message in (user(said), assistant(reply))]
        ended += 1.0
        calls.append(call(f"{number}-{length}", *history, user(asked), replies=[assistant(answered)], ended=ended))
        if length < len(chats[number]):
            ahead.append((number, length + 1))
    with TemporaryDirectory() as folder:
        conversations, _, _ = stored(calls, [], folder)
    texts = [tuple(message.content for message in conversation.messages) for conversation in conversations]
    whole = sorted(tuple(text for pair in chat for text in pair) for chat in chats)
    assert sorted(texts) == whole
