"""From a file to a page."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from collab_sdk.errors import InputError
from collab_sdk.files import Inputs
from collab_sdk.report.comparison_overviews import check_overview, evaluation_overview
from collab_sdk.report.fields import Row, text
from collab_sdk.report.index import Index
from collab_sdk.report.overview import MR, Overview
from collab_sdk.report.packing import Blocks
from collab_sdk.report.page import Page, require_page
from collab_sdk.report.pair_statistics import PairStatistics
from collab_sdk.report.score_statistics import ScoreStatistics
from collab_sdk.report.sources import ReportSource, open_source

Section = tuple[str, Overview]


class Statistics(Protocol):
    """Gathers what conversations tell, for an overview."""

    score: str
    """What the scores of the file are called."""

    def add(self, chat: Row) -> None: ...

    def overview(self, run: Row) -> Overview: ...


def write_report(path: Path, output: Path, *, on_error: Callable[[InputError], None] | None = None) -> int:
    """Write one HTML file on the pairs, scores, evaluation or check in `path`; how many conversations it shows.

    Rows that cannot be read are handed to `on_error`, or raise. Raises InputError for a file that no report can be made
    of, OutputError where the page cannot be written or would replace `path` or a file beside it, MissingExtraError
    where the extra `report` is not installed.
    """
    require_page()
    source = open_source(path, on_error or _raise)
    index, blocks = Index(kind=source.kind), Blocks()
    sections, chats, score = _sections(source)
    for chat in chats:
        index.add(chat, block=blocks.number)
        blocks.add(chat)
    blocks.close()
    if not index.lines:
        raise InputError("no conversation in it could be read", where=str(path))
    digest = hashlib.sha256("".join(str(pair[0]) for pair in index.pairs).encode()).hexdigest()
    page = Page(
        kind=source.kind,
        name=source.name,
        score=score(),
        digest=digest,
        sections=tuple(sections()),
        index=index,
    )
    page.write(output, blocks.packed, inputs=Inputs([path]))
    return len(index.lines)


def _sections(source: ReportSource) -> tuple[Callable[[], Iterator[Section]], Iterable[Row], Callable[[], str]]:
    """What makes the overviews once all conversations have been read, the conversations, and what scores are called."""
    if source.kind in ("evaluation", "check"):
        known = list(source.rows)
        make = evaluation_overview if source.kind == "evaluation" else check_overview
        whole = ReportSource(kind=source.kind, name=source.name, rows=iter(known), run=source.run)
        return lambda: ((text(row.get("task")), make(row)) for row in known), whole.conversations(), lambda: MR
    statistics: Statistics = PairStatistics() if source.kind == "pairs" else ScoreStatistics()

    def seen() -> Iterator[Row]:
        for chat in source.conversations():
            statistics.add(chat)
            yield {name: value for name, value in chat.items() if name != "made_with"}

    return lambda: iter([("", statistics.overview(source.run))]), seen(), lambda: statistics.score


def _raise(error: InputError) -> None:
    raise error
