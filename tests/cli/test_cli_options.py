"""Where options come from: flags, environment, a file; and what a dry run tells."""

import importlib
import json
import subprocess
import sys

import click
import collab_cli.setup
import pytest
from collab_cli.main import COMMANDS, main
from support.cli import bot_calls, collab, write_bot, write_chats

from collab_sdk import Engine

HEAVY = {"litellm", "torch", "transformers", "langchain", "langchain_core", "openai", "rich", "tiktoken"}


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 1)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "collab.toml"
        path.write_text(text)
        return path

    return write


def samples_used(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[0])["n"]


def test_flags_win_over_the_environment_which_wins_over_the_file(logs, config, monkeypatch):
    path = config('model = "offline"\nsamples = 1\njson = true\n')
    assert samples_used(collab("score", logs, "--config", path)) == 1
    monkeypatch.setenv("COLLAB_SAMPLES", "2")
    assert samples_used(collab("score", logs, "--config", path)) == 2
    assert samples_used(collab("score", logs, "--config", path, "--samples", "4")) == 4


def test_the_file_itself_may_be_named_in_the_environment(logs, config, monkeypatch):
    monkeypatch.setenv("COLLAB_CONFIG", str(config('model = "offline"\njson = true\nsamples = 2')))
    assert samples_used(collab("score", logs)) == 2


def test_a_file_serves_all_commands_and_takes_both_spellings(logs, config):
    path = config('model = "offline"\nmax_calls = 900\nmin-margin = 0.1\ncandidates = 2\nmetric = ["goal=1"]\n')
    result = collab("score", logs, "--config", path, "--json")
    assert samples_used(result) == 3
    assert json.loads(result.stdout.splitlines()[0])["metrics"].keys() == {"goal"}


def test_an_unknown_key_gets_the_closest_that_is_known(logs, config):
    result = collab("score", logs, "--config", config("sampels = 2"))
    assert result.exit_code == 1
    assert "collab.toml: Unknown option 'sampels'. Did you mean 'samples'?" in result.stderr


@pytest.mark.parametrize("line", ["samples = 2.5", 'samples = "many"', "samples = [1, 2]", "samples = {n = 1}"])
def test_a_value_of_the_wrong_kind_is_one_line(logs, config, line):
    result = collab("score", logs, "--model", "offline", "--config", config(line))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert "'samples'" in result.stderr


@pytest.mark.parametrize("text", ["samples = = 2", None])
def test_a_file_that_cannot_be_read_is_named(logs, config, tmp_path, text):
    path = tmp_path / "missing.toml" if text is None else config(text)
    result = collab("score", logs, "--config", path)
    assert result.exit_code == 1
    assert f"Error: {path}: " in result.stderr


def every_command():
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        yield from command.commands.values() if isinstance(command, click.Group) else [command]


def test_every_option_reads_its_own_environment_variable():
    for command in every_command():
        for option in command.params:
            if isinstance(option, click.Option):
                long = max(option.opts, key=len)
                assert option.envvar == "COLLAB_" + long.lstrip("-").replace("-", "_").upper(), (command.name, long)


def test_every_command_has_the_name_of_its_module():
    for name in COMMANDS:
        module = importlib.import_module(f"collab_cli.{name.replace('-', '_')}")
        assert main.get_command(click.Context(main), name) in vars(module).values()


def test_help_loads_nothing_heavy():
    """Each in one process, so that what the first has loaded counts for all."""
    script = (
        "import contextlib, sys\n"
        "from collab_cli.main import main\n"
        "for command in ([], ['export-prefs'], ['score'], ['cache']):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([*command, '--help'])\n"
        "    print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.count("Usage:") == 4
    loaded = [line for line in run.stdout.splitlines() if line.startswith("LOADED")]
    assert len(loaded) == 4
    assert not {name for line in loaded for name in line.split()} & HEAVY


def test_an_option_of_a_metric_goes_to_that_metric_alone(logs):
    def penalty(*options):
        rows = collab("score", logs, "--model", "offline", "--json", *options).stdout.splitlines()
        return json.loads(rows[0])["metrics"]["token_penalty"]

    assert penalty("--metric", "token_penalty=1,rate=0.001") == pytest.approx(2 * penalty())
    refused = collab("score", logs, "--model", "offline", "--metric", "goal=1,rate=0.001")
    assert refused.exit_code == 1
    assert "The metric goal has no option 'rate'" in refused.stderr


def test_a_providers_limits_reach_the_engine(logs, monkeypatch):
    built = []
    monkeypatch.setattr(collab_cli.setup, "Engine", lambda **options: built.append(options) or Engine(**options))
    limits = ["--requests-per-minute", "6e9", "--tokens-per-minute", "9e12"]
    assert collab("score", logs, "--model", "offline", "--limit", 1, *limits).exit_code == 0
    assert (built[0]["limits"].requests_per_minute, built[0]["limits"].tokens_per_minute) == (6e9, 9e12)
    assert collab("score", logs, "--model", "offline", "--requests-per-minute", 0).exit_code == 2


def test_a_limit_stops_after_so_many_conversations(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 4)
    rows = collab("score", logs, "--model", "offline", "--limit", "2", "--json").stdout.splitlines()
    assert {json.loads(row)["conversation_id"] for row in rows} == {"chat-0", "chat-1"}


@pytest.mark.parametrize(
    ("command", "claim"),
    [("score", "An upper estimate, with everything"), ("export-prefs", "may need three times as many")],
)
def test_a_dry_run_makes_no_call_and_needs_no_cache(logs, tmp_path, monkeypatch, command, claim):
    monkeypatch.syspath_prepend(str(tmp_path))
    bot = write_bot(tmp_path, "return 'hello'", name="dry_bots")
    result = collab(command, logs, "-a", bot, "--model", "offline", "--dry-run")
    assert result.exit_code == 0, result.output
    assert bot_calls(tmp_path) == 0
    assert not (tmp_path / "collab-cache").exists()
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert rows.keys() == {"role", "assistant", "simulator", "judge", "total"}
    assert rows["assistant"][-1] == "unknown"
    assert rows["judge"][-1] == "$0.00"
    assert claim in result.stderr


def test_a_dry_run_over_bad_lines_says_so(logs):
    logs.write_text(logs.read_text() + "{broken\n")
    result = collab("score", logs, "--model", "offline", "--dry-run")
    assert result.exit_code == 3
    assert "chats.jsonl:2" in result.stderr
