"""How commands end: exit codes, and one clear line for whatever went wrong."""

import json
import re
import sys

import click
import pytest
from collab_cli.main import main
from support.cli import bot_calls, chat_row, collab, write_bot, write_chats

from collab_sdk.engine import default_engine
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import ConversationStore

ANY_MARGIN = ("--min-margin", "0", "--min-confidence", "0")
OFFLINE = ("--model", "offline")
COMMANDS = {
    "score": ["score", "IN", *OFFLINE],
    "score --json -o": ["score", "IN", *OFFLINE, "--json", "-o", "OUT"],
    "score --dry-run": ["score", "IN", *OFFLINE, "--dry-run"],
    "export-prefs": ["export-prefs", "IN", *OFFLINE, "-o", "OUT"],
    "export-prefs --dry-run": ["export-prefs", "IN", *OFFLINE, "--dry-run"],
    "check-sim": ["check-sim", "IN", *OFFLINE],
    "check-sim --calibrate": ["check-sim", "IN", *OFFLINE, "--calibrate", "OUT"],
    "check-sim --dry-run": ["check-sim", "IN", *OFFLINE, "--dry-run"],
    "check-judge": ["check-judge", "IN", *OFFLINE],
    "check-judge --rated": ["check-judge", "--rated", "IN", *OFFLINE],
    "check-judge --decisions": ["check-judge", "--pairs", "IN", "--decisions", "IN", *OFFLINE],
    "check-judge --dry-run": ["check-judge", "IN", *OFFLINE, "--dry-run"],
    "evaluate": ["evaluate", "-t", "logs", "--data", "IN", "-a", "offline", *OFFLINE],
    "evaluate -o": ["evaluate", "-t", "logs", "--data", "IN", "-a", "offline", *OFFLINE, "-o", "OUT"],
    "evaluate --dry-run": ["evaluate", "-t", "logs", "--data", "IN", "-a", "offline", *OFFLINE, "--dry-run"],
    "tasks export": ["tasks", "export", "math-chat", "--data", "IN", *OFFLINE, "-o", "OUT"],
    "tasks export --dry-run": ["tasks", "export", "math-chat", "--data", "IN", *OFFLINE, "--dry-run"],
    "report": ["report", "IN", "-o", "OUT"],
    "report --apply": ["report", "IN", "--apply", "IN", "-o", "OUT"],
    "finetune": ["finetune", "IN", "-m", "BASE", "-o", "OUT"],
    "finetune --dry-run": ["finetune", "IN", "-m", "BASE", "-o", "OUT", "--dry-run"],
    "logs personas": ["logs", "personas", "IN", *OFFLINE, "-o", "OUT"],
    "logs personas --dry-run": ["logs", "personas", "IN", *OFFLINE, "--dry-run", "-o", "OUT"],
    "logs import": ["logs", "import", "IN", "--store", "STORE"],
    "logs export": ["logs", "export", "STORE", "-o", "OUT"],
    "logs list": ["logs", "list", "--store", "STORE"],
    "logs list --json": ["logs", "list", "--store", "STORE", "--json"],
    "logs show": ["logs", "show", "chat-0", "--store", "STORE"],
}
"""Every command that reads something, with IN, OUT and STORE for its files."""
NOTHING = {
    "empty": b"",
    "blank lines": b"\n\n",
    "not JSON": b"{broken\n" * 3,
    "UTF-16 that breaks off": json.dumps(chat_row(0)).encode("utf-16")[:31],
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "no chat": b'{"text": "a row of something else"}\n',
}
"""Files in which no command finds anything."""


def slow_if_it_trains(name):
    return pytest.param(COMMANDS[name], id=name, marks=[pytest.mark.slow] if name.startswith("finetune") else [])


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl")


@pytest.fixture
def bot(tmp_path, monkeypatch):
    """Makes a `py:` bot of a function body; its module is forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda body: write_bot(tmp_path, body)
    sys.modules.pop("bots", None)


def only_line(result, *, starts):
    """The one line of stderr that starts so."""
    [line] = [line for line in result.stderr.splitlines() if line.startswith(starts)]
    return line


def test_a_run_that_does_everything_exits_with_0(logs, tmp_path):
    result = collab("export-prefs", logs, "--model", "offline", "-o", tmp_path / "prefs.jsonl")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert (tmp_path / "prefs.jsonl").exists()
    assert f"Pairs:    {tmp_path / 'prefs.jsonl'}" in result.stderr


def test_without_a_model_both_ways_out_are_shown(logs):
    result = collab("score", logs)
    assert result.exit_code == 1
    assert "--model offline" in result.stderr
    assert "openai/gpt-4o-mini" in result.stderr


def test_a_bot_without_a_user_is_told_what_is_missing(logs):
    result = collab("score", logs, "--assistant", "offline")
    assert result.exit_code == 1
    assert "--simulator" in only_line(result, starts="Error:")


def test_a_user_without_a_bot_is_told_what_is_missing(logs):
    result = collab("score", logs, "--simulator", "offline")
    assert result.exit_code == 1
    assert "--assistant" in only_line(result, starts="Error:")


def test_an_unknown_metric_lists_the_known_ones(logs):
    result = collab("score", logs, "--model", "offline", "--metric", "gaol=1")
    assert result.exit_code == 1
    assert "Did you mean 'goal'? Known: accuracy, bleu" in only_line(result, starts="Error:")


@pytest.mark.parametrize(("metric", "problem"), [("=1", "NAME=WEIGHT"), ("goal=1,rate", "KEY=VALUE")])
def test_a_metric_that_is_half_there_is_a_usage_error(logs, metric, problem):
    result = collab("score", logs, "--model", "offline", "--metric", metric)
    assert result.exit_code == 2
    assert problem in result.stderr


@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
def test_a_limit_that_is_no_amount_of_money_is_a_usage_error(logs, number):
    assert collab("score", logs, "--model", "offline", f"--max-usd={number}").exit_code == 2


def test_a_line_that_is_not_json_is_named_and_the_rest_is_processed(logs, tmp_path):
    logs.write_text(logs.read_text() + "{broken\n" + json.dumps(chat_row(7)) + "\n")
    result = collab("score", logs, "--model", "offline", "--json")
    assert result.exit_code == 3
    assert f"{logs}:3: not JSON" in only_line(result, starts="Failed:")
    assert {json.loads(line)["conversation_id"] for line in result.stdout.splitlines()} == {
        "chat-0",
        "chat-1",
        "chat-7",
    }


@pytest.mark.parametrize("content", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("command", [slow_if_it_trains(name) for name in COMMANDS])
def test_a_command_that_finds_nothing_exits_with_1_and_one_line_says_why(command, content, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(content)
    ConversationStore(tmp_path / "chats.db").close()
    places = {"IN": "in.jsonl", "OUT": "out.jsonl", "STORE": "chats.db", "BASE": "base"}
    result = collab(*(tmp_path / places[one] if one in places else one for one in command))
    assert result.exit_code == 1, result.output
    assert len([line for line in result.stderr.splitlines() if line.startswith(("No result: ", "Error: "))]) == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["score --json -o", "check-sim --calibrate", "evaluate -o", "report", "logs export"])
def test_a_command_that_finds_nothing_leaves_an_earlier_output_as_it_was(name, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(NOTHING["not JSON"])
    (tmp_path / "out.jsonl").write_text("of an earlier run")
    ConversationStore(tmp_path / "chats.db").close()
    places = {"IN": "in.jsonl", "OUT": "out.jsonl", "STORE": "chats.db"}
    collab(*(tmp_path / places[one] if one in places else one for one in COMMANDS[name]))
    assert (tmp_path / "out.jsonl").read_text() == "of an earlier run"


def test_every_command_that_can_find_nothing_is_among_those_tested():
    walked = {" ".join(words for words in name.split() if not words.startswith("-")) for name in COMMANDS}
    context = click.Context(main)
    known = set()
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        known |= {f"{name} {each}" for each in command.commands} if isinstance(command, click.Group) else {name}
    changes_or_asks_nothing = {"demo", "doctor", "logs purge", "tasks list"}
    assert {name for name in known if not name.startswith("cache ")} - changes_or_asks_nothing == walked


def test_a_run_whose_samples_are_all_lost_has_no_result(logs, tmp_path, bot):
    lost = bot("raise ConnectionError('the line is dead') if len(messages) > 1 else ConnectionError('dead')")
    for command in (["score"], ["export-prefs", "-o", tmp_path / "p.jsonl"]):
        result = collab(*command, logs, "-a", lost, *OFFLINE)
        assert result.exit_code == 1, result.output


def test_an_export_without_a_single_pair_has_no_result(logs, tmp_path):
    result = collab("export-prefs", logs, *OFFLINE, "--min-margin", "50", "-o", tmp_path / "p.jsonl")
    assert result.exit_code == 1, result.output
    assert only_line(result, starts="No result:") == "No result: no pair was written."


def test_of_bad_lines_of_a_kind_the_first_is_shown_and_the_others_are_counted(logs):
    logs.write_text(logs.read_text() + "{broken\n" * 25)
    result = collab("score", logs, "--model", "offline")
    assert result.exit_code == 3
    assert result.stderr.count("Failed:") == 1
    assert "... and 24 more like that of" in result.stderr


def test_a_conversation_that_fails_is_reported_and_the_others_go_on(logs, tmp_path):
    known = json.dumps(chat_row(5, goal={"text": "a number", "reference": "4"}))
    logs.write_text(logs.read_text() + known + "\n")
    for command in (["score"], ["export-prefs", "-o", tmp_path / "prefs.jsonl", *ANY_MARGIN]):
        result = collab(*command, logs, "--model", "offline", "--metric", "accuracy=1", "--metric", "token_penalty=1")
        assert result.exit_code == 3
        assert result.stderr.count("Failed: chat-") == 2
        assert "needs a reference answer" in result.stderr


def test_a_file_that_is_missing_is_named(tmp_path):
    result = collab("score", tmp_path / "nowhere.jsonl", "--model", "offline")
    assert result.exit_code == 1
    assert "nowhere.jsonl: cannot be read: No such file" in only_line(result, starts="Error:")


def test_an_output_that_cannot_be_written_is_found_before_any_call(logs, tmp_path, bot):
    always = bot("return 'Here you are.'")
    result = collab("export-prefs", logs, "-a", always, "--model", "offline", "-o", tmp_path / "no" / "prefs.jsonl")
    assert result.exit_code == 1
    assert "does not exist" in only_line(result, starts="Error:")
    assert bot_calls(tmp_path) == 0


@pytest.mark.parametrize("output", [None, "-", "the logs"])
def test_an_output_that_makes_no_sense_is_a_usage_error(logs, output):
    before = logs.read_text()
    chosen = [] if output is None else ["-o", logs if output == "the logs" else output]
    assert collab("export-prefs", logs, "--model", "offline", *chosen).exit_code == 2
    assert logs.read_text() == before


@pytest.mark.parametrize(
    ("log", "output"),
    [
        ("data.eval.jsonl", "data.jsonl"),
        ("data.turns.jsonl", "data.jsonl"),
        ("data.jsonl.partial", "data.jsonl"),
        ("data.jsonl", "elsewhere/../data.jsonl"),
    ],
)
def test_a_log_is_never_replaced_by_any_file_of_an_export(tmp_path, log, output):
    (tmp_path / "elsewhere").mkdir()
    logs = write_chats(tmp_path / log)
    before = logs.read_text()
    for more in ([], ["--eval-fraction", "0.1"]):
        result = collab("export-prefs", logs, "--model", "offline", "-o", tmp_path / output, *more)
        assert result.exit_code == 2
        assert "is an input of this run" in only_line(result, starts="Error:")
        assert logs.read_text() == before


def test_a_log_behind_a_link_in_a_folder_is_never_replaced(tmp_path):
    logs = write_chats(tmp_path / "data.turns.jsonl")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link.jsonl").symlink_to(logs)
    before = logs.read_text()
    result = collab("export-prefs", tmp_path / "logs", "--model", "offline", "-o", tmp_path / "data.jsonl")
    assert result.exit_code == 2
    assert logs.read_text() == before


def test_an_export_into_a_folder_of_logs_is_refused_as_the_next_run_would_read_it(tmp_path):
    (tmp_path / "logs" / "deeper").mkdir(parents=True)
    write_chats(tmp_path / "logs" / "chats.jsonl")
    output = tmp_path / "logs" / "deeper" / "p.jsonl"
    result = collab("export-prefs", tmp_path / "logs", "--model", "offline", "-o", output, "--format", "sft")
    assert result.exit_code == 2
    assert "a folder of inputs" in only_line(result, starts="Error:")
    assert list((tmp_path / "logs" / "deeper").iterdir()) == []


def test_an_export_without_held_out_chats_beside_those_of_an_earlier_one_is_refused(logs, tmp_path, bot):
    command = ["export-prefs", logs, "-a", bot("return 'Here you are.'"), "--model", "offline"]
    (tmp_path / "p.eval.jsonl").write_text("")
    result = collab(*command, "-o", tmp_path / "p.jsonl")
    assert result.exit_code == 1
    assert "--eval-fraction" in only_line(result, starts="Error:")
    assert bot_calls(tmp_path) == 0


def test_a_second_export_to_the_same_file_is_refused_before_any_call(logs, tmp_path, bot):
    command = ["export-prefs", logs, "-a", bot("return 'Here you are.'"), "--model", "offline"]
    with JsonlWriter(tmp_path / "p.jsonl"):
        result = collab(*command, "-o", tmp_path / "p.jsonl")
    assert result.exit_code == 1
    assert "another run is writing this file" in only_line(result, starts="Error:")
    assert bot_calls(tmp_path) == 0


def test_a_metric_with_two_weights_is_a_usage_error(logs):
    result = collab("score", logs, "--model", "offline", "--metric", "goal=1", "--metric", "goal=5")
    assert result.exit_code == 2
    assert "'goal' is given more than once" in result.stderr


def test_candidates_that_could_not_be_drawn_are_counted_and_end_with_3(logs, tmp_path, bot):
    body = "if 'size' in messages[-1]['content']:\n    raise ValueError('no size')\nreturn 'Here you are.'"
    result = collab(
        "export-prefs", logs, "-a", bot(body), "--model", "offline", "-o", tmp_path / "p.jsonl", *ANY_MARGIN
    )
    assert result.exit_code == 3, result.output
    assert re.search(r"\d+ candidates could not be drawn\.", result.stderr)
    assert "no size" in result.stderr


def test_a_budget_in_dollars_needs_known_prices(logs, tmp_path, bot):
    always = bot("return 'Here you are.'")
    result = collab("score", logs, "-a", always, "--model", "offline", "--max-usd", "1")
    assert result.exit_code == 1
    assert "--max-calls" in only_line(result, starts="Error: The price of py:bots:bot")
    assert bot_calls(tmp_path) == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no database')", "raised ValueError: no database"),
        ("return None", "returned None"),
        ("return list(messages)", "role 'user'"),
    ],
)
def test_a_bot_at_fault_ends_the_run_in_one_clear_line(logs, bot, body, said):
    result = collab("score", logs, "-a", bot(body), "--model", "offline")
    assert result.exit_code == 1
    assert said in only_line(result, starts="Error:")
    assert "Traceback" not in result.output


def test_a_bot_that_ignores_the_history_gets_one_line_of_warning(logs, bot):
    result = collab("score", logs, "-a", bot("return 'You said ' + messages[-1]['content']"), "--model", "offline")
    assert result.exit_code == 0
    assert "read only the last message" in only_line(result, starts="Warning:")
    assert ".py:" not in result.stderr


@pytest.mark.parametrize("code", [None, "raise ValueError('no config')", "def bot(:", "raise SystemExit(2)"])
def test_a_bot_that_cannot_be_imported_is_named(logs, tmp_path, monkeypatch, code):
    monkeypatch.syspath_prepend(str(tmp_path))
    if code is not None:
        (tmp_path / "unsound.py").write_text(code)
    result = collab("score", logs, "-a", "py:unsound:bot", "--model", "offline")
    assert result.exit_code == 1
    assert "py:unsound:bot" in only_line(result, starts="Error:")


def test_a_cache_that_cannot_be_used_is_found_before_any_call(logs, tmp_path):
    (tmp_path / "file").write_text("")
    for command in (["score", logs, "--model", "offline"], ["cache", "stats"]):
        result = collab(*command, "--cache-dir", tmp_path / "file" / "cache")
        assert result.exit_code == 1
        assert "choose another with --cache-dir" in only_line(result, starts="Error: The cache directory")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize("command", ["score", "export-prefs", "check-sim", "check-judge", "evaluate"])
def test_another_cache_than_the_default_one_is_used_alone(logs, tmp_path, monkeypatch, command, dry):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COLLAB_CACHE_DIR", str(tmp_path / "file" / "cache"))
    default_engine.cache_clear()
    given = {"IN": logs, "OUT": tmp_path / "out.jsonl"}
    arguments = [given.get(part, part) for part in COMMANDS[command]]
    result = collab(*arguments, *dry, "--cache-dir", tmp_path / "cache-of-its-own")
    assert "cannot be used" not in result.stderr and result.exit_code == 0, result.output


def test_an_unexpected_error_is_one_line_too(logs, monkeypatch):
    def surprise(*_, **__):
        raise RuntimeError("something\nnobody thought of")

    monkeypatch.setattr("collab_cli.run.read_conversations", surprise)
    result = collab("score", logs, "--model", "offline")
    assert result.exit_code == 1
    assert "RuntimeError: something nobody thought of" in only_line(result, starts="Internal error:")

    monkeypatch.setenv("COLLAB_DEBUG", "1")
    result = collab("score", logs, "--model", "offline")
    assert isinstance(result.exception, RuntimeError)
