"""A shared cache beside one on disk: look-ups and writes a second, and whether the event loop is ever held up.

    python benchmarks/shared_cache.py [--records 5000] [--seconds 6] [--rounds 2] [--json shared_cache.json]

Redis (append-only file, synced before each answer, and once a second; with a replica that writes wait for) and
PostgreSQL with their defaults are started from Debian's packages on loopback. A record is a request of four messages
and a reply, about 5 kB of JSON. The lag is that of `event_loop.py` (64 callers make a call of 100 ms and then one that
is cached); in its middle the server is stopped for a second, as one that hangs; a cache in memory shows what is left to
the machine. Python's garbage collector is off.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache_writer import REPLY, REQUEST
from event_loop import load
from table import finish, judged

from collab_sdk.cache import Cache, KeptCache, MemoryCache, open_cache
from collab_sdk.concurrency import run_sync

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.databases import HMAC_KEY, Database, Postgres, Redis, replicated, running

AT_ONCE = 256
STOPPED_SECONDS = 1.0


@contextmanager
def places() -> Iterator[list[tuple[str, str, Database | None]]]:
    """What they are called, where they are, and the server."""
    synced_each_second = ("--appendfsync", "everysec")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Redis) as always,
        running(Redis, *synced_each_second) as everysec,
        replicated() as (primary, _),
        running(Postgres) as postgres,
    ):
        yield [
            ("disk", folder, None),
            ("redis, appendfsync always", always.url, always),
            ("redis, appendfsync everysec", everysec.url, everysec),
            ("redis, appendfsync always, with a replica", primary.url, primary),
            ("postgresql", postgres.url_of(postgres.new_database()), postgres),
        ]


async def each(work: Callable[[str], Awaitable[Any]], keys: Iterable[str], at_once: int) -> float:
    """Seconds to do `work` on all keys, so many at once."""
    left = iter(keys)

    async def worker() -> None:
        for key in left:
            assert await work(key) is not None

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return time.perf_counter() - started


def figures(cache: KeptCache, records: int, label: str) -> dict[str, float]:
    keys = [f"{label}-{number}" for number in range(records)]

    async def main() -> dict[str, float]:
        writes = await each(lambda key: cache.aput(key, REPLY, request=REQUEST), keys, AT_ONCE)
        at_once = await each(cache.aget, keys, AT_ONCE)
        one_by_one = await each(cache.aget, keys[: records // 5], 1)
        return {
            "writes/s": records / writes,
            "look-ups/s": records / at_once,
            "one by one/s": records // 5 / one_by_one,
        }

    return asyncio.run(main())


def lag(cache: Cache, server: Database | None, seconds: float, label: str) -> dict[str, float]:
    """Of the event loop, in milliseconds, while the server hangs for a second."""

    def hang() -> None:
        assert server is not None
        server.pause()
        time.sleep(STOPPED_SECONDS)
        server.resume()

    if server is not None:
        threading.Timer(seconds / 2, hang).start()
    found = run_sync(load(cache, seconds, label))
    return {"longest lag ms": found["lag max ms"], "stalls": found["stalls"], "new calls/s": found["new calls/s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    gc.disable()
    os.environ["COLLAB_CACHE_HMAC_KEY"] = HMAC_KEY
    runs: dict[str, list[dict[str, float]]] = {}
    bare: list[dict[str, float]] = []
    with places() as found:
        for turn in range(options.rounds):
            for name, where, server in found:
                cache = open_cache(where)
                row = figures(cache, options.records, f"{turn}")
                row |= lag(cache, server, options.seconds, f"lag-{turn}")
                row["bytes a record"] = cache.stats().bytes / cache.stats().records
                cache.close()
                runs.setdefault(name, []).append(row)
            bare.append(lag(MemoryCache(), None, options.seconds, f"lag-{turn}"))
    rows = [{"cache": name, **_summed_up(rounds)} for name, rounds in runs.items()]
    beside = _summed_up(bare)
    verdicts = [
        judged(f"stalls over 20 ms, more than without it: {row['cache']}", row["stalls"] - beside["stalls"], at_most=0)
        for row in rows
    ]
    verdicts.append(judged("longest lag with a cache in memory, ms", beside["longest lag ms"], at_most=20))
    finish(rows, verdicts, options.path, runs=runs, bare=bare)


def _summed_up(rounds: list[dict[str, float]]) -> dict[str, float]:
    over: dict[str, Callable[[Iterable[float]], float]] = {"longest lag ms": max, "stalls": sum}
    return {name: over.get(name, statistics.median)([row[name] for row in rounds]) for name in rounds[0]}


if __name__ == "__main__":
    main()
