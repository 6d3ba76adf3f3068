"""Stopped runs: what was paid for is kept, and the same command ends with the same bytes."""

import json
import select
import signal
import subprocess
import sys
import time

import pytest
from support.cli import bot_calls, chat_row, collab, spawn, write_bot, write_chats


def contents(folder):
    """Of all files but the one that says what the last run cost."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "p.run.json"}


def test_a_run_stopped_by_its_budget_goes_on_with_the_same_command(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 4)
    for folder in ("whole", "pieces"):
        (tmp_path / folder).mkdir()
    whole = ["export-prefs", logs, "--model", "offline", "--eval-fraction", "0.5", "-o", tmp_path / "whole" / "p.jsonl"]
    assert collab(*whole, "--cache-dir", tmp_path / "a").exit_code == 0

    pieces = [*whole[:-1], tmp_path / "pieces" / "p.jsonl", "--cache-dir", tmp_path / "b", "--max-calls", "60"]
    codes = []
    while not codes or codes[-1] != 0:
        result = collab(*pieces)
        codes.append(result.exit_code)
        assert codes[-1] in (0, 4), result.output
        if codes[-1] == 4:
            assert "Stopped: The limit of 60 calls is reached." in result.stderr
            assert not (tmp_path / "pieces" / "p.jsonl").exists()
    assert codes.count(4) >= 2
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")


def test_scores_paid_for_are_shown_when_the_budget_ends_the_run(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    assert collab("score", logs, "--model", "offline").exit_code == 0
    write_chats(logs, 3)
    result = collab("score", logs, "--model", "offline", "--max-calls", "0", "--json")
    assert result.exit_code == 4
    assert {json.loads(line)["conversation_id"] for line in result.stdout.splitlines()} == {"chat-0"}


@pytest.fixture
def interruptible():
    """A process that is started in the background ignores SIGINT, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_exits_with_130_and_goes_on_with_the_same_command(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl")
    bot = write_bot(tmp_path, "time.sleep(0.1)\nreturn f'{len(list(messages))} messages. What size?'")
    command = ["export-prefs", logs, "-a", bot, "--model", "offline", "-o", "prefs.jsonl", "--concurrency", "2"]
    command += ["--min-margin", "0", "--min-confidence", "0"]

    process = spawn(*command, cwd=tmp_path)
    while bot_calls(tmp_path) < 6:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.splitlines()[-1].startswith("Interrupted. What was paid for is kept")
    assert "Traceback" not in stderr
    assert not (tmp_path / "prefs.jsonl").exists()

    paid = bot_calls(tmp_path)
    process = spawn(*command, cwd=tmp_path)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    resumed = contents_of_export(tmp_path)
    second = bot_calls(tmp_path) - paid

    (tmp_path / "calls.txt").unlink()
    process = spawn(*command, "--cache-dir", "fresh", cwd=tmp_path)
    process.communicate(timeout=60)
    assert contents_of_export(tmp_path) == resumed
    assert bot_calls(tmp_path) >= second + 4, "what was answered before the interruption is not asked again"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_that_a_scheduler_ends_says_how_it_goes_on(tmp_path, name):
    logs = write_chats(tmp_path / "chats.jsonl")
    bot = write_bot(tmp_path, "time.sleep(0.1)\nreturn f'{len(list(messages))} messages. What size?'")
    options = ("-o", "prefs.jsonl", "--concurrency", "2")
    process = spawn("export-prefs", logs, "-a", bot, "--model", "offline", *options, cwd=tmp_path)
    while bot_calls(tmp_path) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.splitlines()[-1].startswith("Interrupted. What was paid for is kept: run the same command again")
    assert "Traceback" not in stderr
    assert not (tmp_path / "prefs.jsonl").exists()


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    bot = write_bot(tmp_path, "time.sleep(0.05)\nreturn 'What size?'")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        process = spawn("score", logs, "-a", bot, "--model", "offline", cwd=tmp_path, preexec_fn=None)
    finally:
        signal.signal(signal.SIGHUP, before)
    while bot_calls(tmp_path) < 1:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0


def contents_of_export(folder):
    return [(folder / name).read_bytes() for name in ("prefs.jsonl", "prefs.turns.jsonl")]


def test_a_reader_that_has_enough_ends_the_run_quietly(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 30)
    process = spawn("score", logs, "--model", "offline", "--json", cwd=tmp_path, bufsize=1)
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    process.wait(timeout=20)
    process.stderr.close()
    assert process.returncode == 141
    assert "Error" not in stderr
    assert "Exception" not in stderr


def test_stdin_is_read_as_a_log(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl")
    result = collab("score", "-", "--model", "offline", "--json", stdin=logs.read_text())
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 4


def test_chats_on_stdin_are_read_as_they_come(tmp_path):
    script = "import collab_sdk\nfor chat in collab_sdk.read_conversations('-'):\n    print(chat.id, flush=True)"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for number in range(3):
            process.stdin.write(json.dumps(chat_row(number)) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 20)
            if not ready:
                process.kill()
            assert ready, "nothing is read before the end of stdin"
            assert process.stdout.readline() == f"chat-{number}\n"
        process.stdin.close()


def test_a_server_of_ones_own_is_reached_by_its_address(tmp_path):
    from support.server import LoopbackServer

    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer() as server:
        command = ["score", logs, "--model", "hosted_vllm/x", "--judge", "hosted_vllm/y", "--table"]
        command += ["--api-base", server.api_base]
        process = spawn(*command, cwd=tmp_path)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert server.count > 0
        assert "3/3" in stdout
        asked = server.count
        process = spawn(*command, cwd=tmp_path)
        again, stderr = process.communicate(timeout=60)
    assert server.count == asked
    assert again == stdout
    noise = [line for line in stderr.splitlines() if line.startswith(("Warning", "sys:", "Unclosed", "Traceback"))]
    assert noise == [], subprocess.list2cmdline(noise)
