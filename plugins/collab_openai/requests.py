"""What the requests of an OpenAI client ask, as chat."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.harvest import (
    RESPONSE_IS_OVER,
    Answer,
    PartialCompletion,
    PartialResponse,
    RecordedRequest,
    completion_answer,
    conversation_id_in,
    item_messages,
    item_tools,
    kept_parameters,
    response_answer,
    token_usage,
)
from collab_sdk.logs import LoggedCall
from collab_sdk.tool_calls import field_of

Row = dict[str, Any]


def chat_request(body: Mapping[str, Any]) -> RecordedRequest:
    """The request with this body. Raises TypeError for one without messages."""
    messages = body.get("messages")
    if not isinstance(messages, list | tuple):
        raise TypeError(f"messages are {type(messages).__name__}, not a list")
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=conversation_id_in(body.get("metadata")),
        messages=tuple(messages),
        replies=(),
        source="openai",
        model=body.get("model"),
        parameters=kept_parameters(body),
        tools=(*(body.get("tools") or ()), *map(_as_tool, body.get("functions") or ())),
        user=body.get("safety_identifier") or body.get("user"),
    )
    return RecordedRequest(call=call, read=completion_answer, partial=PartialCompletion())


def _as_tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function as tools have been since."""
    return {"type": "function", "function": function}


def response_request(body: Mapping[str, Any]) -> RecordedRequest:
    """The request with this body. What the server holds of the history is named, not known."""
    given = conversation_id_in(body.get("metadata"))
    conversation = body.get("conversation")
    held = conversation.get("id") if isinstance(conversation, Mapping) else conversation
    shortened, added = _since_compaction(_items(body))
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=given or held,
        previous_response=body.get("previous_response_id") or shortened,
        is_added=held is not None,
        messages=(*_system_messages(body.get("instructions")), *added),
        replies=(),
        source="openai",
        model=body.get("model"),
        parameters=_parameters(body),
        tools=item_tools(body.get("tools") or ()),
        user=body.get("safety_identifier") or body.get("user"),
    )
    return RecordedRequest(call=call, read=response_answer, partial=PartialResponse())


def compaction_request(body: Mapping[str, Any]) -> RecordedRequest:
    """The request to make a history shorter: nobody said or saw anything in it.

    Its `response_id` is the id of the item that stands for the history from then on.
    """
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=conversation_id_in(None),
        previous_response=body.get("previous_response_id"),
        is_side=True,
        messages=tuple(item_messages(_items(body))),
        replies=(),
        source="openai",
        model=body.get("model"),
    )
    return RecordedRequest(call=call, read=_compaction_answer, partial=PartialResponse())


def fetching_request(response_id: str) -> RecordedRequest:
    """The request for a response that was begun in the background: it goes on from there, with nothing added."""
    call = LoggedCall(
        run_id=response_id,  # however often it is asked for, it is one answer
        conversation_id=conversation_id_in(None),
        previous_response=response_id,
        messages=(),
        replies=(),
        source="openai",
    )
    return RecordedRequest(call=call, read=_fetched_answer, partial=PartialResponse(_fetched_answer), fetches=True)


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, by the names that they have for chat completions."""
    text, reasoning = body.get("text") or {}, body.get("reasoning") or {}
    form = text.get("format")
    is_plain = form is None or form.get("type") == "text"
    named = {
        "response_format": None if is_plain else form,
        "verbosity": text.get("verbosity"),
        "reasoning_effort": reasoning.get("effort"),
    }
    return kept_parameters({**body, **named})


def _system_messages(instructions: Any) -> tuple[Row, ...]:
    return ({"role": "system", "content": instructions},) if instructions else ()


def _items(body: Mapping[str, Any]) -> Sequence[Any]:
    given = body.get("input") or []
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _since_compaction(items: Sequence[Any]) -> tuple[str | None, list[Row]]:
    """What an app that had its history made shorter goes on from, and what it adds; else None and all messages."""
    ids = _compaction_ids(items)
    last = max((place for place, item_id in enumerate(ids) if item_id), default=-1)
    added = item_messages(items[last + 1 :])
    if last < 0 or any(row["role"] == "assistant" for row in added):
        return None, item_messages(items)
    return ids[last], added


def _compaction_ids(items: Sequence[Any]) -> list[str | None]:
    """The id of each item that is a shortened history; None for others."""
    return [field_of(item, "id") if field_of(item, "type") == "compaction" else None for item in items]


def _fetched_answer(response: Any) -> Answer:
    """What of a response that is asked for by its id is an answer: one of the background, which is over."""
    answer = response_answer(response)
    is_new = bool(getattr(response, "background", None)) and response.status in RESPONSE_IS_OVER
    if not is_new:
        return Answer(complete=False)
    instructions = getattr(response, "instructions", None)
    return replace(answer, context=_system_messages(instructions)) if isinstance(instructions, str) else answer


def _compaction_answer(response: Any) -> Answer:
    known = next(filter(None, _compaction_ids(response.output)), response.id)
    return Answer(id=known, usage=token_usage(response.usage))
