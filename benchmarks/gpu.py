"""What is worth measuring on a GPU, in nine minutes: training beside plain TRL, generation beside transformers' own.

    python benchmarks/gpu.py [--minutes 9] [--results gpu.jsonl] [--folder FOLDER] [--peak-tflops 989] [--wheels FOLDER]
    python benchmarks/gpu.py --small        # every piece with a tiny model; a CPU is enough

Models in the shapes of Llama 3.2 1B, Llama 3.1 8B and SmolLM2-135M with random weights, in one process. The pieces run
in the order of their worth. Each gets its share of the time that is left. One that fails, takes too long or does not
fit into the GPU's memory is one line, and the next goes on. Each result is in --results as soon as it is there, one
JSON line each; the tables come at the end. Fine-tuning is measured as benchmarks/finetune.py says.

A machine without a network gets what it lacks as wheels, made where there is one and for its Python and platform:

    pip wheel --no-deps -w wheels .
    pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 -d wheels \\
        trl datasets ...

and named with --wheels: they are installed into a temporary folder, ahead of what is installed already.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finetune_job import SHAPES, write_base, write_pairs
from table import Row, judged, show

BATCH = 8


class OutOfTimeError(BaseException):
    """Of a piece. No Exception, so that no library takes it for a failure of its own."""


class TooLargeError(Exception):
    """A model that does not fit into the GPU's memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all pieces share."""

    folder: Path
    peak_tflops: float
    small: bool

    @property
    def dtype(self) -> str:
        return "float32" if self.small else "bfloat16"

    def base(self, shape: str) -> Path:
        """The model of that shape, made when it is first asked for."""
        path = self.folder / shape
        if not path.exists():
            _check_memory(shape)
            write_base(path, SHAPES[shape])
            free()
        return path


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    name: str
    seconds: float
    """Its share of the time, relative to the other pieces'."""
    run: Callable[[Job], Iterator[Row]]
    """Yields rows of the table and, last, verdicts."""


def finetune(job: Job, *, shape: str, pairs: int) -> Iterator[Row]:
    from finetune import compared, lengths_of, row_of

    folder = job.folder / f"finetune-{shape}"
    folder.mkdir()
    (folder / "base").symlink_to(job.base(shape))
    write_pairs(folder / "prefs.jsonl", SHAPES[shape], pairs)
    lengths = lengths_of(folder / "prefs.jsonl")
    arms = {}
    for arm in ("plain", "ours"):
        arms[arm] = _arm(arm, folder, job.dtype)
        yield row_of(shape, arm, arms[arm], lengths, epochs=1.0, peak_tflops=job.peak_tflops)
    yield from compared(shape, arms)


def _arm(arm: str, folder: Path, dtype: str) -> dict[str, Any]:
    """An arm's figures. Where TRL's own micro-batch does not fit, the next smaller one that does."""
    from collab_trl.device_memory import ran_out_of_memory
    from finetune_arm import measured

    micro_batch = BATCH
    while True:
        try:
            figures = measured(arm, folder, epochs=1.0, batch=BATCH, micro_batch=micro_batch, rate=1e-4, dtype=dtype)
        except Exception as error:
            if arm == "ours" or micro_batch == 1 or not ran_out_of_memory(error):
                raise
        else:
            return figures | ({"micro_batch": micro_batch} if arm == "plain" else {})
        finally:
            free()
        micro_batch //= 2


def generate(job: Job, *, shape: str, calls: int, history: int, reply: int) -> Iterator[Row]:
    from generation_arm import ARMS, SHARED, requests_of

    folder = job.base(shape)
    _check_memory(shape)
    rates: dict[tuple[str, str], float] = {}
    for arm, answer in ARMS.items():
        for work, n_shared in SHARED.items():
            requests = requests_of(calls, n_shared=n_shared, history=history, reply=reply)
            seconds, tokens, peak = answer(folder, requests, reply, job.dtype)
            free()
            rates[work, arm] = tokens / seconds
            yield {
                "model": shape,
                "histories": work,
                "arm": arm,
                "calls": calls,
                "seconds": seconds,
                "tokens/s": tokens / seconds,
                "peak GB": peak / 1e9,
            }
    for work in SHARED:
        ratio = rates[work, "hf:"] / rates[work, "transformers"]
        yield judged(f"{shape}: hf: over transformers' generate, histories {work}", ratio, at_least=1.0)


def pieces(*, small: bool) -> list[Piece]:
    """In the order of their worth."""
    if small:
        tiny = partial(generate, shape="tiny", calls=8, history=40, reply=4)
        return [
            Piece(name="finetune tiny", seconds=1, run=partial(finetune, shape="tiny", pairs=4 * BATCH)),
            Piece(name="generate tiny", seconds=1, run=tiny),
        ]
    long = partial(generate, calls=64, history=1000, reply=128)
    return [
        Piece(name="finetune 1b", seconds=100, run=partial(finetune, shape="1b", pairs=96)),
        Piece(name="finetune 8b", seconds=260, run=partial(finetune, shape="8b", pairs=4 * BATCH)),
        Piece(name="generate 1b", seconds=50, run=partial(long, shape="1b")),
        Piece(name="generate 8b", seconds=80, run=partial(long, shape="8b")),
        Piece(name="generate 135m", seconds=50, run=partial(long, shape="135m")),
    ]


def _check_memory(shape: str) -> None:
    """Raise TooLargeError if not even the weights fit into the GPU's free memory."""
    import torch

    if torch.cuda.is_available():
        needed, free_bytes = 2 * SHAPES[shape].weights, torch.cuda.mem_get_info()[0]
        if needed > free_bytes:
            raise TooLargeError(f"its weights take {needed / 1e9:.1f} GB; the GPU has {free_bytes / 1e9:.1f} GB free")


def free() -> None:
    """Give back what the last arm held, whose objects refer to each other."""
    from collab_trl.device_memory import free_memory

    free_memory()


def tried(piece: Piece, job: Job, *, seconds: float) -> Iterator[Row]:
    """The rows of a piece; what ends it early is a row that says why."""

    def ring(*_: object) -> None:
        raise OutOfTimeError

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield from piece.run(job)
    except OutOfTimeError:
        yield {"error": f"not finished within its {seconds:.0f} seconds"}
    except Exception as error:
        yield {"error": _reason(error)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        free()


def _reason(error: Exception) -> str:
    from collab_trl.device_memory import ran_out_of_memory

    if ran_out_of_memory(error):
        return "does not fit into memory"
    said = (str(error).splitlines() or [""])[0][:200]
    return said if isinstance(error, TooLargeError) else f"{type(error).__name__}: {said}"


def install(wheels: Path, site: str) -> None:
    """Make what is in `wheels` importable, entry points included."""
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        sys.exit(f"There are no wheels in {wheels}.")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", site, *found], check=True)
    sys.path.insert(0, site)


def machine() -> Row:
    import torch

    row: Row = {"python": sys.version.split()[0], "torch": torch.__version__}
    if torch.cuda.is_available():
        row |= {
            "gpu": torch.cuda.get_device_name(),
            "GB": torch.cuda.get_device_properties(0).total_memory / 1e9,
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny model, for a CPU")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all pieces together")
    parser.add_argument("--results", type=Path, default=Path("gpu.jsonl"), help="where each result goes at once")
    parser.add_argument("--folder", type=Path, help="where models are kept while it runs; they take 20 GB")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bf16; the default is that of an H200")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to install first, into a temporary folder")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, options.results.open("w") as results:
        if options.wheels:
            install(options.wheels, str(Path(folder) / "site"))
        measure(options, Path(folder), end, lambda row: print(json.dumps(row), file=results, flush=True))


def measure(options: argparse.Namespace, folder: Path, end: float, write: Callable[[Row], None]) -> None:
    import torch

    if not options.small and not torch.cuda.is_available():
        sys.exit("There is no GPU. With --small every piece runs with a tiny model on a CPU.")
    job = Job(folder=folder, peak_tflops=options.peak_tflops, small=options.small)
    write(machine())
    tables: dict[tuple[str, ...], list[Row]] = {}
    failures: list[str] = []
    waiting = pieces(small=options.small)
    while waiting:
        share = waiting[0].seconds / sum(piece.seconds for piece in waiting)
        piece = waiting.pop(0)
        for row in tried(piece, job, seconds=max(1.0, share * (end - time.monotonic()))):
            write({"piece": piece.name, **row})
            print(piece.name, *(f"{name}={value}" for name, value in row.items()), file=sys.stderr, flush=True)
            if "error" in row:
                failures.append(f"{piece.name}: {row['error']}")
            else:
                tables.setdefault(tuple(row), []).append(row)
    for rows in tables.values():
        show(rows)
        print()
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
