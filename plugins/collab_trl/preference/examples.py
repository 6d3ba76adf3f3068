"""The examples in files and data sets, and the conversations of them that are held out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import beside, parse_json
from collab_sdk.logs import read_rows
from collab_sdk.preferences import is_held_out
from collab_sdk.training import Fault
from collab_trl.preference.row_formats import Example, read_example


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What a method can train on, what is held out, and the rows that are neither."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...] = ()


def read_examples(path: Path, *, method: str, eval_fraction: float) -> Examples:
    """Read a file or a folder of a data set. Raises InputError if nothing in it is of use for the method.

    A file `NAME.eval.jsonl` beside NAME.jsonl, as export-prefs writes it, is what is held out; without one,
    conversations are held out by a hash of their id, the same ones in every run.
    """
    faults: dict[str, list[str]] = {}
    train = list(_usable(path, method, faults))
    notes: list[str] = []
    eval_file = beside(path, "eval")
    if path.is_file() and eval_file.exists():
        held_out = list(_usable(eval_file, method, faults))
        shared = {example.conversation for example in held_out} & {example.conversation for example in train}
        if shared:
            raise InputError(
                f"{len(shared)} conversations are in {path.name} too; a held-out one must not be", where=str(eval_file)
            )
        notes.append(f"Held out is what is in {eval_file}.")
    else:
        held_out = [example for example in train if is_held_out(example.conversation, eval_fraction)]
        train = [example for example in train if not is_held_out(example.conversation, eval_fraction)]
    if not train:
        problem = next(iter(faults), "it is empty") if not held_out else "all of its conversations are held out"
        raise InputError(f"nothing to train on with {method}: {problem}", where=str(path))
    if not held_out:
        notes.append("No conversation is held out, so nothing will show whether training generalises.")
    return Examples(
        train=tuple(train),
        held_out=tuple(held_out),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in faults.items()),
        notes=tuple(notes),
    )


def _usable(path: Path, method: str, faults: dict[str, list[str]]) -> Iterator[Example]:
    for where, row in _rows(path):
        try:
            example = read_example(row, where)
        except InputError as error:
            faults.setdefault(error.problem, []).append(where)
            continue
        if method == "kto":
            sides = [replace(example, rejected=()), replace(example, chosen=())]
            found: Sequence[Example] = [side for side in sides if side.chosen or side.rejected]
        elif method == "sft":
            found = [replace(example, rejected=())] if example.chosen else []
        else:
            found = [example] if example.chosen and example.rejected else []
        if not found:
            needed = "a reply to learn" if method == "sft" else "both chosen and rejected"
            faults.setdefault(f"rows without {needed}", []).append(where)
        yield from found


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_dir():
        yield from _dataset_rows(path)
        return
    for where, text in read_rows(str(path), _refuse):
        yield where.replace(str(path), path.name), _parsed(text, where)


def _refuse(error: InputError) -> None:
    raise error


def _parsed(text: bytes, where: str) -> Any:
    try:
        return parse_json(text)
    except InputError as error:
        raise InputError(error.problem, where=where) from None


def _dataset_rows(path: Path) -> Iterable[tuple[str, Any]]:
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(f"is no data set saved by Hugging Face datasets: {error}", where=str(path)) from None
    if isinstance(loaded, DatasetDict):
        if "train" not in loaded:
            raise InputError(f"has no split 'train'; found {', '.join(loaded)}", where=str(path))
        loaded = loaded["train"]
    for number, row in enumerate(loaded, start=1):
        yield f"{path.name}:{number}", row
