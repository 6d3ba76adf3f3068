"""How long `import collab_sdk` and `collab --help` take, beside a bare interpreter, in one run.

python benchmarks/startup.py [--runs 15] [--json startup.json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import collab_sdk": ["-c", "import collab_sdk"],
    "collab --help": ["-m", "collab_cli.main", "--help"],
}


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    # Compiled files are what a user has after the first run.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(options.runs + 1):
        for name, arguments in COMMANDS.items():  # in turn, so that a slow moment hits all alike
            took = seconds(arguments, environment)
            if run:  # the first is a warm-up
                times[name].append(took)

    bare = statistics.median(times["python -c pass"])
    rows = [
        {
            "command": name,
            "median_s": round(statistics.median(took), 4),
            "min_s": round(min(took), 4),
            "max_s": round(max(took), 4),
            "over_bare_s": round(statistics.median(took) - bare, 4),
        }
        for name, took in times.items()
    ]
    print(f"{'command':<20}{'median s':>10}{'min s':>10}{'max s':>10}{'over bare s':>13}")
    for row in rows:
        print("{command:<20}{median_s:>10.3f}{min_s:>10.3f}{max_s:>10.3f}{over_bare_s:>13.3f}".format(**row))
    if options.path:
        report = {"runs": options.runs, "python": sys.version.split()[0], "rows": rows}
        Path(options.path).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
