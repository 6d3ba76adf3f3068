"""What spans and log records say in OpenTelemetry's GenAI conventions, of now and of the years before.

Messages are in attributes, in one event with the details of a call, or in an event for each. Pydantic AI has had
all of a run in one attribute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.otel_attributes import Attributes, Messages, json_of, messages_of, parts_of, said_in, whole
from collab_sdk.logs.formats.otel_spans import Event, Span
from collab_sdk.logs.formats.provider_replies import Reply
from collab_sdk.logs.formats.provider_requests import Request

_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_CONTENT = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Messages of a call as they are logged, not read yet; or what was read of a request and a response."""

    history: Messages = ()
    replies: Messages = ()
    request: Request | None = None
    reply: Reply | None = None


def in_attributes(span: Span) -> Said:
    return _messages(span.attributes)


def in_details(span: Span) -> Said:
    return _messages(detailed(span))


def detailed(span: Span) -> Attributes:
    """What events with details say together: Strands has one for the input, and one for the output."""
    details: dict[str, Any] = {}
    for event in reversed(span.events):
        if event.name == _DETAILS:
            details |= {**mapping(event.body), **event.attributes}
    return details


def _messages(attributes: Attributes) -> Said:
    return Said(
        history=messages_of(json_of(attributes, "gen_ai.input.messages"), "user"),
        replies=messages_of(json_of(attributes, "gen_ai.output.messages"), "assistant"),
    )


def in_events(span: Span) -> Said:
    """Messages that are an event each: of the span, or in an attribute, where Pydantic AI has them."""
    attribute = json_of(span.attributes, "events") or json_of(span.attributes, "all_messages_events")
    listed = [mapping(one) for one in attribute] if isinstance(attribute, list) else []
    named = [Event(name=str(one.get("event.name")), attributes={}, body=one) for one in listed if "event.name" in one]
    events = [event for event in (*span.events, *named) if is_said(event)]
    asked = [_event_message(event) for event in events if event.name in _ROLES]
    if asked and span.lost_events:
        raise InputError(
            "events of the span were dropped, so that messages are missing; see OTEL_SPAN_EVENT_COUNT_LIMIT"
        )
    if any(message["content"] is None and not message.get("tool_calls") for message in asked):
        asked = []  # only that there were messages is logged
    replies = [_event_choice(event) for event in events if event.name == _CHOICE]
    replies = [reply for reply in replies if reply.get("content") or reply.get("tool_calls")]
    for event in events:
        if event.name in _CONTENT:
            name = _CONTENT[event.name]
            text = said_in({**event.attributes, **mapping(event.body)}.get(name), name)
            if event.name == "gen_ai.content.prompt":
                asked += messages_of(text, "user")
            else:
                replies += messages_of(text, "assistant")
    if not replies and "all_messages_events" in span.attributes:
        return _split(asked)
    return Said(history=asked, replies=replies)


def is_said(event: Event) -> bool:
    return event.name in _ROLES or event.name in _CONTENT or event.name in (_CHOICE, _DETAILS)


def _body(event: Event) -> Attributes:
    """What an event says: in its body, in JSON text in one of its attributes, or in its attributes."""
    content = event.attributes.get("gen_ai.event.content")
    for found in (event.body, content):
        found = whole(found, event.name)
        if isinstance(found, Mapping):
            return found
        if found not in (None, ""):
            return {"content": found}
    said = first_text(event.attributes.get("gen_ai.completion"), event.attributes.get("gen_ai.prompt"))
    return {"content": said, **event.attributes, "tool_calls": whole(event.attributes.get("tool_calls"), "tool_calls")}


def _event_message(event: Event) -> Attributes:
    body = _body(event)
    fields = {"role": body.get("role") or _ROLES[event.name], "content": parts_of(body.get("content"))}
    if body.get("tool_calls"):
        fields["tool_calls"] = body["tool_calls"]
    if event.name == "gen_ai.tool.message":
        fields["role"] = "tool"
        fields["tool_call_id"] = body.get("id") or body.get("tool_call_id")
        fields["name"] = body.get("name")
    return fields


def _event_choice(event: Event) -> Attributes:
    body = _body(event)
    said = said_in(body.get("message"), "message")
    if said is None:
        said = {key: body[key] for key in ("content", "role") if key in body}
    if not isinstance(said, Mapping):
        said = {"content": said}
    fields = {**said, "content": parts_of(said.get("content", said.get("parts"))), "role": "assistant"}
    if body.get("tool_calls") and not fields.get("tool_calls"):
        fields["tool_calls"] = body["tool_calls"]
    return fields


def _split(messages: Messages) -> Said:
    """The messages of a whole run, the last of them its reply."""
    if messages and mapping(messages[-1]).get("role") in ("assistant", "model"):
        return Said(history=messages[:-1], replies=messages[-1:])
    return Said(history=messages)


def in_whole_run(span: Span) -> Said:
    found = (json_of(span.attributes, name) for name in ("pydantic_ai.all_messages", "mlflow.chat.messages"))
    return next((_split(messages_of(one, "user")) for one in found if one), Said())
