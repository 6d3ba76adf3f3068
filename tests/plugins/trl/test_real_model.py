"""A real language model in every part: in this process, and behind servers that hold a schema or ignore it."""

import asyncio
import itertools
import json

import pytest
from click.testing import Result
from support.brain import brain_of, varied
from support.cli import chat_row, collab, write_chats
from support.reports import rows_of
from support.server import LoopbackServer

from collab_sdk import Engine, Simulator, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import SampleError, TruncatedReplyError
from collab_sdk.messages import as_messages
from collab_sdk.metrics import Judge, Judgement, as_metric
from collab_sdk.simulator import UserTurn
from collab_sdk.types import Goal

pytestmark = pytest.mark.slow

CHAT = as_messages(chat_row(0)["messages"])
GOAL = Goal.of("drink: mocha\nsize: large")
REPLY = 120
"""Tokens of a reply: some are cut off there."""


@pytest.fixture(scope="module")
def local(smollm2):
    """The model in this process, as it is asked to play or judge."""
    return as_chat_model(f"hf:{smollm2}", temperature=1.0, max_tokens=REPLY)


def played_and_judged(model, n: int) -> tuple[list[object], list[object]]:
    """`n` turns of the user and `n` verdicts, all asked for at once; for one that is lost, why."""
    simulator, judge = Simulator(model, engine=Engine()), Judge(model, engine=Engine())
    rubrics = {"interactivity": as_metric("interactivity").rubric(GOAL)}

    async def verdict(number: int):
        ended = (*CHAT, *as_messages([{"role": "user", "content": f"large, number {number}"}]))
        return (await judge.ajudge(ended, goal=GOAL, rubrics=rubrics))["interactivity"]

    async def together():
        turns = (simulator.areply(CHAT, goal=GOAL, sample=str(number)) for number in range(n))
        return await asyncio.gather(*turns, *map(verdict, range(n)), return_exceptions=True)

    found = run_sync(together())
    return found[:n], found[n:]


def check_form(turns, verdicts):
    """All can be read, but for those that are cut off, and not all of them are."""
    assert {type(turn) for turn in turns} - {TruncatedReplyError} == {UserTurn}
    assert {type(verdict) for verdict in verdicts} - {TruncatedReplyError} == {Judgement}
    assert all(0 <= verdict.value <= 1 for verdict in verdicts if isinstance(verdict, Judgement))


def test_a_local_model_keeps_to_the_form_as_user_and_as_judge(local):
    check_form(*played_and_judged(local, 4))


def test_a_server_that_holds_the_schema_keeps_a_model_to_the_form(local):
    with LoopbackServer(varied(brain_of(local))) as server:
        model = as_chat_model(
            "openai/smollm2", api_base=server.api_base, api_key="-", temperature=1.0, max_tokens=REPLY
        )
        check_form(*played_and_judged(model, 4))
    asked = {request.body["response_format"]["type"] for request in server.requests}
    assert asked == {"json_schema"}


def test_a_server_that_ignores_the_schema_costs_samples_and_each_says_why(smollm2, transformers_server):
    model = as_chat_model(f"openai/{smollm2}", api_base=transformers_server, api_key="-", max_tokens=40)
    for found in itertools.chain(*played_and_judged(model, 1)):
        assert isinstance(found, UserTurn | Judgement | SampleError)
        if isinstance(found, SampleError):
            assert "token limit" in str(found) or "in no readable form" in str(found)


def test_a_bot_behind_transformers_serve_is_scored(smollm2, transformers_server, tmp_path):
    bot = (
        "-a",
        f"openai/{smollm2}",
        "--assistant-api-base",
        transformers_server,
        "--assistant-option",
        "max_tokens=40",
    )
    chats = write_chats(tmp_path / "chats.jsonl", 1)
    scored = done("score", chats, *bot, "--simulator", "offline", "--samples", 1, "--window", 1, "--json")
    futures = [future for line in scored.stdout.splitlines() for future in json.loads(line)["futures"]]
    replies = [message for future in futures for message in future["messages"] if message["role"] == "assistant"]
    assert len(futures) == 2
    assert all(message["content"].strip() for message in replies)


def test_a_real_model_in_every_part_scores_or_says_why_not(smollm2, tmp_path):
    everybody = ("--model", f"hf:{smollm2}", "--model-option", f"max_tokens={REPLY}", "--cache", tmp_path / "cache")
    metrics = ("--metric", "interactivity=1", "--metric", "token_penalty=1")
    chats, scores = write_chats(tmp_path / "chats.jsonl", 1), tmp_path / "scores.jsonl"
    result = collab("score", chats, "--samples", 1, "--window", 1, *metrics, *everybody, "-o", scores)
    futures = [future for row in rows_of(scores) for future in row["futures"]]
    assert len(futures) == 2
    for future in futures:
        assert future["reward"] is not None or "ran into its token limit" in future["error"]
    assert result.exit_code in (0, 3) or "No result" in result.stderr


def test_a_real_bot_is_trained_on_its_own_replies_and_compared_with_itself(smollm2, tmp_path):
    rules = ("--model", "offline", "--assistant-option", "max_tokens=32", "--cache", tmp_path / "cache")
    chats, prefs, adapter = write_chats(tmp_path / "chats.jsonl", 3), tmp_path / "prefs.jsonl", tmp_path / "adapter"
    rule = ("--samples", 1, "--window", 1, "--candidates", 2, "--min-margin", 0, "--min-confidence", 0)
    done("export-prefs", chats, "-a", f"hf:{smollm2}", *rules, *rule, "-o", prefs)
    assert all(row["chosen"] != row["rejected"] for row in rows_of(prefs))

    done("finetune", prefs, "-m", smollm2, "-o", adapter, "--epochs", 1, "--learning-rate", "1e-3")
    trained = f"hf:{smollm2}@{adapter}"
    command = json.loads((adapter / "metrics.json").read_text())["serve"]["in process"].split()
    assert command[command.index("--assistant") + 1] == trained

    bots, compared = ("-a", f"hf:{smollm2}", "-a", trained), tmp_path / "compared.json"
    done("evaluate", "-t", "logs", "--data", chats, "--exchanges", 1, *bots, *rules, "-o", compared)
    assert trained in compared.read_text()
    for file in (prefs, compared):
        done("report", file, "-o", tmp_path / "page.html")


def done(*arguments: object) -> Result:
    """A command that ends well, or says which samples it lost."""
    result = collab(*arguments)
    assert result.exit_code in (0, 3), result.output
    return result
