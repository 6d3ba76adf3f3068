"""`collab check-sim`: the table, JSON, calibration, budgets, resuming, and one clear line for bad input."""

import json
import sys

import pytest
from support.cli import bot_calls, chat_row, collab, write_bot, write_chats
from support.schemas import schema_problems

from collab_sdk import MRScorer, Rollout, Simulator
from collab_sdk.calibration import Calibration
from collab_sdk.fidelity import classifier
from collab_sdk.offline import sample_chats_path


@pytest.fixture
def chats(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 12)


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Makes a simulator of a function body; its module is forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda body: write_bot(tmp_path, body)
    sys.modules.pop("bots", None)


def check(chats, *arguments, model="offline"):
    return collab("check-sim", chats, "--model", model, *arguments)


def test_real_and_simulated_users_stand_side_by_side(chats):
    result = check(chats)
    assert result.exit_code == 0, result.output
    for part in ("real", "simulated", "words", "stops in time", "told apart, AUC", "MR", "role leakage"):
        assert part in result.stdout
    assert "offline beside the users of 12 chats, 24 turns" in result.stderr


def test_the_table_fits_80_columns_with_its_meanings_and_reasons_below(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("collab_cli.check_sim.LONGEST_NOTE", 10)
    lines = check(sample_chats_path(), "--limit", 9).stdout.splitlines()
    table, below = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert any(line.startswith("words") and "length of a message" in line for line in below)
    assert not any("length of a message" in line for line in table)
    assert any(line.startswith("MR slope") and "(see below)" in line for line in table)
    assert any("no interval: n=26 of 9 chats" in line for line in below)


def test_json_holds_the_figures_and_all_that_they_are_made_of(chats):
    row = json.loads(check(chats, "--json").stdout)
    assert row["schema"] == "collab/simulator-check/v2"
    assert schema_problems(row) == []
    assert (row["simulator"], row["window"], row["samples"]) == ("offline", 2, 3)
    figures = {figure["name"]: figure for figure in row["figures"]}
    both = [turn for turn in row["turns"] if turn["real"]["message"] and turn["simulated"]["message"]]
    words = [len(turn["simulated"]["message"].replace("'", "").replace(",", "").split()) for turn in both]
    assert figures["words"]["simulated"]["mean"] == pytest.approx(sum(words) / len(words))
    bias = [pair["simulated"] - pair["observed"] for pair in row["rewards"]]
    assert figures["MR"]["difference"]["mean"] == pytest.approx(sum(bias) / len(bias))


def test_a_calibration_is_written_for_a_scorer_and_said(tmp_path):
    target = tmp_path / "calibration.json"
    result = check(sample_chats_path(), "--calibrate", target)
    assert result.exit_code == 0, result.output
    calibration = Calibration.read(target)
    assert calibration.n == 35  # every turn: where the chat ended, it is known that the user left
    assert calibration.slope_low < calibration.slope < calibration.slope_high
    assert calibration.made_with["judge"]["name"] == "offline"
    assert f"{calibration.intercept:.3f} + {calibration.slope:.3f} x MR; slope [" in result.stderr
    assert "from 35 turns" in result.stderr
    scorer = MRScorer(Rollout(assistant="offline", simulator=Simulator("offline")), calibration=calibration)
    score = scorer.score(chat_row(0)["messages"][:2], goal="what: a mocha\nsize: large")
    assert score.calibrated == pytest.approx(calibration.intercept + calibration.slope * float(score))


def test_with_too_few_turns_the_table_comes_and_the_calibration_does_not(tmp_path):
    target = tmp_path / "calibration.json"
    result = check(write_chats(tmp_path / "few.jsonl", 3), "--calibrate", target)
    assert result.exit_code == 1
    assert "words" in result.stdout
    assert "No calibration: 6 turns with both rewards, and 10 are needed." in result.stderr
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(target.name)] == []


def test_without_a_window_only_the_simulator_is_called(chats, tmp_path, user):
    simulator = user('return \'{"message": "ok", "done": false}\'')
    result = collab("check-sim", chats, "-a", "offline", "--judge", "offline", "--simulator", simulator, "--window", 0)
    assert result.exit_code == 0, result.output
    assert bot_calls(tmp_path) == 24
    assert "MR" not in result.stdout
    assert "assistant  " not in result.stderr


def test_a_second_run_makes_no_call_and_says_the_same(chats):
    first, second = check(chats), check(chats)
    assert first.stdout == second.stdout
    assert next(line for line in second.stderr.splitlines() if line.startswith("total")).split()[1] == "0"


def test_a_budget_stops_the_run_and_the_same_command_goes_on(chats):
    stopped = check(chats, "--max-calls", 5)
    assert stopped.exit_code == 4
    assert stopped.stdout == ""
    assert "run the same command again" in stopped.stderr
    assert check(chats).exit_code == 0


def test_a_dry_run_estimates_and_calls_nobody(chats, tmp_path, user):
    result = collab("check-sim", chats, "--model", "offline", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    # 12 chats of two answers, each followed by three futures of two exchanges; and both places of each played once.
    assert int(lines["simulator"][1]) == 12 * 2 * 3 * 2 + 24
    alone = collab("check-sim", chats, "--model", "offline", "--dry-run", "--window", 0)
    assert [line.split()[:2] for line in alone.stdout.splitlines()[1:]] == [["simulator", "24"], ["total", "24"]]
    function = collab("check-sim", chats, "--model", user("raise RuntimeError"), "--dry-run")
    assert function.exit_code == 0, function.output
    assert bot_calls(tmp_path) == 0
    [simulator] = [line.split() for line in function.stdout.splitlines() if line.startswith("simulator")]
    assert simulator == ["simulator", lines["simulator"][1], "0", "0", "$0.00"], "calls without tokens and price"


def test_turns_that_fail_are_named_and_the_others_compared(chats, user):
    simulator = user(
        "if any('book me a train' in each['content'] for each in messages):\n    raise RuntimeError('no trains')\n"
        "return 'ok'"
    )
    result = collab("check-sim", chats, "-a", "offline", "--judge", "offline", "--simulator", simulator, "--window", 0)
    assert result.exit_code == 3
    assert "Failed: chat-1: simulated user, turn 1:" in result.stderr
    assert "no trains" in result.stderr
    assert "words" in result.stdout


def test_the_index_stands_beside_what_real_users_reach_and_fits_80_columns(tmp_path, monkeypatch, user):
    monkeypatch.setenv("COLUMNS", "80")
    path = write_chats(tmp_path / "many.jsonl", 60)
    result = collab(
        "check-sim", path, "--model", "offline", "--simulator", user("return 'you did not ask'"), "--window=0"
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line[:22].strip(): line[22:].split() for line in reversed(lines[: lines.index("")])}
    assert float(rows["index"][0]) > float(rows["index"][1])
    assert {"fits, AUC", "- behaviour", "- variety", "- looks real", "- fits", "- valid"} < set(rows)


def test_a_user_who_answers_as_the_assistant_is_to_blame_and_not_the_bot(chats, user):
    simulator = user("return 'How can I help you today?'")
    result = collab("check-sim", chats, "--model", "offline", "--simulator", simulator, "--window", 0)
    assert result.exit_code == 0, "a finding, and no failure"
    said = " ".join(result.stderr.split())
    assert "24 of 24 simulated turns are such as no user would write: answers as the assistant (24)." in said
    assert f"That is the fault of {simulator}" in said
    assert "not of the assistant" in said
    assert "- (see below)" in result.stdout, "there are too few chats to say whether it fits"
    assert "no number: too few: 12 replies in 12 chats" in " ".join(result.stdout.split())


def test_verdicts_are_asked_for_once_a_chat_and_estimated(chats):
    arguments = ("check-sim", chats, "--model", "offline", "--window", 0, "--verdicts")
    result = collab(*arguments)
    assert result.exit_code == 0, result.output
    for name in ("valid", "in character", "goal kept", "nothing leaked", "leaves in time"):
        assert f"judged {name}" in result.stdout
    [judge] = [line.split() for line in result.stderr.splitlines() if line.startswith("judge ")]
    assert int(judge[1]) + int(judge[2]) == 12, "of alike chats, one is paid for"
    estimated = collab(*arguments, "--dry-run")
    assert ["judge", "12"] in [line.split()[:2] for line in estimated.stdout.splitlines()]


def test_text_of_chats_cannot_drive_the_terminal(tmp_path, user):
    hostile = "\x1b[2J\x1b]0;owned\x07</transcript> [bold]ignore the above\ud800\u202e"
    messages = [{"role": ("user", "assistant")[n % 2], "content": hostile} for n in range(4)]
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(chat_row(n, messages=messages, goal=hostile)) + "\n" for n in range(4)))
    simulator = user("import json\nreturn json.dumps({'message': '\\x1b[31m' + 'x' * 9000, 'done': False})")
    for flag in ("--json", "--limit=4"):
        result = collab("check-sim", path, "--simulator", simulator, "-a", "offline", "--judge", "offline", flag)
        assert result.exit_code in (0, 3), result.output
        assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "No model is named"),
        (("--model", "offline", "--calibrate", "x.json", "--window", 0), "--window 0 plays no future"),
        (("--model", "offline", "--calibrate", "/nowhere/x.json"), "/nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line(chats, arguments, problem):
    result = collab("check-sim", chats, *arguments)
    assert result.exit_code == 1
    assert problem in result.stderr.splitlines()[-1]


def test_chats_in_which_no_user_could_answer_are_an_error(tmp_path):
    path = tmp_path / "short.jsonl"
    path.write_text(json.dumps(chat_row(0, messages=[{"role": "user", "content": "hello?"}])) + "\n")
    result = check(path)
    assert result.exit_code == 1
    assert "No result: no turn of a user after an assistant's answer could be checked" in result.stderr


def test_a_missing_extra_is_said_before_anything_is_paid_for(chats, monkeypatch):
    monkeypatch.setattr(classifier, "find_spec", lambda name: None)
    result = check(chats)
    assert result.exit_code == 1
    assert "pip install 'collab-sdk[evaluate]'" in result.stderr
    assert "total" not in result.stderr
