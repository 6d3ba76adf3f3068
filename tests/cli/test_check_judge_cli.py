"""`collab check-judge`: the table, JSON, budgets, resuming, and one clear line for bad input."""

import json
import sys

import pytest
from support.cli import bot_calls, collab, write_bot, write_chats

from collab_sdk.offline import sample_chats_path
from collab_sdk.report.turns import pair_id

OFFLINE = ("--model", "offline")


@pytest.fixture
def chats(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 12)


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Makes a judge of a function body; its module is forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda body: write_bot(tmp_path, body)
    sys.modules.pop("bots", None)


def check(*arguments):
    return collab("check-judge", *arguments)


def figures(result):
    return {figure["name"]: figure for figure in json.loads(result.stdout)["figures"]}


def test_the_offline_judge_passes_its_probes_in_a_table_of_80_columns():
    result = check(sample_chats_path(), *OFFLINE)
    assert result.exit_code == 0, result.output
    for part in ("flattery: gain", "reply over contentless", "another draw: kappa", "said twice: gain", "too few"):
        assert part in result.stdout
    assert "NO" not in result.stdout
    answers = {line[:24].strip(): line.split()[-1] for line in result.stdout.splitlines()}
    assert answers["contentless: gain"] == answers["another draw: kappa"] == "few", "12 chats give no interval"
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "offline on 12 chats" in result.stderr


def test_json_holds_the_figures_and_all_that_they_are_made_of(chats):
    row = json.loads(check(chats, *OFFLINE, "--repeats", 2, "--json").stdout)
    assert row["schema"] == "collab/judge-check/v1"
    assert (row["judge"], row["repeats"], row["made_with"]["judge"]["name"]) == ("offline", 2, "offline")
    by_probe = {}
    for each in row["judgements"]:
        by_probe.setdefault(each["probe"], []).append(each["score"])
    assert {probe: len(scores) for probe, scores in by_probe.items()} == dict.fromkeys(by_probe, 12)
    found = {figure["name"]: figure for figure in row["figures"]}
    gains = [flattery - none for flattery, none in zip(by_probe["flattery"], by_probe["silence"], strict=True)]
    assert found["flattery: gain"]["value"]["mean"] == pytest.approx(sum(gains) / 12)
    assert found["flattery: gain"]["holds"] is None, "12 chats give no interval"
    assert row["usage"]["judge"]["calls"]


def test_a_second_run_makes_no_call_and_says_the_same(chats):
    first, second = check(chats, *OFFLINE), check(chats, *OFFLINE)
    assert first.stdout == second.stdout
    assert next(line for line in second.stderr.splitlines() if line.startswith("total")).split()[1] == "0"


def test_a_budget_stops_the_run_and_the_same_command_goes_on(chats):
    stopped = check(chats, *OFFLINE, "--max-calls", 5)
    assert (stopped.exit_code, stopped.stdout) == (4, "")
    assert check(chats, *OFFLINE).exit_code == 0


def test_a_dry_run_estimates_and_calls_nobody(chats, tmp_path, judge):
    result = check(chats, "--model", judge("raise RuntimeError"), "--dry-run")
    assert result.exit_code == 0, result.output
    assert bot_calls(tmp_path) == 0
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    # A list of requirements, five probes of the first reply, and the whole chat three times, backwards and padded.
    assert int(lines["judge"][1]) == 12 * (1 + 5 + 3 + 2)


@pytest.mark.parametrize("kind", ["chats", "rated", "pairs"])
def test_no_run_makes_more_calls_than_a_dry_run_says(tmp_path, chats, kind):
    inputs = {"chats": [chats], "rated": ["--rated", write_rated(tmp_path)], "pairs": reviewed(tmp_path, chats)}[kind]
    command = [*inputs, *OFFLINE, "--cache-dir", tmp_path / "cache-of-its-own"]
    estimated, made = (calls(result) for result in (check(*command, "--dry-run"), check(*command)))
    assert made["judge"]
    assert {role: made[role] <= estimated.get(role, 0) for role in made} == dict.fromkeys(made, True)


def calls(result) -> dict[str, int]:
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    roles = ("assistant", "simulator", "judge", "goal", "tools")
    rows = [line for line in lines if line and line[0] in roles and "\u00b7" not in line]  # not the line of who played
    return {role: int(count.replace(",", "")) for role, count, *_ in rows}


def write_rated(folder):
    rows = [
        {
            "history": [{"role": "user", "content": f"a mocha with oat milk, please, {number // 2}"}],
            "history_id": f"h{number // 2}",
            "decision": {
                "role": "assistant",
                "content": ("Which size?", "A mocha with oat milk, here you are.")[number % 2],
            },
            "goal": "drink: mocha\nmilk: oat milk",
            "human": number % 2,
        }
        for number in range(24)
    ]
    path = folder / "rated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reviewed(folder, chats):
    pairs = folder / "prefs.jsonl"
    result = collab("export-prefs", chats, *OFFLINE, "-o", pairs)
    assert result.exit_code == 0, result.output
    turns = [json.loads(line) for line in (folder / "prefs.turns.jsonl").read_text().splitlines()]
    rows = [{"pair": pair_id(turn), "decision": "keep", "by": "me"} for turn in turns if turn["pair"]]
    decisions = folder / "prefs.decisions.json"
    decisions.write_text(json.dumps({"schema": "collab/decisions/v1", "of": {"file": pairs.name}, "decisions": rows}))
    return ["--pairs", pairs, "--decisions", decisions]


def test_rated_responses_need_no_logs(tmp_path):
    result = check("--rated", write_rated(tmp_path), "--window", 0, *OFFLINE, "--json")
    assert result.exit_code == 0, result.output
    found = figures(result)
    assert found["rated: AUC"]["value"]["mean"] == 1
    assert len(json.loads(result.stdout)["rated"]) == 24


def test_figures_beside_people_fit_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = check("--rated", write_rated(tmp_path), "--window", 0, *OFFLINE)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    assert lines[0].startswith("judge offline")
    assert ["figure", "n", "should", "be", "is", "it?"] in [line.split() for line in lines]
    assert "No figure" not in result.stderr


def test_of_rated_responses_of_one_kind_the_counts_are_said(tmp_path):
    one = tmp_path / "one.jsonl"
    one.write_text(write_rated(tmp_path).read_text().splitlines()[1] + "\n")
    result = check("--rated", one, "--window", 0, *OFFLINE)
    assert result.exit_code == 0
    assert "should be" not in result.stdout  # no table
    assert "No figure of rated responses: 1 good and 0 bad were judged" in result.stderr
    assert "No result" not in result.stderr
    row = json.loads(check("--rated", one, "--window", 0, *OFFLINE, "--json").stdout)
    assert (row["figures"], len(row["rated"])) == ([], 1)


def test_decisions_of_reviewers_are_set_beside_the_judge(tmp_path, chats):
    result = check(*reviewed(tmp_path, chats), *OFFLINE, "--json")
    assert result.exit_code == 0, result.output
    assert figures(result)["pairs: same order"]["value"]["mean"] == 1
    margins = [pair["margin"] for pair in json.loads(result.stdout)["reviewed"]]
    assert min(margins) > 0


def test_judgements_that_fail_are_named_and_the_others_shown(chats, judge):
    model = judge(
        "if 'brilliant' in str(messages):\n    raise RuntimeError('no flattery')\n"
        'return \'{"requirements": ["size"], "goal": {"verdicts": [{"number": 1, "met": true}]}, '
        '"interactivity": {"score": 0.5}}\''
    )
    result = check(chats, *OFFLINE, "--judge", model)
    assert result.exit_code == 3
    assert "Failed: chat-1: flattery:" in result.stderr
    assert "no flattery" in result.stderr
    assert "contentless: gain" in result.stdout
    assert "flattery: gain" not in result.stdout


def test_a_judge_that_answers_another_list_gives_no_result(chats, judge):
    model = judge(
        'return \'{"requirements": ["size"], "goal": {"verdicts": [{"number": 2, "met": true}]}, '
        '"interactivity": {"score": 0.5}}\''
    )
    result = check(chats, *OFFLINE, "--judge", model)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "each number from 1 to 1" in result.stderr or "from 1 to 1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "There is nothing to check the judge on"),
        (["--pairs", "CHATS"], "give both"),
        (["CHATS", "--metric", "token_penalty=1"], "asks the judge"),
        (["--rated", "CHATS"], "No result"),
    ],
)
def test_what_cannot_be_checked_is_one_line(chats, arguments, problem):
    result = check(*(chats if each == "CHATS" else each for each in arguments), *OFFLINE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert problem in result.stderr
