"""What reviewers decided, as the page saves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, UnknownNameError
from collab_sdk.files import parse_json
from collab_sdk.report.fields import Row, mapping, rows, text

DECISIONS_SCHEMA = "collab/decisions/v1"


class PairAction(StrEnum):
    """What is to become of a pair."""

    KEEP = "keep"
    FLIP = "flip"
    DROP = "drop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What somebody decided on a pair, and when."""

    pair: str
    action: PairAction
    by: str = ""
    at: str = ""

    def to_dict(self) -> Row:
        return {"decision": self.action, "by": self.by, "at": self.at}


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """All decisions of a file, by pair."""

    of: str
    """The file that was reviewed."""
    by_pair: Mapping[str, Decision]
    path: Path | None = None
    """The file that they were read from."""


def read_decisions(path: Path) -> Decisions:
    """Raises InputError for a file that is none, or that decides on a pair in two ways."""
    try:
        whole: Any = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except InputError as error:
        raise InputError(error.problem, where=str(path)) from None
    if not isinstance(whole, dict) or whole.get("schema") != DECISIONS_SCHEMA:
        raise InputError("no decisions: expected the file that the report page saved", where=str(path))
    by_pair: dict[str, Decision] = {}
    for place, row in enumerate(rows(whole.get("decisions")), start=1):
        decision = _decision(row, where=f"{path}, decision {place}")
        known = by_pair.setdefault(decision.pair, decision)
        if known.action != decision.action:
            raise InputError(f"{decision.pair} is to be {known.action} and {decision.action}", where=str(path))
    if not by_pair:
        raise InputError("nothing was decided", where=str(path))
    return Decisions(of=text(mapping(whole.get("of")).get("file")), by_pair=by_pair, path=path)


def _decision(row: Row, *, where: str) -> Decision:
    pair, action = text(row.get("pair")), text(row.get("decision"))
    if not pair:
        raise InputError("it names no pair", where=where)
    if action not in list(PairAction):
        raise InputError(str(UnknownNameError.of("decision", action, map(str, PairAction))), where=where)
    return Decision(pair=pair, action=PairAction(action), by=text(row.get("by")), at=text(row.get("at")))
