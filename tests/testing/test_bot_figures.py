"""A bot's figures in a test: a fixture that is there for those who import it, and assertions that intervals decide."""

import subprocess
import sys

import pytest
from support.cli import collab, write_chats

from collab_sdk import Engine
from collab_sdk.errors import UsageError
from collab_sdk.testing import play, play_bot  # noqa: F401 - a fixture

N = 16


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("figures") / "chats.jsonl", N)


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def of(play_bot, chats, engine):  # noqa: F811 - the fixture
    return lambda bot, **options: play_bot(bot, chats, model="offline", exchanges=2, engine=engine, **options)


def test_figures_have_intervals_and_decide_what_is_asserted(of):
    asks = of("offline:proactive")
    assert asks["interactivity"].n == N
    asks.assert_at_least(interactivity=0.1, useful_questions=0.1)
    with pytest.raises(AssertionError, match=r"interactivity is 0\.\d+ \[.*\], below 2"):
        asks.assert_at_least(interactivity=2)
    with pytest.raises(UsageError, match=r"no figure 'gaol'; there is goal, interactivity"):
        asks["gaol"]


def test_a_bot_that_is_worse_than_a_file_of_an_earlier_run_fails(of, tmp_path):
    asks, guesses = of("offline:proactive"), of("offline")
    asks.write(tmp_path / "asks.json")
    asks.assert_not_worse(tmp_path / "asks.json")
    with pytest.raises(AssertionError, match=r"interactivity is -0\.\d+ .* since the baseline"):
        guesses.assert_not_worse(tmp_path / "asks.json")


def test_the_command_line_and_the_fixture_read_each_others_files(of, chats, tmp_path):
    arguments = ["-t", "logs", "--data", chats, "--model", "offline", "--exchanges", 2, "-a", "offline:proactive"]
    done = collab("evaluate", *arguments, "-o", tmp_path / "cli.json")
    assert done.exit_code == 0, done.output
    asks = of("offline:proactive")
    asks.assert_not_worse(tmp_path / "cli.json")
    asks.write(tmp_path / "own.json")
    done = collab("evaluate", *arguments, "--baseline", tmp_path / "own.json", "--fail-if", "worse")
    assert done.exit_code == 0, done.output


def test_what_is_missing_is_never_missing_in_the_bots_favour(of):
    def fails(messages):
        raise RuntimeError("out of order")

    with pytest.raises(AssertionError, match=r"2 conversations of .* are missing: .*out of order"):
        of(fails, limit=2).assert_at_least(goal=0)


def test_too_few_conversations_assert_nothing(of):
    with pytest.raises(AssertionError, match="too few conversations to tell"):
        of("offline", limit=2).assert_at_least(interactivity=0.5)


def test_pytest_is_imported_for_the_fixture_alone():
    code = "import sys, collab_sdk, collab_sdk.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
