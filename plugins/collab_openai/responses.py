"""The Responses API: what was asked, and the answer, whole or while it is being streamed."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collab_openai.items import Row, as_one, messages_of, tools_of
from collab_sdk.harvest import Answer, ChatRequest, conversation_id_in, kept_parameters, token_usage
from collab_sdk.logs import LoggedCall

OVER = {"completed", "incomplete", "failed", "cancelled"}
"""What the status of a response can be when nothing more comes; servers that give none answer at once."""


def response_request(body: Mapping[str, Any]) -> ChatRequest:
    """The request with this body. What the server holds of the history is named, not known."""
    given = conversation_id_in(body.get("metadata"))
    conversation = body.get("conversation")
    held = conversation.get("id") if isinstance(conversation, Mapping) else conversation
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=given or held,
        previous_response=body.get("previous_response_id"),
        is_added=held is not None,
        messages=(*_system_messages(body.get("instructions")), *_input_messages(body)),
        replies=(),
        source="openai",
        model=body.get("model"),
        parameters=_parameters(body),
        tools=tools_of(body.get("tools") or ()),
        user=body.get("safety_identifier") or body.get("user"),
    )
    return ChatRequest(call=call, read=response_answer, partial=PartialResponse())


def compaction_request(body: Mapping[str, Any]) -> ChatRequest:
    """The request to make a history shorter: nobody said or saw anything in it."""
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=conversation_id_in(None),
        previous_response=body.get("previous_response_id"),
        is_side=True,
        messages=tuple(_input_messages(body)),
        replies=(),
        source="openai",
        model=body.get("model"),
    )
    return ChatRequest(call=call, read=_compaction_answer, partial=PartialResponse())


def fetching_request(response_id: str) -> ChatRequest:
    """The request for a response that was begun in the background: it goes on from there, with nothing added."""
    call = LoggedCall(
        run_id=response_id,  # however often it is asked for, it is one answer
        conversation_id=conversation_id_in(None),
        previous_response=response_id,
        messages=(),
        replies=(),
        source="openai",
    )
    return ChatRequest(call=call, read=_fetched_answer, partial=PartialResponse(is_fetched=True), fetches=True)


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


def _input_messages(body: Mapping[str, Any]) -> list[Row]:
    given = body.get("input") or []
    return messages_of([{"role": "user", "content": given}] if isinstance(given, str) else given)


def response_answer(response: Any) -> Answer:
    """A Response, parsed or not. Raises TypeError for anything else."""
    output = getattr(response, "output", None)
    if output is None:
        raise TypeError(f"{type(response).__name__} is not a response")
    rows = messages_of(output)
    replies: tuple[Row, ...] = (as_one(rows),) if rows else ()
    status = getattr(response, "status", None)
    return Answer(
        id=response.id,
        model=response.model,
        replies=replies,
        usage=token_usage(response.usage),
        finish_reason=_finish_reason(response, replies),
        complete=status is None or (status in OVER and status != "cancelled"),
        error=response.error.message if response.error else None,
        context=_kept_prompt(response),
    )


def _kept_prompt(response: Any) -> tuple[Row, ...]:
    """The messages of a prompt that is kept at the provider: they are known only from the answer."""
    instructions = getattr(response, "instructions", None)
    return tuple(messages_of(instructions)) if isinstance(instructions, list) else ()


def _fetched_answer(response: Any) -> Answer:
    """What of a response that is asked for by its id is an answer: one of the background, which is over."""
    answer = response_answer(response)
    is_new = bool(getattr(response, "background", None)) and response.status in OVER
    if not is_new:
        return Answer(complete=False)
    instructions = getattr(response, "instructions", None)
    return replace(answer, context=_system_messages(instructions)) if isinstance(instructions, str) else answer


def _compaction_answer(response: Any) -> Answer:
    return Answer(id=response.id, usage=token_usage(response.usage))


def _finish_reason(response: Any, replies: tuple[Row, ...]) -> str:
    details = getattr(response, "incomplete_details", None)
    if (reason := getattr(details, "reason", None)) is not None:
        return "length" if reason == "max_output_tokens" else str(reason)
    return "tool_calls" if replies and replies[0].get("tool_calls") else "stop"


class PartialResponse:
    """Keeps what has come of a stream; its last event has the whole response."""

    def __init__(self, *, is_fetched: bool = False) -> None:
        self._read = _fetched_answer if is_fetched else response_answer
        self._begun: Any = None
        self._whole: Any = None
        self._items: dict[int, Row] = {}
        self._texts: dict[tuple[int, int], list[str]] = {}
        self._error: str | None = None

    def add(self, event: Any) -> None:
        kind = getattr(event, "type", None) or ""
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._whole = event.response
        elif kind in ("response.created", "response.queued", "response.in_progress"):
            self._begun = event.response
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = event.item
            item = dict(item) if isinstance(item, Mapping) else item.model_dump(exclude_none=True, warnings=False)
            self._items[event.output_index] = item
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            place = (event.output_index or 0, event.content_index or 0)
            self._texts.setdefault(place, []).append(event.delta)
        elif kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            name = "arguments" if "function" in kind else "input"
            item = self._items.get(event.output_index) or {}
            item[name] = (item.get(name) or "") + event.delta
        elif kind == "error" or getattr(event, "error", None) is not None:
            self._error = str(getattr(event, "message", None) or getattr(event.error, "message", None) or "error")

    def answer(self, *, at_end: bool = False) -> Answer:
        if self._whole is not None:
            return self._read(self._whole)
        rows = messages_of(self._so_far())
        return Answer(
            id=getattr(self._begun, "id", None),
            model=getattr(self._begun, "model", None),
            replies=(as_one(rows),) if rows else (),
            complete=False,
            error=self._error,
        )

    def _so_far(self) -> list[Row]:
        """The items, with the text of those that are messages as far as it has come."""
        texts: dict[int, str] = {}
        for (index, _), pieces in sorted(self._texts.items()):
            texts[index] = texts.get(index, "") + "".join(pieces)
        rows = []
        for index in sorted({*self._items, *texts}):
            item = self._items.get(index) or {"type": "message", "role": "assistant"}
            if item["type"] == "message":
                if index in texts:
                    rows.append({"type": "message", "role": "assistant", "content": texts[index]})
            else:
                rows.append(item)
        return rows
