"""One job on one machine and on 1, 2 and 4 workers of Ray, and how workers share a rate limit.

    python benchmarks/ray_scaling.py [--chats 32] [--json ray_scaling.json]

Every call goes to a loopback endpoint with lognormal latency (median 0.3 s), at most 64 at a time. Seconds are from the
endpoint's first request to its last, so that start-up is left out, and stand beside the floor: max(sum of latencies /
64, longest chain of calls that wait for each other). Then the same endpoint bears 50 requests a second, and nobody has
told the workers: goodput is the share of it that was put to use, refused what was answered 429.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from job import chats
from launch import Loopback
from table import finish, judged

from collab_sdk.files import to_json
from collab_sdk.jobs import dumps

CEILING, RATE = 64, 50
COMMAND = [sys.executable, "-m", "collab_cli.main", "export-prefs", "--model", "hosted_vllm/bench", "--fixed-samples"]
COMMAND += ["--min-confidence", "0"]  # chance answers, so no pair is sure, and no pair is no result


def write(path: Path, n: int) -> None:
    rows = (json.loads(dumps(chat)) for chat in chats(n))
    kept = ("id", "messages", "goal")
    path.write_text("".join(to_json({name: row[name] for name in kept}) + "\n" for row in rows))


def measure(what: str, log: Path, *options: str, **server: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, Loopback(**server) as loopback:
        command = [*COMMAND, str(log), "--api-base", loopback.api_base, "--concurrency", str(CEILING), *options]
        command += ["--metric", "interactivity=1", "--cache", f"{folder}/cache", "-o", f"{folder}/p.jsonl"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{what} failed:\n{done.stderr}")
        stats = loopback.stats()
    floor = max(stats["latency_s"] / CEILING, stats["longest_chain_s"])
    return {
        "what": what,
        "calls": stats["calls"],
        "seconds": stats["span_s"],
        "over the floor": stats["span_s"] / floor,
        "in flight, mean": stats["in_flight_mean"],
        "in flight, most": stats["in_flight_peak"],
        "goodput": stats["calls"] / stats["span_s"] / RATE if "rate" in server else "-",
        "refused": stats["refused"] / (stats["calls"] + stats["refused"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=32)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    def on_ray(workers: int) -> list[str]:
        return ["--runner", "ray", "--ray-workers", str(workers)]

    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "chats.jsonl"
        write(log, options.chats)
        rows = [measure("one machine", log)]
        rows += [measure(f"ray, {workers} workers", log, *on_ray(workers)) for workers in (1, 2, 4)]
        few = Path(temporary) / "few.jsonl"
        write(few, max(1, options.chats // 3))
        rows += [measure("one machine, limited", few, rate=RATE)]
        rows += [measure("ray, 4 workers, limited", few, *on_ray(4), rate=RATE)]
    verdicts = [
        judged("ray's most in flight", max(row["in flight, most"] for row in rows[1:]), at_most=CEILING),
        judged("calls more than on one machine", rows[3]["calls"] - rows[0]["calls"], at_most=0),
        judged("goodput of 4 workers under a rate limit", rows[-1]["goodput"], at_least=0.9),
        judged("refused, of 4 workers", rows[-1]["refused"], at_most=0.1),
    ]
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
