"""What `pip install` of this checkout brings into a fresh venv, and how long a start takes there.

    python benchmarks/startup.py [--runs 15] [--json startup.json]

Megabytes and distributions are those beyond an empty venv; pip and setuptools count in neither. The bytecode that
pip compiles is counted, and shown by itself. Times are of commands in that venv, beside a bare interpreter, in turn.
In the end the plain install does its work: it scores by rules and by a server on this machine, records chats, looks
after them and exports pairs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from launch import Loopback
from table import Row, finish, judged, show

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "collab_sdk" / "offline" / "samples" / "chats.jsonl"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import collab_sdk": ["-c", "import collab_sdk"],
    "collab --help": ["-m", "collab_cli.main", "--help"],
    "count_tokens, the first": ["-c", "from collab_sdk.tokens import count_tokens; count_tokens('a')"],
}
TOOLS = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"}
RECORD = """
from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore, LoggedCall
asked = ({"role": "user", "content": "a mocha please"},)
with ConversationStore("chats.db") as store:
    recorder = Recorder(store, salt="salt")
    recorder.record(LoggedCall(run_id="1", messages=asked, replies=({"role": "assistant", "content": "Which size?"},)))
    assert recorder.flush()
    recorder.close()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        python, seconds = install(Path(folder))
        largest, verdicts = installed(python)
        show(largest)
        print()
        times = start_times(python, options.runs)
        works(python, Path(folder))
    verdicts += [
        judged(f"{row['command']}, s", row["median s"], at_most=row["at most"]) for row in times if row["at most"]
    ]
    shown = [{name: value for name, value in row.items() if name != "at most"} for row in times]
    finish(shown, verdicts, options.path, runs=options.runs, install_s=round(seconds, 1), largest=largest)


def install(folder: Path) -> tuple[Path, float]:
    """The Python of a new venv with this checkout in it, and the seconds that took."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    started = time.perf_counter()
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "-q", "install", ROOT], check=True)
    return python, time.perf_counter() - started


def installed(python: Path) -> tuple[list[Row], list[Row]]:
    """The largest packages, and the sums beside their limits."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    rows = []
    for entry in site.iterdir():
        if entry.name.split("-")[0] not in TOOLS and entry.name not in TOOLS:
            sizes = [(size_on_disk(file), file.suffix == ".pyc") for file in files(entry)]
            compiled = sum(size for size, is_compiled in sizes if is_compiled) / 1e6
            rows.append({"package": entry.name, "MB": sum(size for size, _ in sizes) / 1e6, "of it bytecode": compiled})
    rows.sort(key=lambda row: -row["MB"])
    total = {"package": "all", **{name: sum(row[name] for row in rows) for name in ("MB", "of it bytecode")}}
    count = sum(entry.suffix == ".dist-info" and entry.name.split("-")[0] not in TOOLS for entry in site.iterdir())
    limits = [
        judged("MB beyond an empty venv", total["MB"], at_most=50),
        judged("distributions", count, at_most=25),
    ]
    return [*rows[:10], total], limits


def files(entry: Path) -> Iterator[Path]:
    yield from [entry] if entry.is_file() else (path for path in entry.rglob("*") if path.is_file())


def size_on_disk(file: Path) -> int:
    """As `du` counts it: in whole blocks, where the system tells them."""
    stat = file.stat()
    return getattr(stat, "st_blocks", 0) * 512 or stat.st_size


def start_times(python: Path, runs: int) -> list[Row]:
    # Compiled files are what a user has after the first run.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(runs + 1):
        for name, arguments in COMMANDS.items():  # in turn, so that a slow moment hits all alike
            started = time.perf_counter()
            subprocess.run([python, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
            if run:  # the first is a warm-up
                times[name].append(time.perf_counter() - started)
    bare = statistics.median(times["python -c pass"])
    limits = {"import collab_sdk": 0.35, "collab --help": 0.17}
    return [
        {
            "command": name,
            "median s": round(statistics.median(took), 3),
            "min s": round(min(took), 3),
            "max s": round(max(took), 3),
            "over bare s": round(statistics.median(took) - bare, 3),
            "at most": limits.get(name),
        }
        for name, took in times.items()
    ]


def works(python: Path, folder: Path) -> None:
    """Do with the plain install what it is for. Raises CalledProcessError for what it cannot do."""
    environment = {**os.environ, "COLLAB_CACHE_DIR": str(folder / "cache")}

    def run(*arguments: object) -> None:
        command = [str(python), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)

    collab = ["-m", "collab_cli.main"]
    run(*collab, "score", SAMPLE, "--limit", 1, "--model", "offline")
    with Loopback(median=0.01) as server:
        judged_by = ["--metric", "interactivity=1"]  # all that this endpoint can judge
        run(
            *collab,
            "score",
            SAMPLE,
            "--limit",
            1,
            *judged_by,
            "--model",
            "Qwen/Qwen3-8B",
            "--api-base",
            server.api_base,
        )
    run("-c", RECORD)
    run(*collab, "logs", "list", "--store", "chats.db")
    run(
        *collab,
        "export-prefs",
        "chats.db",
        "--model",
        "offline",
        "--min-margin",
        0,
        "--min-confidence",
        0,
        "-o",
        "prefs.jsonl",
    )
    print("scores by rules and by a server, records chats, looks after them, exports pairs: yes\n")


if __name__ == "__main__":
    main()
