"""A bot's evaluation in a test: a fixture for those who import it, and assertions that intervals decide."""

import importlib
import json
import subprocess
import sys

import pytest
from support.cli import collab, write_chats

from collab_sdk import Engine
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UsageError
from collab_sdk.testing import aplay, play, play_bot  # noqa: F401 - a fixture

N = 16


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("evaluation") / "chats.jsonl", N)


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def of(play_bot, chats, engine):  # noqa: F811 - the fixture
    return lambda bot, **options: play_bot(bot, chats, model="offline", exchanges=2, engine=engine, **options)


def test_statistics_have_intervals_and_decide_what_is_asserted(of):
    asks = of("offline:proactive")
    assert asks["interactivity"].n == N
    asks.assert_at_least(interactivity=0.1, useful_questions=0.1)
    with pytest.raises(AssertionError, match=r"interactivity is 0\.\d+ \[.*\], below 2"):
        asks.assert_at_least(interactivity=2)
    with pytest.raises(UsageError, match=r"no statistic 'gaol'; there is goal, interactivity"):
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


OWN = """
from collab_sdk import Conversation, Goal, as_chat_model
from collab_sdk.tasks import Task


def user(messages):
    return "a large one" if len(messages) < 3 else None


class Judge:
    name, fingerprint, price = "own-judge", {"own": 1}, None

    async def achat(self, request):
        return await as_chat_model("offline").achat(request)


judge = Judge()


def read(row):
    return Conversation(id=row["id"], messages=(), goal=Goal(text=row["wants"]))


TASK = Task(name="my-desk", metric="goal", read=read, exchanges=2)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user, a judge and a task of somebody's own, with a test beside them."""
    (tmp_path / "my_own.py").write_text(OWN)
    (tmp_path / "test_of_mine.py").write_text("")
    rows = [{"id": f"row-{number}", "wants": "drink: a mocha"} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_own", "test_of_mine"):
        sys.modules.pop(name, None)


def test_a_user_a_judge_and_a_task_of_ones_own_are_the_same_on_the_command_line(own):
    arguments = ["-t", "py:my_own:TASK", "--model", "py:my_own:user", "--judge", "py:my_own:judge", "-a", "offline"]
    arguments += ["--data", own / "rows.jsonl", "--cache-dir", own / "cache"]
    done = collab("evaluate", *arguments, "-o", own / "cli.json")
    assert done.exit_code == 0, done.output
    importlib.import_module("test_of_mine")  # which pytest has loaded, and the command line has not
    names = {"model": "py:my_own:user", "judge": "py:my_own:judge", "task": "py:my_own:TASK"}
    by_name = play("offline", own / "rows.jsonl", engine=Engine(), **names)
    by_name.assert_not_worse(own / "cli.json")
    by_name.write(own / "own.json")
    done = collab("evaluate", *arguments, "--baseline", own / "own.json", "--fail-if", "worse")
    assert done.exit_code == 0, done.output
    assert "have 20 conversations in common" in done.stderr


def test_a_file_of_a_test_says_what_it_cost_and_which_rows_it_read(of, chats, tmp_path):
    written = play("offline", chats, model="offline", exchanges=2, engine=Engine())
    written.write(tmp_path / "own.json")
    files = ("--data", chats, "-o", tmp_path / "cli.json", "--cache-dir", tmp_path / "cache")
    done = collab("evaluate", "-t", "logs", "--model", "offline", "--exchanges", 2, "-a", "offline", *files)
    assert done.exit_code == 0, done.output
    [own, cli] = (json.loads((tmp_path / name).read_text()) for name in ("own.json", "cli.json"))
    assert own["made_with"] == cli["made_with"]
    assert own["made_with"]["rows"]["file"] == chats.name
    calls = [{role: used["calls"] for role, used in row["results"][0]["usage_by_role"].items()} for row in (own, cli)]
    assert calls[0] == calls[1]
    assert calls[0]["assistant"] > 0


def test_what_is_missing_is_never_missing_in_the_bots_favour(of):
    def fails(messages):
        raise RuntimeError("out of order")

    with pytest.raises(AssertionError, match=r"2 conversations of .* are missing: .*out of order"):
        of(fails, limit=2).assert_at_least(goal=0)


def test_too_few_conversations_assert_nothing(of):
    with pytest.raises(AssertionError, match="too few conversations to tell"):
        of("offline", limit=2).assert_at_least(interactivity=0.5)


def test_what_no_conversation_tells_of_is_not_called_too_few(of):
    asks_nothing = of(lambda messages: "Done.", limit=2)
    with pytest.raises(AssertionError, match=r"useful questions of .* was not measured"):
        asks_nothing.assert_at_least(useful_questions=0.1)
    with pytest.raises(UsageError, match="no row is marked as ambiguous"):
        asks_nothing.assert_at_least(macro_accuracy=0.1)


def test_the_same_can_be_awaited(chats, engine):
    async def played():
        return await aplay("offline", chats, model="offline", exchanges=2, engine=engine, limit=2)

    assert run_sync(played())["goal"].n == 2


def test_pytest_is_imported_for_the_fixture_alone():
    code = "import sys, collab_sdk, collab_sdk.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
