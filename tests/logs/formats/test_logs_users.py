"""Who the user of a row is and what they say: read, written, stored and sent to other machines as it was."""

import csv
import json

import pytest
from support.cli import collab

from collab_sdk import Goal, read_conversations
from collab_sdk.personas import PERSONAS
from collab_sdk.types import Conversation, Persona
from collab_sdk.values import dumps, loads

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "What can I get you?"}]
CURT = {"name": "curt", "traits": ["sceptical", "in a hurry"], "patience": 2, "writes": "one word", "forgets": "sizes"}
PERSONA = Persona(name="curt", traits=("sceptical", "in a hurry"), patience=2, writes="one word", forgets="sizes")


def read(tmp_path, *rows):
    path, problems = tmp_path / "chats.jsonl", []
    path.write_text("".join(json.dumps({"messages": MESSAGES, **row}) + "\n" for row in rows))
    return list(read_conversations([path], on_error=lambda error: problems.append(str(error)))), problems


def test_a_row_says_who_its_user_is_and_what_they_say(tmp_path):
    [first, second], problems = read(
        tmp_path, {"goal": "a mocha", "persona": CURT, "script": ["large", None]}, {"persona": "terse"}
    )
    assert not problems
    assert first.goal == Goal(text="a mocha", persona=PERSONA, script=("large", None))
    assert second.goal == Goal(text="", persona=PERSONAS["terse"]), "what they want has still to be inferred"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"script": "large"}, "script must be a list of what the user says, with null for a turn that is made up"),
        ({"script": ["large", 3]}, "script must be a list"),
        ({"script": ["large", " "]}, "script must be a list"),
        ({"persona": ["curt"]}, "persona must be a name, or an object with a name"),
        ({"persona": {"traits": ["curt"]}}, "persona: 'name' is missing"),
        ({"persona": {"name": " "}}, "persona: its name is empty"),
        ({"persona": {"name": "curt", "trait": "x"}}, "unknown key 'trait': did you mean 'traits'?"),
        ({"persona": {"name": "curt", "patience": "two"}}, "persona: patience: expected a whole number"),
        ({"persona": {"name": "curt", "traits": "sceptical"}}, "persona: traits: expected a list"),
        ({"persona": {"name": "curt", "writes": "one word", "patience": 0}}, "persona: patience is 0; it must be at"),
        ({"persona": {"name": "curt", "writes": "one word", "patience": -3}}, "persona: patience is -3; it must be at"),
        ({"persona": "impatiant"}, "persona: 'impatiant' is not in the library (none, impatient, "),
        (
            {"persona": {"name": "curt"}},
            "persona: 'curt' says neither how they behave nor how they write, and is not in",
        ),
        ({"persona": {"name": "none", "traits": ["rude"]}}, "persona: 'none' is the name of a user without"),
        ({"persona": {"name": "a\u001b[2J", "traits": ["rude"]}}, "persona: its name has a line break or a control"),
    ],
)
def test_what_is_of_another_type_costs_that_row_alone_in_one_line(tmp_path, fields, problem):
    found, problems = read(tmp_path, {}, fields, {"script": None, "persona": ""})
    assert [conversation.goal for conversation in found] == [None, None]
    [line] = problems
    assert line.startswith(f"{tmp_path / 'chats.jsonl'}:2: ") and problem in line and "\n" not in line


def test_a_table_has_them_as_json_text(tmp_path):
    path = tmp_path / "chats.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["messages", "persona", "script"])
        table.writerow([json.dumps(MESSAGES), json.dumps({**CURT, "patience": 2.0}), json.dumps(["large", None])])
        table.writerow([json.dumps(MESSAGES), "terse", ""])
    first, second = read_conversations([path], on_error=lambda error: pytest.fail(str(error)))
    assert first.goal is not None and (first.goal.persona, first.goal.script) == (PERSONA, ("large", None))
    assert second.goal is not None and second.goal.persona == PERSONAS["terse"]


@pytest.fixture
def conversation(tmp_path):
    [read_back], _ = read(tmp_path, {"id": "c", "goal": "a mocha", "persona": CURT, "script": ["large", None]})
    return read_back


def test_a_store_keeps_them(tmp_path, conversation):
    source, store, target = tmp_path / "chats.jsonl", tmp_path / "chats.db", tmp_path / "out.jsonl"
    assert collab("logs", "import", source, "--store", store).exit_code == 0
    assert collab("logs", "export", store, "--format", "collab", "-o", target).exit_code == 0
    [row] = map(json.loads, target.read_text().splitlines())
    assert (row["persona"], row["script"]) == (CURT, ["large", None])
    [again] = read_conversations([target], on_error=lambda error: pytest.fail(str(error)))
    assert again.goal == conversation.goal


def test_they_reach_another_machine(conversation):
    assert loads(Conversation, dumps(conversation)).goal == conversation.goal
