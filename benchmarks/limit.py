"""How near a job comes to what its endpoint and LiteLLM allow, at a ceiling of 64 calls in flight.

    python benchmarks/limit.py [--rounds 3] [--chats 32] [--json limit.json]

The floor of wall time is max(sum of latencies / 64, longest chain of calls that wait for each other), both counted by
the server. CPU is compared with bare LiteLLM: the same messages in a gather behind a semaphore, in the same process.
The package speaks to such a server itself; `through LiteLLM` is the same job as it runs with a provider that needs it.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from job import chats, export, scorer_of
from launch import Loopback
from table import finish, judged

from collab_sdk import ChatModel, Engine, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.models import LiteLLMModel, load_litellm, request_arguments
from collab_sdk.spec import Limits

CEILING = 64
Sent = list[dict[str, Any]]


async def ours(model: ChatModel, n: int, sent: Sent | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(cache=folder, limits=Limits(concurrency=CEILING))
        if sent is not None:
            record(model, sent)
        assert await export(scorer_of(model, engine), chats(n)) == 0
        engine.cache.close()


def straight(api_base: str) -> ChatModel:
    return as_chat_model("hosted_vllm/bench", api_base=api_base)


def through_litellm(api_base: str) -> ChatModel:
    return LiteLLMModel("hosted_vllm/bench", api_base=api_base)


def record(model: Any, sent: Sent) -> None:
    achat = model.achat

    async def recorded(request: Any) -> Any:
        sent.append(request_arguments(request))
        return await achat(request)

    model.achat = recorded


async def bare(api_base: str, sent: Sent) -> None:
    gate = asyncio.Semaphore(CEILING)

    async def one(arguments: dict[str, Any]) -> None:
        async with gate:
            await load_litellm().acompletion(model="hosted_vllm/bench", api_base=api_base, **arguments)

    await asyncio.gather(*map(one, sent))


def measure(work: Callable[[str], Awaitable[None]], run: Callable[[Any], None], **server: float) -> dict[str, float]:
    with Loopback(**server) as loopback:
        started, cpu = time.perf_counter(), time.process_time()
        run(work(loopback.api_base))
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        stats = loopback.stats()
    floor = max(stats["latency_s"] / CEILING, stats["longest_chain_s"])
    return {
        "calls": stats["calls"],
        "wall_s": wall,
        "in_flight": stats["in_flight_mean"],
        "floor_s": floor,
        "wall_ratio": wall / floor,
        "cpu_ms": 1000 * cpu / stats["calls"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chats", type=int, default=32)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    load_litellm()
    sent: Sent = []
    measure(lambda api_base: ours(straight(api_base), options.chats, sent), run_sync, median=0.01)  # warms all up
    measure(lambda api_base: ours(through_litellm(api_base), 1), run_sync, median=0.01)
    measure(lambda api_base: bare(api_base, sent[:100]), asyncio.run, median=0.01)
    rounds: dict[str, list[dict[str, float]]] = {"collab-sdk": [], "through LiteLLM": [], "bare LiteLLM": []}
    for _ in range(options.rounds):  # in turn, so that a slow moment hits all
        rounds["collab-sdk"].append(measure(lambda api_base: ours(straight(api_base), options.chats), run_sync))
        rounds["through LiteLLM"].append(
            measure(lambda api_base: ours(through_litellm(api_base), options.chats), run_sync)
        )
        rounds["bare LiteLLM"].append(measure(lambda api_base: bare(api_base, sent), asyncio.run))
    rows = [
        {"client": client, **{name: statistics.median(run[name] for run in runs) for name in runs[0]}}
        for client, runs in rounds.items()
    ]
    verdicts = [
        judged("wall time over its floor", rows[0]["wall_ratio"], at_most=1.15),
        judged("CPU ms a call over bare LiteLLM", rows[0]["cpu_ms"] - rows[2]["cpu_ms"], at_most=0.3),
        judged("the same, through LiteLLM", rows[1]["cpu_ms"] - rows[2]["cpu_ms"], at_most=0.3),
    ]
    finish(rows, verdicts, options.path, rounds=rounds)


if __name__ == "__main__":
    main()
