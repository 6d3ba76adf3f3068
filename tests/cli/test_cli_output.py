"""What commands print."""

import json
import os
import re
from contextlib import suppress

import pytest
from collab_cli.progress import Progress, shown
from collab_cli.summary import show_missing, show_usage
from collab_cli.terminal import this_command
from collab_cli.units import dollars, duration, money, size
from support.brain import made_by
from support.cli import chat_row, collab, write_bot, write_chats
from support.faults import content, when
from support.reports import called, came_back, said
from support.server import LoopbackServer

from collab_sdk.engine.usage import Ledger, Usage
from collab_sdk.models.base import CallRole
from collab_sdk.stats import MissingTally


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl")


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_scores_fits_the_terminal(logs, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = collab("score", logs, "--model", "offline", "--table").stdout.splitlines()
    assert max(map(len, lines)) <= width
    head = next(number for number, line in enumerate(lines) if "turn  response" in line)
    first = next(number for number, line in enumerate(lines) if "chat-0" in line and number > head)
    error = r"(± \d\.\d\d|±<0\.01)"  # never 0.00: futures that nearly agree are no certainty
    assert re.fullmatch(rf" +1  Sure, done\. +-?\d\.\d\d {error}( +-?\d\.\d\d){{4}}  3/3", lines[first + 1])
    assert "± 0.00" not in "\n".join(lines)


@pytest.mark.parametrize("width", [20, 60])
def test_no_column_of_scores_is_lost_in_a_narrow_terminal(logs, monkeypatch, width):
    wide = collab("score", logs, "--model", "offline", "--table").stdout
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = collab("score", logs, "--model", "offline", "--table").stdout
    assert re.findall(r"-?\d\.\d\d|3/3", narrow) == re.findall(r"-?\d\.\d\d|3/3", wide)
    assert "observed" in narrow
    if width == 60:
        assert max(map(len, narrow.splitlines())) <= width


def test_a_turn_without_a_score_shows_why(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    body = "if 'hike' in messages[0]['content']:\n    raise ValueError('no such trail')\nreturn 'Here you are.'"
    logs = tmp_path / "chats.jsonl"
    logs.write_text("".join(json.dumps(chat_row(number)) + "\n" for number in (0, 3)))
    bot = write_bot(tmp_path, body, name="hiking_bots")
    result = collab("score", logs, "-a", bot, "--model", "offline", "--table")
    assert result.exit_code == 3, result.output
    assert re.search(r"1  Sure, done\.( +-){4} +-?\d\.\d\d  0/3", result.stdout), "only what really followed is scored"
    assert "no such trail" in " ".join(result.stdout.split())
    assert "6 of 12 samples succeeded. 2 turns without a score." in " ".join(result.stdout.split())


def write_agent_chats(path):
    """A chat with calls, and one of another assistant's without."""
    steps = [called("look_up", '{"order": 5}'), came_back("SHIPPED"), said("It has shipped.")]
    messages = [
        said("order 5?", "user"),
        *steps,
        said("cancel it", "user"),
        called("cancel_order", json.dumps({"id": "5\x1b[2J"}), "c2"),
    ]
    messages = [{"role": "system", "content": "You have a till."}, *messages]
    rows = [{"id": "agent", "messages": messages, "goal": "cancel order 5"}, chat_row(0)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table_of(result):
    """Its lines, and what comes after them."""
    lines = result.stdout.splitlines()
    return lines[next(place for place, line in enumerate(lines) if re.match(r"(turn|decision)  response", line)) :]


def test_the_table_shows_calls_where_nothing_was_said_and_grounded_where_it_was_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    logs = write_agent_chats(tmp_path / "agent.jsonl")
    result = collab("score", logs, "--model", "offline", "--window", "1", "--table")
    table = table_of(result)
    lines = {" ".join(line.split()[1:4]): line for line in table}
    assert "grounded" in table[0]
    assert "→ cancel_order(id=" in result.stdout
    assert "It has shipped." in result.stdout
    assert "\x1b" not in result.output
    [plain] = [line for line in lines.values() if "Sure, done." in line]
    assert plain.split()[-3] == "-", "there were no tools"
    [agent] = [line for line in lines.values() if "It has shipped." in line]
    assert re.fullmatch(r"\d\.\d\d", agent.split()[-3])


def test_decisions_are_scored_and_shown_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    logs = write_agent_chats(tmp_path / "agent.jsonl")
    output = ["-o", tmp_path / "s.jsonl"]
    result = collab("score", logs, "--model", "offline", "--per", "decision", "--limit", "1", "--table", *output)
    assert result.exit_code == 0, result.output
    shown = [re.split(r"  +", line.strip())[:2] for line in table_of(result)[3:6]]
    assert shown == [["1", "→ look_up(order=5)"], ["2", "It has shipped."], ["3", '→ cancel_order(id="5\\u001b[2J")']]
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [[message["role"] for message in row["response"]] for row in rows] == [["assistant"]] * 3
    assert rows[1]["history"][-1]["content"] == "SHIPPED"


def test_an_export_of_decisions_says_so(tmp_path):
    logs = write_agent_chats(tmp_path / "agent.jsonl")
    command = ["export-prefs", logs, "--model", "offline", "--per", "decision", "-o", tmp_path / "p.jsonl"]
    result = collab(*command)
    assert "from 5 decisions of 2 conversations" in result.stderr


def test_json_lines_hold_every_future(logs):
    rows = [json.loads(line) for line in collab("score", logs, "--model", "offline", "--json").stdout.splitlines()]
    assert [(row["conversation_id"], row["turn"]) for row in rows] == [
        ("chat-0", 0),
        ("chat-0", 1),
        ("chat-1", 0),
        ("chat-1", 1),
    ]
    for row in rows:
        assert row["schema"] == "collab/score/v2"
        assert len(row["futures"]) == row["n"] == 3
    assert rows[0]["observed"]["reward"] is not None
    assert rows[1]["observed"]["messages"] == [], "the chat ended there: the user left"
    assert rows[1]["observed"]["reward"] is not None


def test_logged_text_cannot_drive_the_terminal(tmp_path):
    row = chat_row(0, id="chat\x1b[31m")
    row["messages"][1]["content"] = "red \x1b[31malert\x07\nand a second line"
    (tmp_path / "chats.jsonl").write_text(json.dumps(row))
    result = collab("score", tmp_path / "chats.jsonl", "--model", "offline", "--table")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


def test_an_export_says_what_it_gave_and_why_not_more(logs, tmp_path):
    result = collab("export-prefs", logs, "--model", "offline", "-o", tmp_path / "p.jsonl", "--min-margin", "3")
    assert "0 pairs from 4 turns of 2 conversations" in result.stderr
    assert "4 without a pair: the margin is too small" in result.stderr
    assert re.search(r"Mean MR -?\d\.\d{3}; (\d+) of \1 samples succeeded", result.stderr)
    assert re.search(r"assistant +\d+ +\d+ .* \$0\.00", result.stderr)
    for name in ("p.jsonl", "p.turns.jsonl"):
        assert str(tmp_path / name) in result.stderr
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("format", ["trl", "openai", "sft"])
def test_pairs_come_in_the_format_asked_for(logs, tmp_path, format):
    result = collab("export-prefs", logs, "--model", "offline", "-o", tmp_path / "p.jsonl", "--format", format)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert rows
    assert all({"trl": "prompt", "openai": "input", "sft": "messages"}[format] in row for row in rows)


def test_the_demo_shows_a_pair_and_says_that_it_is_rules(tmp_path):
    result = collab("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "played by rules, not by models" in result.stderr
    assert "chosen: MR" in result.stdout
    assert "rejected: MR" in result.stdout
    assert "interactivity" in result.stdout
    assert result.stdout.count("  collab ") == 2
    assert "the numbers say nothing about a real chatbot" in result.stderr
    assert (tmp_path / "demo" / "prefs.jsonl").read_text()
    assert not (tmp_path / "collab-cache").exists(), "the demo keeps its replies to itself"


def test_the_demo_listens_to_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLAB_MODEL", "openai/gpt-4o-mini")
    monkeypatch.setenv("COLLAB_LIMIT", "1")
    result = collab("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "12 conversations" in result.stderr


def test_the_demo_needs_a_folder_it_can_write_to(tmp_path):
    (tmp_path / "file").write_text("")
    result = collab("demo", "-o", tmp_path / "file" / "demo")
    assert result.exit_code == 1
    assert "Error: Cannot write to" in result.stderr


def test_the_cache_is_counted_pruned_and_cleared(logs):
    assert ": 0 replies, " in collab("cache", "stats").stdout
    collab("score", logs, "--model", "offline")
    stored = int(re.search(r"(\d+) replies", collab("cache", "stats").stdout)[1])
    assert stored > 20
    assert "Deleted 0 replies" in collab("cache", "prune", "--older-than", "1").stdout
    assert collab("cache", "clear", stdin="n\n").exit_code == 1
    assert f"{stored} replies" in collab("cache", "stats").stdout
    assert f"Deleted {stored} replies" in collab("cache", "clear", "--yes").stdout
    assert " 0 replies" in collab("cache", "stats").stdout


def test_prune_needs_an_age():
    assert collab("cache", "prune").exit_code == 2


def test_the_doctor_names_keys_and_never_shows_them(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    result = collab("doctor", "--model", "offline")
    assert result.exit_code == 0, result.output
    assert "OPENAI_API_KEY" in result.stdout
    assert "sk-very" not in result.output
    assert all(name in result.stdout for name in ("accuracy", "token_penalty", "math-chat", "sandbox"))
    assert "offline answered in" in result.stdout


def test_the_doctor_finds_what_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    result = collab("doctor", "--cache-dir", tmp_path / "file" / "cache", "--model", "offline")
    assert result.exit_code == 1
    assert re.search(r"BROKEN  cache .*choose another with --cache-dir", result.stdout)
    assert all(what in result.stdout for what in ("keys", "metrics", "offline answered in")), "the rest is still shown"
    result = collab("doctor", "--model", "py:no_such_module:bot")
    assert result.exit_code == 1
    assert "BROKEN  model" in result.stdout


def test_the_doctor_tells_how_to_get_an_extra(monkeypatch):
    from collab_cli import findings

    monkeypatch.setattr(findings, "_version", lambda package: None if package == "openai" else "1.0")
    result = collab("doctor")
    assert result.exit_code == 0
    assert "pip install 'collab-sdk[openai]'" in result.stdout


@pytest.mark.parametrize("command", [["score"], ["export-prefs", "-o", "p.jsonl"]])
def test_a_run_by_rules_says_that_its_numbers_mean_nothing(logs, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = collab(*command, logs, "--model", "offline:proactive")
    said = "offline: bot, user and judge are rules, not models; the numbers say nothing about a real chatbot."
    assert result.stderr.count(said) == 1
    assert "rules" not in result.stdout
    bot = write_bot(tmp_path, "return f'{len(list(messages))} messages. What size?'", name="sized_bots")
    result = collab(*command, logs, "-a", bot, "--model", "offline")
    assert "offline: user and judge are rules" in result.stderr


def test_the_doctor_says_that_the_stand_in_is_no_model():
    assert "offline: rules, not a model" in collab("doctor", "--model", "offline").stderr
    assert "rules" not in collab("doctor").output


@pytest.mark.parametrize(
    ("retries", "failures", "said"),
    [(0, 7, "7 calls failed for good."), (1, 0, "1 failed call retried."), (2, 1, "2 failed calls retried, 1 call f")],
)
def test_only_what_went_wrong_is_said_of_calls(capsys, retries, failures, said):
    show_usage(Ledger({CallRole.JUDGE: Usage(calls=9, retries=retries, failures=failures)}))
    assert capsys.readouterr().err.splitlines()[-1].startswith(said)


def progress_after(done, *, total, seconds=10.0):
    times = iter([0.0, *[seconds] * 99])
    progress = Progress(Ledger(), total=total, clock=lambda: next(times))
    progress.update(done=done, failed=1, mean_mr=0.5)
    return progress


def test_progress_tells_what_is_left():
    assert progress_after(5, total=20).line() == "5/20 · MR 0.500 · 0 calls · 1 failed · 30 s left"
    assert progress_after(20, total=20).line() == "20/20 · MR 0.500 · 0 calls · 1 failed"
    assert progress_after(5, total=None).line() == "5 done · MR 0.500 · 0 calls · 1 failed"


@pytest.mark.parametrize("command", ["score", "export-prefs", "evaluate"])
def test_progress_and_the_summary_tell_which_samples_are_missing(command, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    of_chats = {"evaluate": ("-t", "logs", "--data", logs)}.get(command, (logs,))
    unreadable = when(made_by(CallRole.JUDGE), content('{"goal": {'))
    with LoopbackServer(faults=unreadable) as server:
        given = ("--model", "m", "--api-base", server.api_base, "-o", tmp_path / "out.jsonl")
        result = collab(command, *of_chats, *given)
    lines = [line for line in result.stderr.splitlines() if " calls · " in line]
    missing = [int(found[1]) for line in lines if (found := re.search(r" · 0 failed · (\d+) samples? missing", line))]
    assert missing, result.stderr
    assert missing == sorted(missing)
    assert missing[-1] >= 2


def test_the_summary_of_scores_tells_in_how_many_samples_the_bot_broke_off(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    cut = {"choices": [{"message": {"role": "assistant", "content": "Sure, one"}, "finish_reason": "length"}]}
    name = write_bot(tmp_path, f"return {cut!r}", name="cut_bots")
    result = collab("score", write_chats(tmp_path / "chats.jsonl", 1), "-a", name, "--model", "offline")
    assert "of 6 samples succeeded" in " ".join(result.stdout.split())
    assert re.search(r"In \d samples, a reply of the assistant was cut off, filtered or empty", result.stderr)
    assert "missing" not in result.stderr


def test_the_summary_of_scores_bounds_what_is_missing(capsys):
    rewards = MissingTally()
    rewards.add([0.0, 1.0, None, None])
    show_missing(rewards, broken_off=0)
    said = " ".join(capsys.readouterr().err.split())
    assert "With the 2 missing samples, the mean lies between 0.250 and 0.750" in said


def test_the_summary_tells_how_long_calls_waited_for_rate_limits(capsys):
    show_usage(
        Ledger({CallRole.JUDGE: Usage(calls=9, limited_seconds=200.0), CallRole.GOAL: Usage(limited_seconds=0.5)})
    )
    assert capsys.readouterr().err.splitlines()[-1] == "Calls waited for rate limits for 3:20 min."


def test_the_summary_counts_replies_that_ended_for_an_unknown_reason(capsys):
    show_usage(Ledger({CallRole.JUDGE: Usage(calls=9, unknown_endings=2), CallRole.GOAL: Usage(calls=1)}))
    assert capsys.readouterr().err.splitlines()[-1].startswith("2 calls ended for a reason that is not known here")


@pytest.mark.parametrize(("total", "most"), [(300, 10), (7, 7), (None, 5)])
def test_outside_a_terminal_progress_is_a_line_now_and_then(total, most, capsys):
    progress = Progress(Ledger(), total=total)
    with shown(progress):
        for done in range(1, (total or 300) + 1):
            progress.update(done=done, failed=0, mean_mr=None)
    assert 0 < len(capsys.readouterr().err.splitlines()) <= most


def test_in_a_terminal_progress_is_one_line_that_goes_away(monkeypatch, tmp_path):
    main_end, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("TERM", "xterm-256color")
        progress = Progress(Ledger(), total=3)
        with shown(progress):
            progress.update(done=2, failed=0, mean_mr=1.5)
    written = b""
    with suppress(OSError):  # EIO: all that was written has been read
        while part := os.read(main_end, 1 << 16):
            written += part
    os.close(main_end)
    written = written.decode()
    assert "2/3 · MR 1.500" in written
    assert written.endswith("\x1b[2K")


def test_numbers_are_written_as_people_read_them():
    assert [duration(seconds) for seconds in (0.04, 9.96, 59.4, 61, 3723)] == [
        "0.0 s",
        "10 s",
        "59 s",
        "1:01 min",
        "1:02:03 h",
    ]
    assert [dollars(usd) for usd in (0, 0.00123, 1234.5)] == ["$0.00", "$0.0012", "$1,234.50"]
    assert [size(n) for n in (0, 999, 1000, 12_345_678)] == ["0 bytes", "999 bytes", "1.0 kB", "12.3 MB"]
    assert money(Usage(calls=2, unpriced_calls=2)) == "unknown"
    assert money(Usage(calls=2, unpriced_calls=1, usd=0.5)) == "$0.5000 + unknown"


def test_scores_in_a_file_say_what_made_them_and_what_the_run_cost(logs, tmp_path):
    result = collab("score", logs, "--model", "offline", "-o", tmp_path / "scores.jsonl", "--table")
    assert result.exit_code == 0, result.output
    assert "turn  response" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert {row["made_with"]["judge"]["name"] for row in rows} == {"offline"}
    assert rows[1]["history"][-1]["content"] == "you did not ask me about the size"
    assert rows[1]["goal"] == "what: as said\nsize: large"
    run = json.loads((tmp_path / "scores.run.json").read_text())
    assert run["schema"] == "collab/run/v1"
    assert run["made_with"] == rows[0]["made_with"]
    assert run["usage"]["assistant"]["calls"] > 0
    assert collab("score", logs, "--model", "offline", "-o", logs).exit_code == 2, "a log is not replaced"


def test_an_export_says_what_made_each_turn_and_what_the_run_cost(logs, tmp_path):
    command = ["export-prefs", logs, "--model", "offline", "--max-pairs", "7", "-o", tmp_path / "p.jsonl"]
    assert collab(*command).exit_code == 0
    turns = (tmp_path / "p.turns.jsonl").read_text()
    made = json.loads(turns.splitlines()[0])["made_with"]
    assert (made["simulators"][0]["name"], made["window"], made["metrics"]["goal"]["weight"]) == ("offline", 2, 1.0)
    assert made["pairs"]["max_pairs"] == 7
    first = json.loads((tmp_path / "p.run.json").read_text())
    assert first["spec"]["pairs"]["max_pairs"] == 7
    assert first["usage"]["judge"]["calls"] > 0
    assert collab(*command).exit_code == 0
    again = json.loads((tmp_path / "p.run.json").read_text())
    assert again["usage"]["judge"]["calls"] == 0, "all came from the cache"
    assert again["usage"]["judge"]["cache_hits"] > 0
    assert (tmp_path / "p.turns.jsonl").read_text() == turns


def test_an_export_of_decisions_to_imitate_says_what_its_rows_do_not(tmp_path):
    logs = write_agent_chats(tmp_path / "agent.jsonl")
    command = ["export-prefs", logs, "--model", "offline", "-o", tmp_path / "p.jsonl"]
    told = "an sft row does not say where its decision begins"
    assert told in collab(*command, "--format", "sft", "--per", "decision").stderr
    assert told not in collab(*command, "--format", "sft").stderr
    assert told not in collab(*command, "--per", "decision").stderr


def test_ids_and_reasons_go_over_all_columns_of_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(str(tmp_path))
    body = (
        "if 'hike' in messages[0]['content']:\n    raise ValueError('the trail to the hut is closed')\nreturn 'Here.'"
    )
    bot = write_bot(tmp_path, body, name="closed_bots")
    logs = tmp_path / "chats.jsonl"
    ids = [f"telecom-confusion-{number}-0-of-the-second-series-of-chats" for number in (0, 3)]
    logs.write_text("".join(json.dumps(chat_row(n) | {"id": id}) + "\n" for n, id in zip((0, 3), ids, strict=True)))
    result = collab("score", logs, "-a", bot, "--model", "offline", "--table")
    lines = result.stdout.splitlines()
    assert set(ids) <= set(lines)
    assert max(map(len, lines)) <= 80
    reason = next(place for place, line in enumerate(lines) if line.startswith("no score: "))
    assert "the trail to the hut is closed" in " ".join(lines[reason : reason + 2])
    assert re.match(" *1  Sure, done", lines[reason - 1])


def test_a_mean_over_two_scales_says_so(tmp_path):
    asked = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    acted = [
        {"role": "user", "content": "order 5?"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "content": "open", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is open."},
    ]
    another = {"role": "system", "content": "You are another assistant, without tools."}
    rows = [{"id": "a", "messages": acted}, {"id": "b", "messages": [another, acted[0], acted[3]]}]
    both, plain = tmp_path / "chats.jsonl", tmp_path / "plain.jsonl"
    both.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain.write_text(json.dumps(rows[1]) + "\n")
    for command in (["score"], ["export-prefs", "-o", tmp_path / "p.jsonl"]):
        said = collab(*command, both, "--model", "offline").stderr
        assert re.search(r"\d of \d scores count grounded too; the others are on another scale\.", said)
    assert "another scale" not in collab("score", plain, "--model", "offline").stderr


def test_commands_that_are_named_are_those_that_work_where_they_are_read(tmp_path, monkeypatch):
    program = tmp_path / "a venv" / "collab"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("COLUMNS", "500")
    assert this_command() == f"'{program}'"
    chats = write_chats(tmp_path / "chats.jsonl", 1)
    checked = ("check-sim", chats, "--model", "offline", "--window", "0")
    scored = ("score", chats, "--model", "offline", "--samples", "1", "--window", "0")
    played = ("evaluate", "-t", "logs", "--data", chats, "-a", "offline", "--model", "offline", "--exchanges", "1")
    for arguments in (checked, scored, played):
        assert f"'{program}' report" in collab(*arguments).output
    monkeypatch.setenv("PATH", str(program.parent))
    assert this_command() == "collab"
    monkeypatch.setattr("sys.argv", ["-c"])
    assert this_command() == "collab"
