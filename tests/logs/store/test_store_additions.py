"""What an app adds to a turn for the model alone is not in the chat, and neither are drafts that it did not show."""

import pytest
from support.calls import assistant, call, user

from collab_sdk.logs import ConversationStore

SHOP = {"role": "system", "content": "You are the support bot of a shop. Be brief."}
CHAT = [
    ("Hi, I need help with my order 4711.", "Of course! What seems to be the problem?"),
    ("It has not arrived yet.", "I am sorry. It was shipped on Monday and should arrive tomorrow."),
    ("Can you send it again?", "If it is not there by Friday, I will send it again."),
    ("Thanks, that is all.", "You are welcome. Have a nice day!"),
]
CRITIQUE, REWRITE = "Critique your answer: what is wrong with it?", "Rewrite your answer with the critique in mind."
NO_JSON = "That was not valid JSON. Answer again, JSON only."


def history(number):
    return [message for asked, reply in CHAT[:number] for message in (user(asked), assistant(reply))]


def critic(sent, reply):
    """A draft, what is wrong with it, and what is shown."""
    draft = [*sent, assistant(f"Draft: {reply}"), user(CRITIQUE)]
    return [
        (sent, f"Draft: {reply}"),
        (draft, "It is too short."),
        ([*draft, assistant("It is too short."), user(REWRITE)], reply),
    ]


def form(sent, reply):
    return [(sent, "{oops"), ([*sent, assistant("{oops"), user(NO_JSON)], reply)]


def length(sent, reply):
    """An answer that was cut off, and its rest."""
    return [(sent, reply[:20]), ([*sent, assistant(reply[:20]), user("Continue.")], reply[20:])]


def documents(sent, reply):
    return [
        ([*sent[:-1], user(f"Here are documents that may help:\n<doc>Price list {len(sent)}</doc>"), sent[-1]], reply)
    ]


@pytest.mark.parametrize("id", ["c", None])
@pytest.mark.parametrize("turn", [critic, form, length, documents])
def test_the_chat_has_what_was_shown_in_the_last_turn_too(tmp_path, turn, id):
    calls = []
    for number, (asked, reply) in enumerate(CHAT):
        for sent, said in turn([SHOP, *history(number), user(asked)], reply):
            at = 1_000.0 + 10 * len(calls)
            fields = {"conversation_id": id, "started": at - 3, "ended": at}
            calls.append(call(f"run-{len(calls)}", *sent, replies=[assistant(said)], **fields))
    with ConversationStore(tmp_path / "chats.db") as store:
        store.record(calls)
        [chat] = store.conversations()
    assert [message.content for message in chat.messages[1:]] == [text for exchange in CHAT for text in exchange]


@pytest.mark.parametrize("id", ["c", None])
def test_a_window_of_the_first_and_the_last_messages_is_one_of_the_chat(tmp_path, id):
    calls = []
    for number, (asked, reply) in enumerate(CHAT):
        sent = [*history(number), user(asked)]
        kept = sent if len(sent) <= 5 else [*sent[:2], *sent[-3:]]
        fields = {"conversation_id": id, "started": 10.0 * number + 1, "ended": 10.0 * number + 5}
        calls.append(call(f"run-{number}", SHOP, *kept, replies=[assistant(reply)], **fields))
    with ConversationStore(tmp_path / "chats.db") as store:
        store.record(calls)
        [chat] = store.conversations()
    assert [message.content for message in chat.messages[1:]] == [text for exchange in CHAT for text in exchange]
