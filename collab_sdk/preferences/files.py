"""The files of an export."""

import hashlib
import json
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from collab_sdk.errors import OutputError, UsageError
from collab_sdk.files import NO_INPUTS, Inputs, JsonlWriter, beside, export_files, run_path
from collab_sdk.logs import Catalogue, get_preference_format
from collab_sdk.messages import Message
from collab_sdk.preferences.report import ScoredConversation, ScoredTurn
from collab_sdk.preferences.split import is_held_out, opening_of
from collab_sdk.score_rows import message_row, score_row
from collab_sdk.types import Conversation, Goal, PreferencePair

TURN_SCHEMA = "collab/scored-turn/v2"
UNLIKELY = 5
"""Chats that a side should have, from which it has none by chance in 1 of 150 cases."""
REPEATED = "an earlier pair is the same, word for word"

HoldOut = Callable[[Conversation], bool]
"""Whether a conversation is held out."""
SIMULATED = ("simulated", "task")
"""Metadata of chats that `collab tasks export` has made of a benchmark's rows; the rest of it stands in their file."""
UNKNOWN: Mapping[str, Any] = MappingProxyType({})


class ExportFiles:
    """`target` for the pairs and `NAME.turns.jsonl` for all that led to them; `NAME.eval.jsonl` for a held-out share.

    `hold_out` says which conversations those are, where it is not a share of them by what their users say first.
    `made_with` says in each row of the turns which models and settings scored it. `NAME.run.json` tells of the run.

    Where no turn was scored, nothing is written, and an earlier export stays as it is. A pair that rows of this format
    cannot hold whole is refused, and counted in `left_out`.
    Conversations are held out by what their users say first, so the split is the same in every run, and a chat that was
    logged twice is on one side. A pair that says what an earlier one did, word for word, is left out, and counted in
    `repeated`. Raises OutputError for a file that cannot be written or is one of `inputs`, and for held-out chats of an
    earlier run that this one would train on.
    """

    def __init__(
        self,
        target: Path,
        *,
        format: str,
        eval_fraction: float,
        hold_out: HoldOut | None = None,
        made_with: Mapping[str, Any] = UNKNOWN,
        inputs: Inputs = NO_INPUTS,
    ) -> None:
        if not 0 <= eval_fraction < 1:
            raise UsageError(f"eval_fraction is {eval_fraction}; it must be from 0 to below 1.")
        if eval_fraction and hold_out:
            raise UsageError("Conversations are held out by eval_fraction or by hold_out, not by both.")
        inputs.check(export_files(target))
        held_out = beside(target, "eval")
        if not (eval_fraction or hold_out) and held_out.exists():
            raise OutputError(
                f"{held_out} holds out chats that would now be in {target.name} too: "
                "delete it, or give an eval fraction (--eval-fraction) again."
            )
        self._format, self._writer = format, get_preference_format(format)
        self._eval_fraction, self._made_with = eval_fraction, dict(made_with)
        self._hold_out = hold_out or self._by_share
        self.left_out: Counter[str] = Counter()
        """How many pairs are not in the files of pairs, by what they have that the format cannot hold."""
        self.incomplete: Counter[str] = Counter()
        """How many pairs are in the files of pairs without something that they have."""
        self._conversations = 0
        self.repeated = 0
        """How many pairs are not in the files of pairs, because an earlier one is the same, word for word."""
        with ExitStack() as opening:
            if self._writer.catalogue is not None:
                self._catalogue = opening.enter_context(Catalogue(target.with_name(self._writer.catalogue)))
            self._pairs = opening.enter_context(_CountingWriter(target))
            self._turns = opening.enter_context(_CountingWriter(beside(target, "turns")))
            self._run = opening.enter_context(JsonlWriter(run_path(target)))
            self._seen = opening.enter_context(closing(_Seen()))
            self._eval = self._pairs
            if eval_fraction or hold_out:
                self._eval = opening.enter_context(_CountingWriter(held_out))
            self._open = opening.pop_all()

    def write(self, conversation: Conversation, scored: ScoredConversation) -> None:
        """Of a conversation with the tools that it was scored with."""
        self._conversations += 1
        pairs = self._eval if self._hold_out(conversation) else self._pairs
        written: list[bytes] = []
        for turn in scored.turns:
            row, place = turn_row(conversation, scored.goal, turn), None
            if turn.pair is not None and (problem := self._writer.cannot_hold(turn.pair)) is not None:
                self.left_out[problem] += 1
                row |= {"pair": None, "refused": f"{self._format}'s rows cannot hold {problem}"}
            elif turn.pair is not None and (words := _words(turn.pair)) in self._seen:
                self.repeated += 1
                row |= {"pair": None, "refused": REPEATED}
            elif turn.pair is not None:
                # Where the pair's row is: strict formats have no room for its provenance, so this file is the way back.
                place = {"file": pairs.name, "line": pairs.lines + 1}
                if (unsaid := self._writer.does_without(turn.pair)) is not None:
                    self.incomplete[unsaid] += 1
                written.append(words)
                for line in self._writer.rows(turn.pair):
                    pairs.write(line)
            self._turns.write({**row, "written_to": place, "made_with": self._made_with})
        self._seen.add(written)

    def _by_share(self, conversation: Conversation) -> bool:
        opening = opening_of(message.content for message in conversation.messages if message.role == "user")
        return is_held_out(opening, self._eval_fraction)

    def write_run(self, row: Mapping[str, Any]) -> None:
        self._run.write(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        files = dict.fromkeys([self._pairs, self._eval]) if kind is None else {}
        if kind is None and not self._turns.lines:
            for writer in (*files, self._turns, self._run):
                writer.discard()
            files = {}
        if self._writer.entry is not None:
            for file in files:
                self._catalogue.add(file.name, self._writer.entry(file.name))
        self._open.__exit__(kind, error, trace)
        for file in files:  # only now: where warnings are errors, the files are complete all the same
            self._warn_of_few(file)
        if len(files) > 1:
            self._warn_of_one_side()

    def _warn_of_few(self, file: "_CountingWriter") -> None:
        if file.lines < self._writer.min_rows:
            warnings.warn(
                f"{file.name} has {file.lines} rows, and {self._format} takes no fewer than {self._writer.min_rows}.",
                stacklevel=3,
            )

    def _warn_of_one_side(self) -> None:
        share = min(self._eval_fraction, 1 - self._eval_fraction)
        empty = next((file for file in (self._pairs, self._eval) if not file.lines), None)
        if empty is not None and self._conversations * share >= UNLIKELY:
            warnings.warn(
                f"{empty.name} has no row: chats are held out by what their users say first, and these begin alike.",
                stacklevel=3,
            )


class _CountingWriter(JsonlWriter):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = path.name
        self.lines = 0

    def write(self, row: Any) -> None:
        super().write(row)
        self.lines += 1


def turn_row(conversation: Conversation, goal: Goal, scored: ScoredTurn) -> dict[str, Any]:
    """Everything known about a turn, for reports; it names the goal, so it is no training data."""
    pair, played = scored.pair, [each.text for each in scored.goals]
    return {
        "schema": TURN_SCHEMA,
        "conversation_id": conversation.id,
        "turn": scored.turn.index,
        **{name: conversation.metadata[name] for name in SIMULATED if name in conversation.metadata},
        "goal": goal.text,
        **({"goals": played} if played not in ([], [goal.text]) else {}),
        "history": _rows(scored.turn.history),
        **({"tools": [dict(tool) for tool in conversation.tools]} if conversation.tools else {}),
        "candidates": [
            {"source": candidate.source, "messages": _rows(candidate.messages), **score_row(score)}
            for candidate, score in scored.candidates
        ],
        "lost": list(scored.lost),
        "pair": {
            "chosen": _rows(pair.chosen.response),
            "rejected": _rows(pair.rejected.response),
            "margin": pair.margin,
            "confidence": pair.confidence,
        }
        if pair
        else None,
        "refused": scored.refusal,
    }


def _rows(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [message_row(message) for message in messages]


def _words(pair: PreferencePair) -> bytes:
    """A hash of all that is learnt from a pair."""
    sides = (pair.prompt, pair.chosen.response, pair.rejected.response)
    said = [*map(_rows, sides), [dict(tool) for tool in pair.tools]]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest()


class _Seen:
    """Hashes of what earlier conversations gave, in a temporary database: however many they are, memory stays flat."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # sqlite's name for a file that only this connection sees
        self._database.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, hashes: Iterable[bytes]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((each,) for each in hashes))

    def __contains__(self, each: bytes) -> bool:
        return self._database.execute("SELECT 1 FROM seen WHERE hash = ?", (each,)).fetchone() is not None

    def close(self) -> None:
        self._database.close()
