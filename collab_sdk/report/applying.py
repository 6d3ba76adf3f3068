"""Applies decisions to the pairs they are of, and writes down who decided what."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from collab_sdk.errors import InputError, OutputError
from collab_sdk.files import Inputs, JsonlWriter, beside, export_files, run_path
from collab_sdk.logs import Catalogue, get_preference_format, preference_format_names
from collab_sdk.preferences import Refusal
from collab_sdk.preferences.files import TURN_SCHEMA
from collab_sdk.report.agreement import ReviewAgreement
from collab_sdk.report.decisions import Decision, Decisions, PairAction
from collab_sdk.report.fields import Row, count, deeds, mapping, number, rows, text
from collab_sdk.report.overview import MR, OTHER_SCORE
from collab_sdk.report.pair_rows import flipped, holds, is_pair_row, turn_of_pair, turned
from collab_sdk.report.sources import check_schema, read_objects, read_run
from collab_sdk.report.turns import is_held_out, pair_id
from collab_sdk.score_rows import RUN_SCHEMA

TRAIN, HELD_OUT = "train", "eval"
"""The file to train on, and the one with the chats that are held out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What became of the pairs."""

    actions: Mapping[PairAction, int]
    undecided: int
    """Pairs that nobody decided on; they stay as they are."""
    unknown: tuple[str, ...]
    """Pairs of decisions that are not in the file."""
    by: tuple[str, ...]
    agreement: str = ""
    """How often the order of the pairs is the reviewer's, in a sentence."""


def apply_decisions(decisions: Decisions, pairs: Path, output: Path) -> Applied:
    """Write the pairs of `pairs` to `output` as decided, those held out beside it, and `NAME.turns.jsonl`.

    Raises InputError where nothing that was decided is of these pairs, and where a file is not as the export left it;
    OutputError for what cannot be written.
    """
    export = _Export(pairs)
    known: Counter[str] = Counter()
    agreement, score = ReviewAgreement(), MR
    for turn in export.turns():
        if (name := pair_id(turn)) is None:
            continue
        known[name] += 1
        score = score if mapping(turn.get("made_with")) else OTHER_SCORE
        if (decision := decisions.by_pair.get(name)) is not None:
            pair = mapping(turn.get("pair"))
            margin = number((pair | turned(pair) if decision.action is PairAction.FLIP else pair).get("margin"))
            agreement.add(text(turn.get("conversation_id")), decision.action, margin)
    found = [decision for name, decision in decisions.by_pair.items() if name in known]
    if not found:
        of = f" (they are of {decisions.of})" if decisions.of and decisions.of != pairs.name else ""
        raise InputError(f"none of the {len(decisions.by_pair):,} pairs decided on{of} is in it", where=str(pairs))
    actions = Counter(dict.fromkeys(PairAction, 0))
    for decision in found:
        actions[decision.action] += known[decision.pair]
    applied = Applied(
        actions=actions,
        undecided=known.total() - actions.total(),
        unknown=tuple(name for name in decisions.by_pair if name not in known),
        by=tuple(dict.fromkeys(decision.by for decision in found if decision.by)),
        agreement=agreement.sentence(score),
    )
    _write(export, decisions, applied, output)
    return applied


class _Export:
    """The files that an export wrote. Without the sidecar, each row of `pairs` is a turn."""

    def __init__(self, pairs: Path) -> None:
        self.pairs = pairs
        held_out = beside(pairs, HELD_OUT)
        paths = {TRAIN: pairs, **({HELD_OUT: held_out} if held_out.is_file() else {})}
        self.rows = {part: [row for _, row in read_objects(path, _raise)] for part, path in paths.items()}
        self.run = read_run(run_path(pairs), _raise)

    def turns(self) -> Iterator[Row]:
        sidecar = beside(self.pairs, "turns")
        if sidecar.is_file():
            for where, row in read_objects(sidecar, _raise):
                check_schema(row, where)
                yield row
            return
        for place, row in enumerate(self.rows[TRAIN], start=1):
            if not is_pair_row(row):
                raise InputError(f"no pair, and no {sidecar.name} that tells of which", where=f"{self.pairs}:{place}")
            at = {"file": self.pairs.name, "line": place}
            yield {"schema": TURN_SCHEMA, **turn_of_pair(row, place), "written_to": at}

    def rows_of(self, turn: Row) -> tuple[str, list[Row]]:
        """Which file a turn's pair is in, and its rows. Raises InputError if another pair is in its place."""
        part = HELD_OUT if is_held_out(turn) else TRAIN
        line = count(mapping(turn.get("written_to")).get("line"))
        found = self.rows.get(part, [])[max(line - 1, 0) :][:1]
        if found and "completion" in found[0]:  # a row for either side
            found = self.rows[part][line - 1 :][:2]
        pair = mapping(turn.get("pair"))
        chosen, rejected = deeds(pair.get("chosen")), deeds(pair.get("rejected"))
        if not line or not found or not all(holds(row, chosen=chosen, rejected=rejected) for row in found):
            name = beside(self.pairs, HELD_OUT).name if part == HELD_OUT else self.pairs.name
            problem = f"line {line} is not the pair that {beside(self.pairs, 'turns').name} has there: export again"
            raise InputError(f"{problem}, or take that file away", where=name)
        return part, found


def _write(export: _Export, decisions: Decisions, applied: Applied, output: Path) -> None:
    targets = {part: output if part == TRAIN else beside(output, HELD_OUT) for part in export.rows}
    inputs = Inputs([export.pairs, *([decisions.path] if decisions.path else [])])
    inputs.check(export_files(output))
    stale = beside(output, HELD_OUT)
    if stale.exists() and HELD_OUT not in targets:
        raise OutputError(f"{stale} holds out chats of another file: delete it, or give another -o FILE.")
    with ExitStack() as opened:
        files = {part: opened.enter_context(JsonlWriter(path)) for part, path in targets.items()}
        turns = opened.enter_context(JsonlWriter(beside(output, "turns")))
        run = opened.enter_context(JsonlWriter(run_path(output)))
        lines = Counter(dict.fromkeys(targets, 0))
        for turn in export.turns():
            if (name := pair_id(turn)) is None:
                turns.write(turn)
                continue
            part, found = export.rows_of(turn)
            turn, written = _decided(turn, found, decisions.by_pair.get(name))
            if written:
                turn = turn | {"written_to": {"file": targets[part].name, "line": lines[part] + 1}}
            for row in written:
                files[part].write(row)
            lines[part] += len(written)
            turns.write(turn)
        counts = {str(action): count for action, count in applied.actions.items()}
        review = {"of": export.pairs.name, "by": list(applied.by), **counts, "undecided": applied.undecided}
        run.write((export.run or {"schema": RUN_SCHEMA}) | {"review": review})
    _catalogue(export, targets)


def _decided(turn: Row, found: list[Row], decision: Decision | None) -> tuple[Row, list[Row]]:
    """The turn and its rows after a decision; no rows where the pair is dropped."""
    if decision is None:
        return turn, found
    turn = turn | {"review": decision.to_dict()}
    if decision.action is PairAction.DROP:
        return turn | {"pair": None, "refused": Refusal.REVIEW, "written_to": None}, []
    if decision.action is PairAction.FLIP:
        pair = mapping(turn.get("pair"))
        chosen, rejected = rows(pair.get("chosen")), rows(pair.get("rejected"))
        turn = turn | {"pair": {**pair, "chosen": rejected, "rejected": chosen, **turned(pair)}}
        return turn, [flipped(row, chosen=chosen, rejected=rejected) for row in found]
    return turn, found


def _catalogue(export: _Export, targets: Mapping[str, Path]) -> None:
    """The entries of the new files, where the format keeps a catalogue of them."""
    name = text(mapping(export.run.get("export")).get("format"))
    if name not in preference_format_names():
        return
    format = get_preference_format(name)
    if format.catalogue is None or format.entry is None:
        return
    for target in targets.values():
        with Catalogue(target.with_name(format.catalogue)) as catalogue:
            catalogue.add(target.name, format.entry(target.name))


def _raise(error: InputError) -> None:
    raise error
