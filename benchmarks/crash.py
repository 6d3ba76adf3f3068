"""What a kill costs: an export is killed 30 times at random moments and started again; then four run at once.

    python benchmarks/crash.py [--kills 30] [--chats 24] [--seed 0] [--json crash.json]

An export that is done before it has been killed that often starts anew, with an empty cache. In flight at a kill is
what was asked and not acknowledged by the cache; a call that was acknowledged and is asked again would be a lost
result. The files are compared with those of an undisturbed run, byte for byte.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_job import CEILING
from table import finish, judged

JOB = Path(__file__).with_name("crash_job.py")
FILES = ("prefs.jsonl", "prefs.turns.jsonl")


@dataclass(frozen=True)
class Export:
    """One export into `folder`, run as often as it takes; others may share its cache."""

    folder: Path
    cache: Path
    chats: int

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, str(JOB), str(self.folder), str(self.cache), "--chats", str(self.chats)]
        return subprocess.Popen(command)

    def events(self) -> list[list[str]]:
        journal = self.cache.with_suffix(".journal")
        return [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []

    def has_begun(self, process: subprocess.Popen[bytes]) -> bool:
        return ["began", str(process.pid)] in self.events()

    def files(self) -> list[bytes]:
        return [(self.folder / name).read_bytes() for name in FILES]


def killed(export: Export, wait: float) -> bool:
    """Run it, and kill it `wait` seconds after it has begun; False if it was done by then."""
    process = export.start()
    while process.poll() is None and not export.has_begun(process):
        time.sleep(0.005)
    try:
        if process.wait(wait):
            raise SystemExit(f"{export.folder} failed.")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def figures(what: str, export: Export, *, kills: int, same: bool) -> dict[str, Any]:
    asked, answered, kept = Counter[str](), Counter[str](), set[str]()
    in_flight, at_kills, lost = set[str](), [], 0
    for event, key in export.events():
        if event == "began" and kills:
            at_kills.append(len(in_flight))
            in_flight = set()
        elif event == "asked":
            asked[key] += 1
            lost += key in kept
            in_flight.add(key)
        elif event == "answered":
            answered[key] += 1
        elif event == "kept":
            kept.add(key)
            in_flight.discard(key)
    return {
        "what": what,
        "kills": kills,
        "keys": len(asked),
        "asked": asked.total(),
        "asked again": asked.total() - len(asked),
        "paid twice": answered.total() - len(answered),
        "in flight at kills": sum(at_kills),
        "most at one": max(at_kills, default=0),
        "lost": lost,
        "files equal": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--chats", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        whole = Export(root / "whole", root / "whole-cache", options.chats)
        started = time.perf_counter()
        killed(whole, 600)
        seconds = time.perf_counter() - started
        rows = [figures("undisturbed", whole, kills=0, same=True)]

        left = options.kills
        while left:
            export = Export(root / f"killed-{len(rows)}", root / f"killed-{len(rows)}-cache", options.chats)
            before = left
            # Start-up is in `seconds`, so that a run may end before it is killed.
            while killed(export, rng.uniform(0, 2 * seconds / options.kills) if left else 600):
                left -= 1
            rows.append(figures("killed", export, kills=before - left, same=export.files() == whole.files()))

        sharing = [Export(root / f"sharing-{n}", root / "shared-cache", options.chats) for n in range(4)]
        for process in [export.start() for export in sharing]:
            process.wait()
        same = all(export.files() == whole.files() for export in sharing)
        rows.append(figures("four at once", sharing[0], kills=0, same=same))
    disturbed = rows[1:-1]
    verdicts = [
        judged("kills", sum(row["kills"] for row in disturbed), at_least=options.kills),
        judged("files that differ", sum(not row["files equal"] for row in rows), at_most=0),
        judged("asked again, of what was in flight at kills", _worst_share(disturbed), at_most=1),
        judged("acknowledged and lost", sum(row["lost"] for row in rows), at_most=0),
        judged("most in flight at one kill", max(row["most at one"] for row in disturbed), at_most=CEILING),
        judged("asked again by four at once", rows[-1]["asked again"], at_most=0),
    ]
    finish(rows, verdicts, options.path, seconds=seconds)


def _worst_share(rows: list[dict[str, Any]]) -> float:
    return max(row["asked again"] / max(1, row["in flight at kills"]) for row in rows)


if __name__ == "__main__":
    main()
