"""What formats share that log calls of a model, each with the history so far, and no conversations."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.chat_value import CHAT_IDS
from collab_sdk.logs.formats.conversation_row import LAST, Row
from collab_sdk.logs.formats.json_fields import mapping, objects, unpacked
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.store import LoggedCall

NO_CALL = "entries that log no call of a chat model, left out"

_PARAMETERS = (
    *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed", "stop"),
    *("presence_penalty", "frequency_penalty"),
)
_THREADS = (*CHAT_IDS, "chat_session_id", "convo_id", "helicone_session_id", "litellm_session_id")
"""What apps call the conversation that a call is part of, in the spelling of `plain`."""
_RATINGS = (
    *("rating", "user_rating", "user_score", "user_feedback", "feedback", "feedback_rating", "thumbs", "thumbs_up"),
    *("satisfaction", "user_satisfaction", "csat", "helpful", "stars", "score"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallEntry:
    """A call of which only all calls together show which chat it is in, or whether it counts."""

    call: LoggedCall
    is_answer: bool = False
    """Only what came back, the last message as its reply; another row of the run id has what was sent."""
    trace: str | None = None
    """What its log groups calls under that one request caused; one of them may name the chat of all."""
    is_summary: bool = False
    """What the trace as a whole was asked and answered: it counts where no call in it is logged with a reply."""
    is_piece: bool = False
    """Other rows of the run id may have more of it. Where one has both messages and replies, these are the call's; else
    the messages of all are, in the order of their times."""
    problem: str | None = None
    """Why a summary cannot be read, which is told where it counts."""
    id_may_be_its_own: bool = False
    """The logger makes an id for a call whose app names none. One that no other call has then says nothing, if
    another call gave the reply that its history goes on from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFormat:
    """A log of calls. `read` gives the call, None where something else is logged, and raises InputError.

    A call may come in two halves, without replies and as an answer, in two rows of one run id; or in any number of
    pieces. `name`, `known_by`
    and `priority` are those of a `ConversationFormat`.
    """

    name: str
    known_by: str
    priority: int = LAST
    matches: Callable[[Row], bool]
    read: Callable[[Row], LoggedCall | CallEntry | None]
    unwrapped: Callable[[Row], Sequence[Row]] = lambda row: [row]
    """The entries of a row that wraps several, as answers of an API do."""


def parameters(*sources: Any) -> dict[str, Any]:
    """The settings worth keeping: an allow list, since keys and headers are logged among them."""
    given = {key: value for source in sources for key, value in mapping(source).items()}
    return {key: given[key] for key in _PARAMETERS if given.get(key) is not None}


def run_id(row: Row, *keys: str) -> str:
    for key in keys:
        if isinstance(row.get(key), str) and row[key]:
            return str(row[key])
    raise InputError(f"no id: {' or '.join(keys)} must be text")


def row_id(row: Row, *keys: str) -> str:
    """The id that a row has under one of these keys, else one made from the row: the same row logged twice is one."""
    named = next((row[key] for key in keys if isinstance(row.get(key), str | int) and row[key] != ""), None)
    if named is not None:
        return str(named)
    return hashlib.sha256(to_json(row).encode()).hexdigest()[:32]


def thread_of(*places: Any) -> str | None:
    """The id of the conversation, under any of its usual names, in the first of these objects that has one."""
    spelled = [{plain(key): value for key, value in mapping(place).items()} for place in places]
    found = (_id_text(place.get(name)) for name in _THREADS for place in spelled)
    return next(filter(None, found), None)


def rating_of(*places: Any) -> dict[str, Any]:
    """The user's rating as metadata: from objects by name, or lists of scores that have one.

    A score under another name may be a machine's: it counts where it is the only one.
    """
    scores: dict[str, Any] = {}
    for place in map(unpacked, places):
        named = place if isinstance(place, Mapping) else {}
        if isinstance(place, list):
            named = {str(one.get("name", one.get("key"))): _first_value(one) for one in objects(place)}
        scores |= {plain(name): _first_value(value) for name, value in named.items()}
    scores = {name: value for name, value in scores.items() if value is not None}
    rating = next((scores[name] for name in _RATINGS if name in scores), None)
    if rating is None and len(scores) == 1:
        [rating] = scores.values()
    return {} if rating is None else {"rating": rating}


def rated_columns(row: Row) -> dict[str, Any]:
    """The columns of a row whose names are those of a rating."""
    return {key: row[key] for key in row if plain(key) in _RATINGS}


def _first_value(value: Any) -> str | int | float | bool | None:
    """The one value of a score: itself, the only one of a list, or that of an object."""
    if isinstance(value, Mapping):
        keys = ("avg", "value", "score", "string_value", "stringValue", "rating")
        value = next((value[key] for key in keys if value.get(key) is not None), None)
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    return value if isinstance(value, str | int | float) and value != "" else None


def _id_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
