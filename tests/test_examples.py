"""The scripts in examples/ run as they stand, with models that answer here."""

import ast
import re
import runpy
import sys

import pytest
from support.agents import reply, said
from support.brain import role_of
from support.paths import ROOT
from support.server import LoopbackServer

from collab_sdk import read_conversations
from collab_sdk.logs import ConversationStore
from collab_sdk.logs.store import LoggedCall
from collab_sdk.models import CallRole

EXAMPLES = ROOT / "examples"


@pytest.fixture
def example(monkeypatch, capsys):
    """Runs one with its arguments, and gives the lines that it prints."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def is_provider(server, monkeypatch):
    """Requests to OpenAI are sent to this server."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.api_base)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda script: script.stem)
def test_an_example_says_how_to_run_it_and_is_about_twenty_lines_below_that(script):
    tree = ast.parse(script.read_text())
    told = ast.get_docstring(tree)
    assert "pip install" in told
    assert f"python examples/{script.name}" in told
    below = script.read_text().splitlines()[tree.body[0].end_lineno :]
    assert len([line for line in below if line.strip() and not line.startswith(("import ", "from "))]) <= 25


@pytest.mark.slow
def test_a_function_is_a_metric(example):
    lines = example("function_as_metric.py")
    shown = re.compile(r"sample-\d+, turn \d+: MR \d\.\d\d \(goal \d\.\d\d, one_question \d\.\d\d\)")
    assert len(lines) > 3
    assert [line for line in lines if not shown.fullmatch(line)] == []


@pytest.mark.slow
def test_a_bot_is_scored_on_the_last_twenty_chats_of_a_store(example, tmp_path):
    with ConversationStore(tmp_path / "chats.db") as store:
        for number in range(22):
            asked, answered = said(f"a mocha for table {number}", "user"), said(f"Table {number}: a latte.")
            call = {"run_id": str(number), "conversation_id": f"chat-{number}", "started": 1e9 + number}
            store.record([LoggedCall(messages=(asked,), replies=(answered,), **call)])
    summary, *worst = example("score_harvested_chats.py", tmp_path / "chats.db")
    assert summary == "20 replies of 20 chats. The worst:"
    assert len(worst) == 5
    shown = [re.fullmatch(r"\d\.\d\d ± \d\.\d\d chat-(\d+): 'Table (\d+): a latte\.'", line).groups() for line in worst]
    assert all(chat == table and int(chat) >= 2 for chat, table in shown)


def test_the_bot_is_asked_at_its_own_server_and_user_and_judge_at_the_provider(example, monkeypatch):
    with LoopbackServer() as vllm, LoopbackServer() as provider:
        is_provider(provider, monkeypatch)
        best, worst = example("vllm_with_provider_judge.py", vllm.api_base, "Qwen/Qwen3-8B")
    assert best.endswith("is it for here or to go?'")
    assert worst.endswith("a latte.'")
    assert {(each.body["model"], role_of(each.body)) for each in vllm.requests} == {
        ("Qwen/Qwen3-8B", CallRole.ASSISTANT)
    }
    assert {each.body["model"] for each in provider.requests} == {"gpt-4o-mini"}
    assert CallRole.JUDGE in (roles := {role_of(each.body) for each in provider.requests})
    assert CallRole.ASSISTANT not in roles


def test_an_agent_of_langgraph_is_harvested_with_its_tools(example, monkeypatch, tmp_path):
    pytest.importorskip("langchain_openai")

    def agent(body):
        last = body["messages"][-1]
        if last["role"] == "user" and "order" in last["content"]:
            return reply(("look_up", {"order": 7}))
        return f"Order 7 is {last['content']}." if last["role"] == "tool" else "Hello!"

    with LoopbackServer(agent) as provider:
        is_provider(provider, monkeypatch)
        lines = example("harvest_langgraph.py", tmp_path / "chats.db")
    assert lines == ["user: Hello", "bot: Hello!", "user: Where is my order 7?", "bot: Order 7 is shipped."]
    [chat] = read_conversations([tmp_path / "chats.db"])
    assert chat.id == "42"
    assert [message.role for message in chat.messages] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert chat.messages[3].tool_calls[0]["function"]["name"] == "look_up"


@pytest.mark.slow
def test_pairs_become_an_adapter_that_answers_and_can_be_served(example, tmp_path):
    pytest.importorskip("trl")
    from support.training import write_base, write_pairs

    base, prefs = write_base(tmp_path / "base"), write_pairs(tmp_path / "prefs.jsonl", 12)
    lines = example("finetune_and_serve.py", prefs, base, tmp_path / "adapter")
    assert re.fullmatch(r"\d+ pairs to train on, \d+ held out", lines[0])
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    assert any(line.startswith(f"hf:{base}@{tmp_path / 'adapter'}: ") for line in lines)
    assert any(line.startswith(f"vllm serve {base} --enable-lora") for line in lines)
