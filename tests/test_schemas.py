"""The JSON Schemas in schemas/: made from the types of the rows, and true of what the commands write."""

import json

import pytest
from jsonschema import Draft202012Validator
from support.agents import ORDER, called, returned, said
from support.cli import collab, write_chats
from support.paths import ROOT

from collab_sdk.calibration import Calibration, RewardPair
from collab_sdk.report import read_decisions
from collab_sdk.schemas import FILES, json_schema, write_schemas

NEW = ".venv/bin/python -m collab_sdk.schemas schemas"
WRITTEN = ("conversation/v1", "preference/v1", "score/v2", "scored-turn/v2", "run/v1", "evaluation/v1", "persona/v1")


def problems(row):
    """What a row has that its schema does not allow."""
    found = Draft202012Validator(json_schema(row["schema"])).iter_errors(row)
    return [f"{row['schema']} {error.json_path}: {error.message[:200]}" for error in found]


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_stands_in_the_folder_is_what_is_made_now(tmp_path):
    write_schemas(tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {file.name: file.read_text() for file in (ROOT / "schemas").iterdir()} == made, NEW


@pytest.mark.parametrize("name", FILES)
def test_each_is_a_json_schema(name):
    Draft202012Validator.check_schema(json_schema(name))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """All rows that the commands write of a few chats."""
    monkeypatch.chdir(tmp_path)
    logs, model = write_chats(tmp_path / "chats.jsonl"), ["--model", "offline"]
    deeds = [said("where is order 7?", "user"), called("get_order", order=7), returned("shipped"), said("Shipped.")]
    extra = {"persona": "terse", "script": ["thanks"], "ended": 1.0, "alternatives": {"0": ["No.", deeds[1:]]}}
    chat = {"id": "c", "messages": deeds, "tools": [ORDER], "goal": {"text": "know", "reference": "7"}, **extra}
    (tmp_path / "deeds.jsonl").write_text(json.dumps(chat) + "\n")
    bots = ["-a", "offline", "-a", "offline:proactive"]
    for command in (
        ["score", logs, *model, "-o", "scores.jsonl"],
        ["export-prefs", logs, *model, "-o", "prefs.jsonl", "--min-margin", "0", "--min-confidence", "0"],
        ["evaluate", "-t", "logs", "--data", logs, *bots, *model, "-o", "bots.json"],
        ["logs", "import", logs, tmp_path / "deeds.jsonl", "--store", "chats.db"],
        ["logs", "export", "chats.db", "-o", "export.jsonl"],
        ["logs", "personas", logs, *model, "-o", "users.jsonl"],
    ):
        result = collab(*command)
        assert result.exit_code == 0, result.output
    return [row for file in tmp_path.iterdir() if "json" in file.suffix for row in rows_of(file) if "schema" in row]


@pytest.mark.slow
def test_every_row_that_the_commands_write_is_as_its_schema_says(written):
    assert {row["schema"].removeprefix("collab/") for row in written} == {*WRITTEN}
    assert [problem for row in written for problem in problems(row)] == []
    broken = [{**row, "unheard of": 1} for row in written]
    assert all(map(problems, broken))


def test_a_calibration_is_as_its_schema_says():
    pair = RewardPair(conversation_id="c", turn=0, simulated=1.0, stderr=None, samples=3, observed=None)
    line = Calibration(intercept=0.1, slope=0.9, slope_low=0.5, slope_high=1.2, made_with={"window": 2}, data=(pair,))
    assert problems(json.loads(json.dumps(line.to_dict()))) == []


def test_what_the_page_saves_is_as_its_schema_says(tmp_path):
    decided = {"pair": "c/0", "conversation_id": "c", "decision": "flip", "by": "Ann", "at": "2026-11-01T10:00:00.000Z"}
    saved = {
        "schema": "collab/decisions/v1",
        "of": {"file": "prefs.jsonl", "pairs": 2, "digest": "abc"},
        "by": "Ann",
        "saved_at": "2026-11-01T10:00:01.000Z",
        "decisions": [decided],
    }
    (tmp_path / "decisions.json").write_text(json.dumps(saved))
    assert problems(saved) == []
    assert list(read_decisions(tmp_path / "decisions.json").by_pair) == ["c/0"]
    assert problems({**saved, "decisions": [{**decided, "decision": "perhaps"}]})
