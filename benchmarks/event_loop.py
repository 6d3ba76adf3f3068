"""Whether the cache ever holds up the event loop: 64 callers at once, while 8 other processes write to the same cache.

    python benchmarks/event_loop.py [--seconds 15] [--rounds 3] [--writers 8] [--writes 200] [--json event_loop.json]

Each caller makes a new call (a model that answers after 100 ms) and then one that is cached, over and over. Lag is by
how much a sleep of 1 ms comes back late; `in get`, the time inside the cache's look-ups, is all of the cache that the
loop itself waits for. From both is taken what the thread spent runnable, but without a core (Linux counts it): the
writers alone ask for more than a small machine has. They run at lower priority, and also while the same load goes to a
MemoryCache, whose lag is what is left to the machine and the load itself. Python's garbage collector is off: a full
collection stops the loop for 25-60 ms here, with either cache.
"""

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from pathlib import Path

from cache_writer import TEXT, writers, written_a_second
from table import finish, judged

from collab_sdk import ChatReply, ChatRequest, Engine, Message
from collab_sdk.cache import Cache, MemoryCache
from collab_sdk.cache.disk import DiskCache
from collab_sdk.concurrency import run_sync
from collab_sdk.models import CallRole
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel

CALLERS = 64
KNOWN = 500
STALL = 0.020


class SlowModel(FakeChatModel):
    async def achat(self, request: ChatRequest) -> ChatReply:
        await asyncio.sleep(0.1)
        return ChatReply(content=f"{request.sample} {TEXT}")


def request(sample: str) -> ChatRequest:
    return ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content=TEXT),) * 4, sample=sample)


class Watch:
    """Seconds since it was last asked, less those that this thread waited for a core."""

    def __init__(self) -> None:
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._last = self._now()

    def __call__(self) -> float:
        before, self._last = self._last, self._now()
        return self._last - before

    def _now(self) -> float:
        return time.perf_counter() - int(os.pread(self._schedule, 64, 0).split()[1]) / 1e9


def timed(cache: Cache) -> list[float]:
    """The seconds that each look-up from now on takes."""
    took: list[float] = []
    aget, watch = cache.aget, Watch()

    async def aget_timed(key: str) -> ChatReply | None:
        watch()
        try:
            return await aget(key)
        finally:
            took.append(watch())

    cache.aget = aget_timed  # type: ignore[method-assign]
    return took


async def lags(until: float) -> list[float]:
    late, watch = [], Watch()
    while time.perf_counter() < until:
        watch()
        await asyncio.sleep(0.001)
        late.append(max(0.0, watch() - 0.001))
    return late


async def load(cache: Cache, seconds: float, label: str) -> dict[str, float]:
    engine, model = Engine(cache=cache, limits=Limits(concurrency=CALLERS)), SlowModel([])
    await asyncio.gather(*(engine.call(model, request(f"known-{n}")) for n in range(KNOWN)))
    in_get = timed(cache)
    until = time.perf_counter() + seconds
    made = 0

    async def caller(number: int) -> None:
        nonlocal made
        while time.perf_counter() < until:
            made += 1
            await engine.call(model, request(f"{label}-{made}"))
            await engine.call(model, request(f"known-{(made + number) % KNOWN}"))

    late, *_ = await asyncio.gather(lags(until), *map(caller, range(CALLERS)))
    return {
        "new calls/s": made / seconds,
        **{f"lag {name}": value for name, value in _quantiles(late).items()},
        "stalls": sum(lag > STALL for lag in late),
        **{f"in get {name}": value for name, value in _quantiles(in_get).items()},
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50 ms": 1000 * cuts[49], "p99 ms": 1000 * cuts[98], "max ms": 1000 * max(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--writes", type=float, default=200, help="a second, of each")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    gc.disable()
    runs: dict[str, list[dict[str, float]]] = {"MemoryCache": [], "DiskCache": []}
    with tempfile.TemporaryDirectory() as temporary, writers(Path(temporary), options.writers, options.writes):
        for turn in range(options.rounds):
            for cache in (MemoryCache(), DiskCache(temporary)):
                runs[type(cache).__name__].append(run_sync(load(cache, options.seconds, f"{os.getpid()}-{turn}")))
        written = written_a_second(Path(temporary))
    rows = [{"cache": name, **_worst(found)} for name, found in runs.items()]
    verdicts = [
        judged("longest look-up, ms", rows[1]["in get max ms"], at_most=1000 * STALL),
        judged("stalls over 20 ms, more than without it", rows[1]["stalls"] - rows[0]["stalls"], at_most=0),
        judged("records a second from the writers", written, at_least=0.8 * options.writers * options.writes),
    ]
    finish(rows, verdicts, options.path, runs=runs)


def _worst(runs: list[dict[str, float]]) -> dict[str, float]:
    """Medians of the rounds, of the maxima the largest and of the stalls all."""
    over = {"max": max, "stalls": sum}
    return {
        name: next((of for word, of in over.items() if word in name), statistics.median)(run[name] for run in runs)
        for name in runs[0]
    }


if __name__ == "__main__":
    main()
