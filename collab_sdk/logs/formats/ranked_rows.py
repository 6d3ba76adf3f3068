"""Several responses to one request, compared: Arena's two conversations or responses with a winner, SafeRLHF's, SHP's
and HelpSteer's, and lists of responses with scores or ranks, such as UltraFeedback's, Nectar's and Gemini's.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chat_value import ASKED, read_chat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields
from collab_sdk.logs.formats.preference_rows import compared, history_of, side
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_TWO = (
    ("conversation_a", "conversation_b"),
    ("response_a", "response_b"),
    ("response_0", "response_1"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("human_ref_A", "human_ref_B"),
    ("response_j", "response_k"),
    ("answer_a", "answer_b"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
)
"""Keys of two sides; the first of those in which it is always so is the better."""
_DECIDED = ("response_j", "chosen_response", "response_chosen")
_LISTS = ("completions", "answers", "responses", "generations", "candidates", "outputs")
_TEXTS = ("response", "answer", "completion", "text", "content", "output", "message")
_SCORES = ("overall_score", "score", "rating", "reward", "fine_grained_score")
_KEPT = ("winner", "model_a", "model_b", "model", "language", "source", "judge", "turn", "overall_preference")
_PROMPTS = ("messages", "conversations", "contents", "history", "context", *ASKED)
OWN_PROMPTS = "system prompts that a response had for itself, left out"
NO_SCORES = "rows that do not say which response is better: the first is the chat"


def _matches(row: Row) -> bool:
    return _two(row) is not None or _list(row) is not None


def _read(row: Row) -> Conversation:
    history = _history(row)
    if keys := _two(row):
        sides = [_side(row, row[key], history) for key in keys]
        better = _better(row, keys)
        if better == 1:
            sides.reverse()
        models = [row.get("model_a"), row.get("model_b")]
        model = models[better or 0]
    else:
        entries = _scored(row, row[_list(row) or ""])
        sides = [_side(row, said, history) for _, said, _ in entries]
        model = entries[0][2]
    kept = text_fields(row, *_KEPT) | ({"model": model} if isinstance(model, str) else {})
    about = {"id": row.get("id", row.get("question_id")), "metadata": kept, "tools": row.get("tools")}
    about |= {key: row[key] for key in ("timestamp", "tstamp", "created_at") if key in row}
    try:
        return compared(about, sides[0], sides[1:])
    except InputError as error:
        problem = error.problem
        raise InputError(f"the responses {problem}" if problem.startswith("are ") else problem) from None


def _two(row: Row) -> tuple[str, str] | None:
    return next(((a, b) for a, b in _TWO if row.get(a) and row.get(b)), None)


def _list(row: Row) -> str | None:
    """The key of responses, each with its text, to a request that the row has."""
    if not any(row.get(key) for key in (*_PROMPTS, "system_instruction", "systemInstruction")):
        return None
    for key in _LISTS:
        found = row.get(key)
        if isinstance(found, list) and found:
            if all(isinstance(one, Mapping) and _said(one) is not None for one in found):
                return key
            if len(found) > 1 and all(isinstance(one, str) for one in found) and _numbers(row, len(found)):
                return key
    return None


def _said(one: Mapping[str, Any]) -> Any:
    return next((one[key] for key in _TEXTS if isinstance(one.get(key), str | Mapping)), None)


def _scored(row: Row, found: list[Any]) -> list[tuple[float | None, Any, Any]]:
    """Scores, responses and models, the best first; in their order where not all have a score."""
    if isinstance(found[0], str):
        scores: list[float | None] = list(_numbers(row, len(found)))
        entries = list(zip(scores, found, row.get("models") or [None] * len(found), strict=False))
    else:
        entries = [(_score(one), _said(one), one.get("model")) for one in found]
        note(OWN_PROMPTS, sum(bool(one.get("custom_system_prompt")) for one in found))
    if any(score is None for score, _, _ in entries):
        note(NO_SCORES)
        return entries
    return sorted(entries, key=lambda entry: -(entry[0] or 0.0))


def _score(one: Mapping[str, Any]) -> float | None:
    rank = one.get("rank")
    if isinstance(rank, int | float):
        return -float(rank)
    for key in _SCORES:
        value = one.get(key)
        try:
            if isinstance(value, int | float | str):
                return float(value)
        except ValueError:
            continue
    return None


def _numbers(row: Row, length: int) -> list[float]:
    """The scores beside a list of as many texts."""
    for key in ("scores", "ratings", "rewards", "rating"):
        found = row.get(key)
        if isinstance(found, list) and len(found) == length and all(isinstance(one, int | float) for one in found):
            return [float(one) for one in found]
    return []


def _better(row: Row, keys: tuple[str, str]) -> int | None:
    """Which side is the better; None for a tie, and where the row does not tell."""
    if keys[0] in _DECIDED:
        return 0
    winner = row.get("winner")
    if isinstance(winner, str) and winner.lower().replace("model_", "").replace("response_", "") in (
        "a",
        "b",
        "0",
        "1",
    ):
        return int(winner.lower()[-1] in "b1")
    if winner is not None and winner in (row.get("model_a"), row.get("model_b")):
        return int(winner == row.get("model_b"))
    for column, side_of in (
        ("better_response_id", lambda value: value if value in (0, 1) else None),
        ("labels", lambda value: 1 - value if value in (0, 1) else None),
        ("overall_preference", lambda value: None if not value else int(value > 0)),
        ("preference", lambda value: {"a": 0, "b": 1, "A": 0, "B": 1}.get(str(value))),
    ):
        if isinstance(row.get(column), int | float | str):
            value = row[column]
            return side_of(value) if not isinstance(value, str) or column == "preference" else None
    if row.get("winner_model_a") in (1, True):
        return 0
    if row.get("winner_model_b") in (1, True):
        return 1
    if "winner" not in row and "winner_tie" not in row:
        note(NO_SCORES)
    return None


def _history(row: Row) -> tuple[Message, ...]:
    if isinstance(row.get("contents"), list):
        return read_chat([{"role": "user", **one} if isinstance(one, Mapping) else one for one in row["contents"]])
    if isinstance(row.get("history"), str) and "prompt" not in row:  # SHP's post
        return (Message(role="user", content=row["history"]),)
    return history_of({key: value for key, value in row.items() if key != "history"})


def _side(row: Row, said: Any, history: tuple[Message, ...]) -> tuple[Message, ...]:
    return side(row, said, history)


RANKED = ConversationFormat(
    name="ranked",
    priority=12,
    known_by="conversation_a and conversation_b; responses with scores",
    matches=_matches,
    read=_read,
)
