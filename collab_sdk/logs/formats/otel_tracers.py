"""What spans say in the conventions of those who traced before OpenTelemetry's, or beside them.

OpenLLMetry and OpenInference number the messages in attributes; the AI SDK has its own; MLflow, Langfuse, LangSmith and
OpenInference's chains have the request and the response as they were.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.otel_attributes import (
    Attributes,
    Messages,
    branch,
    items_of,
    json_of,
    messages_of,
    parts_of,
    said_in,
    within,
)
from collab_sdk.logs.formats.otel_messages import Said
from collab_sdk.logs.formats.otel_spans import Span
from collab_sdk.logs.formats.provider_replies import Reply, is_answer, reply_of
from collab_sdk.logs.formats.provider_requests import HISTORIES, Request, has_history, request_of

BODIES = (
    ("mlflow.spanInputs", "mlflow.spanOutputs"),
    ("langfuse.observation.input", "langfuse.observation.output"),
    ("input.value", "output.value"),
    ("traceloop.entity.input", "traceloop.entity.output"),
)
"""Attributes that have the request and the response as they were."""


def in_openllmetry(span: Span) -> Said:
    asked, answered = (
        next((found for name in names if (found := branch(span.attributes, name)) not in (None, "")), None)
        for names in (("gen_ai.prompt", "llm.prompts"), ("gen_ai.completion", "llm.completions"))
    )
    whole = [said_in(value, "gen_ai.prompt") for value in (asked, answered)]
    if any(isinstance(value, Mapping) and "role" not in value for value in whole):  # LangSmith's, as they were
        return Said(request=_request(whole[0], span.is_summary), reply=_reply(whole[1]))
    return Said(history=_numbered(asked, "user"), replies=_numbered(answered, "assistant"))


def _numbered(values: Any, role: str) -> Messages:
    if not isinstance(values, list):
        return messages_of(said_in(values, "gen_ai.completion" if role == "assistant" else "gen_ai.prompt"), role)
    return [_numbered_message(one, role) if isinstance(one, Mapping) else one for one in values]


def _numbered_message(one: Attributes, role: str) -> Attributes:
    fields: dict[str, Any] = {key: value for key, value in one.items() if key != "prompt"}
    text = mapping(one.get("prompt", one.get("completion"))).get("text")  # OpenInference's, of models that complete
    if text is not None:
        return {"role": role, "content": text}
    if role == "assistant":
        fields.setdefault("role", role)
    if "content" in fields:
        fields["content"] = parts_of(fields["content"])
    calls = [_call(one) for one in items_of(fields.pop("tool_calls", None))]
    return {**fields, "tool_calls": calls} if calls else fields


def in_openinference(span: Span) -> Said:
    asked, answered = (json_of(span.attributes, f"llm.{name}_messages") for name in ("input", "output"))
    replies = [{"role": "assistant", **_openinference_message(one)} for one in items_of(answered)]
    return Said(history=[*map(_openinference_message, items_of(asked))], replies=replies)


def _openinference_message(item: Any) -> Attributes:
    fields = dict(within(item, "message"))
    blocks = [within(one, "message_content") for one in items_of(fields.pop("contents", None))]
    calls = [_call(within(one, "tool_call")) for one in items_of(fields.pop("tool_calls", None))]
    name = fields.pop("function_call_name", None)
    if isinstance(name, str):
        calls.append(_call({"name": name, "arguments": fields.pop("function_call_arguments_json", None)}))
    if "content" in fields or blocks:
        fields["content"] = blocks or parts_of(fields["content"])
    return {**fields, "tool_calls": calls} if calls else fields


def _call(one: Any) -> Attributes:
    """A call of a tool in OpenAI's form. Exporters leave arguments out that are empty."""
    one = mapping(one)
    function = mapping(one.get("function")) or one
    arguments = function.get("arguments")
    return {
        "id": one.get("id"),
        "type": "function",
        "function": {"name": function.get("name"), "arguments": "{}" if arguments in (None, "") else arguments},
    }


def in_ai_sdk(span: Span) -> Said:
    attributes = span.attributes
    asked = messages_of(json_of(attributes, "ai.prompt.messages"), "user")
    whole = json_of(attributes, "ai.prompt")
    request = None if asked or whole is None else _request(whole, span.is_summary)
    text = first_text(*(attributes.get(f"ai.{name}") for name in ("response.text", "result.text", "response.object")))
    calls = json_of(attributes, "ai.response.toolCalls") or json_of(attributes, "ai.result.toolCalls")
    reply: dict[str, Any] = {"role": "assistant", "content": text or ""}
    if isinstance(thoughts := attributes.get("ai.response.reasoning"), str):
        reply["reasoning"] = thoughts
    if calls:
        reply["tool_calls"] = [_ai_sdk_call(one) for one in items_of(calls)]
    return Said(history=asked, request=request, replies=[reply] if text or calls else [])


def _ai_sdk_call(one: Any) -> Attributes:
    one = mapping(one)
    return _call(
        {"id": one.get("toolCallId"), "name": one.get("toolName"), "arguments": one.get("input", one.get("args"))}
    )


def in_bodies(span: Span) -> Said:
    for asked, answered in BODIES:
        request, response = (json_of(span.attributes, name) for name in (asked, answered))
        if request is not None or response is not None:
            return Said(request=_request(request, span.is_summary), reply=_reply(response))
    return Said()


def _request(value: Any, asks: bool) -> Request | None:
    """What a logged request asks, or what a chain was asked; None where it is of no known kind."""
    if asks:
        with suppress(InputError):
            return request_of(mapping(value).get("inputs") or value, asks=True)
    is_prompt = isinstance(value, str) or any(isinstance(mapping(value).get(key), str) for key in HISTORIES)
    return request_of(value) if is_prompt or has_history(value) else None


def _reply(value: Any) -> Reply | None:
    return reply_of(value) if isinstance(value, str | list) or is_answer(value) else None
