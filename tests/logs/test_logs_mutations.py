"""Files in every format, damaged in thousands of ways: no crash, no wrong type, no word that is not in the file."""

import json
import os
import random
import re
from collections import Counter
from collections.abc import Mapping

import pytest
from test_logs_round_trips import SAMPLES

from collab_sdk import read_conversations
from collab_sdk.messages import ROLES
from collab_sdk.types import Conversation

FILES = int(os.environ.get("COLLAB_MUTATED_FILES", "1500"))
"""Over all formats; 20,000 take some minutes."""
WILD = (
    None, True, 0, -1, 1e300, "", " ", "null", "[]", "[1]", "{}", '{"role": "user"}', "\ud800", "\x00", "word " * 50,
    [], {}, [[]], [None], {"text": "inner"}, {"role": "user", "content": "inner"},
    [{"type": "mystery", "text": "inner"}], [{"type": "text", "text": "inner"}],
    {"a": {"b": {"c": []}}}, "2024-01-01T00:00:00Z", "9" * 400,
)  # fmt: skip
PLACED = re.compile(r"\[(?:image|audio|video|file|document|attachment)\]")
PIECES = re.compile(rb'\{"text": "')
WORD = re.compile(r"\w+")


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def mutated(rows, dice):
    """The rows with one to four things changed in them."""
    rows = json.loads(json.dumps(rows))
    for _ in range(dice.randint(1, 4)):
        *outer, last = dice.choice([path for path in places(rows) if path] or [(0,)])
        holder = at(rows, outer)
        if not isinstance(holder, dict | list) or not holder:
            continue
        change = dice.randrange(8)
        if change == 0:
            del holder[last]
        elif change == 1:
            holder[last] = json.loads(json.dumps(dice.choice(WILD)))
        elif change == 2:
            holder[last] = json.loads(json.dumps(at(rows, dice.choice(list(places(rows))))))
        elif change == 3 and isinstance(holder, list):
            holder.insert(0, json.loads(json.dumps(holder[last])))
        elif change == 4 and isinstance(holder, list):
            dice.shuffle(holder)
        elif change == 5 and isinstance(holder, dict):
            holder[dice.choice(("content", "role", "text", "id", "messages", "type", str(last).upper()))] = holder[last]
        elif change == 6:
            holder[last] = json.dumps(holder[last])
        else:
            holder[last] = [holder[last]]
    return rows


def as_bytes(rows, dice):
    text = json.dumps(rows) if dice.random() < 0.3 else "\n".join(map(json.dumps, rows))
    data = text.encode()
    if dice.random() < 0.15 and data:
        cut = dice.randrange(len(data))
        data = data[:cut] + dice.choice((b"", b"\xff", b"\x00", b"}", b"[", b'"')) + data[cut + dice.randrange(3) :]
    return data


def words_of(data):
    """All words in a file, in JSON within JSON within JSON, too."""
    text = data.decode("utf-8", "replace")
    unescaped = text
    for _ in range(3):
        text = text.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", " ").replace("\\t", " ")
        unescaped += " " + text
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
        unescaped += " " + text
    return set(WORD.findall(unescaped))


def is_joined(word, words):
    """Whether the word is several of them, as the parts of a reply that was streamed are joined."""
    ends = {0}
    for end in range(1, len(word) + 1):
        if any(word[begin:end] in words for begin in ends):
            ends.add(end)
    return len(word) in ends


def check(conversation, words, *, in_pieces):
    assert isinstance(conversation, Conversation)
    assert isinstance(conversation.id, str)
    assert all(isinstance(tool, Mapping) for tool in conversation.tools)
    others = (message for responses in conversation.alternatives.values() for other in responses for message in other)
    for message in (*conversation.messages, *others):
        assert message.role in ROLES
        assert isinstance(message.content, str)
        said = set(WORD.findall(PLACED.sub("", message.content)))
        strange = {word for word in said - words if not (in_pieces and is_joined(word, words))}
        assert not strange, f"{strange} in none of its words"
        for call in message.calls:
            assert isinstance(call.name, str)
            assert isinstance(call.arguments, str)
    list(conversation.turns())
    json.dumps([message.to_dict() for message in conversation.messages])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_give_chats_and_errors_and_nothing_else(name, tmp_path):
    dice = random.Random(name)
    outcome = Counter()
    for number in range(max(1, FILES // len(SAMPLES))):
        data = as_bytes(mutated(SAMPLES[name], dice), dice)
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(data)
        errors = []
        try:
            for conversation in read_conversations([path], on_error=errors.append, unanswered=True):
                outcome["chats"] += 1
                check(conversation, words_of(data), in_pieces=PIECES.search(data))
        except BaseException as error:
            raise AssertionError(f"{name}, file {number}: {data!r}") from error
        assert not [error for error in errors if "cannot read it" in str(error)], data  # a mistake in the format
        outcome["errors"] += len(errors)
        path.unlink()
    assert outcome["chats"]
