"""Whatever an app does to its histories, what is exported is what the person said and saw, each message once.

Where a chat has an id, it comes out whole. Without one it does too, or it is split, and a note counts that. What no
reading of the calls can tell is not asked for: `exchanges`, `apps` and `stories` say what that is, and `readings`.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.apps import SIDES, App, Exchange, Step, Story, a_little_late, play

from collab_sdk.logs import ConversationStore
from collab_sdk.logs.store import database

SAID = (
    "yes", "ok", "thanks", "no", "yes please", "Where is my order?", "Can I still change the size?",
    "How much is shipping?", "I would like to return the shoes.", "It should go to Berlin.",
)  # fmt: skip
TELLING = tuple(text for text in SAID if len(text.split()) > 3)
REPLIES = (
    "Done.", "Sure.", "You're welcome!", "Could you give me the number of the order?", "It was shipped on Monday.",
    "Is there anything else?", "Shipping is free from 50 euros on.", "Which size do you need?",
)  # fmt: skip
TOOLS = ("look_up", "ship", "research", "write")

SIDES_ALONE = [name for name, side in SIDES.items() if side.alone]
APPENDED = [name for name in SIDES if name.startswith("appended")]


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """No power is cut here, and there are hundreds of stores."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "PRAGMAS", (*database.PRAGMAS, "synchronous = OFF"))
        yield


class Words:
    """What is said: from a few texts that repeat themselves, or each text with a number of its own."""

    def __init__(self, draw, *, are_distinct, first):
        self.draw, self.are_distinct, self.given = draw, are_distinct, first

    def pick(self, texts):
        text = self.draw(st.sampled_from(texts))
        self.given += 1
        return f"{text} ({self.given})" if self.are_distinct else text


@st.composite
def exchanges(draw, words, app, *, is_first=False, depth=0):
    """An exchange of which the calls tell.

    Where the history that is sent is short, nothing tells a reply asked for anew from the next one. Nor does anything
    tell that two first messages, or two answers to one, are of the same chat if it has no id.
    """
    shows_its_place = words.are_distinct and (app.history in ("whole", "response") or app.size >= 4)
    is_whole, is_held = app.history in ("whole", "response"), app.history in ("response", "server")
    may_repeat = (is_whole or shows_its_place) and app.shown != "turn"
    steps = ()
    if (app.history not in ("window", "budget") or app.size >= 3) and app.shown != "turn":
        may_delegate = app.marked or (app.ids != "none" and app.history not in ("server",))
        inner = st.lists(st.sampled_from(["boots", "sandals", "laces"]), max_size=5 if may_delegate else 0)
        step = st.builds(
            lambda tool, argument, result, inner: Step(
                tool=tool, argument=words.pick([argument]), result=words.pick([result]), inner=tuple(inner)
            ),
            st.sampled_from(TOOLS),
            st.sampled_from(["order 1042", "the newest boots"]),
            st.sampled_from(["shipped", "2 pairs are left", "none found"]),
            inner,
        )
        if draw(st.integers(0, 3)) == 0:
            steps = draw(st.lists(st.lists(step, min_size=1, max_size=2).map(tuple), min_size=1, max_size=2).map(tuple))
    is_quoted = app.ids == "none" and app.sides and not app.marked  # a short text may be anybody's
    said, reply = words.pick(TELLING if is_quoted else SAID), words.pick(REPLIES)
    drafts = ()
    may_edit = may_repeat and not (is_first or depth or app.template or app.history in ("budget", "server"))
    if may_edit and draw(st.integers(0, 5)) == 0:
        drafts = tuple(draw(exchanges(words, app, depth=1)) for _ in range(draw(st.integers(1, 2))))
    others = st.lists(
        st.sampled_from(["Let me see.", "Certainly.", "Of course!"]).map(lambda text: words.pick([text])), max_size=1
    )
    may_retry = app.history != "server" and not (is_first and app.ids == "none")
    may_ask_anew = may_repeat and may_retry and draw(st.integers(0, 3)) == 0
    rejected = tuple(draw(others)) if may_ask_anew else ()
    may_come_back = may_ask_anew and app.history == "whole" and app.clock == "steady"
    reconsidered = tuple(draw(others)) if may_come_back else ()
    statuses = ["ok"] if rejected or reconsidered or not may_retry or app.shown == "turn" else ["ok"] * 9 + ["partial"]
    status = draw(st.sampled_from(statuses))
    attempts = st.lists(st.sampled_from(["failed", "cancelled", "partial"]), max_size=int(may_retry and status == "ok"))
    may_rework = (words.are_distinct or app.history == "whole") and not (is_held or app.shown or app.ids == "none")
    reworked = [None, None, None, f"{reply}\n\n-- The shoe shop", reply[:-1]]
    return Exchange(
        said=said,
        reply=reply,
        status=status,
        steps=steps,
        attempts=tuple(draw(attempts)),
        rejected=rejected,
        reconsidered=reconsidered,
        drafts=drafts,
        stored=draw(st.sampled_from(reworked)) if may_rework else None,
    )


@st.composite
def apps(draw, history, ids):
    """An app of which the calls tell what was said."""
    size = {"window": st.integers(1, 7), "budget": st.integers(150, 500), "summary": st.integers(2, 4)}
    size = draw(size.get(history, st.just(4)))
    shown = draw(st.sampled_from(["", "", "", "chat", "turn"])) if history in ("whole", "window") else ""
    is_whole = history in ("whole", "response") or shown == "chat"
    is_stateless = not is_whole and (history == "server" or size < 3)
    if is_stateless or shown == "turn" or (shown and history == "window"):
        ids = "named"
    marked = draw(st.booleans())
    may_wrap = not shown and (history == "whole" or (history == "summary" and ids == "named"))
    template = may_wrap and draw(st.integers(0, 3)) == 0
    may_lie = is_whole and not (template and ids == "none")
    clock = draw(st.sampled_from(["steady", "equal", "zero", "skewed", "jumping"])) if may_lie else "steady"
    system = draw(st.sampled_from(["none", "fixed", "fixed", "time", "facts"]))
    sides = ()
    if (marked or clock == "steady") and draw(st.booleans()):
        allowed = list(SIDES)
        if not marked and (is_stateless or ids == "none"):
            allowed = SIDES_ALONE if ids == "named" or not template else []
        elif not marked and system == "none":  # nothing tells a request for a title from the person's last message
            allowed = [name for name in SIDES if name not in APPENDED]
        sides = tuple(draw(st.lists(st.sampled_from(allowed), max_size=3, unique=True))) if allowed else ()
    return App(
        history=history,
        size=size,
        summary=draw(st.sampled_from(["system message", "system prompt", "user", "assistant", "pair", "acknowledged"])),
        system=system,
        template=template,
        shown=shown,
        ids=ids,
        clock=clock,
        sides=sides,
        marked=marked,
    )


@st.composite
def stories(draw, app, *, number, longest):
    is_short = app.history == "summary" or (app.history == "window" and app.size < 3)
    are_distinct = is_short or app.ids == "none" or app.template or app.clock != "steady" or draw(st.booleans())
    words = Words(draw, are_distinct=are_distinct, first=1000 * number)
    is_greeted = app.history != "budget" and app.size > 1 and app.shown != "turn"  # else no call holds it
    greeting = draw(st.sampled_from(["", "", "Hello! How can I help?"])) if is_greeted else ""
    # Of one exchange nothing tells what is beside it, where that has the same message or history.
    least = 1 if app.marked or all(SIDES[name].alone for name in app.sides) else 2
    length = draw(st.integers(least, longest))
    chat = [draw(exchanges(words, app, is_first=not n)) for n in range(length)]
    return Story(exchanges=tuple(chat), greeting=greeting, user=draw(st.sampled_from([None, "ann", "bob"])))


def read(calls, *, cuts=()):
    """What a store makes of the calls: its conversations, by id the listing, and the notes."""
    notes = Counter()
    with TemporaryDirectory() as folder, ConversationStore(Path(folder) / "chats.db") as store:
        for start, end in zip([0, *cuts], [*cuts, len(calls)], strict=True):
            store.record(calls[start:end])
        conversations = list(store.conversations(notes=notes))
        listed = {chat.id: chat for chat in store.listing()}
    return conversations, listed, notes


def spoken(conversation):
    return [message for message in conversation.messages if message.role != "system"]


def is_said(message, saying):
    calls = tuple((call["function"]["name"], call["function"]["arguments"]) for call in message.tool_calls)
    return message.role == saying.role and message.content in saying.texts and calls == saying.calls


def says(conversation, said):
    """Whether the conversation is these sayings."""
    messages = spoken(conversation)
    return len(messages) == len(said) and all(map(is_said, messages, said))


def is_part(conversation, said):
    """Whether it is some of these sayings, one after the other."""
    messages = spoken(conversation)
    starts = range(len(said) - len(messages) + 1)
    return any(all(map(is_said, messages, said[start:])) for start in starts)


def readings(chat, app):
    """What a chat may be taken for: what was said; where an edited message led further before, also that."""
    longer = [branch for branch in chat.abandoned if len(branch) > len(chat.said) or app.clock != "steady"]
    return [chat.said, *longer]


def check(played, app, conversations, listed, notes):
    for conversation in conversations:
        others = {message.content for each in conversation.alternatives.values() for other in each for message in other}
        assert not others & played.beside, "what was said beside a chat is no alternative"
    if app.ids == "none":
        check_unnamed(played, app, conversations, notes)
        return
    by_id = {conversation.id: conversation for conversation in conversations}
    assert len(by_id) == len(conversations)
    for chat in played.chats:
        assert any(says(by_id[chat.id], reading) for reading in readings(chat, app)), show(by_id[chat.id], chat)
    assert set(by_id) == {chat.id for chat in played.chats}


def check_unnamed(played, app, conversations, notes):
    whole = [
        any(says(conversation, reading) for conversation in conversations for reading in readings(chat, app))
        for chat in played.chats
    ]
    for conversation in conversations:
        assert any(
            is_part(conversation, reading) for chat in played.chats for reading in (chat.said, *chat.abandoned)
        ), show(conversation, *played.chats)
    assert len(conversations) == len(played.chats) or sum(notes.values()) or any(c.abandoned for c in played.chats)
    if not all(whole):
        assert sum(notes.values()), "a chat was split without a word"
    said = sum(len(chat.said) + sum(map(len, chat.abandoned)) for chat in played.chats)
    assert sum(len(spoken(conversation)) for conversation in conversations) <= said


def show(conversation, *chats):
    def line(role, text, calls):
        return f"  {role}: {text!r} {calls or ''}"

    read = [line(m.role, m.content, [c["function"]["name"] for c in m.tool_calls]) for m in spoken(conversation)]
    said = [["-- said:", *(line(s.role, min(s.texts), s.calls) for s in chat.said)] for chat in chats]
    return "\n".join(["", f"read ({conversation.id}):", *read, *(text for each in said for text in each)])


@st.composite
def runs(draw, history, ids, *, longest=5, most=3):
    app = draw(apps(history, ids))
    number = draw(st.integers(1, most))
    told = [draw(stories(app, number=n + 1, longest=longest)) for n in range(number)]
    order = draw(st.lists(st.integers(0, number - 1), max_size=8))
    return app, told, order


def check_run(run, data):
    app, told, order = run
    played = play(app, told, order=order)
    calls = a_little_late(played.calls, data.draw(st.integers(0, 9)))
    calls += data.draw(st.lists(st.sampled_from(calls), max_size=2))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(calls)), max_size=2)))
    check(played, app, *read(calls, cuts=cuts))


HISTORIES = ("whole", "window", "budget", "summary", "response", "server")
KINDS = [(history, ids) for history in HISTORIES for ids in ("named", "none") if (history, ids) != ("server", "none")]


@pytest.mark.parametrize("history, ids", KINDS)
@settings(max_examples=25, derandomize=True)
@given(st.data())
def test_what_is_exported_is_the_hidden_chat(history, ids, data):
    check_run(data.draw(runs(history, ids)), data)


@pytest.mark.slow
@pytest.mark.parametrize("history, ids", KINDS)
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_exported_is_the_hidden_chat_of_many_more_apps(history, ids, data):
    check_run(data.draw(runs(history, ids, longest=9, most=4)), data)
