"""Whether large logs are read as streams: memory and time for a file of each kind, and for its first three chats.

    python benchmarks/log_reading.py [--mb 100] [--only gzip ...] [--folder DIR] [--json log_reading.json]

Each file has so many megabytes on disk, and chats of about eight messages. It is read in a process of its own, whose
peak of resident memory is measured, as Linux tells it (`ru_maxrss` counts the process that started it); imports are
about 40 MB of it, and with pyarrow 100 MB. `first 3` is the time of `read_conversations` for three chats, `--limit 3`
that of `collab score` with that option, from the start of the program. Files are deleted one by one.
"""

import argparse
import csv
import gzip
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, TextIO

from table import finish, judged

from collab_sdk.logs import read_conversations

LARGEST_MEMORY = 300
"""MB."""
LONGEST_START = 10
"""Seconds."""
POOL = 2000
WORDS = ["".join(random.Random(n).choices("etaoinshrdlu", k=2 + n % 9)) for n in range(5000)]


def messages(rng: random.Random) -> list[dict[str, str]]:
    return [
        {"role": role, "content": " ".join(rng.choices(WORDS, k=rng.randrange(10, 120)))}
        for _ in range(rng.randrange(1, 8))
        for role in ("user", "assistant")
    ]


def chats() -> Iterator[tuple[str, str]]:
    """Ids, and messages as JSON text. They come from a pool: what is measured is reading, not writing."""
    rng = random.Random(0)
    pool = [json.dumps(messages(rng)) for _ in range(POOL)]
    return ((f"chat-{number}", rng.choice(pool)) for number in count())


def rows() -> Iterator[bytes]:
    return (b'{"id":"%b","messages":%b}' % (name.encode(), said.encode()) for name, said in chats())


def full(file: BinaryIO | TextIO, size: int) -> bool:
    return file.tell() >= size


def write_lines(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for row in rows():
            file.write(row + b"\n")
            if full(file, size):
                return


def write_list(path: Path, size: int, before: bytes = b"[", after: bytes = b"]") -> None:
    with path.open("wb") as file:
        file.write(before)
        for number, row in enumerate(rows()):
            file.write(b", " * bool(number) + row)
            if full(file, size):
                break
        file.write(after)


def write_indented(path: Path, size: int) -> None:
    with path.open("w") as file:
        for name, said in chats():
            file.write(json.dumps({"id": name, "messages": json.loads(said)}, indent=2) + "\n")
            if full(file, size):
                return


def write_wrapped(path: Path, size: int) -> None:
    write_list(path, size, b'{"exported": "today", "conversations": [', b"]}")


def write_gzip(path: Path, size: int) -> None:
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for row in rows():
            packed.write(row + b"\n")
            if full(file, size):
                return


def write_zip(path: Path, size: int) -> None:
    with (
        path.open("wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("export/conversations.json", "w", force_zip64=True) as packed,
    ):
        packed.write(b"[")
        for number, row in enumerate(rows()):
            packed.write(b",\n" * bool(number) + row)
            if full(file, size):
                break
        packed.write(b"]")


def write_parquet(path: Path, size: int) -> None:
    import pyarrow
    import pyarrow.parquet

    said = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    schema = pyarrow.schema([("id", pyarrow.string()), ("messages", said)])
    numbered = chats()
    with path.open("wb") as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while not full(file, size):  # in groups of rows as pandas writes them
            some = list(islice(numbered, min(100_000, size // 5_000)))
            columns = {"id": [name for name, _ in some], "messages": [json.loads(text) for _, text in some]}
            writer.write_table(pyarrow.table(columns, schema=schema), row_group_size=len(some))


def write_csv(path: Path, size: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", "messages"])
        for chat in chats():
            writer.writerow(chat)
            if full(file, size):
                return


KINDS: dict[str, Callable[[Path, int], None]] = {
    "JSON lines": write_lines,
    "one array": write_list,
    "indented objects": write_indented,
    "one object": write_wrapped,
    "gzip": write_gzip,
    "zip": write_zip,
    "Parquet": write_parquet,
    "CSV": write_csv,
}


def read(path: str, most: int | None) -> None:
    """Read the file in this process, and print what it took."""
    started = time.monotonic()
    errors: list[str] = []
    number = sum(1 for _ in read_conversations([path], limit=most, on_error=lambda error: errors.append(str(error))))
    seconds = time.monotonic() - started
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    print(json.dumps({"chats": number, "errors": errors[:3], "seconds": seconds, "peak": peak}))


def measured(path: Path, *most: str) -> dict[str, float]:
    shown = subprocess.run(
        [sys.executable, __file__, "--read", path, *most], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(shown.stdout)
    if result["errors"]:
        raise SystemExit(f"{path}: {result['errors']}")
    return result


def limited(path: Path, folder: str) -> float:
    """Seconds of a command that looks at three chats only."""
    options = ["--model", "offline", "--samples", "1", "--limit", "3", "--cache-dir", folder]
    started = time.monotonic()
    subprocess.run([Path(sys.executable).with_name("collab"), "score", path, *options], capture_output=True, check=True)
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=100, help="of each file, on disk")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--folder", help="where the files are made; by default a temporary one")
    parser.add_argument("--json", dest="path")
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read[0], int(options.read[1]) if options.read[1:] else None)
        return
    table, verdicts = [], []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind in options.only:
            path = Path(folder, "log")
            KINDS[kind](path, options.mb * 1_000_000)
            size = path.stat().st_size / 1_000_000
            few, whole = measured(path, "3"), measured(path)
            start = limited(path, folder)
            path.unlink()
            table.append(
                {
                    "file": kind,
                    "MB": round(size),
                    "chats": whole["chats"],
                    "peak MB": round(whole["peak"]),
                    "seconds": round(whole["seconds"], 1),
                    "first 3, s": round(few["seconds"], 2),
                    "--limit 3, s": round(start, 1),
                }
            )
            print(table[-1], file=sys.stderr)
            verdicts.append(judged(f"{kind}, peak MB", round(whole["peak"]), at_most=LARGEST_MEMORY))
            verdicts.append(judged(f"{kind}, --limit 3, s", round(start, 1), at_most=LONGEST_START))
    finish(table, verdicts, options.path)


if __name__ == "__main__":
    main()
