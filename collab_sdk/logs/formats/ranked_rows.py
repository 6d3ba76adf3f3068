"""Several responses to one request, compared: Arena's two conversations with a winner and the like, ms-swift's chats
with a rejected end, and lists of responses with scores or ranks, such as UltraFeedback's, Nectar's and Gemini's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.cells import number_of, yes_or_no
from collab_sdk.logs.formats.chat_value import ASKED, exchange, read_chat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields
from collab_sdk.logs.formats.gemini import gemini_messages
from collab_sdk.logs.formats.preference_rows import compared, history_of, side
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_TWO = (
    *(("conversation_a", "conversation_b"), ("response_a", "response_b"), ("response_0", "response_1")),
    *(("response1", "response2"), ("response_1", "response_2"), ("human_ref_A", "human_ref_B")),
    *(("chosen_response", "rejected_response"), ("response_chosen", "response_rejected"), ("response_j", "response_k")),
)
"""Keys of two sides; of the last three pairs the first is always the better one."""
_DECIDED = ("chosen_response", "response_chosen", "response_j")
_REJECTED = ("rejected_messages", "rejected_response")
"""Another end of the chat in `messages`, as ms-swift has it: whole, or the last response."""
_LISTS = ("completions", "answers", "responses", "generations")
_TEXTS = ("response", "answer", "completion", "text", "content", "output")
_SCORES = ("overall_score", "score", "rating", "reward")
_SCORE_LISTS = ("scores", "ratings", "rewards")
_PROMPTS = ("messages", "conversations", "contents", "history", "context", *ASKED)
_KEPT = (
    *("winner", "model_a", "model_b", "language", "source", "judge", "judge_id", "better_response_id"),
    *("labels", "overall_preference", "preference"),
)

OWN_PROMPTS = "system prompts that a response had for itself, left out"
UNDECIDED = "rows that do not say which response is better: the first is read as the chat"


def _matches(row: Row) -> bool:
    return _two(row) is not None or _has_other_end(row) or _list(row) is not None


def _read(row: Row) -> Conversation:
    if _has_other_end(row):
        return _with_other_end(row)
    keys = _two(row)
    sides, models = _by_pair(row, keys) if keys else _by_score(row, row[_list(row) or ""])
    about = {
        "id": row.get("id", row.get("question_id")),
        "metadata": text_fields(row, *_KEPT) | ({"model": models[0]} if isinstance(models[0], str) else {}),
        "tools": row.get("tools"),
        "timestamp": row.get("timestamp", row.get("tstamp")),
    }
    history: tuple[Message, ...] = ()
    if not (keys and _interleaved(row, keys)):
        history = gemini_messages(row) if "contents" in row else _history(row)
    whole = [side(row, said, history) for said in sides]
    try:
        return compared(about, whole[0], whole[1:])
    except InputError as error:
        raise InputError(f"the responses {error.problem}" if whole[0] else error.problem) from None


def _has_other_end(row: Row) -> bool:
    return isinstance(row.get("messages"), list | str) and any(row.get(key) for key in _REJECTED)


def _with_other_end(row: Row) -> Conversation:
    chosen = read_chat(row["messages"])
    said = max((place for place, message in enumerate(chosen) if message.role == "user"), default=-1) + 1
    rejected = [side(row, row[key], chosen[:said]) for key in _REJECTED if row.get(key)]
    return compared(row, chosen, rejected)


def _two(row: Row) -> tuple[str, str] | None:
    there = (keys for keys in _TWO if keys[0] in row and keys[1] in row)
    return next((keys for keys in there if all(isinstance(row[key], str | list | Mapping) for key in keys)), None)


def _by_pair(row: Row, keys: tuple[str, str]) -> tuple[list[Any], list[Any]]:
    """The two sides and their models, the better first."""
    sides = _interleaved(row, keys) or [row[key] for key in keys]
    models = [row.get("model_a"), row.get("model_b")]
    better = 0 if keys[0] in _DECIDED else _winner(row)
    if better is None:
        better = _better_scored(row, keys)
    if better is None:
        note(UNDECIDED)
    return (sides[::-1], models[::-1]) if better == 1 else (sides, models)


def _better_scored(row: Row, keys: tuple[str, str]) -> int | None:
    """Which side has the higher score, under a key such as `score_a` beside `response_a`; None where neither has."""
    ends = [key.rpartition("_")[2].removeprefix("response") for key in keys]
    for score in _SCORES:
        numbers = _numbers([row.get(f"{score}_{end}") for end in ends])
        if len(set(numbers)) == 2:
            return int(numbers[1] > numbers[0])
    return None


def _interleaved(row: Row, keys: tuple[str, str]) -> list[Any]:
    """Arena's conversations where a row has requests and responses as three lists of texts, in JSON text."""
    columns = [_texts(row.get(key)) for key in ("prompt", *keys)]
    if not all(columns) or len(set(map(len, columns))) != 1:
        return []
    asked, *both = columns
    return [[said for pair in zip(asked, answers, strict=True) for said in exchange(*pair)] for answers in both]


def _texts(value: Any) -> list[Any]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = parse_json(value)
        except InputError:
            return []
    return value if isinstance(value, list) and all(isinstance(one, str | None) for one in value) else []


def _winner(row: Row) -> int | None:
    """Which of two sides is the better; None for a tie, and where the row does not tell."""
    winner = row.get("winner", row.get("preference"))
    if isinstance(winner, str) and winner:
        if winner in (row.get("model_a"), row.get("model_b")):
            return int(winner == row.get("model_b"))
        return {"a": 0, "b": 1}.get(winner.lower().removeprefix("model_").removeprefix("response_"))
    if (better := number_of(row.get("better_response_id"))) in (0, 1):  # PKU-SafeRLHF's
        return int(better or 0)
    if "human_ref_A" in row and (is_first := yes_or_no(row.get("labels"))) is not None:  # SHP's
        return int(not is_first)
    if preference := number_of(row.get("overall_preference")):  # HelpSteer's, -3 to 3
        return int(preference > 0)
    return next(
        (place for place, key in enumerate(("winner_model_a", "winner_model_b")) if yes_or_no(row.get(key))), None
    )


def _list(row: Row) -> str | None:
    """The key of responses, each with its text and score or each scored beside them, to a request of the row."""
    for key in _LISTS:
        found = row.get(key)
        if isinstance(found, list) and found and any(row.get(prompt) for prompt in _PROMPTS):
            if all(isinstance(one, Mapping) and _said(one) is not None for one in found):
                return key
            if all(isinstance(one, str) for one in found) and _scores_beside(row, len(found)):
                return key
    return None


def _by_score(row: Row, found: list[Any]) -> tuple[list[Any], list[Any]]:
    """The responses and their models, the best first; in their order where not all have a score."""
    if isinstance(found[0], str):
        scores = _scores_beside(row, len(found))
        models = row.get("models", row.get("generation_models"))
        named = models if isinstance(models, list) and len(models) == len(found) else [None] * len(found)
        responses = found
    else:
        note(OWN_PROMPTS, sum(bool(one.get("custom_system_prompt")) for one in found))
        scores, responses = _scores(found), [_said(one) for one in found]
        named = [one.get("model") for one in found]
    order = list(range(len(found)))
    if scores:
        order.sort(key=lambda place: -scores[place])
    else:
        note(UNDECIDED)
    return [responses[place] for place in order], [named[place] for place in order]


def _said(one: Mapping[str, Any]) -> Any:
    return next((one[key] for key in _TEXTS if isinstance(one.get(key), str | Mapping)), None)


def _scores(found: Sequence[Mapping[str, Any]]) -> list[float]:
    """The better, the higher, by the first key under which all have a number; none where there is no such key."""
    for key in ("rank", *_SCORES):
        numbers = _numbers([one.get(key) for one in found])
        if numbers:
            return [-number for number in numbers] if key == "rank" else numbers
    return []


def _scores_beside(row: Row, length: int) -> list[float]:
    for key in _SCORE_LISTS:
        found = row.get(key)
        if isinstance(found, list) and len(found) == length and (numbers := _numbers(found)):
            return numbers
    return []


def _numbers(values: Sequence[Any]) -> list[float]:
    """The values as numbers; none where one of them is no number."""
    numbers = [number for value in values if (number := number_of(value)) is not None]
    return numbers if len(numbers) == len(values) else []


def _history(row: Row) -> tuple[Message, ...]:
    if isinstance(row.get("history"), str) and "human_ref_A" in row:  # SHP's post
        return (Message(role="user", content=row["history"]),)
    return history_of(row)


RANKED = ConversationFormat(
    name="ranked",
    priority=12,
    known_by="conversation_a and conversation_b; a request and responses with scores",
    matches=_matches,
    read=_read,
)
