"""Whether it pays that a conversation stays with one of several replicas, whose prefix cache knows its beginning.

    python benchmarks/endpoints.py [--chats 24] [--turns 8] [--rounds 2] [--json endpoints.json]

The job of `job.py` on longer chats, at two and four loopback replicas that read prompts one at a time, 25 ms for 1,000
characters (an 8B model on one GPU reads about 10,000 tokens a second), but not again what their prefix cache holds:
much (2 MB) or little (200 kB). `sticky` is what the engine does; `least busy` sends each call to the replica with the
fewest calls; `at random` to any that is not busier than its share. `read` is the share of all prompts that had to be
read.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from job import chats, export, scorer_of
from launch import Loopback
from table import finish, judged

from collab_sdk import Engine, as_chat_model
from collab_sdk.engine import replicas as routing

MEMORIES = {"much": 2_000_000, "little": 200_000}


@contextmanager
def policy(name: str) -> Iterator[None]:
    rank, slack = routing._rank, routing.SLACK
    if name != "sticky":
        routing._rank = lambda *_: random.randbytes(8)
    if name == "least busy":
        routing.SLACK = 0.0
    try:
        yield
    finally:
        routing._rank, routing.SLACK = rank, slack


def run(name: str, replicas: int, memory: int, options: argparse.Namespace) -> dict[str, float]:
    with ExitStack() as stack:
        servers = [stack.enter_context(Loopback(median=0.1, prefill=0.025, remembers=memory)) for _ in range(replicas)]
        stack.enter_context(policy(name))
        model = as_chat_model("hosted_vllm/bench", api_base=[server.api_base for server in servers])
        started = time.perf_counter()
        assert asyncio.run(export(scorer_of(model, Engine()), chats(options.chats, turns=options.turns))) == 0
        seconds = time.perf_counter() - started
        counts = [server.stats() for server in servers]
    calls = [count["calls"] for count in counts]
    return {
        "seconds": seconds,
        "read": sum(count["characters read"] for count in counts) / sum(count["characters"] for count in counts),
        "most over least calls": max(calls) / max(1, min(calls)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=24)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    for replicas in (2, 4):
        for memory, characters in MEMORIES.items():
            for name in ("sticky", "least busy", "at random"):
                runs = [run(name, replicas, characters, options) for _ in range(options.rounds)]
                medians = {figure: statistics.median(each[figure] for each in runs) for figure in runs[0]}
                rows.append({"policy": name, "replicas": replicas, "memory": memory, **medians})
    by_name = {(row["policy"], row["replicas"], row["memory"]): row["seconds"] for row in rows}
    gains = [
        judged(
            f"least busy over sticky, {replicas} replicas that remember {memory}",
            by_name["least busy", replicas, memory] / by_name["sticky", replicas, memory],
            at_least=1.0,
        )
        for replicas in (2, 4)
        for memory in MEMORIES
    ]
    finish(rows, gains, options.path)


if __name__ == "__main__":
    main()
