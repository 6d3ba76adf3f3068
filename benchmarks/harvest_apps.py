"""Apps that are recorded. harvest.py times their calls; this runs them under load, bare and recorded in turn.

    python benchmarks/harvest_apps.py [--seconds 60] [--rounds 1] [--sessions 50] [--app openai] [--json apps.json]

The sessions are tasks of one event loop, each with one streamed chat of eight turns after the other, and a system
prompt of 1.6 KB; the endpoint is a process of its own. What recording costs is the CPU of the process per turn, the
writer's thread included: with more sessions than the machine can serve, latencies say how long the line is. Every chat
that is in the store afterwards is held against what its session exchanged.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from launch import Loopback
from replies import completion
from table import finish, judged

from collab_sdk.harvest import Recorder, conversation
from collab_sdk.logs import ConversationStore

TURNS = 8
SYSTEM = "You take orders at a counter, and are kind, brief and exact about what there is. " * 20
AT_MOST = 1.2
"""Milliseconds of CPU that recording may add to a turn."""

Watch = Recorder | str | None
Call = Callable[[list[dict[str, str]]], Any]


def openai_app(watch: Watch) -> Call:
    """OpenAI's SDK on a transport that answers by itself."""
    import collab_openai
    import httpx
    from openai import OpenAI

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER, headers={"Content-Type": "application/json"})

    client: Any = OpenAI(
        api_key="-", base_url="http://x/v1", http_client=httpx.Client(transport=httpx.MockTransport(answer))
    )
    if isinstance(watch, Recorder):
        client = collab_openai.wrap(client, watch)
    elif watch == "no-op":
        request = client.request
        client.request = lambda *args, **options: request(*args, **options)
    return lambda history: client.chat.completions.create(model="x", messages=history)


def langchain_app(watch: Watch) -> Call:
    """A chat model of LangChain's by itself."""
    model, config = _langchain_model(), _langchain_config(watch)
    return lambda history: model.invoke(history, config)


def langgraph_app(watch: Watch) -> Call:
    """A LangGraph graph of one node."""
    from langgraph.graph import START, MessagesState, StateGraph

    model, config = _langchain_model(), _langchain_config(watch)
    graph = StateGraph(MessagesState)
    graph.add_node("bot", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "bot")
    compiled: Any = graph.compile()
    return lambda history: compiled.invoke({"messages": history}, config)


def _langchain_model() -> Any:
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    return FakeListChatModel(responses=["Noted."])


def _langchain_config(watch: Watch) -> Any:
    from collab_langchain import CollabCallbackHandler
    from langchain_core.callbacks import BaseCallbackHandler

    if watch is None:
        return {}
    return {"callbacks": [CollabCallbackHandler(watch) if isinstance(watch, Recorder) else BaseCallbackHandler()]}


ANSWER, *_ = completion(json.dumps({"model": "x", "messages": []}).encode(), bytes(28), 0)
APPS: dict[str, Callable[[Watch], Call]] = {
    "openai": openai_app,
    "langchain": langchain_app,
    "langgraph": langgraph_app,
}

Exchanges = list[tuple[str, str]]
Turn = Callable[[str, str], AsyncIterator[str]]
"""The pieces of the reply to what a person says in a chat."""


def openai_sessions(watch: Recorder | None, api_base: str) -> Turn:
    """AsyncOpenAI, streamed; the app holds the histories."""
    import collab_openai
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="-", base_url=api_base, max_retries=0)
    if watch is not None:
        collab_openai.wrap(client, watch)
    histories: dict[str, list[Any]] = {}

    async def turn(chat: str, text: str) -> AsyncIterator[str]:
        history = histories.setdefault(chat, [{"role": "system", "content": SYSTEM}])
        history.append({"role": "user", "content": text})
        said = ""
        with conversation(chat):
            stream = await client.chat.completions.create(model="m", messages=history, stream=True)
        async for chunk in stream:
            piece = chunk.choices[0].delta.content or ""
            said += piece
            yield piece
        history.append({"role": "assistant", "content": said})

    return turn


def agent_sessions(watch: Recorder | None, api_base: str) -> Turn:
    """LangChain's `create_agent`, its graph streamed; its checkpointer holds the histories."""
    from collab_langchain import CollabCallbackHandler
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver

    model = ChatOpenAI(model="m", base_url=api_base, api_key="-", max_retries=0)  # type: ignore[arg-type]
    agent: Any = create_agent(model, tools=[], system_prompt=SYSTEM, checkpointer=InMemorySaver())
    callbacks = [] if watch is None else [CollabCallbackHandler(watch)]

    async def turn(chat: str, text: str) -> AsyncIterator[str]:
        config = {"configurable": {"thread_id": chat}, "callbacks": callbacks}
        async for chunk, _ in agent.astream({"messages": [("user", text)]}, config, stream_mode="messages"):
            yield chunk.content

    return turn


SESSIONS: dict[str, Callable[[Recorder | None, str], Turn]] = {"openai": openai_sessions, "agent": agent_sessions}


class Leg:
    """One app under load for a while."""

    def __init__(self, turn: Turn, *, sessions: int, seconds: float) -> None:
        self.turn, self.sessions, self.seconds = turn, sessions, seconds
        self.chats: dict[str, Exchanges] = {}
        self.took: list[float] = []

    async def warm_up(self) -> None:
        """The first turns, with imports and connections."""
        await asyncio.gather(*(self._chat(time.monotonic()) for _ in range(self.sessions)))
        self.took.clear()

    async def run(self) -> float:
        """CPU seconds of the process."""
        began = time.process_time()
        end = time.monotonic() + self.seconds
        await asyncio.gather(*(self._session(end) for _ in range(self.sessions)))
        return time.process_time() - began

    async def _session(self, end: float) -> None:
        while time.monotonic() < end:
            await self._chat(end)

    async def _chat(self, end: float) -> None:
        """A chat of eight turns, or as many as begin before the end; at least one."""
        chat = uuid.uuid4().hex
        exchanges = self.chats[chat] = []
        while not exchanges or (len(exchanges) < TURNS and time.monotonic() < end):
            began = time.monotonic()
            text = f"{len(exchanges) + 1}: two mochas with oat milk, and is {chat} still open?"
            reply = "".join([piece async for piece in self.turn(chat, text)])
            exchanges.append((text, reply))
            self.took.append(time.monotonic() - began)


class Ages:
    """How long the oldest call has waited to be written, looked up a hundred times a second."""

    def __init__(self, recorder: Recorder) -> None:
        self.seen: list[float] = []
        self._recorder, self._over = recorder, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Ages":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.seen.append(self._recorder.stats().waiting)


async def bare(app: str, options: argparse.Namespace, api_base: str) -> dict[str, Any]:
    leg = Leg(SESSIONS[app](None, api_base), sessions=options.sessions, seconds=options.seconds)
    await leg.warm_up()
    return figures(app, "bare", leg, await leg.run())


async def recorded(app: str, options: argparse.Namespace, api_base: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chats.db"
        recorder = Recorder(path)
        leg = Leg(SESSIONS[app](recorder, api_base), sessions=options.sessions, seconds=options.seconds)
        await leg.warm_up()
        recorder.flush()
        with Ages(recorder) as ages:
            cpu = await leg.run()
        began = time.monotonic()
        recorder.flush()
        flushed = time.monotonic() - began
        stats = recorder.stats()
        recorder.close()
        with ConversationStore(path) as store:
            kept = {chat.id: [(m.role, m.content) for m in chat.messages] for chat in store.conversations()}
    turns = sum(map(len, leg.chats.values()))
    wrong = sum(kept.get(chat) != spoken(exchanges) for chat, exchanges in leg.chats.items())
    return {
        **figures(app, "recorded", leg, cpu),
        "lost": turns - stats.recorded,
        "chats": len(leg.chats),
        "not exact": wrong + len(kept.keys() - leg.chats.keys()),
        "oldest p99 ms": 1000 * statistics.quantiles(ages.seen, n=100)[98],
        "flush s": flushed,
    }


def spoken(exchanges: Exchanges) -> list[tuple[str, str]]:
    said = [pair for text, reply in exchanges for pair in (("user", text), ("assistant", reply))]
    return [("system", SYSTEM), *said]


def figures(app: str, kind: str, leg: Leg, cpu: float) -> dict[str, Any]:
    quantiles = statistics.quantiles(leg.took, n=100)
    return {
        "app": app,
        "watched by": kind,
        "turns": len(leg.took),
        "CPU ms a turn": 1000 * cpu / len(leg.took),
        "p50 ms": 1000 * quantiles[49],
        "p95 ms": 1000 * quantiles[94],
        "lost": 0,
        "chats": len(leg.chats),
        "not exact": 0,
        "oldest p99 ms": 0.0,
        "flush s": 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of each leg")
    parser.add_argument("--rounds", type=int, default=1, help="legs of each kind, in turn")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--app", choices=SESSIONS, action="append")
    parser.add_argument("--json", dest="path")
    asyncio.run(measure(parser.parse_args()))


async def measure(options: argparse.Namespace) -> None:
    """All in one event loop: LangChain keeps its connections for the life of the process."""
    rows, verdicts = [], []
    with Loopback(median=0.02, sigma=0.3) as endpoint:
        for app in options.app or SESSIONS:
            legs = []
            for _ in range(options.rounds):
                legs.append([await leg(app, options, endpoint.api_base) for leg in (bare, recorded)])
            rows += [leg for pair in legs for leg in pair]
            more = statistics.median(kept["CPU ms a turn"] - plain["CPU ms a turn"] for plain, kept in legs)
            verdicts.append(judged(f"{app}: CPU over bare, ms a turn", more, at_most=AT_MOST))
            for figure in ("lost", "not exact"):
                verdicts.append(judged(f"{app}: {figure}", sum(kept[figure] for _, kept in legs), at_most=0))
            oldest = max(kept["oldest p99 ms"] for _, kept in legs)
            verdicts.append(judged(f"{app}: age of the oldest unwritten call, p99 ms", oldest, at_most=100))
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
