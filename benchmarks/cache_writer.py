"""A process that commits records to a cache at a given rate until it is killed, at low priority.

    python benchmarks/cache_writer.py CACHE [--writes 200]

`CACHE/writer-PID` says how many a second it has committed so far.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collab_sdk import ChatReply
from collab_sdk.cache.disk import DiskCache

TEXT = "A message of ordinary length, with some words in it. " * 20
REQUEST = {"messages": [{"role": "user", "content": TEXT}] * 4}
REPLY = ChatReply(content=TEXT)


async def write(folder: Path, rate: float) -> None:
    cache, me, going = DiskCache(folder), os.getpid(), set()
    started = time.monotonic()
    for number in range(10**9):
        going.add(task := asyncio.ensure_future(cache.aput(f"{me}-{number}", REPLY, request=REQUEST)))
        task.add_done_callback(going.discard)
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        if number % 50 == 0:
            done = number + 1 - len(going)
            (folder / f"writer-{me}").write_text(f"{done / (time.monotonic() - started)}")


@contextmanager
def writers(folder: Path, n: int, rate: float) -> Iterator[None]:
    """That many of them, from when all have begun."""
    command = [sys.executable, __file__, str(folder), "--writes", str(rate)]
    processes = [subprocess.Popen(command) for _ in range(n)]
    try:
        while len(list(folder.glob("writer-*"))) < n:
            time.sleep(0.1)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def written_a_second(folder: Path) -> float:
    return sum(float(file.read_text()) for file in folder.glob("writer-*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--writes", type=float, default=200)
    options = parser.parse_args()
    os.nice(10)
    asyncio.run(write(options.cache, options.writes))


if __name__ == "__main__":
    main()
