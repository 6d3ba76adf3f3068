"""Rows that are calls of a model, by whatever names: the messages, and beside them the reply, which is not one of them.

`{"messages", "output"}`, `{"messages", "choices"}`, `{"contents", "candidates"}`, responses of OpenAI with their
`input`; and bodies in pairs: `{"request", "response"}`, as in Gemini's batches, `{"inputs", "outputs"}`, as in data
sets of LangSmith, `{"input", "output"}`.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, rated_columns, rating_of, row_id, thread_of
from collab_sdk.logs.formats.chat_value import BESIDE
from collab_sdk.logs.formats.conversation_row import Row, first_text, text_fields
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call, summarized
from collab_sdk.logs.formats.provider_replies import is_answer, reply_of
from collab_sdk.logs.formats.provider_requests import Request, has_history, is_chat, is_prompt, is_question, request_of
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.formats.times import last_time
from collab_sdk.logs.store import LoggedCall

_HISTORIES = ("messages", "contents", "input_messages", "prompt_messages", "request_messages", "llm_messages", "prompt")
_CHOICES = ("choices", "candidates", "generations")
_RESPONSES = (
    *("response", "output", "outputs", "response_body", "completion", "completions", "responses", "message_completion"),
    *("output_messages", "response_messages", "output_message", "response_message", "assistant_message", "message"),
    "model_output",
)
_REFERENCES = ("answer", "final_answer", "result", "prediction", "output_text")
"""Beside a prompt alone these are what was to be answered, as in tasks for training."""
_BODIES = ("request", "request_body", "inputs", "kwargs", "body", "model_input")
_OBJECTS = ("chat.completion", "response")
_REPLIES = frozenset((*_CHOICES, *_RESPONSES, *BESIDE, "error"))
"""A row that has none of these is no call."""


def _spelled(row: Row) -> dict[str, Any]:
    return {plain(key): value for key, value in row.items()}


def _is_call(row: Row) -> bool:
    if str(row.get("schema")).startswith("collab/") or "chosen" in row or "rejected" in row:
        return False
    if row.get("object") in _OBJECTS:
        return True
    if _REPLIES.isdisjoint(map(plain, row)):
        return False
    fields = _spelled(row)
    history = _history(fields)
    if history is None:
        return False
    reply = _reply(fields)
    if reply is None:  # a call that failed, where its log has a place for the reply
        has_place = any(key in fields for key in (*_CHOICES, *_RESPONSES[:4])) or bool(fields.get("error"))
        return has_place and not _ends_with_reply(history)
    return not (_is_text(reply) and _ends_with_reply(history)) or _has_other_text(fields, history)


def _history(fields: Row) -> Any:
    """The messages, or the prompt, that the row has something beside to be a call; None if it has none."""
    for key in _HISTORIES[:-1]:
        if has_history(fields.get(key)):
            return fields[key]
    prompt = fields.get("prompt")
    if isinstance(prompt, str) and not has_history(prompt):
        return prompt if any(fields.get(key) and isinstance(fields[key], list) for key in _CHOICES[:2]) else None
    is_task = any(fields.get(key) and fields[key] == _reply(fields) for key in _REFERENCES)
    return prompt if has_history(prompt) and not is_task else None


def _reply(fields: Row) -> Any:
    """What stands beside the messages as the reply; None if nothing does."""
    for key in _CHOICES:
        if isinstance(fields.get(key), list) and fields[key]:
            return {name: fields[name] for name in (key, "id", "model", "error") if name in fields}
    names = [key for key in (*_RESPONSES, *BESIDE) if key != "message" or isinstance(fields.get(key), Mapping)]
    return next(
        (fields[key] for key in names if fields.get(key) and isinstance(fields[key], str | list | Mapping)), None
    )


def _is_text(reply: Any) -> bool:
    reply = unpacked(reply)
    return isinstance(reply, str) or (isinstance(reply, list) and bool(reply) and isinstance(reply[0], str))


def _ends_with_reply(history: Any) -> bool:
    """Whether the messages end with what the assistant said; a reply in text says no more then."""
    history = unpacked(history)
    last = mapping(history[-1]) if isinstance(history, list) else {}
    return plain(last.get("role", last.get("from", last.get("type")))) in ("assistant", "ai", "model", "gpt")


def _has_other_text(fields: Row, history: Any) -> bool:
    """Whether a response in text is another than the messages end with, where what was thought may precede it."""
    texts = [unpacked(fields.get(key)) for key in _RESPONSES]
    said = _last_words(unpacked(history)[-1])
    given = [
        one.strip() for text in texts for one in (text if isinstance(text, list) else [text]) if isinstance(one, str)
    ]
    return any(text and not said.endswith(text) for text in given)


def _last_words(message: Any) -> str:
    fields = mapping(mapping(message).get("data")) or mapping(message)
    content = next((fields[key] for key in ("content", "value", "text", "parts") if fields.get(key)), "")
    blocks = content if isinstance(content, list) else [content]
    texts = [mapping(block).get("text") if isinstance(block, Mapping) else block for block in blocks]
    return "\n".join(text for text in texts if isinstance(text, str)).strip()


def _read_call(row: Row) -> LoggedCall | CallEntry | None:
    known = _known(row, row)
    if not known:
        return None
    if row.get("object") not in _OBJECTS:
        fields = _spelled(row)
        return logged_call(request_of({**row, "messages": _history(fields)}), reply_of(_reply(fields)), **known)
    if any(row.get(key) for key in ("messages", "input")):
        return logged_call(request_of(row), reply_of(row), **known)
    answer = logged_call(Request(), reply_of(row), **{**known, "run_id": row_id(row, "id")})
    return CallEntry(call=answer, is_answer=True) if answer.replies else None


def _is_pair(row: Row) -> bool:
    return _body(_spelled(row)) is not None


def _body(fields: Row) -> Any:
    """The body of the request that a row pairs with a response; None where it has no such pair."""
    reply = unpacked(_reply(fields))
    given = fields.get("input")
    is_response = isinstance(reply, list) and all(isinstance(one, Mapping) and "type" in one for one in reply)
    if has_history(given) or (isinstance(given, str) and is_response):
        is_chat = _is_text(reply) and _ends_with_reply(given) and not _has_other_text(fields, given)
        return None if is_chat else fields
    for key in _BODIES:
        body = unpacked(fields.get(key))
        is_asked = key == "inputs" and is_question(body) and is_answer(reply)
        is_sent = has_history(body) or is_prompt(body)
        if is_asked or (is_sent and (reply is not None or "response" in fields or fields.get("error"))):
            return body
    return None


def _read_pair(row: Row) -> LoggedCall | None:
    fields = _spelled(row)
    body, reply = _body(fields), unpacked(_reply(fields))
    known = _known(row, body)
    if not known:
        return None
    is_sent = has_history(body) or ("inputs" not in fields and is_prompt(body))
    if is_sent and not isinstance(mapping(reply).get("messages"), list):
        return logged_call(request_of(body), reply_of(reply), **known)
    return summarized(body, reply, **known)


def _known(row: Row, body: Any) -> dict[str, Any]:
    """What the row tells of a call; nothing of one that is of no chat model."""
    if not is_chat(path=row.get("url") or row.get("endpoint"), model=row.get("model") or mapping(body).get("model")):
        return {}
    metadata, error = mapping(row.get("metadata")), row.get("error")
    return {
        "run_id": row_id(row),
        "conversation_id": thread_of(row, metadata, body, mapping(body).get("metadata")),
        "error": first_text(error, mapping(error).get("message")),
        "model": first_text(row.get("model"), row.get("model_name"), metadata.get("model")),
        "ended": last_time(_spelled(row)) or 0.0,
        "metadata": {
            **text_fields(metadata, "title", "label"),
            **text_fields(row, "title", "label"),
            **({"call_id": row["id"]} if isinstance(row.get("id"), str | int) else {}),
            **(rating_of(rated_columns(row)) or rating_of(rated_columns(metadata))),
        },
    }


CALL_ROWS = CallFormat(
    name="call-rows", priority=18, known_by="messages and a reply beside them", matches=_is_call, read=_read_call
)
CALL_PAIRS = CallFormat(
    name="call-pairs",
    priority=120,
    known_by="request and response, input and output, or inputs and outputs",
    matches=_is_pair,
    read=_read_pair,
)
