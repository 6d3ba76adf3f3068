"""Whether memory stays flat and time linear on 100,000 logged chats: `--dry-run`, a first export, a fully cached one.

    python benchmarks/scale.py [--chats 100000] [--rounds 1] [--folder DIR] [--json scale.json]

A chat has one assistant turn; a turn has 2 candidates with one future of one exchange each, and `offline` plays every
part: 7 calls a chat. Dry run and cached export are measured on a tenth, three tenths and all of the chats. With
`--folder`, logs and cache stay there, and a later run finds them. Each figure is of a `collab` process; memory is its
resident set, of each quarter of the run the median, less pages mapped from files, which the kernel takes back at will;
the peak is with them.
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
from itertools import pairwise
from pathlib import Path
from typing import Any

from table import finish, judged

RESIDENT = re.compile(r"^(VmRSS|RssFile|RssShmem):\s+(\d+) kB", re.MULTILINE)
TOTAL = re.compile(r"^total +([\d,]+) +([\d,]+)", re.MULTILINE)
COMMAND = [sys.executable, "-m", "collab_cli.main", "export-prefs", "--model", "offline", "--candidates", "2"]


def write_chats(path: Path, n: int) -> None:
    with path.open("w") as log:
        for i in range(n):
            said = (
                f"I need a toast for my sister's wedding, number {i}.",
                f"Here is toast {i}. " + "Dear friends. " * 12,
            )
            messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said, strict=True)]
            row = {"id": f"chat-{i}", "messages": messages, "goal": f"what: a toast\nnumber: {i}\ntone: warm"}
            log.write(json.dumps(row) + "\n")


def resident_mb(pid: int) -> float | None:
    """None once the process is gone."""
    kilobytes = {name: int(value) for name, value in RESIDENT.findall(Path(f"/proc/{pid}/status").read_text())}
    return (kilobytes["VmRSS"] - kilobytes["RssFile"] - kilobytes["RssShmem"]) / 1024 if kilobytes else None


def measure(what: str, chats: int, folder: Path, *options: str) -> dict[str, Any]:
    command = [*COMMAND, "--samples", "1", "--window", "1", str(folder / "chats.jsonl"), "--limit", str(chats)]
    command += ["--cache-dir", str(folder / "cache"), "-o", str(folder / "prefs.jsonl"), *options]
    memory = []
    started = time.perf_counter()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        while not ended:
            memory.append(resident_mb(process.pid))
            time.sleep(0.05)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - started
        process.returncode = status  # it is waited for
        said.seek(0)
        text = said.read()
    if status or not (total := TOTAL.search(text)):
        raise SystemExit(f"{what} failed:\n{text}")
    sampled = [value for value in memory if value is not None]
    cuts = [round(len(sampled) * quarter / 4) for quarter in range(5)]
    quarters = [statistics.median(sampled[start:end]) for start, end in pairwise(cuts)]
    return {
        "what": what,
        "chats": chats,
        "calls": int(total[1].replace(",", "")),
        "seconds": seconds,
        "a further chat, ms": "-",
        **{f"MB, quarter {number}": value for number, value in enumerate(quarters, start=1)},
        "peak MB": usage.ru_maxrss / 1024,
    }


def with_increments(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each chat beyond those of the row before took: start-up is not in it."""
    for before, row in pairwise(rows):
        row["a further chat, ms"] = 1000 * (row["seconds"] - before["seconds"]) / (row["chats"] - before["chats"])
    return rows


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    figures = [name for name, value in runs[0].items() if isinstance(value, float)]
    return runs[0] | {name: statistics.median(run[name] for run in runs) for name in figures}


def _growth(runs: list[dict[str, Any]]) -> float:
    return float(runs[2]["a further chat, ms"] / runs[1]["a further chat, ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    sizes = [options.chats // 10, options.chats * 3 // 10, options.chats]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        write_chats(folder / "chats.jsonl", options.chats)
        first = measure("first export", options.chats, folder)
        cached, dry = (
            with_increments([medians([measure(what, n, folder, *flags) for _ in range(options.rounds)]) for n in sizes])
            for what, flags in (("cached export", []), ("dry run", ["--dry-run"]))
        )
    rows = [first, *cached, *dry]
    verdicts = [
        judged("peak MB of any", max(row["peak MB"] for row in rows), at_most=300),
        judged("calls when cached", max(row["calls"] for row in cached), at_most=0),
        *(
            judged(f"{runs[0]['what']}: a further chat, of all over of 3/10", _growth(runs), at_most=1.2)
            for runs in (cached, dry)
        ),
        *(
            judged(
                f"{row['what']}: MB grown from quarter 2 to 4", row["MB, quarter 4"] - row["MB, quarter 2"], at_most=30
            )
            for row in (first, cached[-1], dry[-1])
        ),
    ]
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
