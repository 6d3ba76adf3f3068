"""The JSON Schemas of the files that are written here, made from the types of their rows.

`python -m collab_sdk.schemas FOLDER` writes them. A row has the keys that are listed and no others; where one is added,
the schemas change with it, and the number of the file's `schema` stays.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

from collab_sdk.calibration import CALIBRATION_SCHEMA, Calibration, RewardPair
from collab_sdk.engine import Usage
from collab_sdk.evaluation import MissingBounds
from collab_sdk.evaluation.evaluation_rows import EVALUATION_SCHEMA
from collab_sdk.fidelity import UserStatistic
from collab_sdk.fidelity.check_rows import CHECK_SCHEMA
from collab_sdk.judging import Judged, JudgeStatistic
from collab_sdk.judging.check_rows import JUDGE_CHECK_SCHEMA
from collab_sdk.logs.formats.openai_messages import SCHEMA as CONVERSATION_SCHEMA
from collab_sdk.logs.writers.base import SCHEMA as PREFERENCE_SCHEMA
from collab_sdk.messages import Ending, Message, Role
from collab_sdk.personas import PERSONA_SCHEMA
from collab_sdk.preferences.candidates import Source
from collab_sdk.preferences.files import TURN_SCHEMA
from collab_sdk.report import PairAction
from collab_sdk.report.decisions import DECISIONS_SCHEMA
from collab_sdk.score_rows import RUN_SCHEMA, SCORE_SCHEMA
from collab_sdk.stats import Estimate
from collab_sdk.types import Future

__all__ = ["FILES", "json_schema", "write_schemas"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JSON = dict[str, Any]


class MessageRow(TypedDict):
    """A message in OpenAI's form."""

    role: Role
    content: str
    name: NotRequired[str]
    tool_calls: NotRequired[list[JSON]]
    tool_call_id: NotRequired[str]
    reasoning_content: NotRequired[str]
    ended: NotRequired[Ending]


class PersonaRow(TypedDict):
    """How a user behaves and writes."""

    name: str
    traits: NotRequired[list[str]]
    patience: NotRequired[int]
    writes: NotRequired[str]
    forgets: NotRequired[str]
    made_with: NotRequired[JSON]


class GoalRow(TypedDict):
    """What the user wants, and the right answer, where it is known."""

    text: str
    reference: NotRequired[str]


class ConversationRow(TypedDict):
    """A chat, as `collab logs export` and `collab tasks export` write it and every command reads it."""

    id: NotRequired[str]
    messages: list[MessageRow]
    goal: NotRequired[GoalRow | str]
    persona: NotRequired[PersonaRow | str]
    script: NotRequired[list[str | None]]
    tools: NotRequired[list[JSON]]
    metadata: NotRequired[JSON]
    ended: NotRequired[float]
    alternatives: NotRequired[dict[str, list[str | list[MessageRow]]]]


class PreferenceRow(TypedDict):
    """A pair as `collab export-prefs` writes it for TRL. `tools` is JSON text; the margin is shrunk, scores are not."""

    prompt: list[MessageRow]
    chosen: list[MessageRow]
    rejected: list[MessageRow]
    score_chosen: float
    score_rejected: float
    margin: float
    confidence: float | None
    missing_chosen: NotRequired[int]
    missing_rejected: NotRequired[int]
    conversation_id: str
    turn: int
    tools: NotRequired[str]


class ImplicitPreferenceRow(TypedDict):
    """A pair as `collab export-prefs --format trl-implicit` writes it: both sides are whole conversations."""

    chosen: list[MessageRow]
    rejected: list[MessageRow]
    score_chosen: float
    score_rejected: float
    conversation_id: str
    turn: int
    tools: NotRequired[str]


class Scored(TypedDict):
    """A multiturn-aware reward with the futures that it is the mean of; null where too few succeeded."""

    mr: float | None
    stderr: float | None
    mr_calibrated: NotRequired[float]
    n_ok: int
    n: int
    bounds: NotRequired[list[float]]
    metrics: dict[str, float]
    futures: list[Future]
    observed: Future | None


class ScoreRow(Scored):
    """The score of an assistant's turn, of `collab score --json` and `-o`."""

    conversation_id: str
    turn: int | None
    goal: str
    goals: NotRequired[list[str]]
    history: list[MessageRow]
    response: list[MessageRow]
    made_with: JSON


class CandidateRow(Scored):
    """A reply that was compared."""

    source: Source
    messages: list[MessageRow]


class PairRow(TypedDict):
    """The pair of a turn."""

    chosen: list[MessageRow]
    rejected: list[MessageRow]
    margin: float
    confidence: float | None


class PlaceRow(TypedDict):
    """Where a pair was written to; lines count from 1."""

    file: str
    line: int


class AppliedRow(TypedDict):
    """A decision on a pair that `collab report --apply` has carried out."""

    decision: PairAction
    by: str
    at: str


class TurnRow(TypedDict):
    """All that is known of a turn, in `NAME.turns.jsonl` beside preferences."""

    conversation_id: str
    turn: int
    simulated: NotRequired[Any]
    task: NotRequired[Any]
    goal: str
    goals: NotRequired[list[str]]
    history: list[MessageRow]
    tools: NotRequired[list[JSON]]
    candidates: list[CandidateRow]
    lost: list[str]
    pair: PairRow | None
    refused: str | None
    written_to: PlaceRow | None
    made_with: JSON
    review: NotRequired[AppliedRow]


class BareCandidateRow(TypedDict):
    """A reply of which no future is known."""

    messages: list[MessageRow]
    mr: float | None
    missing: int | None


class BarePairRow(TypedDict):
    """A pair of which no more is known than its row says."""

    chosen: list[MessageRow]
    rejected: list[MessageRow]
    margin: float | None
    confidence: float | None


class BareTurnRow(TypedDict):
    """A turn that `collab report --apply` knows of a pair alone, where its file has no `NAME.turns.jsonl` beside it."""

    conversation_id: str
    turn: int
    history: list[MessageRow]
    candidates: list[BareCandidateRow]
    pair: BarePairRow | None
    refused: NotRequired[str]
    written_to: PlaceRow | None
    review: NotRequired[AppliedRow]


class UserRow(TypedDict):
    """How the futures of a user ended."""

    user: str
    persona: str
    futures: int
    ends: dict[str, int]


class ReviewRow(TypedDict):
    """What `collab report --apply` did with the pairs of a file: how many were decided on in which way, and by whom."""

    of: str
    by: list[str]
    keep: int
    flip: int
    drop: int
    undecided: int


class RunRow(TypedDict):
    """What a run was made with, and its calls and cost by role, in `NAME.run.json`."""

    made_with: JSON
    spec: JSON
    users: list[UserRow]
    requests: JSON
    usage: dict[str, Usage]
    export: NotRequired[JSON]
    pilot: NotRequired[JSON | None]
    failed: NotRequired[Any]
    review: NotRequired[ReviewRow]


class ReviewedRunRow(TypedDict):
    """The same of pairs of which nobody knows what they were made with: no `NAME.run.json` was beside them."""

    review: ReviewRow


class EstimateRow(TypedDict):
    """A mean and its 95 % interval, null where values are too few or all equal."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    count: int | None
    note: str
    is_constant: bool


class FigureRow(TypedDict):
    """A statistic: its mean for each bot, and each bot minus the first."""

    name: str
    means: list[Estimate | None]
    differences: list[Estimate | None]


class ByPersonaRow(TypedDict):
    """The same by persona, for one bot."""

    bot: str
    personas: list[str]
    conversations: list[int]
    ends: list[dict[str, int]]
    figures: list[FigureRow]


class PlayedRow(TypedDict):
    """A whole conversation that was played: its opening, and all that followed."""

    conversation_id: str
    row_sha256: str
    opening: list[MessageRow]
    questions: list[bool]
    is_ambiguous: bool | None
    asks: bool | None


class ResultRow(TypedDict):
    """The conversations of a bot."""

    bot: str
    ends: dict[str, int]
    users: list[UserRow]
    failed: dict[str, str]
    usage: Usage
    usage_by_role: dict[str, Usage]
    conversations: list[PlayedRow]


class EvaluationRow(TypedDict):
    """Bots in whole conversations of a task, of `collab evaluate -o`: a row for each task."""

    task: str
    exchanges: int
    samples: int
    simulator: str
    judge: str
    bots: list[str]
    figures: list[FigureRow]
    by_persona: NotRequired[list[ByPersonaRow]]
    missing: list[MissingBounds]
    made_with: JSON
    results: list[ResultRow]


class CalibrationRow(TypedDict):
    """What `collab check-sim --calibrate` writes, and `--calibration` reads."""

    n: int


class JudgementRow(TypedDict):
    """What the judge gave for a chat, or for one of the replies that are put in the place of its own."""

    conversation_id: str


class RatedRow(TypedDict):
    """A response that people found good (1) or bad (0), and what the scorer gives for it."""

    id: str
    history_id: str
    human: int
    mr: float | None


class ReviewedPairRow(TypedDict):
    """A pair that somebody decided on, and by how much the judge prefers what was chosen."""

    conversation_id: str
    turn: int
    decision: PairAction
    margin: float | None


class JudgeCheckRow(TypedDict):
    """How far a judge can be trusted, of `collab check-judge --json`."""

    judge: str
    repeats: int
    made_with: JSON
    usage: dict[str, Usage]
    figures: list[JudgeStatistic]
    judgements: list[JudgementRow]
    rated: list[RatedRow]
    reviewed: list[ReviewedPairRow]


class RealTurnRow(TypedDict):
    """What the user wrote, and whether they left; null where the log does not tell."""

    message: str
    stops: bool | None


class SimulatedTurnRow(TypedDict):
    """What the simulated user says in that place, and whether they leave."""

    message: str
    stops: bool
    reason: str


class TurnVerdictRow(TypedDict):
    """The judge's verdict on a simulated turn."""

    failed: list[str]
    reason: str
    valid: bool


class ComparedTurnRow(TypedDict):
    """A user's turn of a logged chat, and the simulated user's at the same place."""

    conversation_id: str
    turn: int
    goal: str
    history: list[MessageRow]
    real: RealTurnRow
    simulated: SimulatedTurnRow | None
    user: str
    fault: str | None
    verdict: TurnVerdictRow | None
    error: str | None
    unjudged: str | None


class SimulatorCheckRow(TypedDict):
    """How human the simulated user is, of `collab check-sim --json`."""

    simulator: str
    assistant: str
    judge: str
    window: int
    samples: int
    made_with: JSON
    usage: dict[str, Usage]
    verdicts: bool
    figures: list[UserStatistic]
    turns: list[ComparedTurnRow]
    rewards: list[RewardPair]


class DecisionRow(TypedDict):
    """What somebody decided on a pair."""

    pair: str
    conversation_id: NotRequired[str]
    decision: PairAction
    by: NotRequired[str]
    at: NotRequired[str]


class ReviewedRow(TypedDict):
    """The file that was reviewed."""

    file: str
    pairs: NotRequired[int]
    digest: NotRequired[str]


class DecisionsRow(TypedDict):
    """What the report page saves, and `collab report --apply` reads."""

    of: ReviewedRow
    by: NotRequired[str]
    saved_at: NotRequired[str]
    decisions: list[DecisionRow]


FILES: Mapping[str, Any] = {
    CONVERSATION_SCHEMA: ConversationRow,
    PREFERENCE_SCHEMA: PreferenceRow | ImplicitPreferenceRow,
    SCORE_SCHEMA: ScoreRow,
    TURN_SCHEMA: TurnRow | BareTurnRow,
    RUN_SCHEMA: RunRow | ReviewedRunRow,
    EVALUATION_SCHEMA: EvaluationRow,
    PERSONA_SCHEMA: PersonaRow,
    CALIBRATION_SCHEMA: CalibrationRow,
    DECISIONS_SCHEMA: DecisionsRow,
    JUDGE_CHECK_SCHEMA: JudgeCheckRow,
    CHECK_SCHEMA: SimulatorCheckRow,
}
"""The rows of each file, of one kind or another, by what stands under `schema`."""
WRITTEN_AS: Mapping[Any, type] = {Message: MessageRow, Estimate: EstimateRow}
"""Values whose row has other keys or types than they have."""
WITH_ALL_OF: Mapping[Any, type] = {PlayedRow: Future, CalibrationRow: Calibration, JudgementRow: Judged}
"""Rows that have the fields of a value besides."""
PLAIN: Mapping[Any, JSON] = {
    Any: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
}


def json_schema(name: str) -> JSON:
    """The JSON Schema of a file's rows, by what stands under `schema` in them. Raises KeyError for another name."""
    parts: dict[str, JSON] = {}
    rows = [_row(name, kind, parts) for kind in get_args(FILES[name]) or (FILES[name],)]
    row = rows[0] if len(rows) == 1 else {"anyOf": rows}
    return {"$schema": DIALECT, "title": name, **row, "$defs": parts}


def _row(name: str, kind: type, parts: dict[str, JSON]) -> JSON:
    row = _object(kind, parts)
    marked = {"schema": {"const": name}, **row["properties"]}
    required = ["schema", *row["required"]] if kind is not ConversationRow else row["required"]
    return {**row, "properties": marked, "required": required}


def write_schemas(folder: Path) -> None:
    """A file for each, such as `score.v2.json`."""
    for name in FILES:
        text = json.dumps(json_schema(name), indent=2) + "\n"
        (folder / f"{name.removeprefix('collab/').replace('/', '.')}.json").write_text(text, encoding="utf-8")


def _schema(kind: Any, parts: dict[str, JSON]) -> JSON:
    """Of any type; those that have a name are put into `parts` and referred to."""
    kind = WRITTEN_AS.get(kind, kind) if not get_args(kind) else kind
    if kind in PLAIN:
        return dict(PLAIN[kind])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if is_typeddict(kind) or is_dataclass(kind):
        if kind.__name__ not in parts:
            parts[kind.__name__] = {}  # it may hold others of its kind
            parts[kind.__name__] = _object(kind, parts)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    origin, of = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(of)}
    if origin in (Union, UnionType):
        any_of = [_schema(each, parts) for each in of]
        has_plain_types = all(set(each) == {"type"} for each in any_of)
        return {"type": [each["type"] for each in any_of]} if has_plain_types else {"anyOf": any_of}
    if origin is tuple and of[-1] is not ...:
        return {"type": "array", "prefixItems": [_schema(each, parts) for each in of], "items": False}
    if origin in (list, tuple):
        return {"type": "array", "items": _schema(of[0], parts)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(of[1], parts)}
    raise TypeError(f"{kind} has no JSON Schema")


def _object(kind: Any, parts: dict[str, JSON]) -> JSON:
    """Of a TypedDict or a dataclass. All fields of the latter are written."""
    hints = get_type_hints(kind)
    if is_typeddict(kind):
        names = list(hints)
        required = [name for name in names if name in kind.__required_keys__]
    else:
        names = required = [field.name for field in fields(kind)]
    properties = {name: _schema(hints[name], parts) for name in names}
    if kind in WITH_ALL_OF:
        more = _object(WITH_ALL_OF[kind], parts)
        properties, required = {**properties, **more["properties"]}, [*required, *more["required"]]
    told = {"description": " ".join((kind.__doc__ or "").split("\n\n")[0].split())}
    return {"type": "object", **told, "properties": properties, "required": required, "additionalProperties": False}


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
