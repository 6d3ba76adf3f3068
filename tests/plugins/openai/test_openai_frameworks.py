"""The frameworks of docs/harvest.md that take a wrapped client: what the docs say is run, and its chats are exact."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from collab_openai import conversation, wrap
from openai import AsyncOpenAI
from support.anthropic_replies import message, text
from support.faults import Fault
from support.openai_replies import chat_chunks, chat_completion, response, response_events
from support.paths import ROOT
from support.scripted_server import ScriptedServer
from support.server import LoopbackServer

from collab_sdk import ChatReply
from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

pytestmark = pytest.mark.slow


def example(heading: str) -> str:
    """The code below a heading of the page."""
    section = (ROOT / "docs" / "harvest.md").read_text().partition(f"### {heading}\n")[2]
    found = re.search(r"^```py\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def answer(body: dict[str, Any]) -> str:
    """What it was told last."""
    asked = (body.get("messages") or body["input"])[-1] if not isinstance(body.get("input"), str) else body["input"]
    return f"re: {asked if isinstance(asked, str) else asked['content']}"


def run(heading: str, then: str, folder: Path, **environment: str) -> dict[str, list[tuple[str, str]]]:
    """The chats that are in the store when an example has been run, and what follows it.

    In a process of its own, as the frameworks keep clients for as long as theirs lives.
    """
    code = f"{example(heading)}\n{textwrap.dedent(then)}"
    known = {**os.environ, "OPENAI_AGENTS_DISABLE_TRACING": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return chats(folder / "chats.db")


def chats(path: Path) -> dict[str, list[tuple[str, str]]]:
    """What was said in each."""
    with ConversationStore(path) as store:
        return {chat.id: [(row.role, row.content) for row in chat.messages] for chat in store.conversations()}


def expected(*asked: str) -> list[tuple[str, str]]:
    turns = [turn for each in asked for turn in (("user", each), ("assistant", f"re: {each}"))]
    return [("system", "Be kind."), *turns]


EXAMPLES = {
    "OpenAI Agents SDK": (
        "agents",
        """
        import asyncio

        async def main():
            for text in ("one", "two"):
                assert await chat("ann-1", text) == f"re: {text}"

        asyncio.run(main())
        """,
    ),
    "Pydantic AI": (
        "pydantic_ai",
        """
        import asyncio

        async def main():
            await chat("ann-1", "two", await chat("ann-1", "one", []))

        asyncio.run(main())
        """,
    ),
    "LlamaIndex": (
        "llama_index.llms.openai",
        """
        import asyncio

        history = [ChatMessage(role="system", content="Be kind."), ChatMessage(role="user", content="one")]
        said = chat("ann-1", history)
        history += [ChatMessage(role="assistant", content=said), ChatMessage(role="user", content="two")]

        async def main():
            with conversation("ann-1"):
                parts = [part async for part in await llm.astream_chat(history)]
            assert parts[-1].message.content == "re: two"

        asyncio.run(main())
        """,
    ),
}


@pytest.mark.parametrize("heading", EXAMPLES)
def test_a_framework_is_recorded_as_the_docs_say(heading, tmp_path):
    package, then = EXAMPLES[heading]
    pytest.importorskip(package)
    with LoopbackServer(answer) as server:
        found = run(heading, then, tmp_path, OPENAI_BASE_URL=server.api_base, OPENAI_API_KEY="-")
    assert found == {"ann-1": expected("one", "two")}


def test_the_anthropic_sdk_is_recorded_as_the_docs_say(tmp_path):
    pytest.importorskip("anthropic")
    with ScriptedServer(lambda asked: message(text("A mocha?"))) as server:
        found = run("Anthropic SDK", "", tmp_path, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="-")
    assert found == {"order-9": [("user", "I would like a coffee"), ("assistant", "A mocha?")]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("api", ["responses", "chat_completions"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_guards_handoffs_tools_and_sub_agents_of_the_agents_sdk_are_told_apart(tmp_path, monkeypatch, api, is_streamed):
    agents = pytest.importorskip("agents")
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")

    @agents.function_tool
    def look_up(order: int) -> str:
        """The state of an order."""
        return "shipped"

    guard = agents.Agent(name="guard", instructions="Is this about orders? Say yes or no.", model="x")

    @agents.input_guardrail
    async def about_orders(context: Any, agent: Any, asked: Any) -> Any:
        verdict = await agents.Runner.run(guard, asked if isinstance(asked, str) else str(asked[-1]["content"]))
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=verdict.final_output == "no")

    refunds = agents.Agent(name="refunds", instructions="You refund.", model="x")
    writer = agents.Agent(name="writer", instructions="You write poems.", model="x")
    front = agents.Agent(
        name="front",
        instructions="Be kind.",
        model="x",
        tools=[look_up, writer.as_tool("write", "Writes a poem.")],
        handoffs=[refunds],
        input_guardrails=[about_orders],
    )
    uses = {
        "where is order 7?": ("look_up", '{"order": 7}'),
        "I want my money back": ("transfer_to_refunds", "{}"),
        "a poem about it, please": ("write", '{"input": "order 7"}'),
    }

    def reply(asked: Any) -> Any:
        return said(asked.body, uses)

    recorder = Recorder(tmp_path / "chats.db")
    with ScriptedServer(reply) as server:

        async def main() -> list[str]:
            client = wrap(AsyncOpenAI(base_url=server.url, api_key="-"), recorder)
            agents.set_default_openai_client(client, use_for_tracing=False)
            agents.set_default_openai_api(api)
            session, seen = agents.SQLiteSession("ann"), []
            for asked in ("hello", *uses, "thanks"):
                with conversation("ann"):
                    if is_streamed:
                        run = agents.Runner.run_streamed(front, asked, session=session)
                        async for _ in run.stream_events():
                            pass
                    else:
                        run = await agents.Runner.run(front, asked, session=session)
                seen += [asked, run.final_output]
            await client.close()
            return seen

        seen = asyncio.run(main())
    assert recorder.flush(10)
    assert recorder.stats().failed == 0
    found = chats(tmp_path / "chats.db")
    assert list(found) == ["ann"]
    assert [content for role, content in found["ann"] if role in ("user", "assistant") and content] == seen
    recorder.close()


def said(body: Any, uses: dict[str, tuple[str, str]]) -> Any:
    """What a model says to one of these questions: it uses a tool, or tells what it was told last."""
    rows = body.get("messages") or [
        {"role": "system", "content": body.get("instructions")},
        *([{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]),
    ]
    last = str(rows[-1].get("content") or rows[-1].get("output"))
    is_guard = "yes or no" in str(rows[0]["content"])
    use = None if is_guard or "content" not in rows[-1] or rows[-1]["role"] != "user" else uses.get(last)
    told = "yes" if is_guard else f"re: {last}"
    return _chat_reply(body, told, use) if "messages" in body else _response(body, told, use)


def _chat_reply(body: Any, told: str, use: tuple[str, str] | None) -> Any:
    whole: dict[str, Any] = {"role": "assistant", "content": told}
    if use is not None:
        function = {"name": use[0], "arguments": use[1]}
        whole = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{use[0]}", "type": "function", "function": function}],
        }
    fault = Fault(message=whole)
    row = chat_completion(body, [ChatReply(content=told)], fault)
    return chat_chunks(row, body) if body.get("stream") else row


def _response(body: Any, told: str, use: tuple[str, str] | None) -> Any:
    calls = [] if use is None else [{"id": f"call_{use[0]}", "function": {"name": use[0], "arguments": use[1]}}]
    row = response(body, told, Fault(message={"tool_calls": calls}), 1)
    return response_events(row) if body.get("stream") else row
