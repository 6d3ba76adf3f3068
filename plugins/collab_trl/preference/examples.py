"""The examples in files and data sets, and the conversations of them that are held out."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import beside, parse_json
from collab_sdk.logs import read_rows
from collab_sdk.preferences import held_out_share, is_held_out, opening_of, tells_apart, whole_of
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """A row that says what an earlier one does."""

    where: str
    of: str
    is_other: bool
    """Whether the two name different conversations."""


PLACES_SHOWN = 3


def some(places: Iterable[str]) -> str:
    """The first few of them, in a line."""
    shown = list(islice(places, PLACES_SHOWN + 1))
    return ", ".join(shown[:PLACES_SHOWN]) + (", ..." if len(shown) > PLACES_SHOWN else "")


def read_examples(path: Path, *, method: str, eval_fraction: float | None) -> Examples:
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
        train, held_out = _by_opening(train), _by_opening(held_out)
        _check_apart(held_out, train, rows.conversations & trained_on, files=(path, eval_file))
        notes.append(f"Held out is what is in {eval_file}.")
    else:
        train, held_out = _parted(train, eval_fraction)
    if not train:
        raise InputError(f"nothing to train on with {method}: {next(iter(faults), 'it is empty')}", where=str(path))
    learnt = {example.words: example for example in train}
    apart = [example for example in held_out if example.words not in learnt]
    repeats = [
        *rows.repeats,
        *(_repeat(example, learnt[example.words]) for example in held_out if example.words in learnt),
    ]
    if repeats:
        notes.append(_said_of(repeats))
    if not apart:
        notes.append("No conversation is held out, so nothing will show whether training generalises.")
    return Examples(
        train=tuple(train),
        held_out=tuple(apart),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in faults.items()),
        repeated=len(repeats),
        notes=tuple(notes),
    )


def _check_apart(
    held_out: Sequence[Example], train: Sequence[Example], named: Collection[str], *, files: tuple[Path, Path]
) -> None:
    """Raises InputError where a chat is in both files, under one id (`named`) or under two."""
    known = {whole_of(said): (example, said) for example, said in _longest(train)}
    begun = {begun: example for example, said in known.values() for begun in _beginnings(said)}
    whole = {known_by: example for known_by, (example, said) in known.items() if tells_apart(said)}
    shared = dict.fromkeys(named, "")
    for example, said in {whole_of(said): (example, said) for example, said in _longest(held_out)}.values():
        if tells_apart(said):
            same = (whole[beginning] for beginning in _beginnings(said) if beginning in whole)
            if (other := next(same, begun.get(whole_of(said)))) is not None:
                shared.setdefault(example.conversation, f" ({example.where} begins as {other.where} does)")
    if shared:
        raise InputError(
            f"{len(shared)} conversations are in {files[0].name} too{next(filter(None, shared.values()), '')}; a "
            "held-out one must not be",
            where=str(files[1]),
        )


def _parted(examples: Sequence[Example], share: float | None) -> tuple[list[Example], list[Example]]:
    """What to train on and what is held out: by how conversations begin, or else by all that their users say.

    The latter where nearly all begin in the same way, so that one side would be empty.
    """
    by_opening = _by_opening(examples)
    fraction = held_out_share(example.known_by for example in by_opening) if share is None else share
    sides = _sides(by_opening, fraction)
    if fraction and not all(sides):
        by_whole = _by_whole(examples)
        if _groups(by_whole) > _groups(by_opening):
            sides = _sides(by_whole, fraction)
    train, held_out = sides
    return (train, held_out) if train else (held_out, [])


def _by_opening(examples: Sequence[Example]) -> list[Example]:
    """Known by how its conversation begins, of which the longest prompt has most.

    One without an id by its first message alone, or all turns of a conversation would not be on one side.
    """
    return [
        replace(example, known_by=opening_of(said) if example.is_named else example.conversation)
        for example, said in _longest(examples)
    ]


def _by_whole(examples: Sequence[Example]) -> list[Example]:
    """Known by all that its user says: also what follows in another row, where that goes on in one way only.

    So the turns of a conversation without an id are on one side, and so are two logs of which one is shorter.
    """
    whole = [(example, said, whole_of(said)) for example, said in _longest(examples)]
    ends: dict[str, set[str]] = {}
    for _, said, known_by in sorted(whole, key=lambda each: len(each[1]), reverse=True):
        if known_by not in ends:  # no longer one goes on from it
            for begun in _beginnings(said):
                ends.setdefault(begun, set()).add(known_by)
    return [
        replace(example, known_by=next(iter(ends[known_by])) if len(ends[known_by]) == 1 else known_by)
        for example, _, known_by in whole
    ]


def _longest(examples: Sequence[Example]) -> list[tuple[Example, list[str]]]:
    """Each with what the user says in the longest prompt of its conversation."""
    longest: dict[str, list[str]] = {}
    for example in examples:
        if example.is_named and len(example.said) > len(longest.get(example.conversation, ())):
            longest[example.conversation] = example.said
    return [(example, longest[example.conversation] if example.is_named else example.said) for example in examples]


def _beginnings(said: Sequence[str]) -> list[str]:
    return [whole_of(said[:turns]) for turns in range(1, len(said) + 1)]


def _sides(examples: Iterable[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[is_held_out(example.known_by, fraction)].append(example)
    return sides


def _repeat(example: Example, first: Example) -> Repeat:
    return Repeat(where=example.where, of=first.where, is_other=example.conversation != first.conversation)


def _said_of(repeats: Sequence[Repeat]) -> str:
    renamed = sum(repeat.is_other for repeat in repeats)
    under = f", {renamed:,} of them under another id" if renamed else ""
    shown = some(f"{repeat.where} as {repeat.of}" for repeat in repeats)
    return f"{len(repeats):,} rows say what another one does, word for word{under}, and are left out ({shown})."


def _groups(examples: Iterable[Example]) -> int:
    return len({example.known_by for example in examples})


class _Rows:
    """Rows of files as examples of a method, each once, and the places of those that are none, by problem."""

    def __init__(self, method: str, faults: dict[str, list[str]]) -> None:
        self._method = method
        self._faults = faults
        self._seen: dict[bytes, Example] = {}
        """The first with such words."""
        self.conversations: set[str] = set()
        """Of all that was read, repeated or not."""
        self.repeats: list[Repeat] = []

    def of(self, path: Path) -> Iterator[Example]:
        for where, row in _rows(path):
            try:
                example = read_example(row, where)
            except InputError as error:
                self._faults.setdefault(error.problem, []).append(where)
                continue
            self.conversations.add(example.conversation)
            digest = hashlib.sha256(example.words.encode("utf-8", "surrogatepass")).digest()
            first = self._seen.setdefault(digest, example)
            if first is not example:
                self.repeats.append(_repeat(example, first))
                continue
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
