"""The examples in files and data sets, and the conversations of them that are held out."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import beside, parse_json
from collab_sdk.logs import read_rows
from collab_sdk.training import Fault, UserChats
from collab_trl.preference.row_formats import Example, Repeat, read_example
from collab_trl.preference.sides import by_opening, check_apart, learnt_as, parted
from collab_trl.preference.user_turns import UserTurns


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What a method can train on, what is held out, and the rows that are neither."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    faults: tuple[Fault, ...]
    repeated: int
    """Rows that are left out because an earlier one is the same, word for word."""
    notes: tuple[str, ...] = ()


PLACES_SHOWN = 3


def some(places: Iterable[str]) -> str:
    """The first few of them, in a line."""
    shown = list(islice(places, PLACES_SHOWN + 1))
    return ", ".join(shown[:PLACES_SHOWN]) + (", ..." if len(shown) > PLACES_SHOWN else "")


def read_examples(path: Path, *, method: str, eval_fraction: float | None, chats: UserChats | None = None) -> Examples:
    """Read a file or a folder of a data set; with `chats`, which were read from it, take the turns of their users.

    Raises InputError if nothing in it is of use for the method.

    A file `NAME.eval.jsonl` beside NAME.jsonl, as export-prefs writes it, is what is held out; without one,
    conversations are held out by what their users say first, the same ones in every run. What is held out is in
    training nowhere, word for word.
    """
    faults: dict[str, list[str]] = {}
    rows = _Rows(path, method, faults) if chats is None else UserTurns(chats, faults)
    train = list(rows.train())
    notes: list[str] = []
    alike: list[tuple[Example, Example]] = []
    eval_file = beside(path, "eval")
    if path.is_file() and eval_file.exists():
        trained_on, rows.conversations = rows.conversations, set()
        held_out = list(rows.held_out())
        train, held_out = by_opening(train), by_opening(held_out)
        check_apart(held_out, train, rows.conversations & trained_on, files=(path, eval_file))
        notes.append(f"Held out is what is in {eval_file.name}.")
        alike = learnt_as(held_out, train)
    else:
        train, held_out = parted(train, eval_fraction)
    if not train:
        raise InputError(f"nothing to train on with {method}: {next(iter(faults), 'it is empty')}", where=str(path))
    # Of users who say the same in the same place, each counts: that many would is what is learnt.
    learnt = {example.words: example for example in train} if chats is None else {}
    apart = [example for example in held_out if example.words not in learnt]
    repeats = [
        *rows.repeats,
        *(_repeat(example, learnt[example.words]) for example in held_out if example.words in learnt),
    ]
    if repeats:
        notes.append(_said_of(repeats))
    told = {repeat.where for repeat in repeats}
    if pairs := [f"{one.where} as {other.where}" for one, other in alike if one.where not in told]:
        notes.append(
            f"{len(pairs):,} rows held out have the same user messages as rows trained on, in chats too short to tell "
            f"apart ({some(pairs)}): leave them out if they are the same chats, or the run is judged by what it learnt."
        )
    if not apart and eval_fraction == 0:
        notes.append("No conversation is held out, so nothing will show whether training generalises.")
    elif not apart:
        notes.append(
            "No conversation is held out, so this run cannot be judged: give more conversations, or --eval-fraction 0 "
            "to take it as it is."
        )
    return Examples(
        train=tuple(train),
        held_out=tuple(apart),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in faults.items()),
        repeated=len(repeats),
        notes=tuple(notes),
    )


def _repeat(example: Example, first: Example) -> Repeat:
    return Repeat(where=example.where, of=first.where, is_other=example.conversation != first.conversation)


def _said_of(repeats: Sequence[Repeat]) -> str:
    renamed = sum(repeat.is_other for repeat in repeats)
    under = f", {renamed:,} of them under another id" if renamed else ""
    shown = some(f"{repeat.where} as {repeat.of}" for repeat in repeats)
    return f"{len(repeats):,} rows say what another one does, word for word{under}, and are left out ({shown})."


class _Rows:
    """Rows of files as examples of a method, each once, and the places of those that are none, by problem."""

    def __init__(self, path: Path, method: str, faults: dict[str, list[str]]) -> None:
        self._path = path
        self._method = method
        self._faults = faults
        self._seen: dict[bytes, Example] = {}
        """The first with such words."""
        self.conversations: set[str] = set()
        """Of all that was read, repeated or not."""
        self.repeats: list[Repeat] = []

    def train(self) -> Iterator[Example]:
        return self._of(self._path)

    def held_out(self) -> Iterator[Example]:
        return self._of(beside(self._path, "eval"))

    def _of(self, path: Path) -> Iterator[Example]:
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
        raise InputError(f"is not a data set saved by Hugging Face datasets: {error}", where=str(path)) from None
    if isinstance(loaded, DatasetDict):
        if "train" not in loaded:
            raise InputError(f"has no split 'train'; found {', '.join(loaded)}", where=str(path))
        loaded = loaded["train"]
    for number, row in enumerate(loaded, start=1):
        yield f"{path.name}:{number}", row
