"""What recording costs an app: a call with a history of 39 messages, bare, with a handler that does nothing, recorded.

    python benchmarks/harvest.py [--calls 2000] [--rounds 5] [--app openai] [--json harvest.json]

The model answers at once, in the process, so that the call itself is as short as it can be. While a recorded call is
timed, the writer is at those before it, with 39 messages each that it has not seen: what it holds the interpreter's
lock for is in the figures. Bare calls are timed while it is idle. Every history is new to the process, as if read from
a database, and ends with a message nobody has seen. The time that the thread spent runnable, but without a core (Linux
counts it), is taken out; that of the writer's thread while it holds the lock cannot be, so that the figures want a
machine with a core to spare.
"""

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from typing import Any

from harvest_apps import APPS
from table import finish, judged

from collab_sdk.harvest import Recorder, redact_patterns

MESSAGES = 39
PERCENTS = (50, 95, 99)
BLOCK = 50
TEXT = "the order of 12 items came to Ann, at her desk, before 9 in the morning; what is left of it comes on Monday. "

NUMBERS = count_from()
"""No two histories end alike."""
History = list[dict[str, str]]
Call = Callable[[History], Any]


def histories(count: int) -> list[History]:
    """Conversations of which each call sees all that came before."""
    made = []
    for number in islice(NUMBERS, count):
        roles = ("user", "assistant") * MESSAGES
        history = [{"role": roles[n], "content": f"{n}: {TEXT * (1 + n % 3)}"} for n in range(MESSAGES)]
        history[-1]["content"] += f"Mine is {os.getpid()}-{number}, write to a{number}@example.com"
        made.append(history)
    text = json.dumps(made)
    return list(json.loads(text))


class Clock:
    """Seconds of a thread, less those that it waited for a core."""

    def __init__(self) -> None:
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def __call__(self) -> float:
        return time.perf_counter() - int(os.pread(self._schedule, 64, 0).split()[1]) / 1e9


def timed(call: Call, inputs: list[History]) -> list[float]:
    clock, took = Clock(), []
    for history in inputs:
        began = clock()
        call(history)
        took.append(clock() - began)
    return took


def measured(app: Callable[[Any], Call], calls: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each call, by what watched it: a block of each in turn, so that a slow moment hits all."""
    plain = Recorder(folder / "plain.db")
    redacting = Recorder(folder / "redacted.db", redact=redact_patterns)
    watched = {
        "bare": app(None),
        "no-op handler": app("no-op"),
        "recorded": app(plain),
        "recorded, redacted": app(redacting),
    }
    for call in watched.values():
        call(histories(1)[0])  # imports, connections
    found: dict[str, list[float]] = {name: [] for name in watched}
    for _ in range(0, calls, BLOCK):
        for name, call in watched.items():
            inputs = histories(BLOCK)
            found[name] += timed(call, inputs)
            for recorder in (plain, redacting):
                recorder.flush()
        gc.collect()
    lost = [recorder.stats() for recorder in (plain, redacting)]
    assert not any(stats.dropped or stats.failed for stats in lost), lost
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--app", choices=APPS, action="append")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    gc.disable()  # a full collection takes as long with and without a recorder
    rows, verdicts = [], []
    for name in options.app or APPS:
        rounds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as temporary:
                rounds.append(measured(APPS[name], options.calls, Path(temporary)))
        found = [row(name, kind, rounds) for kind in rounds[0]]
        rows += found
        for recorded in found[2:]:
            what = f"{name}, {recorded['watched by']}"
            verdicts.append(judged(f"{what}: p50 over bare, ms", recorded["p50 over bare"], at_most=0.25))
            verdicts.append(judged(f"{what}: p99 over bare, ms", recorded["p99 over bare"], at_most=1.0))
    finish(rows, verdicts, options.path)


def row(app: str, kind: str, rounds: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Milliseconds; medians of the rounds."""

    def quantile(which: str, percent: int) -> float:
        return statistics.median(1000 * statistics.quantiles(taken[which], n=100)[percent - 1] for taken in rounds)

    return {
        "app": app,
        "watched by": kind,
        **{f"p{percent} ms": quantile(kind, percent) for percent in PERCENTS},
        **{f"p{percent} over bare": quantile(kind, percent) - quantile("bare", percent) for percent in PERCENTS},
    }


if __name__ == "__main__":
    main()
