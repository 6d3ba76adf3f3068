"""The benchmark over real questions, problems and programs, with rules, over HTTP and with a tiny local model."""

import json

import pytest
from support.cli import collab
from support.local import save_tiny_model
from support.paths import DATA
from support.sandboxes import as_this_user
from support.server import LoopbackServer

from collab_sdk.errors import SandboxError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA.exists(), reason=f"the real data is not at {DATA}")]
FILES = {
    "abg-coqa": "abg_coqa_sample.json",
    "math-chat": "gsm8k_sample.jsonl",
    "bigcodebench-chat": "human_eval.jsonl",
    "logs": "coffee_chats.jsonl",
}
ROWS = {"abg-coqa": 200, "math-chat": 200, "bigcodebench-chat": 164, "logs": 300}


def evaluate(task, target, *arguments):
    if task == "bigcodebench-chat":
        try:
            as_this_user("bubblewrap")
        except SandboxError as error:
            pytest.skip(str(error))
    result = collab("evaluate", "-t", task, "--data", DATA / FILES[task], "-o", target, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(target.read_text())


def figure(row, name):
    return next(figure for figure in row["figures"] if figure["name"] == name)


@pytest.mark.parametrize("task", FILES)
def test_every_row_of_a_data_set_is_played_by_rules(task, tmp_path):
    row = evaluate(task, tmp_path / "result.json", "--model", "offline", "--exchanges", 3)
    [bot] = row["results"]
    assert len(bot["conversations"]) == ROWS[task]
    assert bot["failed"] == {}
    assert all(chat["error"] is None for chat in bot["conversations"])


def test_table_2_over_the_200_real_questions_counted_again_from_the_file(tmp_path):
    row = evaluate("abg-coqa", tmp_path / "result.json", "--model", "offline", "-a", "proactive:offline")
    labels = {item["id"]: item["ambiguity"] for item in json.loads((DATA / FILES["abg-coqa"]).read_text())["data"]}
    asks = {chat["conversation_id"]: chat["asks"] for chat in row["results"][0]["conversations"]}
    ambiguous = [asks[name] for name, label in labels.items() if label == "ambiguous"]
    clear = [asks[name] for name, label in labels.items() if label == "non_ambiguous"]
    assert (len(ambiguous), len(clear)) == (60, 140)
    assert figure(row, "asks when ambiguous")["means"][0]["mean"] == pytest.approx(sum(ambiguous) / 60)
    assert figure(row, "over-asking")["means"][0]["mean"] == pytest.approx(sum(clear) / 140)
    macro = (sum(ambiguous) / 60 + 1 - sum(clear) / 140) / 2
    assert figure(row, "macro accuracy")["means"][0]["mean"] == pytest.approx(macro)


def test_a_bot_that_knows_the_canonical_solutions_passes_all_of_human_eval(tmp_path, monkeypatch):
    # It reads the solution off the task that is hidden from bots: what is tested is the way to the sandbox and back.
    (tmp_path / "knowing.py").write_text(KNOWING.format(path=DATA / FILES["bigcodebench-chat"]))
    monkeypatch.syspath_prepend(str(tmp_path))
    bot = ("-a", "py:knowing:bot", "--exchanges", 1, "--limit", 40)
    row = evaluate("bigcodebench-chat", tmp_path / "result.json", "--model", "offline", *bot)
    assert figure(row, "pass_rate")["means"][0]["mean"] == 1


KNOWING = """
import json
from pathlib import Path

problems = {{}}
for line in Path("{path}").read_text(encoding="utf-8").splitlines():
    problem = json.loads(line)
    problems[problem["task_id"]] = problem["prompt"] + problem["canonical_solution"]

def bot(messages, metadata):
    task = metadata["sample"].removeprefix("bigcodebench-chat/").partition("/future")[0]
    return "```python\\n" + problems[task] + "```"
"""


@pytest.mark.parametrize("task", ["abg-coqa", "math-chat", "bigcodebench-chat"])
def test_real_rows_over_http(task, tmp_path):
    with LoopbackServer() as server:
        endpoint = ("--model", "hosted_vllm/tiny", "--api-base", server.api_base, "--limit", 5)
        row = evaluate(task, tmp_path / "result.json", *endpoint)
        assert server.count > 5
    assert len(row["results"][0]["conversations"]) == 5
    assert row["results"][0]["usage"]["prompt_tokens"] > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of transformers' own
def test_real_questions_with_a_tiny_local_model(tmp_path):
    model = save_tiny_model(tmp_path / "tiny")
    for task in ("abg-coqa", "math-chat", "bigcodebench-chat"):
        bot = ("-a", f"hf:{model}", "--model", "offline", "--limit", 4, "--exchanges", 1)
        row = evaluate(task, tmp_path / "result.json", *bot)
        assert [chat["error"] for chat in row["results"][0]["conversations"]] == [None] * 4
