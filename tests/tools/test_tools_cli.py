"""What runs the tools, chosen on the command line, in a file of options, and in the environment."""

import json
import sys

import pytest
from support.agents import called, log_of, returned, said
from support.brain import role_of
from support.cli import collab
from support.paths import DATA
from support.server import LoopbackServer

from collab_sdk.errors import UsageError
from collab_sdk.models import CallRole
from collab_sdk.spec import DEFAULT_TOOLS, ModelSettings

BOT = """
from collab_sdk import ChatReply
from collab_sdk.models import SETTINGS
from collab_sdk.errors import UsageError
from collab_sdk.models import CallRole
from collab_sdk.spec import Price

class Bot:
    name, fingerprint, price, takes = "own", {"own": 1}, Price(prompt=0.0, completion=0.0), SETTINGS

    async def achat(self, request):
        last = request.messages[-1]
        if last.role == "tool":
            return ChatReply(content=f"It says: {last.content} {request.sample}")
        call = {"name": "get_order", "arguments": '{"order": 5}'}
        return ChatReply(content="", tool_calls=({"id": "1", "type": "function", "function": call},))

bot = Bot()

class Till:
    def get_order(self, order: int) -> str:
        return f"order {order} of the till"

def get_order(order: int):
    raise ValueError("no till")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_agent.py").write_text(BOT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    chat = log_of(said("order 5?", "user"), called("get_order", order=5), returned("SHIPPED"), said("It has shipped."))
    row = {"id": "one", "messages": [message.to_dict() for message in chat.messages], "goal": "the state of order 5"}
    (tmp_path / "chats.jsonl").write_text(json.dumps(row) + "\n")
    yield tmp_path
    sys.modules.pop("own_agent", None)


OWN = ("-a", "py:own_agent:bot", "--model", "offline", "--metric", "token_penalty", "--samples", 1, "--window", 1)


def export(folder, *options):
    """What an export writes of candidates and futures, how it says that they were made, and its output."""
    result = collab("export-prefs", "chats.jsonl", *OWN, *options, "-o", folder / "prefs.jsonl")
    return (folder / "prefs.turns.jsonl").read_text(), json.loads((folder / "prefs.run.json").read_text()), result


def test_the_logs_own_results_are_the_first_choice_and_the_run_says_so(folder):
    turns, run, result = export(folder)
    assert run["spec"]["tools"] == list(DEFAULT_TOOLS)
    assert run["made_with"]["tools_model"]["settings"] == {"temperature": 0.0}
    assert run["made_with"]["models"]["tools"] == run["made_with"]["models"]["simulator"]
    assert "It says: SHIPPED" in turns
    assert "3 of 3 samples succeeded" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("Till", "order 5 of the till"), ("get_order", "error: ValueError: no till")]
)
def test_tools_of_ones_own_run_the_calls_and_their_code_is_in_the_provenance(folder, name, said):
    turns, run, result = export(folder, "--tools", f"py:own_agent:{name}")
    assert "3 of 3 samples succeeded" in result.stderr
    assert said in turns
    assert run["made_with"]["code"].keys() == {f"py:own_agent:{name}"}
    assert "tools" not in run["made_with"]["models"]
    assert "inferred" not in result.stderr


def test_nobody_runs_the_tools_and_every_drawn_candidate_that_calls_is_lost(folder):
    turns, _, result = export(folder, "--tools", "none")
    assert "Nothing can run the call of get_order" in turns
    assert result.exit_code != 0


def test_the_source_of_tools_is_an_input_that_no_output_replaces(folder):
    result = collab("score", "chats.jsonl", *OWN, "--tools", "recorded,py:own_agent:Till", "-o", "own_agent.py")
    assert result.exit_code == 2
    assert "own_agent.py" in result.stderr
    assert (folder / "own_agent.py").read_text() == BOT


def test_flag_file_and_environment_are_one(folder, monkeypatch):
    named = ("simulated", "py:own_agent:Till")
    (folder / "list.toml").write_text('tools = ["simulated", "py:own_agent:Till"]\n')
    (folder / "text.toml").write_text('[score]\ntools = "simulated,py:own_agent:Till"\n')
    ways = [
        ["--tools", "simulated", "--tools", "py:own_agent:Till"],
        ["--tools", "simulated, py:own_agent:Till"],
        ["--config", "list.toml"],
        ["--config", "text.toml"],
    ]
    for way in ways:
        assert spec_of(monkeypatch, *way).tools == named
    monkeypatch.setenv("COLLAB_TOOLS", "simulated py:own_agent:Till")
    assert spec_of(monkeypatch).tools == named
    assert spec_of(monkeypatch, "--tools", "none").tools == ()


def spec_of(monkeypatch, *arguments):
    """The RunSpec of a command that is called so."""
    specs = []

    def running(logs, spec, work, problems):
        specs.append(spec)
        raise UsageError("seen")

    monkeypatch.setattr("collab_cli.score.running", running)
    result = collab("score", "chats.jsonl", "--model", "m", "--api-base", "http://127.0.0.1:1/v1", *arguments)
    assert "seen" in result.stderr, result.output
    return specs[0]


def test_the_tools_may_have_a_model_server_and_settings_of_their_own(folder, monkeypatch):
    assert spec_of(monkeypatch).tools_model is None
    named = spec_of(monkeypatch, "--tools-model", "t", "--tools-model-option", "max_tokens=9")
    assert named.tools_model.name == "t"
    assert named.tools_model.api_base == ("http://127.0.0.1:1/v1",)
    assert named.tools_model.settings == ModelSettings(temperature=0.0, max_tokens=9)
    asked = spec_of(monkeypatch, "--simulator-option", "temperature=1.5", "--tools-model-option", "seed=7")
    assert asked.tools_model.name == "m"
    assert asked.tools_model.settings == ModelSettings(temperature=0.0, seed=7)
    served = spec_of(monkeypatch, "--tools-model-api-base", "http://127.0.0.1:2/v1").tools_model
    assert (served.name, served.api_base) == ("m", ("http://127.0.0.1:2/v1",))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--tools", "nothing"], "Unknown tools 'nothing'"),
        (["--tools", "none,recorded"], "'none' stands alone"),
        (["--tools", "recorded", "--tools", "recorded"], "'recorded' is given twice"),
        (["--tools", "py:no_such:Till"], "cannot be imported"),
        (["--tools", "py:own_agent:BOT"], "has no attribute"),
        (["--tools", "py:own_agent:Price"], "Price needs prompt to be made"),
        (["--per", "message"], "'message' is not one of 'turn', 'decision'"),
        (["--calls-per-turn", "0"], "0 is not in the range"),
        (["--tools-model-option", "temperature=x"], "--tools-model-option: "),
    ],
)
def test_what_cannot_work_is_one_line(folder, options, problem):
    result = collab("score", "chats.jsonl", *OWN, *options)
    assert result.exit_code in (1, 2)
    assert problem in result.stderr
    assert "Traceback" not in result.output and "Internal error" not in result.output


def test_a_budget_in_dollars_needs_the_price_of_the_tools_model(folder):
    own = ["--tools-model", "m", "--tools-model-api-base", "http://127.0.0.1:1/v1", "--max-usd", "1"]
    result = collab("score", "chats.jsonl", *OWN, *own)
    assert result.exit_code == 1
    assert "--tools-model-option price=0.15/0.60" in result.stderr
    told = collab("score", "chats.jsonl", *OWN, *own, "--tools", "recorded", "--dry-run")
    assert told.exit_code == 0


def test_a_dry_run_counts_who_plays_the_tools(folder):
    price = ["--tools-model", "m", "--tools-model-api-base", "http://127.0.0.1:1/v1"]
    result = collab("score", "chats.jsonl", *OWN, *price, "--tools-model-option", "price=1000/1000", "--dry-run")
    [row] = [line for line in result.stdout.splitlines() if line.startswith("tools")]
    assert row.split()[1] == "1"
    assert "$0.00" not in row
    assert "tools" not in collab("score", "chats.jsonl", *OWN, "--tools", "recorded", "--dry-run").stdout


def test_bots_are_evaluated_with_tools_of_ones_own(folder):
    result = collab(
        *("evaluate", "-a", "py:own_agent:bot", "--model", "offline", "-t", "logs", "--data", "chats.jsonl"),
        *("--tools", "py:own_agent:Till", "--exchanges", 1, "-o", "evaluation.json"),
    )
    row = json.loads((folder / "evaluation.json").read_text().splitlines()[0])
    assert "order 5 of the till" in json.dumps(row)
    assert row["made_with"]["code"].keys() == {"py:own_agent:Till"}
    assert row["made_with"]["tools"] == ["py:own_agent:Till"]
    assert result.exit_code == 0, result.output


AGENT_CHATS = DATA / "agent_chats.jsonl"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA}")
@pytest.mark.parametrize("tools", ["recorded,simulated", "simulated"])
def test_real_chats_of_an_agent_give_pairs_with_a_model_on_a_server(folder, tools):
    with LoopbackServer() as server:
        model = ["--model", "tiny", "--api-base", server.api_base]
        limits = [
            "--limit",
            2,
            "--samples",
            1,
            "--window",
            1,
            "--candidates",
            2,
            "--min-margin",
            0,
            "--min-confidence",
            0,
        ]
        result = collab("export-prefs", AGENT_CHATS, *model, "--tools", tools, *limits, "-o", "prefs.jsonl")
        requests = [request.body for request in server.requests]
    assert result.exit_code == 0, result.output
    played = [body for body in requests if role_of(body) is CallRole.TOOLS]
    offered = [body["tools"] for body in requests if role_of(body) is CallRole.ASSISTANT]
    assert played
    assert {len(tools) for tools in offered} == {17}
    assert "inferred 17" in result.stderr
    goals = [json.loads(line)["goal"] for line in (folder / "prefs.turns.jsonl").read_text().splitlines()]
    shown = "".join(message["content"] for body in played for message in body["messages"])
    assert not [goal for goal in goals if goal.splitlines()[0] in shown]
    [line] = [line for line in result.stderr.splitlines() if line.startswith("tools  ")]
    assert int(line.split()[1]) == len(played)
