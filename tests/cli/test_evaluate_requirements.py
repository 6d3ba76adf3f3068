"""`collab evaluate` in CI: an exit code of its own, decided by intervals."""

import json
import re

import pytest
from support.cli import chat_row, collab, write_chats

WORSE = 5
N = 16
"""Conversations, from which even shares on a grid have an interval."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Some chats, the same number of others, and what a bot that asks made of the first."""
    folder = tmp_path_factory.mktemp("requirements")
    write_chats(folder / "chats.jsonl", N)
    (folder / "others.jsonl").write_text("".join(json.dumps(chat_row(n, id=f"other-{n}")) + "\n" for n in range(N)))
    assert play(folder, "-a", "proactive:offline", "-o", folder / "asks.json").exit_code == 0
    return folder


def play(folder, *arguments, data="chats.jsonl"):
    files = ("--data", folder / data, "--cache-dir", folder / "cache")
    return collab("evaluate", "-t", "logs", *files, "--model", "offline", "--exchanges", 2, *arguments)


def test_a_bot_that_is_worse_than_the_baseline_fails_by_an_exit_code_of_its_own(folder):
    required = ("--baseline", folder / "asks.json", "--fail-if", "worse")
    result = play(folder, "-a", "offline", *required)
    assert result.exit_code == WORSE, result.output
    assert "Failed: interactivity of offline: -0." in result.stderr
    assert "Δ vs baseline" in result.stdout
    assert re.search(r"interactivity +0\.\d+.* 0\.\d+.* -0\.\d+", result.stdout), "what it was, is, and the difference"
    assert f"have {N} conversations in common" in result.stderr
    same = play(folder, "-a", "proactive:offline", *required)
    assert same.exit_code == 0, same.output
    assert "Failed" not in same.stderr
    assert play(folder, "-a", "offline", *required[:2]).exit_code == 0, "nothing was asked to fail"


def test_other_rows_are_compared_by_their_means(folder):
    result = play(folder, "-a", "proactive:offline", "--baseline", folder / "asks.json", data="others.jsonl")
    assert result.exit_code == 0, result.output
    assert "have no conversation in common" in result.stderr


def test_an_id_that_has_another_chat_or_goal_now_is_no_pair(folder, tmp_path):
    rows = [chat_row(n) for n in range(N)]
    rows[0]["messages"][0]["content"] = "a flight to Rome please"
    rows[1]["goal"] = "what: as said\nsize: small"
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = play(tmp_path, "-a", "offline", "--baseline", folder / "asks.json")
    assert f"have {N - 2} conversations in common" in result.stderr


@pytest.mark.parametrize(("least", "code"), [("interactivity=2", WORSE), ("interactivity=0", 0), ("goal=-1", 0)])
def test_a_metric_below_its_least_value_fails(folder, least, code):
    result = play(folder, "-a", "proactive:offline", "--fail-under", least)
    assert result.exit_code == code, result.output
    assert ("below 2" in result.stderr) is (code == WORSE)


def test_users_without_a_persona_are_compared_with_such_users_alone(folder):
    personas = ("--by-persona", "--persona", "impatient")
    before = folder / "personas.json"
    assert play(folder, "-a", "offline", *personas, "-o", before).exit_code == 0
    again = play(folder, "-a", "offline", *personas, "--baseline", before)
    assert again.exit_code == 0, again.output
    changes = again.stdout[again.stdout.index("\u0394 vs baseline") :]
    assert "0.000" in changes
    assert set(re.findall(r"[+-]\d\.\d+", changes)) <= {"+0.000", "-0.000"}, "the same bot, and the same users"
    assert f"have {N} conversations in common" in again.stderr
    with_all = play(folder, "-a", "offline", "--persona", "impatient", "--baseline", before)
    assert "cannot be the baseline: its by_persona is True, not False" in with_all.stderr


def test_too_few_conversations_decide_nothing(folder):
    result = play(folder, "-a", "offline", "--limit", 2, "--fail-under", "interactivity=0.5")
    assert result.exit_code == 1
    assert "No result: too few conversations to tell interactivity of offline" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-if", "worse"], "give --baseline FILE"),
        (["--fail-under", "goal=0.8", "--fail-under", "goal=0.2"], "'goal' is given more than once"),
        (["--fail-under", "gaol=0.5"], "there is goal, interactivity"),
        (["--fail-under", "macro accuracy=0.5"], "'macro accuracy' cannot be measured: no row is marked as ambiguous"),
        (["--fail-under", "goal"], "must read METRIC=VALUE"),
        (["--baseline", "chats.jsonl"], "this is not an evaluation file; collab evaluate -o writes one"),
        (["--baseline", "asks.json", "--judge", "offline:proactive"], "cannot be the baseline: its judge.name is"),
        (["--baseline", "asks.json", "--exchanges", "3"], "exchanges is 2, not 3"),
    ],
)
def test_requirements_that_can_decide_nothing_are_refused_before_any_call(folder, arguments, said):
    given = [folder / name if (folder / name).is_file() else name for name in arguments]
    result = play(folder, "-a", "offline", *given, "--max-calls", 0)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert "Stopped" not in result.stderr
