"""Several users in one run: how they are named and weighed, what they cost, and who played what."""

from dataclasses import replace

import pytest
from support.cli import collab, write_chats
from support.fakes import chat, judged
from support.reports import rows_of
from support.specs import run_spec

from collab_sdk import Engine, Goal, MRScorer, Rollout, Simulator
from collab_sdk.cost import estimate_scoring
from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole
from collab_sdk.simulator import UserTotals
from collab_sdk.spec import ModelSettings, Price, UserSpec
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import Conversation, End, Future


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 3)


def spec_of(logs, monkeypatch, *arguments, env=None):
    """The RunSpec that `collab score` makes of its options."""
    made = []
    monkeypatch.setattr("collab_cli.score.dry_run", lambda logs, spec, work, problems: made.append(spec))
    for name, value in (env or {}).items():
        monkeypatch.setenv(name, value)
    result = collab("score", logs, "--dry-run", *arguments)
    assert result.exit_code == 0, result.output
    return made[0]


def weights(spec):
    return {user.name: user.weight for user in spec.simulators}


@pytest.mark.parametrize(
    ("given", "name", "weight"),
    [
        ("offline", "offline", 1.0),
        ("offline=2", "offline", 2.0),
        ("plain:openai/userlm=0.5", "plain:openai/userlm", 0.5),
        ("hf:base?dtype=float32", "hf:base?dtype=float32", 1.0),
        ("hf:base?dtype=float32&max_batch=4", "hf:base?dtype=float32&max_batch=4", 1.0),
        ("hf:base?max_batch=4=3", "hf:base?max_batch=4", 3.0),
        ("logs:day=3/chats.jsonl", "logs:day=3/chats.jsonl", 1.0),
        ("script=2", "script", 2.0),
    ],
)
def test_a_weight_follows_the_name(logs, monkeypatch, given, name, weight):
    assert weights(spec_of(logs, monkeypatch, "--model", "offline", "--simulator", given)) == {name: weight}


def test_a_file_whose_name_ends_like_a_weight_is_that_file(logs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day=3").mkdir()
    (tmp_path / "day=3" / "chats.jsonl").write_bytes(logs.read_bytes())
    spec = spec_of(logs, monkeypatch, "--model", "offline", "--simulator", "logs:day=3")
    assert weights(spec) == {"logs:day=3": 1.0}
    spec = spec_of(logs, monkeypatch, "--model", "offline", "--simulator", "logs:day=3=2")
    assert weights(spec) == {"logs:day=3": 2.0}


TABLES = """
model = "offline"
[[simulator]]
name = "openai/a"
weight = 3
temperature = 0.3
api-base = "http://127.0.0.1:1/v1"
[[simulator]]
name = "openai/b"
"""


def test_files_hold_one_user_a_list_or_a_list_of_tables(logs, monkeypatch, tmp_path):
    config = tmp_path / "collab.toml"
    for text, users in (
        ('model = "offline"\nsimulator = "openai/a=2"', {"openai/a": 2.0}),
        ('model = "offline"\nsimulator = ["openai/a=2", "script"]', {"openai/a": 2.0, "script": 1.0}),
        ('model = "offline"\n[simulator]\nname = "openai/a"\ntemperature = 0.3', {"openai/a": 1.0}),
        (TABLES, {"openai/a": 3.0, "openai/b": 1.0}),
        (TABLES.replace("[[simulator", "[[score.simulator"), {"openai/a": 3.0, "openai/b": 1.0}),
    ):
        config.write_text(text)
        assert weights(spec_of(logs, monkeypatch, "--config", config)) == users
    config.write_text(TABLES)
    first, second = spec_of(logs, monkeypatch, "--config", config, "--simulator-option", "top_p=0.9").simulators
    assert (first.settings.temperature, first.settings.top_p) == (0.3, 0.9), "its own over what all are asked with"
    assert first.api_base == ("http://127.0.0.1:1/v1",)
    assert (second.settings.temperature, second.settings.top_p, second.api_base) == (1.0, 0.9, ())
    assert weights(spec_of(logs, monkeypatch, "--config", config, "--simulator", "script")) == {"script": 1.0}


def test_the_environment_may_name_several(logs, monkeypatch):
    spec = spec_of(logs, monkeypatch, "--model", "offline", env={"COLLAB_SIMULATOR": "openai/a=2 script"})
    assert weights(spec) == {"openai/a": 2.0, "script": 1.0}


def test_settings_of_all_are_for_those_who_have_some(logs, monkeypatch):
    users = ("--simulator", "script", "--simulator", "openai/a", "--simulator-option", "temperature=0.2")
    script, model = spec_of(logs, monkeypatch, "--model", "offline", *users).simulators
    assert (script.settings, model.settings.temperature) == (ModelSettings(), 0.2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("offline=x",), "must read NAME or NAME=WEIGHT"),
        (("offline=0",), "weight above 0"),
        (("offline=-1",), "weight above 0"),
        (("=2",), "must read NAME or NAME=WEIGHT"),
        (("offline=1=2",), "must read NAME or NAME=WEIGHT"),
        (("",), "name of the user is empty"),
        (("offline", "offline=2"), "'offline' is given more than once"),
    ],
)
def test_a_bad_user_is_one_line(logs, arguments, said):
    users = [part for name in arguments for part in ("--simulator", name)]
    result = collab("score", logs, "--model", "offline", *users)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[simulator]]\nweight = 2", "'simulator.name' must be the name of a user"),
        ('[[simulator]]\nname = "offline"\nweight = "much"', "'simulator.weight' must be a number above 0"),
        ('simulator = ""', "The name of the user is empty"),
        ('[[simulator]]\nname = "offline"\ncolour = 2', "Unknown key 'colour'"),
        ('[[simulator]]\nname = "script"\ntemperature = 1', "script as user asks no model"),
    ],
)
def test_a_bad_table_is_one_line(logs, tmp_path, text, said):
    config = tmp_path / "collab.toml"
    config.write_text(f'model = "offline"\n{text}')
    result = collab("score", logs, "--config", config)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "\n" not in result.stderr.strip()


def test_who_only_plays_the_user_needs_a_judge_beside_it_and_tools_are_the_judges(logs, monkeypatch):
    result = collab("score", logs, "-a", "offline", "--simulator", "script")
    assert result.stderr.strip() == "Error: script cannot judge: give --judge, or --model for all other roles."
    result = collab("score", logs, "-a", "offline", "--simulator", "script", "--simulator-option", "temperature=1")
    assert "--simulator-option is for a model, and script asks none" in result.stderr
    bots = ("-a", "offline", "--simulator", "script", "--judge", "openai/j")
    spec = spec_of(logs, monkeypatch, *bots, "--tools-model-option", "temperature=0.4")
    assert (spec.tools_model.name, spec.tools_model.settings.temperature) == ("openai/j", 0.4)
    both = spec_of(logs, monkeypatch, "-a", "offline", "--simulator", "script", "--simulator", "openai/a")
    assert both.judge.name == "openai/a", "the first who is prompted"


LOG = Conversation(id="c", messages=as_messages(chat("hi", "hello")), goal=Goal(text="a red bike"))
FREE = {role: Price(prompt=0.0, completion=0.0) for role in CallRole}


def cost(*users, **settings):
    spec = run_spec(**{"samples": 4, "window": 1} | settings)
    spec = replace(spec, simulators=tuple(UserSpec(name=name, weight=weight) for name, weight in users))
    return estimate_scoring([LOG], spec, FREE).by_role().get("simulator")


def test_only_users_who_are_models_cost_something():
    assert cost(("script", 1.0)) is cost(("human", 1.0)) is None
    assert cost(("offline", 1.0)).calls == 4
    assert cost(("offline", 1.0), ("script", 3.0)).calls == 1
    assert cost(("offline", 1.0), ("script", 1.0), samples=3).calls == 2, "never less than its share"


def test_a_function_makes_calls_without_tokens(tmp_path, monkeypatch):
    (tmp_path / "greets.py").write_text("def user(messages):\n    return 'hi'\n")
    monkeypatch.syspath_prepend(tmp_path)
    usage = cost(("py:greets:user", 1.0))
    assert (usage.calls, usage.prompt_tokens, usage.usd) == (4, 0, 0.0)


def test_a_plain_user_has_a_shorter_prompt_and_writes_no_json():
    prompted, plain = cost(("openai/a", 1.0)), cost(("plain:openai/a", 1.0))
    assert plain.calls == prompted.calls
    assert 0 < plain.prompt_tokens < prompted.prompt_tokens / 2
    assert 0 < plain.completion_tokens < prompted.completion_tokens


def test_each_of_several_has_its_own_price():
    spec = run_spec(samples=4, window=1)
    cheap = UserSpec(name="openai/a", price=Price(prompt=1.0, completion=0.0))
    dear = UserSpec(name="openai/b", price=Price(prompt=3.0, completion=0.0))
    usage = estimate_scoring([LOG], replace(spec, simulators=(cheap, dear)), FREE).by_role()["simulator"]
    assert usage.usd == pytest.approx(2.0 * usage.prompt_tokens, rel=1e-3)


def test_dry_runs_of_all_commands_know_the_users(logs):
    users = ("--simulator", f"logs:{logs}", "--simulator", "offline")
    for command in (("score", logs), ("export-prefs", logs), ("evaluate", "-t", "logs", "--data", logs)):
        one, two, free = (
            collab(*command, "--model", "offline", "--dry-run", *chosen).stdout
            for chosen in (("--simulator", "offline"), users, ("--simulator", f"logs:{logs}"))
        )
        calls = [
            sum(int(line.split()[1]) for line in out.splitlines() if line.startswith("simulator"))
            for out in (one, two, free)
        ]
        assert calls[0] == 2 * calls[1] > calls[2] == 0


def test_shares_are_those_of_the_weights_and_all_bots_meet_the_same_users():
    users = Simulator({"script": 1.0, "offline": 3.0}, engine=Engine(cache=None))
    drawn = [users.seat(Goal(text="a"), draw=f"c{n}/future-0").name for n in range(400)]
    assert 60 < drawn.count("script") < 140
    assert drawn == [users.seat(Goal(text="a"), draw=f"c{n}/future-0").name for n in range(400)]


def test_chats_without_an_id_meet_different_users_and_all_their_answers_the_same():
    users = Simulator({"script": 1.0, "plain:offline": 1.0}, personas=["terse", "vague"], engine=Engine(cache=None))
    rollout = Rollout(assistant="offline", simulator=users, window=1, samples=1)

    def met(wish, answer):
        [future] = rollout.futures(chat(wish, answer), goal="a mocha")
        return future.user, future.persona

    drawn = [met(f"coffee number {n}", "Which one?") for n in range(12)]
    assert len(set(drawn)) == 4
    assert drawn == [met(f"coffee number {n}", "No.") for n in range(12)]


def fails(messages):
    raise ValueError("gone home")


def test_a_user_that_fails_is_missing_with_blame_and_no_score():
    engine = Engine(cache=None)
    users = Simulator({FakeChatModel(lambda _: '{"done": true, "message": "", "reason": "r"}'): 1.0, fails: 1.0})
    rollout = Rollout(assistant=FakeChatModel(lambda _: "ok"), simulator=users, samples=8, engine=engine)
    scorer = MRScorer(rollout, judge=FakeChatModel(lambda _: judged()), metrics={"goal": 1.0})
    score = scorer.score(chat("hi", "hello"), goal="a red bike")
    totals = UserTotals()
    totals.add(score.futures)
    assert totals.tells
    assert 0 < totals.user_failures == score.n - score.n_ok < 8
    assert list(totals.blamed) == ["fails as user raised ValueError: gone home"]
    assert {row["user"]: row["ends"] for row in totals.to_rows()} == {
        "fails": {"user failed": totals.user_failures},
        "fake": {"user done": score.n_ok},
    }


def test_one_user_without_persona_who_does_not_fail_is_nothing_to_tell():
    totals = UserTotals()
    totals.add([Future(sample=0, user="a"), Future(sample=0, end=End.OBSERVED), Future(sample=1, user="a")])
    assert (totals.n, totals.tells) == (2, False)
    totals.add([Future(sample=0, user="a", persona="sceptical")])
    assert totals.tells


@pytest.fixture
def gone(tmp_path, monkeypatch):
    """A user who fails in every other conversation."""
    (tmp_path / "homes.py").write_text(
        "def user(messages):\n"
        "    if messages[0]['content'].startswith('a'):\n        raise ValueError('gone home')\n"
        "    return f'a large one, please, in {len(messages)}'\n"
    )
    monkeypatch.chdir(tmp_path)
    return "py:homes:user"


def told(stderr):
    return stderr[stderr.index("Users, in") :].splitlines()


@pytest.mark.parametrize("command", ["score", "export-prefs", "evaluate"])
def test_totals_say_who_played_in_lines_of_80_columns(logs, gone, tmp_path, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    what = ("-t", "logs", "--data", logs) if command == "evaluate" else (logs,)
    users = ("--simulator", f"{gone}=2", "--simulator", f"logs:{logs}", "--simulator", "offline")
    result = collab(command, *what, "--model", "offline", *users, "-o", tmp_path / "out.jsonl", "--samples", "3")
    lines = told(result.stderr)
    names = "\n".join(lines)
    for name in ("homes", "chats.jsonl", "offline"):
        assert name in names
    assert "user failed" in names
    assert "missing because of the simulated user" in names
    shown = [line for line in lines[1:] if line.startswith("  ") and "gone home" not in line]
    assert max(map(len, shown)) <= 80
    rows = rows_of(tmp_path / ("out.turns.jsonl" if command == "export-prefs" else "out.jsonl"))
    if command == "evaluate":
        [result] = rows[0]["results"]
        totals, futures = result["users"], result["conversations"]
    else:
        [run] = rows_of(tmp_path / "out.run.json")
        totals, sides = run["users"], [side for row in rows for side in row.get("candidates", [row])]
        futures = [future for side in sides for future in side["futures"]]
    assert sum(each["futures"] for each in totals) == len(futures)
    assert {each["user"] for each in totals} == {future["user"] for future in futures}
    assert all("persona" in future for future in futures)
    failed = [future for future in futures if future["end"] == "user failed"]
    assert failed
    assert all(future["reward"] is None and "gone home" in future["error"] for future in failed)


def test_one_user_alone_is_not_told_of(logs):
    result = collab("score", logs, "--model", "offline")
    assert result.exit_code == 0
    assert "Users, in" not in result.stderr
