"""OpenTelemetry traces and log records with GenAI attributes, of any convention, and in whatever holds them.

A call is a span, or a span with events in other rows. Spans of agents and chains say again what the calls within them
say: they are read only where their trace has no call.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.blocks import text_of_blocks
from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, parameters
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.logged_messages import message_of, read_messages
from collab_sdk.logs.formats.otel_attributes import Attributes, Messages, branch, items_of, json_of, leaf, whole, within
from collab_sdk.logs.formats.otel_messages import (
    Said,
    detailed,
    in_attributes,
    in_details,
    in_events,
    in_whole_run,
    is_said,
)
from collab_sdk.logs.formats.otel_spans import Span, entries_of, is_batch, is_span, span_of
from collab_sdk.logs.formats.otel_tracers import BODIES, in_ai_sdk, in_bodies, in_openinference, in_openllmetry
from collab_sdk.logs.formats.provider_calls import logged_call
from collab_sdk.logs.formats.provider_replies import Reply
from collab_sdk.logs.formats.provider_requests import Request
from collab_sdk.logs.formats.tool_calls import tools_of
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, is_decision

Kind = Literal["call", "summary", "other"]

_SESSIONS = (
    *("gen_ai.conversation.id", "session.id", "langfuse.session.id", "mlflow.trace.session"),
    *(f"traceloop.association.properties.{name}" for name in ("session_id", "thread_id", "conversation_id", "chat_id")),
    *(f"langsmith.metadata.{name}" for name in ("thread_id", "session_id", "conversation_id")),
    *("gcp.vertex.agent.session_id", "thread_id", "session_id", "conversation_id"),
    *(f"ai.telemetry.metadata.{name}" for name in ("sessionId", "threadId", "chatId", "conversationId")),
)
_MODELS = (
    *("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "llm.request.model", "ai.model.id"),
    *("mlflow.llm.model", "langfuse.observation.model.name", "model_name"),
)
_KINDS = (
    *("openinference.span.kind", "traceloop.span.kind", "mlflow.spanType", "langfuse.observation.type"),
    "langsmith.span.kind",
)
_KIND: Mapping[str, Kind] = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion", "llm", "chat_model"), "call"),
    **dict.fromkeys(("generation", "ai.generatetext.dogenerate", "ai.streamtext.dostream"), "call"),
    **dict.fromkeys(("ai.generateobject.dogenerate", "ai.streamobject.dostream", "responses"), "call"),
    **dict.fromkeys(("invoke_agent", "invoke_workflow", "agent", "chain", "workflow", "task", "span"), "summary"),
    **dict.fromkeys(("ai.generatetext", "ai.streamtext", "ai.generateobject", "ai.streamobject"), "summary"),
    **dict.fromkeys(("create_agent", "execute_tool", "embeddings", "tool", "retriever", "embedding"), "other"),
    **dict.fromkeys(("reranker", "guardrail", "evaluator", "parser", "prompt", "memory", "event"), "other"),
}
"""What a span is, by the words that the conventions have for it in lower case."""
_NUMBERED = ("llm.input_messages.", "gen_ai.prompt.")
"""How numbered messages begin."""
_REDACTED = "__REDACTED__"
"""What OpenInference has in place of text that is to be hidden."""

CUT = "tools or settings of a call that are cut off, left out"


def _matches(row: Row) -> bool:
    if is_batch(row) or is_span(row):
        return True
    attributes = row.get("attributes")
    return isinstance(attributes, Mapping) and any(str(key).startswith("gen_ai.") for key in attributes)


def read_span(row: Row) -> CallEntry | None:
    """The call that a span or a log record is, or is a piece of. Raises InputError."""
    span = span_of(row)
    kind = _kind(span)
    session = _session(span.attributes)
    if kind == "other" and (session is None or span.trace is None or span.id is None):
        return None
    problem = None
    request, reply = Request(), Reply()
    try:
        if kind != "other":
            request, reply = _spoken(replace(span, is_summary=kind == "summary"))
    except InputError as error:
        if kind == "call":
            raise
        problem = error.problem
    call = logged_call(
        request,
        reply,
        run_id=_run_id(span, request, reply),
        conversation_id=session,
        error=span.failed,
        started=span.started,
        ended=span.ended,
    )
    return CallEntry(call=call, trace=span.trace, is_summary=kind != "call", is_piece=True, problem=problem)


def _run_id(span: Span, request: Request, reply: Reply) -> str:
    if span.trace is not None and span.id is not None:
        return f"{span.trace}/{span.id}"
    if not span.is_record:
        raise InputError("a span must have trace_id and span_id")
    if not (request.messages and reply.choices):
        raise InputError("an event outside of any span, so that nothing tells which call it is of")
    said = [message.to_dict() for run in (request.messages, *reply.choices) for message in run]
    return hashlib.sha256(to_json([span.started, said]).encode()).hexdigest()


def _kind(span: Span) -> Kind:
    """What a span logs: a call, or what an agent or chain around calls was asked and answered.

    `other` also where nothing says that it has to do with a model.
    """
    attributes = span.attributes
    words = [attributes.get("gen_ai.operation.name"), attributes.get("ai.operationId")]
    words += [leaf(attributes, name) for name in _KINDS]
    for word in words:
        if isinstance(word, str) and (kind := _KIND.get(word.strip('"').lower())):
            return kind
    if any(name in attributes for name in ("pydantic_ai.all_messages", "all_messages_events")):
        return "summary"
    if any(map(is_said, span.events)) and span.is_record:
        return "call"
    if any(key.startswith(("gen_ai.", "llm.")) for key in attributes) or isinstance(attributes.get("llm"), Mapping):
        return "call"
    is_around = any(map(is_said, span.events)) or any(name in attributes for pair in BODIES for name in pair)
    return "summary" if is_around else "other"


def _session(attributes: Attributes) -> str | None:
    return first_text(*(leaf(attributes, name) for name in _SESSIONS))


def _spoken(span: Span) -> tuple[Request, Reply]:
    """What a span says, in the first convention that has it. Raises InputError for what is cut off or no message."""
    _check_first(span)
    request, reply = Request(), Reply()
    for read in _READERS:
        said = read(span)
        if not request.messages:
            request = said.request or Request(messages=_history(said.history))
        if not reply.choices:
            choices = (message_of(one) for one in said.replies if not _is_silent(one))
            reply = said.reply or Reply(choices=tuple(choice for choice in choices if any(map(is_decision, choice))))
        if request.messages and reply.choices:
            break
    about = {**detailed(span), **span.attributes}
    system = Message(role="system", content=text_of_blocks(json_of(about, "gen_ai.system_instructions")))
    if system.content and system not in request.messages[:1]:
        request = replace(request, messages=(system, *request.messages))
    if any(_REDACTED in one.content for one in (*request.messages, *(each for run in reply.choices for each in run))):
        request, reply = Request(), Reply()
    tools, settings = request.tools, request.parameters
    try:
        tools = tools_of(_tools(about)) or tools
        settings = {**settings, **_settings(span.attributes)}
    except InputError:
        note(CUT)
    model = first_text(*(leaf(span.attributes, name) for name in _MODELS)) or request.model
    return replace(request, tools=tools, parameters=settings, model=model), reply


def _history(values: Messages) -> tuple[Message, ...]:
    """The messages; none where one of the user's was not logged."""
    return () if any(map(_is_withheld, values)) else read_messages(list(values))


def _is_withheld(message: Any) -> bool:
    """Whether only that there was a message is logged: of any, or one of the user's, as of pictures alone."""
    fields = mapping(message)
    said = (fields.get(name) for name in ("content", "parts", "contents"))
    is_empty = fields.get("role") == "user" and all(one is None or one == [] for one in said) and len(fields) < 4
    return is_empty or _is_silent(message)


def _is_silent(message: Any) -> bool:
    """Whether it has nothing but a role and a reason to finish, as where content is not logged."""
    fields = mapping(message)
    return bool(fields) and fields.keys() <= {"role", "finish_reason", "index"}


def _check_first(span: Span) -> None:
    """Raises InputError where the first of numbered messages is missing since there were too many attributes."""
    for name in _NUMBERED if span.lost_attributes else ():
        numbered = [key for key in span.attributes if key.startswith(name)]
        if numbered and not any(key.startswith(f"{name}0.") for key in numbered):
            raise InputError(
                "attributes of the span were dropped, so that messages are missing; see OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
            )


def _tools(attributes: Attributes) -> Any:
    if (defined := json_of(attributes, "gen_ai.tool.definitions")) is not None:
        return defined
    if (defined := json_of(attributes, "mlflow.chat.tools")) is not None:
        return defined
    for name in ("llm.tools", "llm.request.functions", "ai.prompt.tools"):
        if tools := [_tool(one) for one in items_of(branch(attributes, name))]:
            return tools
    return mapping(json_of(attributes, "llm.invocation_parameters")).get("tools")


def _tool(one: Any) -> Any:
    one = whole(one, "tools")
    inner = within(one, "tool")
    if "json_schema" in inner:
        return whole(inner["json_schema"], "tools")
    return {**inner, "parameters": whole(inner["parameters"], "tools")} if "parameters" in inner else one


def _settings(attributes: Attributes) -> Attributes:
    prefixes = ("gen_ai.request.", "ai.settings.")
    own = {
        key.removeprefix(prefix): attributes[key] for prefix in prefixes for key in attributes if key.startswith(prefix)
    }
    names = {"stop_sequences": "stop", "choice.count": "n", "maxTokens": "max_tokens", "maxOutputTokens": "max_tokens"}
    renamed = {new: own[old] for old, new in names.items() if old in own}
    return parameters(mapping(json_of(attributes, "llm.invocation_parameters")), renamed, own)


_READERS: Sequence[Callable[[Span], Said]] = (
    in_attributes,
    in_details,
    in_events,
    in_openinference,
    in_openllmetry,
    in_ai_sdk,
    in_whole_run,
    in_bodies,
)


OTEL = CallFormat(
    name="otel",
    priority=110,
    known_by="trace_id, span_id and attributes; resourceSpans; resourceLogs",
    matches=_matches,
    read=read_span,
    unwrapped=entries_of,
)
