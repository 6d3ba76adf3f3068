"""MLflow traces, as `Trace.to_json` writes them (`info`, `data.spans`), or `search_traces` as rows of a table.

The session is `mlflow.trace.session` in the metadata: `trace_metadata` in MLflow 3, `request_metadata` in 2.
"""

from collections.abc import Sequence

from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.conversation_row import Row
from collab_sdk.logs.formats.json_fields import mapping, objects, unpacked
from collab_sdk.logs.formats.otel import read_span
from collab_sdk.logs.formats.otel_spans import attributes_of

_SESSION = "mlflow.trace.session"


def _parts(row: Row) -> tuple[Row, Sequence[Row]]:
    """What is known of a trace, and its spans."""
    whole = mapping(unpacked(row.get("trace")))
    for one in (row, whole):
        data = mapping(unpacked(one.get("data")))
        if "info" in one and isinstance(data.get("spans"), list):
            return mapping(one["info"]), objects(data["spans"])
    return row, objects(unpacked(row.get("spans")))


def _matches(row: Row) -> bool:
    spans = _parts(row)[1]
    return bool(spans) and any(str(key).startswith("mlflow.") for span in spans for key in attributes_of(span))


def _spans(row: Row) -> Sequence[Row]:
    info, spans = _parts(row)
    known = [mapping(unpacked(info.get(key))) for key in ("trace_metadata", "request_metadata", "tags")]
    session = next((one[_SESSION] for one in known if one.get(_SESSION)), None)
    return [{**span, "attributes": {_SESSION: session, **attributes_of(span)}} for span in spans]


MLFLOW = CallFormat(
    name="mlflow",
    priority=108,
    known_by="info and data.spans",
    matches=_matches,
    read=read_span,
    unwrapped=_spans,
)
