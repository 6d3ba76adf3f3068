"""What `collab score` answers: who played, how it went, which replies failed and why, and what to look at next."""

import json

import pytest
from collab_cli.worst import Worst
from support.cli import chat_row, collab, write_bot, write_chats
from support.fakes import says

from collab_sdk import MRScore
from collab_sdk.types import Future

LONG = "Which size, " + "and with which of our many syrups, " * 20 + "please?"
OFFLINE = ["--model", "offline", "--samples", 1, "--window", 1]


@pytest.fixture
def logs(tmp_path):
    """Two chats; the second has an id and a reply that no terminal has room for in a line."""
    rows = [chat_row(0), chat_row(1, id="chat-" + "of-a-long-name-" * 8)]
    rows[1]["messages"][3]["content"] = LONG
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_answer_begins_with_who_played_and_ends_with_what_to_look_at(logs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = collab("score", logs, *OFFLINE).stdout.splitlines()
    assert lines[0] == "bot offline (did not write the logs) · user offline · judge offline"
    assert lines[1] == "1 future of 1 exchange · goal + interactivity + token_penalty"
    assert lines[2].startswith("Mean MR ")
    assert "over 4 turns of 2 conversations" in lines[2]
    assert "of at most 2; 4 of 4 samples succeeded." in " ".join(lines[2:4])
    assert " ".join(lines[-2:]).startswith("Next: --table lists every turn; -o scores.jsonl keeps them")


def test_the_worst_replies_are_whole_with_their_place_and_the_reason(logs):
    said = collab("score", logs, *OFFLINE).stdout
    ids = [json.loads(line)["id"] for line in logs.read_text().splitlines()]
    assert LONG in " ".join(said.split())
    assert f"   {ids[1]}" in said.splitlines(), "an id is never cut, and has its line to itself"
    scores = [json.loads(line) for line in collab("score", logs, *OFFLINE, "--json").stdout.splitlines()]
    worst = min(scores, key=lambda score: score["mr"])
    first = said[said.index("The worst first:") :].splitlines()[1:3]
    assert first == [
        f"1. MR {worst['mr']:.2f} of at most 2, turn {worst['turn'] + 1}",
        f"   {worst['conversation_id']}",
    ]
    for name in ("goal", "interactivity"):
        reasons = {future["notes"][name] for score in scores for future in score["futures"]}
        if any(f"{name} " in line for line in said.splitlines()):
            assert any(" ".join(reason.split()) in " ".join(said.split()) for reason in reasons)


def test_only_five_of_many_are_shown(tmp_path):
    said = collab("score", write_chats(tmp_path / "chats.jsonl", 4), *OFFLINE).stdout
    assert "Worst five of 8:" in said
    assert said.count("   Sure, done.") + said.count("   Which size?") == 5


def test_a_bot_that_is_named_may_have_written_the_logs_and_a_metric_of_ones_own_has_no_highest_value(
    logs, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_lengths.py").write_text("def length(messages):\n    return len(messages)\n")
    bot = write_bot(tmp_path, "return 'Which size?'", name="named_bots")
    said = collab("score", logs, "-a", bot, *OFFLINE, "--metric", "py:own_lengths:length=0.5").stdout
    assert said.startswith(f"bot {bot} · user offline · judge offline")
    assert "0.5 length" in said
    assert "at most" not in said


def test_the_rows_of_a_table_are_whole_outside_a_terminal(logs, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    said = collab("score", logs, *OFFLINE, "--table").stdout
    assert any(LONG in line and line.rstrip().endswith("1/1") for line in said.splitlines())


def test_json_lines_have_the_answer_on_stderr(logs):
    result = collab("score", logs, *OFFLINE, "--json")
    assert "bot offline (did not write the logs)" in result.stderr
    assert "4 of 4 samples succeeded." in " ".join(result.stderr.split())
    assert [json.loads(line)["turn"] for line in result.stdout.splitlines()] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("roles", "warns"),
    [
        (["--model", "m"], True),
        (["--model", "m", "-a", "proactive:m"], True),
        (["--model", "m", "--judge", "other"], False),
        (["--model", "offline"], False),
    ],
)
@pytest.mark.parametrize("command", [["score"], ["export-prefs", "-o", "p.jsonl"]])
def test_a_model_that_judges_itself_is_warned_of(logs, roles, warns, command):
    result = collab(*command, logs, *roles, "--api-base", "http://127.0.0.1:9/v1", "--dry-run")
    assert result.exit_code == 0, result.output
    assert ("m is both bot and judge" in result.stderr) is warns


def test_a_table_is_for_people_and_json_is_not(logs):
    refused = collab("score", logs, *OFFLINE, "--table", "--json")
    assert refused.exit_code == 2
    assert "Give --table or --json, not both." in refused.stderr


def test_replies_are_ranked_by_their_value_where_a_metric_has_no_highest_one(capsys):
    def at_most(names):
        return None if "own" in names else float(len(names))

    worst = Worst(weights={"goal": 1.0, "own": 1.0}, at_most=at_most)
    for name, metric, value in (("lost-more-of-its-most", "goal", 0.5), ("earned-least", "own", 0.2)):
        futures = (Future(sample=0, messages=(), reward=value, metrics={metric: value}),)
        worst.add(
            MRScore(
                response=says(name),
                futures=futures,
                value=value,
                stderr=None,
                conversation_id=name,
                metrics={metric: value},
            )
        )
    worst.show("turn")
    said = capsys.readouterr().out
    assert said.index("earned-least") < said.index("lost-more-of-its-most")
