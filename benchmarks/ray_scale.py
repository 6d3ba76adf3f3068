"""What Ray costs a chat, and whether memory stays flat over 100,000 of them, with a model that answers at once.

    python benchmarks/ray_scale.py [--chats 100000] [--workers 2] [--json ray_scale.json]

Each chat is scored with one future of one exchange, by token_penalty alone: two calls of the stand-in, kept in a cache
on disk. A twentieth and three of them are scored on one machine and on Ray, which gives what a further chat
costs there without start-up; then all of them on Ray, while the resident memory of the command and of every process
that it started is sampled, less pages of files and of shared memory, of each quarter of the run the median.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from scale import resident_mb, write_chats
from table import finish, judged

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.ray_cluster import descendants, title_of

COMMAND = [sys.executable, "-m", "collab_cli.main", "score", "--json", "--model", "offline", "--samples", "1"]
COMMAND += ["--window", "1", "--metric", "token_penalty=1"]
TITLE = re.compile(r"ray::(\w+)")


def memory(pid: int) -> dict[str, float]:
    """MB by what a process does; of several alike, all together."""
    found: dict[str, float] = defaultdict(float)
    for each in [pid, *descendants(pid)]:
        title = TITLE.match(title_of(each))
        what = "driver" if each == pid else title[1] if title else ""
        try:
            if what in ("driver", "Coordinator", "Worker") and (size := resident_mb(each)) is not None:
                found[what] += size
        except OSError:
            continue  # it has just ended
    return found


def measure(what: str, chats: int, folder: Path, *options: str) -> dict[str, Any]:
    command = [*COMMAND, str(folder / "chats.jsonl"), "--limit", str(chats)]
    command += ["--cache", str(folder / f"cache-{what}-{chats}".replace(" ", "-")), *options]
    sampled: dict[str, list[float]] = defaultdict(list)
    started = time.perf_counter()
    with (folder / "rows").open("w+") as rows, (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=rows, stderr=said)
        while process.poll() is None:
            for name, size in memory(process.pid).items():
                sampled[name].append(size)
            time.sleep(0.5)
        seconds = time.perf_counter() - started
        rows.seek(0)
        said.seek(0)
        ids = [json.loads(line)["conversation_id"] for line in rows]
        if process.returncode or len(ids) != chats or len(set(ids)) != chats:
            raise SystemExit(f"{what} failed, {len(ids)} rows:\n{said.read()}")
    row = {"what": what, "chats": chats, "seconds": seconds, "a further chat, ms": "-"}
    for name in ("driver", "Worker", "Coordinator"):
        values = sampled.get(name, [])
        cuts = [round(len(values) * quarter / 4) for quarter in range(5)]
        quarters = [statistics.median(values[start:end] or [0.0]) for start, end in pairwise(cuts)]
        row |= {f"{name} MB, q{number}": value for number, value in enumerate(quarters, start=1) if number > 1}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    ray = ["--runner", "ray", "--ray-workers", str(options.workers)]
    few, more = options.chats // 20, options.chats * 3 // 20
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_chats(folder / "chats.jsonl", options.chats)
        rows = [measure("one machine", n, folder) for n in (few, more)]
        rows += [measure(f"ray, {options.workers} workers", n, folder, *ray) for n in (few, more, options.chats)]
    for before, row in pairwise(rows):
        if row["what"] == before["what"]:
            spent = row["seconds"] - before["seconds"]
            row["a further chat, ms"] = 1000 * spent / (row["chats"] - before["chats"])
    last = rows[-1]
    verdicts = [
        judged(f"{name}: MB grown from quarter 2 to 4", last[f"{name} MB, q4"] - last[f"{name} MB, q2"], at_most=30)
        for name in ("driver", "Worker", "Coordinator")
    ]
    finish(rows, verdicts, options.path, cpus=os.cpu_count())


if __name__ == "__main__":
    main()
