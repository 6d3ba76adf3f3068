"""The JSON Schemas in schemas/: made from the types of the rows, and true of what the commands write."""

import json
import shutil

import pytest
from jsonschema import Draft202012Validator
from support.agents import ORDER, called, returned, said
from support.cli import collab, write_chats
from support.fakes import says
from support.paths import ROOT
from support.schemas import schema_problems

from collab_sdk.calibration import Calibration, RewardPair
from collab_sdk.logs import get_preference_format, preference_format_names
from collab_sdk.messages import as_messages
from collab_sdk.report import read_decisions
from collab_sdk.report.turns import pair_id
from collab_sdk.schemas import FILES, json_schema, write_schemas
from collab_sdk.types import MRScore, PreferencePair

NEW = ".venv/bin/python -m collab_sdk.schemas schemas"
WRITTEN = {"conversation/v1", "preference/v1", "score/v2", "scored-turn/v2", "run/v1", "evaluation/v1", "persona/v1"}
WRITTEN |= {"judge-check/v1", "decisions/v1"}
SIDES = (("It rains.", 0.75), ("No idea.", 0.5))
ANY_PAIR = ("--min-margin", "0", "--min-confidence", "0")
ELSEWHERE = {"calibration/v3", "simulator-check/v2"}
"""Of the latter, see test_check_sim_cli.py."""


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_stands_in_the_folder_is_what_is_made_now(tmp_path):
    write_schemas(tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {file.name: file.read_text() for file in (ROOT / "schemas").iterdir()} == made, NEW


@pytest.mark.parametrize("name", FILES)
def test_each_is_a_json_schema(name):
    Draft202012Validator.check_schema(json_schema(name))


def _run(*command):
    result = collab(*command)
    assert result.exit_code == 0, result.output
    return result.stdout


def _decide(path, turns):
    decided = [{"pair": name, "decision": "flip"} for turn in turns if (name := pair_id(turn))]
    path.write_text(json.dumps({"schema": "collab/decisions/v1", "of": {"file": "prefs.jsonl"}, "decisions": decided}))


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
    _run("export-prefs", logs, *model, "-o", "prefs.jsonl", *ANY_PAIR)
    shutil.copy("prefs.jsonl", "bare.jsonl")  # without what the export wrote beside it
    _decide(tmp_path / "decisions.json", rows_of(tmp_path / "prefs.turns.jsonl"))
    for command in (
        ["score", logs, *model, "-o", "scores.jsonl"],
        ["export-prefs", logs, *model, "-o", "implicit.jsonl", *ANY_PAIR, "--format", "trl-implicit"],
        ["report", "prefs.jsonl", "--apply", "decisions.json", "-o", "applied.jsonl"],
        ["report", "bare.jsonl", "--apply", "decisions.json", "-o", "bare-applied.jsonl"],
        ["evaluate", "-t", "logs", "--data", logs, *bots, *model, "-o", "bots.json"],
        ["logs", "import", logs, tmp_path / "deeds.jsonl", "--store", "chats.db"],
        ["logs", "export", "chats.db", "-o", "export.jsonl"],
        ["logs", "personas", logs, *model, "-o", "users.jsonl"],
    ):
        _run(*command)
    (tmp_path / "judged.json").write_text(_run("check-judge", logs, *model, "--json"))
    return [row for file in tmp_path.iterdir() if "json" in file.suffix for row in rows_of(file) if "schema" in row]


@pytest.mark.slow
def test_every_row_that_the_commands_write_is_as_its_schema_says(written):
    assert {row["schema"].removeprefix("collab/") for row in written} == WRITTEN
    assert {name.removeprefix("collab/") for name in FILES} == WRITTEN | ELSEWHERE
    assert any("prompt" not in row for row in written if row["schema"] == "collab/preference/v1")
    assert any("spec" not in row for row in written if row["schema"] == "collab/run/v1")
    assert any("made_with" not in row for row in written if row["schema"] == "collab/scored-turn/v2")
    assert [problem for row in written for problem in schema_problems(row)] == []
    broken = [{**row, "unheard of": 1} for row in written]
    assert all(map(schema_problems, broken))


@pytest.mark.parametrize("format", preference_format_names())
def test_pairs_of_every_format_that_names_a_schema_are_as_it_says(format):
    better, worse = (MRScore(response=says(text), futures=(), value=value, stderr=None) for text, value in SIDES)
    asked = as_messages([{"role": "user", "content": "weather?"}])
    pair = PreferencePair(conversation_id="c", turn=0, prompt=asked, chosen=better, rejected=worse, tools=(ORDER,))
    rows = get_preference_format(format).rows(pair)
    assert [problem for row in rows if "schema" in row for problem in schema_problems(row)] == []


def test_a_calibration_is_as_its_schema_says():
    pair = RewardPair(conversation_id="c", turn=0, simulated=1.0, stderr=None, samples=3, observed=None)
    line = Calibration(intercept=0.1, slope=0.9, slope_low=0.5, slope_high=1.2, made_with={"window": 2}, data=(pair,))
    assert schema_problems(json.loads(json.dumps(line.to_dict()))) == []


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
    assert schema_problems(saved) == []
    assert list(read_decisions(tmp_path / "decisions.json").by_pair) == ["c/0"]
    assert schema_problems({**saved, "decisions": [{**decided, "decision": "perhaps"}]})
