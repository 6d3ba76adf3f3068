"""What a person typed, out of the templates in which a model is sent it."""

import pytest
from support.calls import assistant, call, user

from collab_sdk.logs import ConversationStore

ASKED = ["What is the return policy?", "And for shoes?", "How much is shipping?"]
ANSWERED = ["You can return within 30 days.", "Shoes as well, if not worn.", "It is five dollars."]
KIND = {"role": "system", "content": "You are kind."}
FILLED = {
    "the question last": "Use the following context to answer.\n\nContext:\n{context}\n\nQuestion: {question}",
    "the question first": "{question}\n\nUse this context:\n{context}",
    "in tags": "<context>{context}</context>\n<question>{question}</question>\nAnswer briefly.",
}
WITH_HISTORY = {
    "a question beside it": ("Use the documents.\nSo far:\n{history}\nQuestion: {question}", "User: {}\nBot: {}"),
    "one transcript": ("You are a helpful bot.\n{history}\nHuman: {question}\nAI:", "Human: {}\nAI: {}"),
}


def read(path, sent, *, id):
    calls = [
        call(
            f"run-{number}",
            *messages,
            replies=[assistant(ANSWERED[number])],
            conversation_id=id,
            started=100.0 + 10 * number,
            ended=105.0 + 10 * number,
        )
        for number, messages in enumerate(sent)
    ]
    with ConversationStore(path) as store:
        store.record(calls)
        return [
            [message.content for message in chat.messages if message.role != "system"] for chat in store.conversations()
        ]


def exchanges(number):
    return [text for pair in zip(ASKED[:number], ANSWERED[:number], strict=True) for text in pair]


@pytest.mark.parametrize("id", ["c", None])
@pytest.mark.parametrize("template", FILLED.values(), ids=FILLED)
def test_the_last_message_is_typed_too_once_earlier_ones_taught_the_template(tmp_path, template, id):
    sent = []
    for number, question in enumerate(ASKED):
        history = [message(text) for text, message in zip(exchanges(number), (user, assistant) * number, strict=True)]
        sent.append([KIND, *history, user(template.format(context=f"Document {number}", question=question))])
    assert read(tmp_path / "chats.db", sent, id=id) == [exchanges(3)]


@pytest.mark.parametrize("id", ["c", None])
@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize(("template", "turn"), WITH_HISTORY.values(), ids=WITH_HISTORY)
def test_a_history_that_is_written_into_one_message_is_read_as_what_was_said(tmp_path, template, turn, length, id):
    sent, past = [], []
    for question, reply in zip(ASKED[:length], ANSWERED, strict=False):
        sent.append([user(template.format(history="\n".join(past), question=question))])
        past.append(turn.format(question, reply))
    assert read(tmp_path / "chats.db", sent, id=id) == [exchanges(length)]


def test_a_person_who_quotes_the_answer_says_what_they_say(tmp_path):
    again = f"You said: {ANSWERED[0]} Is that so?"
    sent = [[user(ASKED[0])], [user(ASKED[0]), assistant(ANSWERED[0]), user(again)]]
    assert read(tmp_path / "chats.db", sent, id="c") == [[*exchanges(1), again, ANSWERED[1]]]
