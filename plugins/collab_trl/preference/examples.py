"""The examples in files and data sets, and the conversations of them that are held out."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import beside, parse_json
from collab_sdk.logs import read_rows
from collab_sdk.preferences import is_held_out, opening_of, whole_of
from collab_sdk.training import Fault
from collab_trl.preference.row_formats import Example, read_example


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What a method can train on, what is held out, and the rows that are neither."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    faults: tuple[Fault, ...]
    repeated: int
    """Rows that are left out because an earlier one is the same, word for word."""
    notes: tuple[str, ...] = ()


def read_examples(path: Path, *, method: str, eval_fraction: float) -> Examples:
    """Read a file or a folder of a data set. Raises InputError if nothing in it is of use for the method.

    A file `NAME.eval.jsonl` beside NAME.jsonl, as export-prefs writes it, is what is held out; without one,
    conversations are held out by what their users say first, the same ones in every run. What is held out is in
    training nowhere, word for word.
    """
    faults: dict[str, list[str]] = {}
    rows = _Rows(method, faults)
    train = list(rows.of(path))
    notes: list[str] = []
    eval_file = beside(path, "eval")
    if path.is_file() and eval_file.exists():
        trained_on, rows.conversations = rows.conversations, set()
        held_out = list(rows.of(eval_file))
        if shared := rows.conversations & trained_on:
            raise InputError(
                f"{len(shared)} conversations are in {path.name} too; a held-out one must not be", where=str(eval_file)
            )
        train, held_out = _known(train, opening_of), _known(held_out, opening_of)
        notes.append(f"Held out is what is in {eval_file}.")
    else:
        train, held_out = _parted(train, eval_fraction)
    if not train:
        raise InputError(f"nothing to train on with {method}: {next(iter(faults), 'it is empty')}", where=str(path))
    learnt = {example.words for example in train}
    apart = [example for example in held_out if example.words not in learnt]
    repeated = rows.repeated + len(held_out) - len(apart)
    if repeated:
        notes.append(f"{repeated:,} rows say what another one does, word for word, and are left out.")
    if not apart:
        notes.append("No conversation is held out, so nothing will show whether training generalises.")
    return Examples(
        train=tuple(train),
        held_out=tuple(apart),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in faults.items()),
        repeated=repeated,
        notes=tuple(notes),
    )


def _parted(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """What to train on and what is held out: by how conversations begin, or else by all that their users say.

    The latter where nearly all begin in the same way, so that one side would be empty.
    """
    by_opening = _known(examples, opening_of)
    sides = _sides(by_opening, fraction)
    if fraction and not all(sides):
        by_whole = _known(examples, whole_of)
        if _groups(by_whole) > _groups(by_opening):
            sides = _sides(by_whole, fraction)
    train, held_out = sides
    return (train, held_out) if train else (held_out, [])


def _known(examples: Sequence[Example], hash_of: Callable[[Iterable[str]], str]) -> list[Example]:
    """The examples with the hash of their conversation, of which the longest prompt has most."""
    longest: dict[str, list[str]] = {}
    for example in examples:
        if example.is_named and len(example.said) > len(longest.get(example.conversation, ())):
            longest[example.conversation] = example.said
    hashes = {name: hash_of(said) for name, said in longest.items()}
    return [
        replace(example, known_by=hashes[example.conversation] if example.is_named else _of_row(example, hash_of))
        for example in examples
    ]


def _of_row(example: Example, hash_of: Callable[[Iterable[str]], str]) -> str:
    """By the first message alone, or all turns of a conversation without an id would not be on one side."""
    return example.conversation if hash_of is opening_of else hash_of(example.said)


def _sides(examples: Iterable[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[is_held_out(example.known_by, fraction)].append(example)
    return sides


def _groups(examples: Iterable[Example]) -> int:
    return len({example.known_by for example in examples})


class _Rows:
    """Rows of files as examples of a method, each once, and the places of those that are none, by problem."""

    def __init__(self, method: str, faults: dict[str, list[str]]) -> None:
        self._method = method
        self._faults = faults
        self._seen: set[bytes] = set()
        self.conversations: set[str] = set()
        """Of all that was read, repeated or not."""
        self.repeated = 0

    def of(self, path: Path) -> Iterator[Example]:
        for where, row in _rows(path):
            try:
                example = read_example(row, where)
            except InputError as error:
                self._faults.setdefault(error.problem, []).append(where)
                continue
            self.conversations.add(example.conversation)
            digest = hashlib.sha256(example.words.encode("utf-8", "surrogatepass")).digest()
            if digest in self._seen:
                self.repeated += 1
                continue
            self._seen.add(digest)
            yield from self._usable(example)

    def _usable(self, example: Example) -> Sequence[Example]:
        if self._method == "kto":
            sides = [replace(example, rejected=()), replace(example, chosen=())]
            found: Sequence[Example] = [side for side in sides if side.chosen or side.rejected]
        elif self._method == "sft":
            found = [replace(example, rejected=())] if example.chosen else []
        else:
            found = [example] if example.chosen and example.rejected else []
        if not found:
            needed = "a reply to learn" if self._method == "sft" else "both chosen and rejected"
            self._faults.setdefault(f"rows without {needed}", []).append(example.where)
        return found


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
