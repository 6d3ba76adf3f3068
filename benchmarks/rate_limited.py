"""How much of a rate-limited endpoint gets used: 1,500 jobs against 50 requests/s, the rest answered 429.

    python benchmarks/rate_limited.py [--rates 50] [--seeds 5] [--burst SECONDS] [--json rate_limited.json]

Goodput is successes a second over the server's rate; jobs last 30 s at that rate. `fixed 64` and `fixed 256` are what
people write: a semaphore, and retries with exponential backoff (tenacity, 6 tries), the slot held.
"""

import argparse
import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

from launch import Loopback
from table import finish, judged

from collab_sdk import ChatRequest, CollabError, Engine, Message
from collab_sdk.engine import RetryPolicy, is_retryable
from collab_sdk.models import CallRole, as_chat_model
from collab_sdk.spec import Limits

SECONDS = 30
Call = Callable[[ChatRequest], Awaitable[Any]]


def adaptive(api_base: str) -> Call:
    engine, model = Engine(limits=Limits(concurrency=256)), as_chat_model("hosted_vllm/bench", api_base=api_base)
    return lambda request: engine.call(model, request)


def fixed(concurrency: int) -> Callable[[str], Call]:
    def policy(api_base: str) -> Call:
        gate, model = asyncio.Semaphore(concurrency), as_chat_model("hosted_vllm/bench", api_base=api_base)

        async def call(request: ChatRequest) -> None:
            async with gate:
                for attempt in range(6):
                    try:
                        await model.achat(request)
                        return
                    except CollabError as error:
                        if attempt == 5 or not is_retryable(error):
                            raise
                        await asyncio.sleep(random.uniform(0, RetryPolicy().min_wait * 2**attempt))

        return call

    return policy


POLICIES = {"collab-sdk": adaptive, "fixed 64": fixed(64), "fixed 256": fixed(256)}


async def all_of(jobs: int, policy: Callable[[str], Call], api_base: str) -> int:
    """Returns how many failed."""
    call = policy(api_base)
    asked = Message(role="user", content="Say something. " * 20)
    requests = (ChatRequest(role=CallRole.ASSISTANT, messages=(asked,), sample=str(number)) for number in range(jobs))
    results = await asyncio.gather(*map(call, requests), return_exceptions=True)
    return sum(isinstance(result, BaseException) for result in results)


def measure(name: str, *, rate: float, burst: float, retry_after: bool, seed: int) -> dict[str, float]:
    random.seed(seed)
    jobs = round(rate * SECONDS)
    with Loopback(rate=rate, burst=burst, seed=seed, retry_after=retry_after) as server:
        failed = asyncio.run(all_of(jobs, POLICIES[name], server.api_base))
        stats = server.stats()
    tries = stats["calls"] + stats["refused"]
    return {
        "goodput": stats["calls"] / stats["span_s"] / rate,
        "429s": stats["refused"] / tries,
        "failed": failed,
        "seconds": stats["span_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0], help="requests a second")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--burst", type=float, default=0.2, help="the server's bucket, in seconds of its rate")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    rows, runs = [], {}
    for rate in options.rates:
        for retry_after in (False, True):
            for name in POLICIES if not retry_after else ["collab-sdk"]:
                server: dict[str, Any] = {"rate": rate, "burst": rate * options.burst, "retry_after": retry_after}
                seeds = range(options.seeds if name == "collab-sdk" else 1)
                found = runs[f"{name}, {server}"] = [measure(name, **server, seed=seed) for seed in seeds]
                row = {figure: statistics.median(run[figure] for run in found) for figure in found[0]}
                worst = {
                    "worst goodput": min(run["goodput"] for run in found),
                    "worst 429s": max(run["429s"] for run in found),
                    "failed": sum(run["failed"] for run in found),
                }
                rows.append({"policy": name, "rate": rate, "Retry-After": retry_after, **row, **worst})
    ours = [row for row in rows if row["policy"] == "collab-sdk"]
    verdicts = [
        judged("goodput, worst seed", min(row["worst goodput"] for row in ours), at_least=0.9),
        judged("share of 429s, worst seed", max(row["worst 429s"] for row in ours), at_most=0.1),
        judged("failed samples", float(sum(row["failed"] for row in ours)), at_most=0),
    ]
    finish(rows, verdicts, options.path, runs=runs)


if __name__ == "__main__":
    main()
