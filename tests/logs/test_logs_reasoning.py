"""What a model thought in logged replies is kept apart: nobody is shown it, judged by it or trained on it."""

import json
from collections import Counter

import pytest
from support.fakes import judged, other_texts, scorer_of, user_says

from collab_sdk import ChatRequest, Conversation, Message, PreferenceExporter, read_conversations
from collab_sdk.logs import get_chat_writer
from collab_sdk.testing import FakeChatModel

SECRET = "Surely a mocha, I guess."
THOUGHT = f"<think>\n{SECRET}\n</think>\n\n"
PARTS = [{"type": "thinking", "thinking": SECRET}, {"type": "text", "text": "Which milk?"}]
REPLIES = {
    "openai": {"role": "assistant", "content": f"{THOUGHT}Which milk?"},
    "closing mark alone": {"role": "assistant", "content": f"{SECRET}\n</think>\nWhich milk?"},
    "a field": {"role": "assistant", "content": "Which milk?", "reasoning_content": SECRET},
    "another field": {"role": "assistant", "content": "Which milk?", "reasoning": SECRET},
    "parts": {"role": "assistant", "content": PARTS},
}


def row(reply: dict, **fields: object) -> dict:
    messages = [{"role": "user", "content": "a mocha"}, reply, {"role": "user", "content": "Oat."}]
    return {
        "id": "c",
        "goal": "drink: mocha",
        "messages": [*messages, {"role": "assistant", "content": "Sure."}],
        **fields,
    }


def read(tmp_path, *rows: dict, notes: Counter | None = None) -> list[Conversation]:
    log = tmp_path / "chats.jsonl"
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return list(read_conversations([log], notes=notes))


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_logged_reply_is_what_its_user_saw(reply, tmp_path):
    [chat] = read(tmp_path, row(reply))
    assert [message.content for message in chat.messages] == ["a mocha", "Which milk?", "Oat.", "Sure."]
    assert SECRET not in json.dumps([message.to_dict() for message in chat.messages])
    assert chat.messages[1].reasoning in (SECRET, "")


@pytest.mark.parametrize(
    "other",
    [
        {"conversations": [{"from": "human", "value": "a mocha"}, {"from": "gpt", "value": f"{THOUGHT}Which milk?"}]},
        {"prompt": "a mocha", "chosen": f"{THOUGHT}Which milk?", "rejected": f"{THOUGHT}No."},
    ],
    ids=["sharegpt", "preferences"],
)
def test_reasoning_is_left_out_of_every_format(other, tmp_path):
    [chat] = read(tmp_path, other)
    assert [turn.text for turn in chat.turns()] == ["Which milk?"]
    assert SECRET not in str(other_texts(chat))


def test_reasoning_is_left_out_of_logged_calls(tmp_path):
    asked = {"custom_id": "r", "method": "POST", "url": "/v1/chat/completions"}
    request = {**asked, "body": {"model": "m", "messages": [{"role": "user", "content": "a mocha"}]}}
    body = {"choices": [{"message": REPLIES["openai"], "index": 0, "finish_reason": "stop"}], "model": "m"}
    [chat] = read(tmp_path, request, {"custom_id": "r", "response": {"status_code": 200, "body": body}})
    assert [turn.text for turn in chat.turns()] == ["Which milk?"]


def test_what_was_left_out_is_counted(tmp_path):
    notes: Counter[str] = Counter()
    read(tmp_path, row(REPLIES["openai"]), row(REPLIES["a field"], id="d"), notes=notes)
    assert notes == {"replies with a model's reasoning, which was left out": 2}


def test_a_turn_of_thoughts_alone_is_none_and_others_keep_what_belongs_to_them(tmp_path):
    alone = {"role": "assistant", "content": f"<think>{SECRET}"}
    logged = row(alone, alternatives={"0": ["Lost."], "1": [f"{THOUGHT}Yes."]}, metadata={"partial_turns": [0, 1]})
    [chat] = read(tmp_path, logged)
    assert [turn.text for turn in chat.turns()] == ["Sure."]
    assert other_texts(chat) == {0: ("Yes.",)}
    assert chat.partial_turns == {0}


def test_a_log_that_is_written_again_keeps_its_reasoning(tmp_path):
    [chat] = read(tmp_path, row(REPLIES["openai"]))
    written = get_chat_writer("collab")(chat)
    assert written["messages"][1] == {"role": "assistant", "content": "Which milk?", "reasoning_content": SECRET}
    [again] = read(tmp_path, written)
    assert again == chat
    assert again.messages[1].reasoning == SECRET
    assert SECRET not in json.dumps([get_chat_writer(name)(chat) for name in ("openai", "sharegpt")])


def test_thoughts_that_are_logged_alone_are_those_of_the_words_behind_them_and_of_no_silence(tmp_path):
    thought = {"role": "assistant", "content": "", "reasoning_content": SECRET}
    spoken, silent = ({"role": "assistant", "content": text} for text in ("Which milk?", ""))
    asked = {"role": "user", "content": "a mocha"}
    chats = [{"id": reply["content"], "messages": [asked, thought, reply]} for reply in (spoken, silent)]
    [joined, apart] = read(tmp_path, *chats)
    assert [(message.content, message.reasoning) for message in joined.messages[1:]] == [("Which milk?", SECRET)]
    assert [(message.content, message.reasoning) for message in apart.messages[1:]] == [("", SECRET), ("", "")]


@pytest.mark.parametrize("is_read", [True, False], ids=["a log", "a conversation of one's own"])
def test_logged_thoughts_reach_neither_user_nor_judge_nor_bot_nor_pairs(is_read, tmp_path):
    seen: list[ChatRequest] = []

    def answering(text: str, name: str) -> FakeChatModel:
        def answer(request: ChatRequest) -> str:
            seen.append(request)
            score = judged(goal=float("Which milk?" in request.messages[-1].content))
            return score if name == "judge" else text

        return FakeChatModel(answer, name=name)

    def scorer():
        user, judge = answering(user_says("Oat."), "user"), answering("", "judge")
        return scorer_of(assistant=answering("Sure, done.", "bot"), user=user, judge=judge, samples=2)

    chats = read(tmp_path, row(REPLIES["openai"]))
    if not is_read:
        messages = tuple(map(Message.of, row(REPLIES["openai"])["messages"]))
        chats = [Conversation(id="c", messages=messages, goal=chats[0].goal)]
    plain = read(tmp_path, row({"role": "assistant", "content": "Which milk?"}))
    assert scorer().score_conversation(chats[0]) == scorer().score_conversation(plain[0])
    PreferenceExporter(scorer()).export(chats, tmp_path / "prefs.jsonl")
    assert (tmp_path / "prefs.jsonl").read_text()
    assert not any(SECRET in path.read_text() for path in tmp_path.glob("prefs*"))
    assert not any(SECRET in message.content for request in seen for message in request.messages)
