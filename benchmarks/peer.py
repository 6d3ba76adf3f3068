"""The same work by collabllm 0.0.8 and by this package, against one kind of endpoint, each in a process of its own.

    python benchmarks/peer.py --setup                                    (once: 1.5 GB in benchmarks/.peer-venv)
    python benchmarks/peer.py [--rounds 3] [--chats 16] [--json peer.json]

16 chats, 4 assistant turns, 3 candidates, 3 futures each, window 2, one judge metric: about 3,100 calls; ours at a
ceiling of 256 in flight, the peer as its script runs it, 8 chats at once, and with all 16. Wall time and CPU are of the
whole process, imports and all; the `job` columns leave out what is imported before it starts. The peer makes its chats
up as it goes, so a turn waits for the one before; ours has logs and need not. `turn by turn` does as the peer does.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from launch import Loopback
from table import finish, judged

HERE = Path(__file__).parent
VENV = HERE / ".peer-venv"
PEER, PEER_WIDE = "collabllm 0.0.8", "collabllm 0.0.8, 16 at once"
LOGGED, GROWN = "collab-sdk, logged chats", "collab-sdk, turn by turn"
IMPORTED = ["torch==2.13.0", "transformers>=5", "numpy", "tenacity", "tqdm"]
"""What its data generation imports; its other hard dependencies (vllm, wandb, bitsandbytes, ...) it never loads."""


def setup() -> None:
    import importlib.metadata

    pip = [VENV / "bin" / "python", "-m", "pip", "install", "-q"]
    litellm = f"litellm=={importlib.metadata.version('litellm')}"  # ours, so that its version makes no difference
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([*pip, "--no-deps", "collabllm==0.0.8"], check=True)
    subprocess.run([*pip, *IMPORTED, litellm], check=True)


def command(client: str, chats: int, api_base: str, folder: str) -> list[str]:
    if client in (PEER, PEER_WIDE):
        peer = [str(VENV / "bin" / "python"), str(HERE / "peer_job.py"), api_base, "--chats", str(chats)]
        return [*peer, *(["--at-once", str(chats)] if client == PEER_WIDE else [])]
    ours = [sys.executable, str(HERE / "job.py"), api_base, "--chats", str(chats), "--concurrency", "256"]
    return [*ours, "--cache", folder, *(["--grow"] if client == GROWN else [])]


def measure(client: str, chats: int) -> dict[str, float]:
    quiet = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no price list from the network
        "ENABLE_COLLABLLM_LOGGING": "0",
    }
    with Loopback() as server, tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        environment = {**quiet, "RUN_USER_DIR": folder}
        process = subprocess.Popen(
            command(client, chats, server.api_base, folder), stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise SystemExit(f"{client} failed")
        stats, job = server.stats(), json.loads(output.splitlines()[-1])
    assert not job["lost"], job
    return {
        "calls": stats["calls"],
        "wall_s": wall,
        "job_s": job["job_s"],
        "in_flight": stats["in_flight_mean"],
        "cpu_ms/call": 1000 * (usage.ru_utime + usage.ru_stime) / stats["calls"],
        "job_ms/call": 1000 * job["job_cpu_s"] / stats["calls"],
        "peak_mb": job["peak_mb"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="install the peer beside this file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    if options.setup:
        setup()
        return
    if not VENV.exists():
        raise SystemExit("The peer is not installed: python benchmarks/peer.py --setup")

    rounds: dict[str, list[dict[str, float]]] = {PEER: [], PEER_WIDE: [], LOGGED: [], GROWN: []}
    for _ in range(options.rounds):
        for client, runs in rounds.items():  # in turn, so that a slow moment hits all alike
            runs.append(measure(client, options.chats))
    rows = [
        {"client": client, **{name: statistics.median(run[name] for run in runs) for name in runs[0]}}
        for client, runs in rounds.items()
    ]
    peer, wide, logged, grown = rows
    verdicts = [
        judged("wall time, peer / ours", peer["wall_s"] / logged["wall_s"], at_least=5),
        judged("wall time, peer 16 at once / ours", wide["wall_s"] / logged["wall_s"], at_least=5),
        judged("CPU a call, ours / peer", logged["cpu_ms/call"] / peer["cpu_ms/call"], at_most=0.5),
        judged("peak memory, ours / peer", logged["peak_mb"] / peer["peak_mb"], at_most=0.5),
        judged("wall time, peer / ours turn by turn", peer["wall_s"] / grown["wall_s"], at_least=5),
    ]
    finish(rows, verdicts, options.path, rounds=rounds)


if __name__ == "__main__":
    main()
