"""Chat collections published as data sets."""

import json
from pathlib import Path

import pytest

from collab_sdk.logs import read_conversations

SAID = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def read(tmp_path, *rows, **options):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    errors = []
    conversations = list(read_conversations([path], on_error=errors.append, **options))
    return conversations, [(Path(error.where).name, error.problem) for error in errors]


def test_lmsys_chats_are_read_with_model_and_language(tmp_path):
    row = {
        "conversation_id": "c1",
        "model": "vicuna-13b",
        "conversation": SAID,
        "turn": 1,
        "language": "English",
        "openai_moderation": [{"flagged": False}],
        "redacted": False,
    }
    [conversation], _ = read(tmp_path, row)
    assert conversation.id == "c1"
    assert [message.to_dict() for message in conversation.messages] == SAID
    assert conversation.metadata == {"model": "vicuna-13b", "language": "English"}


def test_wildchat_chats_lose_whatever_tells_who_it_was_and_share_a_hash_in_peace(tmp_path):
    who = {"hashed_ip": "0bad", "header": {"user-agent": "spy"}, "country": "Nowhere", "state": "Elsewhere"}
    row = {
        "conversation_hash": "h",
        "model": "gpt-4",
        "timestamp": "2023-04-09 00:02:53",
        "conversation": [{**message, **who, "turn_identifier": 1, "toxic": False} for message in SAID],
        "language": "English",
        **who,
    }
    conversations, errors = read(tmp_path, row, row)
    assert errors == []
    assert len({conversation.id for conversation in conversations}) == 2
    for conversation in conversations:
        assert [message.to_dict() for message in conversation.messages] == SAID
        assert set(conversation.metadata) == {"conversation_hash", "model", "timestamp", "language"}


def test_what_a_taskmaster_speaker_says_in_a_row_is_one_message(tmp_path):
    said = [("USER", "a latte"), ("USER", "to go"), ("ASSISTANT", "size?"), ("USER", "large"), ("assistant", "done")]
    utterances = [{"index": n, "speaker": speaker, "text": text} for n, (speaker, text) in enumerate(said)]
    [conversation], _ = read(tmp_path, {"conversation_id": "dlg-1", "instruction_id": "i", "utterances": utterances})
    assert conversation.id == "dlg-1"
    assert [message.content for message in conversation.messages] == ["a latte\nto go", "size?", "large", "done"]
    assert [message.role for message in conversation.messages] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"conversation": 5}, "the messages must be a list, not int"),
        ({"conversation": ["x"]}, "message 1: a message must be an object with role and content, not str"),
        ({"conversation": [{"role": "narrator", "content": "x"}]}, "message 1: unknown role 'narrator'"),
        ({"conversation_hash": "h", "conversation": []}, "no messages"),
        ({"utterances": None}, "the messages must be a list, not null"),
        ({"utterances": [5]}, "message 1: a message must be an object with role and content, not int"),
        ({"utterances": [{"speaker": "NARRATOR", "text": "x"}]}, "message 1: unknown role 'NARRATOR'"),
        ({"utterances": [{"speaker": "USER"}]}, "message 1: no content"),
    ],
)
def test_a_bad_row_is_an_error_with_its_place(tmp_path, row, problem):
    conversations, [(where, found)] = read(tmp_path, row, {"conversation_id": "ok", "conversation": SAID})
    assert [conversation.id for conversation in conversations] == ["ok"]
    assert where == "log.jsonl:1"
    assert found.startswith(problem)
