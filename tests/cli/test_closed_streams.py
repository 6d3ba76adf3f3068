"""A command whose stdin, stdout or stderr is closed, or has nobody at its other end, still does its work."""

import json
import subprocess
import sys

import pytest
from support.cli import bot_calls, write_bot, write_chats

pytestmark = pytest.mark.slow


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 1)


def in_shell(redirected, *arguments, cwd):
    """`collab` behind a shell's redirections."""
    command = [sys.executable, "-m", "collab_cli.main", *map(str, arguments)]
    shell = ["bash", "-o", "pipefail", "-c", f'"$@" {redirected}', "bash"]
    return subprocess.run([*shell, *command], cwd=cwd, capture_output=True, text=True, check=False)


def turns_in(file):
    return [json.loads(line)["turn"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("redirected", [">&- 2>&- <&-", "2>/dev/full", "2>&1 >/dev/null | true"])
def test_what_was_paid_for_is_in_the_file_whoever_reads_the_rest(logs, tmp_path, redirected):
    done = in_shell(redirected, "score", logs, "--model", "offline", "-o", "scores.jsonl", cwd=tmp_path)
    assert done.returncode == 0
    assert turns_in(tmp_path / "scores.jsonl") == [0, 1]
    assert "Traceback" not in done.stdout + done.stderr


def test_rows_for_a_stdout_that_is_closed_are_refused_before_anything_is_asked(logs, tmp_path):
    bot = write_bot(tmp_path, "return 'What size?'")
    done = in_shell(">&-", "score", logs, "-a", bot, "--model", "offline", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: Cannot write to stdout: it is closed. Name a file."
    assert bot_calls(tmp_path) == 0


@pytest.mark.parametrize("command", ["score", "evaluate -t logs --data", "check-judge", "check-sim --json"])
def test_a_result_that_nobody_would_see_is_refused_before_anything_is_asked(logs, tmp_path, command):
    bot = write_bot(tmp_path, "return 'What size?'")
    played = ("-a", bot, "--judge", bot, "--model", "offline")
    done = in_shell(">&-", *command.split(), logs, *played, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: Cannot write to stdout: it is closed. Name a file."
    assert bot_calls(tmp_path) == 0


@pytest.mark.parametrize(
    "command", ["score chats.jsonl --model offline", "score chats.jsonl --model offline --json", "tasks list"]
)
def test_a_full_disk_behind_stdout_is_one_line(logs, tmp_path, command):
    done = in_shell(">/dev/full", *command.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: Cannot write to stdout: No space left on device.")
    assert "Internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_stdin_that_is_closed_is_an_empty_log(tmp_path):
    done = in_shell("<&-", "score", "-", "--model", "offline", cwd=tmp_path)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("No result: ")]
    assert "Internal error" not in done.stderr
