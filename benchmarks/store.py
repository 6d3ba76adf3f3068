"""Whether the conversation store stays as fast as it fills: insert rate, prefix look-up, listing and reading.

    python benchmarks/store.py [--messages 1000000] [--folder DIR] [--json store.json]

500 chats of ten exchanges are open at once, and go on in turn; half of them come without an id, so that every call of
theirs is joined by the hash of its prefix. Calls come in transactions of 100, as from a busy recorder, each synced to
disk. At every tenth are measured: calls that go on from chats taken at random from all so far, in one transaction of
100; the listing of the latest 50 chats; and reading chats taken at random. Whether the store stays flat is judged by
CPU time, SQLite's and the kernel's included, which other work on the machine does not change; the rate is of the clock.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from table import finish, judged

from collab_sdk.logs import ConversationStore, LoggedCall

OPEN_AT_ONCE = 500
EXCHANGES = 10
BATCH = 100
TENTHS = 10
SAMPLES = 50
INSERT, JOIN, LIST, READ = "a call, CPU ms", "a joined call", "list 50", "read a chat"

Message = dict[str, str]


def said(role: str, chat: int, exchange: int) -> Message:
    """About 60 tokens, as chat messages have; the first two words are the same in all chats."""
    return {"role": role, "content": f"Well then, {role} {chat} says {exchange}. " + "The quick brown fox. " * 12}


def call_of(chat: int, exchange: int, *, ended: float, run_id: str | None = None) -> LoggedCall:
    """The call of an exchange, with the whole chat before it."""
    history = [said(role, chat, number) for number in range(exchange) for role in ("user", "assistant")]
    return LoggedCall(
        run_id=run_id or f"run-{chat}-{exchange}",
        conversation_id=None if chat % 2 else f"thread-{chat}",
        messages=(*history, said("user", chat, exchange)),
        replies=(said("assistant", chat, exchange),),
        source="openai",
        model="openai/gpt-4o-mini",
        parameters={"temperature": 0.7},
        usage={"prompt_tokens": 60 * (2 * exchange + 1), "completion_tokens": 60},
        started=ended - 0.5,
        ended=ended,
    )


def calls(messages: int) -> Iterator[LoggedCall]:
    ended = 0.0
    for first in range(0, messages, 2 * EXCHANGES * OPEN_AT_ONCE):
        opened = first // (2 * EXCHANGES)
        for exchange in range(EXCHANGES):
            for chat in range(opened, opened + OPEN_AT_ONCE):
                ended += 1.0
                yield call_of(chat, exchange, ended=ended)


def cpu_ms(work: Callable[[], Any]) -> float:
    """The median of some runs."""
    times = []
    for _ in range(SAMPLES):
        started = time.process_time()
        work()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def forks(chats: int, now: float, rng: random.Random) -> list[LoggedCall]:
    """Calls without an id that repeat the last exchange of old chats."""
    picked = [2 * rng.randrange(chats // 2) + 1 for _ in range(BATCH)]
    return [call_of(chat, EXCHANGES - 1, ended=now, run_id=f"again-{rng.getrandbits(64)}") for chat in picked]


@dataclass
class Meter:
    """What inserting took since the last row of the table."""

    calls: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    def time(self, store: ConversationStore, batch: list[LoggedCall]) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        store.record(batch)
        self.seconds += time.perf_counter() - started
        self.cpu += time.process_time() - cpu
        self.calls += len(batch)


def measure(store: ConversationStore, path: Path, messages: int, meter: Meter, rng: random.Random) -> dict[str, Any]:
    chats = messages // (2 * EXCHANGES)
    files = (path, path.with_name(path.name + "-wal"))
    return {
        "messages": messages,
        "messages/s": 2 * meter.calls / meter.seconds,
        INSERT: 1000 * meter.cpu / meter.calls,
        JOIN: cpu_ms(lambda: store.record(forks(chats, messages / 2 + 0.5, rng))) / BATCH,
        LIST: cpu_ms(lambda: list(store.listing(limit=50))),
        READ: cpu_ms(lambda: store.get(f"thread-{2 * rng.randrange(chats // 2)}")),
        "MB": sum(file.stat().st_size for file in files) / 1e6,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def fill(path: Path, messages: int) -> list[dict[str, Any]]:
    rng, rows, meter, done = random.Random(0), [], Meter(), 0
    source = calls(messages)
    with ConversationStore(path) as store:
        while batch := list(islice(source, BATCH)):
            meter.time(store, batch)
            done += 2 * len(batch)
            if 2 * meter.calls >= messages // TENTHS:
                rows.append(measure(store, path, done, meter, rng))
                meter = Meter()
        expected = messages // (2 * EXCHANGES)
        assert len(store) == expected, f"{len(store)} conversations instead of {expected}"
    return rows


def growth(rows: list[dict[str, Any]], what: str) -> float:
    return statistics.median(row[what] for row in rows[-3:]) / statistics.median(row[what] for row in rows[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="a multiple of 100,000")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = fill(Path(folder) / "chats.db", options.messages)
    verdicts = [
        judged(f"{what}: last three tenths over first three", growth(rows, what), at_most=1.5)
        for what in (INSERT, JOIN, LIST, READ)
    ]
    verdicts.append(judged("peak MB", rows[-1]["peak MB"], at_most=150))
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
