"""The same job again: no call, and how fast the cache answers.

    python benchmarks/warm.py [--rounds 3] [--chats 16] [--json warm.json]

`look-ups` reads the job's own records through `DiskCache.aget`, one after another; `whole job` is the export itself,
with its prompts, keys, scores and files.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from job import chats, export, scorer_of
from launch import Loopback
from table import finish, judged

from collab_sdk import Engine, as_chat_model
from collab_sdk.cache.disk import DiskCache
from collab_sdk.spec import Limits


def job(api_base: str, folder: str, n: int) -> tuple[float, int]:
    """Seconds, and how many calls were answered from the cache."""
    engine, model = (
        Engine(cache=folder, limits=Limits(concurrency=256)),
        as_chat_model("hosted_vllm/bench", api_base=api_base),
    )
    started = time.perf_counter()
    assert asyncio.run(export(scorer_of(model, engine), chats(n))) == 0
    seconds = time.perf_counter() - started
    engine.cache.close()  # type: ignore[attr-defined]
    return seconds, engine.ledger.total.cache_hits


def look_ups(folder: str) -> tuple[float, int]:
    with sqlite3.connect(Path(folder) / "cache.db") as database:
        keys = [key for (key,) in database.execute("SELECT key FROM Cache")]
    cache = DiskCache(folder)

    async def look_up() -> float:
        started = time.perf_counter()
        for key in keys:
            assert await cache.aget(key) is not None
        return time.perf_counter() - started

    seconds = asyncio.run(look_up())
    cache.close()
    return seconds, len(keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        with Loopback(median=0.05) as server:
            cold, _ = job(server.api_base, folder, options.chats)
            calls = server.stats()["calls"]
            warm = [job(server.api_base, folder, options.chats) for _ in range(options.rounds)]
            again = server.stats()["calls"] - calls
        reads = [look_ups(folder) for _ in range(options.rounds)]
    rows = [
        {"what": "first run", "calls": calls, "answers": calls, "seconds": cold, "answers/s": calls / cold},
        _row("whole job, again", again, warm),
        _row("look-ups", 0, reads),
    ]
    verdicts = [
        judged("calls, again", float(again), at_most=0),
        judged("cached calls a second in the cache itself", rows[2]["answers/s"], at_least=20_000),
    ]
    finish(rows, verdicts, options.path, warm=warm, look_ups=reads)


def _row(what: str, calls: int, runs: list[tuple[float, int]]) -> dict[str, float | str]:
    seconds, answers = statistics.median(run[0] for run in runs), runs[0][1]
    return {"what": what, "calls": calls, "answers": answers, "seconds": seconds, "answers/s": answers / seconds}


if __name__ == "__main__":
    main()
