"""What a report is made of: which kind of file it is, and its conversations, one after the other."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.evaluation.evaluation_rows import EVALUATION_SCHEMA
from collab_sdk.fidelity.check_rows import CHECK_SCHEMA
from collab_sdk.files import beside, file_meant, parse_json, run_path
from collab_sdk.logs.log_rows import read_rows
from collab_sdk.preferences.files import TURN_SCHEMA
from collab_sdk.report.fields import Row
from collab_sdk.report.pair_rows import is_pair_row, turn_of_pair
from collab_sdk.report.played import check_conversations, evaluation_conversations
from collab_sdk.report.turns import conversations_of
from collab_sdk.score_rows import SCORE_SCHEMA

Report = Callable[[InputError], None]
KNOWN = "pairs of collab export-prefs, or what score --json, evaluate -o or check-sim --json wrote"
KINDS: Mapping[str, str] = MappingProxyType(
    {TURN_SCHEMA: "pairs", SCORE_SCHEMA: "scores", EVALUATION_SCHEMA: "evaluation", CHECK_SCHEMA: "check"}
)
FORMER: Mapping[str, str] = MappingProxyType(
    {"collab/scored-turn/v1": "collab export-prefs", "collab/score/v1": "collab score"}
)
"""What rows of an earlier version were written by: their responses were texts, without calls and results."""
TURNS_ENDING = ".turns.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportSource:
    """A file of a kind, with what lies beside it."""

    kind: str
    name: str
    """Of the file that the report is on; for pairs, the one to train on."""
    rows: Iterator[Row]
    run: Row
    """What is known of the run that wrote it; empty if nothing is."""

    def conversations(self) -> Iterator[Row]:
        """As the page holds them."""
        if self.kind == "evaluation":
            return chain.from_iterable(map(evaluation_conversations, self.rows))
        if self.kind == "check":
            return chain.from_iterable(map(check_conversations, self.rows))
        return conversations_of(self.rows)


def open_source(path: Path, report: Report) -> ReportSource:
    """Raises InputError for a file that no report can be made of; rows of it that are of no use are reported."""
    target = path.with_name(path.name.removesuffix(TURNS_ENDING) + ".jsonl") if is_turns(path) else path
    turns = beside(target, "turns")
    found = read_objects(turns if turns.is_file() else path, report)
    first = next(found, None)
    if first is None:
        raise InputError(f"nothing to report on: expected {KNOWN}", where=str(path))
    check_schema(first[1], first[0])
    run = read_run(run_path(target), report)
    schema = str(first[1].get("schema"))
    if schema in KINDS:
        of_kind = _of_schema(chain([first], found), schema, report)
        return ReportSource(kind=KINDS[schema], name=target.name, rows=of_kind, run=run)
    if is_pair_row(first[1]):
        turns_of = (turn_of_pair(row, number) for number, row in _pairs(chain([first], found), report))
        return ReportSource(kind="pairs", name=target.name, rows=turns_of, run=run)
    raise InputError(
        f"no report can be made of rows with {', '.join(map(repr, list(first[1])[:6])) or 'nothing in them'}: "
        f"expected {KNOWN}. Rows without both sides need the {turns.name} that the export wrote",
        where=str(path),
    )


def check_schema(row: Row, where: str) -> None:
    """Raises InputError for a row that an earlier version wrote."""
    schema = str(row.get("schema"))
    if schema in FORMER:
        raise InputError(
            f"a row of {schema}, in which responses are text without calls: run {FORMER[schema]} again (replies come "
            "from the cache)",
            where=where,
        )


def is_turns(path: Path) -> bool:
    return path.name.endswith(TURNS_ENDING)


def read_run(path: Path, report: Report) -> Row:
    """The record of a run; empty where there is none."""
    if not path.is_file():
        return {}
    return next((row for _, row in read_objects(path, report)), {})


def read_objects(path: Path, report: Report) -> Iterator[tuple[str, Row]]:
    """The rows of a file that are JSON objects, each with its place."""
    if not path.is_file():
        problem = (
            "it is a folder; a report is on one file" if path.is_dir() else f"there is no such file{file_meant(path)}"
        )
        raise InputError(problem, where=str(path))
    for where, line in read_rows(str(path), report):
        try:
            row: Any = parse_json(line)
        except InputError as error:
            report(InputError(error.problem, where=where))
            continue
        if isinstance(row, dict):
            yield where, row
        else:
            report(InputError(f"a row must be an object, not {type(row).__name__}", where=where))


def _of_schema(found: Iterator[tuple[str, Row]], schema: str, report: Report) -> Iterator[Row]:
    for where, row in found:
        if row.get("schema") == schema:
            yield row
        else:
            report(InputError(f"expected a row of {schema}, found {row.get('schema')!r}", where=where))


def _pairs(found: Iterator[tuple[str, Row]], report: Report) -> Iterator[tuple[int, Row]]:
    for number, (where, row) in enumerate(found, start=1):
        if is_pair_row(row):
            yield number, row
        else:
            report(InputError("no pair: expected a prompt with two responses", where=where))
