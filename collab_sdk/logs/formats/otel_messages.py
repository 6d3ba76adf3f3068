"""What a span says, in whichever of the conventions it was written: its messages, replies, tools, settings and session.

OpenTelemetry's GenAI conventions, of now and of the years before (attributes, events of a span, log records);
OpenLLMetry's and OpenInference's numbered attributes; those of the AI SDK, Pydantic AI, MLflow and Langfuse.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.blocks import message_of, read_messages, text_of_blocks
from collab_sdk.logs.formats.call_row import mapping, parameters, tool_list
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.formats.otel_spans import Event, Span
from collab_sdk.logs.formats.provider_calls import (
    HISTORIES,
    Reply,
    Request,
    has_history,
    is_answer,
    reply_of,
    request_of,
)
from collab_sdk.messages import Message, is_decision

Kind = Literal["call", "summary", "other"]
Attributes = Mapping[str, Any]
Messages = Sequence[Any]

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
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_CONTENT = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}
_NUMBERED = ("llm.input_messages.", "gen_ai.prompt.")
_BLOCKS = re.compile(r'\s*\[\s*\{\s*"(?:type|text|image|toolUse|toolResult|content)"')
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[\[{"\]])')
_SAID = (
    *("role", "content", "parts", "messages", "text", "tool_calls", "toolUse", "toolResult"),
    *("choices", "generations", "inputs", "outputs", "input", "output"),
)
_PYTHON = re.compile(r"""\s*\[?\s*\{\s*'(?:role|content|type|messages|parts|finish_reason)'\s*:""")
_INDEX = re.compile(r"[0-9]{1,18}")
_DEEPEST = 12
_REDACTED = "__REDACTED__"
"""What OpenInference has in place of text that is to be hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Messages of a call as they are logged, not read yet; or what was read of a request and a response."""

    history: Messages = ()
    replies: Messages = ()
    request: Request | None = None
    reply: Reply | None = None


def kind_of(span: Span) -> Kind:
    """What a span logs: a call, or what an agent or chain around calls was asked and answered.

    `other` also where nothing says that it has to do with a model.
    """
    attributes = span.attributes
    words = [attributes.get("gen_ai.operation.name"), attributes.get("ai.operationId")]
    words += [_leaf(attributes, name) for name in _KINDS]
    for word in words:
        if isinstance(word, str) and (kind := _KIND.get(word.strip('"').lower())):
            return kind
    if any(name in attributes for name in ("pydantic_ai.all_messages", "all_messages_events")):
        return "summary"
    if any(map(_is_said, span.events)) and span.is_record:
        return "call"
    if any(key.startswith(("gen_ai.", "llm.")) for key in attributes) or isinstance(attributes.get("llm"), Mapping):
        return "call"
    is_around = any(map(_is_said, span.events)) or any(name in attributes for pair in _BODIES for name in pair)
    return "summary" if is_around else "other"


def session_of(attributes: Attributes) -> str | None:
    return first_text(*(_leaf(attributes, name) for name in _SESSIONS))


def _check_first(span: Span) -> None:
    """Raises InputError where the first of numbered messages is missing since there were too many attributes."""
    for name in _NUMBERED if span.lost_attributes else ():
        numbered = [key for key in span.attributes if key.startswith(name)]
        if numbered and not any(key.startswith(f"{name}0.") for key in numbered):
            raise InputError(
                "attributes of the span were dropped, so that messages are missing; see OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
            )


def spoken(span: Span, kind: Kind) -> tuple[Request, Reply]:
    """What a span says, in the first convention that has it. Raises InputError for what is cut off or no message."""
    _check_first(span)
    request, reply = Request(), Reply()
    for read in _READERS:
        said = read(span, kind)
        if not request.messages:
            request = said.request or Request(messages=_history(said.history))
        if not reply.choices:
            choices = (message_of(one) for one in said.replies if not _is_silent(one))
            reply = said.reply or Reply(choices=tuple(choice for choice in choices if any(map(is_decision, choice))))
        if request.messages and reply.choices:
            break
    about = {**_detailed(span), **span.attributes}
    system = Message(role="system", content=text_of_blocks(_json(about, "gen_ai.system_instructions")))
    if system.content and system not in request.messages[:1]:
        request = replace(request, messages=(system, *request.messages))
    if any(_REDACTED in one.content for one in (*request.messages, *(each for run in reply.choices for each in run))):
        request, reply = Request(), Reply()
    tools = tool_list(_tools(about)) or request.tools
    settings = {**request.parameters, **_settings(span.attributes)}
    model = first_text(*(_leaf(span.attributes, name) for name in _MODELS)) or request.model
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


# OpenTelemetry


def _attributes(span: Span, kind: Kind) -> Said:
    return _messages(span.attributes)


def _details(span: Span, kind: Kind) -> Said:
    return _messages(_detailed(span))


def _detailed(span: Span) -> Attributes:
    """What events with details say together: Strands has one for the input, and one for the output."""
    details: dict[str, Any] = {}
    for event in reversed(span.events):
        if event.name == _DETAILS:
            details |= {**mapping(event.body), **event.attributes}
    return details


def _messages(attributes: Attributes) -> Said:
    return Said(
        history=_list(_json(attributes, "gen_ai.input.messages"), "user"),
        replies=_list(_json(attributes, "gen_ai.output.messages"), "assistant"),
    )


def _events(span: Span, kind: Kind) -> Said:
    """Messages that are an event each: of the span, or in an attribute, where Pydantic AI has them."""
    attribute = _json(span.attributes, "events") or _json(span.attributes, "all_messages_events")
    listed = [mapping(one) for one in attribute] if isinstance(attribute, list) else []
    named = [Event(name=str(one.get("event.name")), attributes={}, body=one) for one in listed if "event.name" in one]
    events = [event for event in (*span.events, *named) if _is_said(event)]
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
            text = _said_in({**event.attributes, **mapping(event.body)}.get(name), name)
            if event.name == "gen_ai.content.prompt":
                asked += _list(text, "user")
            else:
                replies += _list(text, "assistant")
    if not replies and "all_messages_events" in span.attributes:
        return _split(asked)
    return Said(history=asked, replies=replies)


def _is_said(event: Event) -> bool:
    return event.name in _ROLES or event.name in _CONTENT or event.name in (_CHOICE, _DETAILS)


def _body(event: Event) -> Attributes:
    """What an event says: in its body, in JSON text in one of its attributes, or in its attributes."""
    content = event.attributes.get("gen_ai.event.content")
    for found in (event.body, content):
        found = _whole(found, event.name)
        if isinstance(found, Mapping):
            return found
        if found not in (None, ""):
            return {"content": found}
    said = first_text(event.attributes.get("gen_ai.completion"), event.attributes.get("gen_ai.prompt"))
    return {"content": said, **event.attributes, "tool_calls": _whole(event.attributes.get("tool_calls"), "tool_calls")}


def _event_message(event: Event) -> Attributes:
    body = _body(event)
    fields = {"role": body.get("role") or _ROLES[event.name], "content": _parts(body.get("content"))}
    if body.get("tool_calls"):
        fields["tool_calls"] = body["tool_calls"]
    if event.name == "gen_ai.tool.message":
        fields["role"] = "tool"
        fields["tool_call_id"] = body.get("id") or body.get("tool_call_id")
        fields["name"] = body.get("name")
    return fields


def _event_choice(event: Event) -> Attributes:
    body = _body(event)
    said = _said_in(body.get("message"), "message")
    if said is None:
        said = {key: body[key] for key in ("content", "role") if key in body}
    if not isinstance(said, Mapping):
        said = {"content": said}
    fields = {**said, "content": _parts(said.get("content", said.get("parts"))), "role": "assistant"}
    if body.get("tool_calls") and not fields.get("tool_calls"):
        fields["tool_calls"] = body["tool_calls"]
    return fields


def _split(messages: Messages) -> Said:
    """The messages of a whole run, the last of them its reply."""
    if messages and mapping(messages[-1]).get("role") in ("assistant", "model"):
        return Said(history=messages[:-1], replies=messages[-1:])
    return Said(history=messages)


def _whole_run(span: Span, kind: Kind) -> Said:
    found = (_json(span.attributes, name) for name in ("pydantic_ai.all_messages", "mlflow.chat.messages"))
    return next((_split(_list(one, "user")) for one in found if one), Said())


# Numbered attributes


def _openllmetry(span: Span, kind: Kind) -> Said:
    asked, answered = (
        next((found for name in names if (found := _branch(span.attributes, name)) not in (None, "")), None)
        for names in (("gen_ai.prompt", "llm.prompts"), ("gen_ai.completion", "llm.completions"))
    )
    whole = [_said_in(value, "gen_ai.prompt") for value in (asked, answered)]
    if any(isinstance(value, Mapping) and "role" not in value for value in whole):  # LangSmith's, as they were
        return Said(request=_request(whole[0], kind), reply=_reply(whole[1]))
    return Said(history=_numbered(asked, "user"), replies=_numbered(answered, "assistant"))


def _numbered(values: Any, role: str) -> Messages:
    if not isinstance(values, list):
        return _list(_said_in(values, "gen_ai.completion" if role == "assistant" else "gen_ai.prompt"), role)
    return [_numbered_message(one, role) if isinstance(one, Mapping) else one for one in values]


def _numbered_message(one: Attributes, role: str) -> Attributes:
    fields: dict[str, Any] = {key: value for key, value in one.items() if key != "prompt"}
    text = mapping(one.get("prompt", one.get("completion"))).get("text")  # OpenInference's, of models that complete
    if text is not None:
        return {"role": role, "content": text}
    if role == "assistant":
        fields.setdefault("role", role)
    if "content" in fields:
        fields["content"] = _parts(fields["content"])
    calls = [_call(one) for one in _items(fields.pop("tool_calls", None))]
    return {**fields, "tool_calls": calls} if calls else fields


def _openinference(span: Span, kind: Kind) -> Said:
    asked, answered = (_json(span.attributes, f"llm.{name}_messages") for name in ("input", "output"))
    replies = [{"role": "assistant", **_openinference_message(one)} for one in _items(answered)]
    return Said(history=[*map(_openinference_message, _items(asked))], replies=replies)


def _openinference_message(item: Any) -> Attributes:
    fields = dict(_within(item, "message"))
    blocks = [_within(one, "message_content") for one in _items(fields.pop("contents", None))]
    calls = [_call(_within(one, "tool_call")) for one in _items(fields.pop("tool_calls", None))]
    name = fields.pop("function_call_name", None)
    if isinstance(name, str):
        calls.append(_call({"name": name, "arguments": fields.pop("function_call_arguments_json", None)}))
    if "content" in fields or blocks:
        fields["content"] = blocks or _parts(fields["content"])
    return {**fields, "tool_calls": calls} if calls else fields


def _within(item: Any, name: str) -> Attributes:
    """The fields that an item of a list has under a name of its own, in an object or with dots."""
    fields = mapping(item)
    return mapping(fields.get(name)) or mapping(mapping(_tree(fields, f"{name}.")).get(name)) or fields


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


# Others


def _ai_sdk(span: Span, kind: Kind) -> Said:
    attributes = span.attributes
    asked = _list(_json(attributes, "ai.prompt.messages"), "user")
    whole = _json(attributes, "ai.prompt")
    request = None if asked or whole is None else _request(whole, kind)
    text = first_text(*(attributes.get(f"ai.{name}") for name in ("response.text", "result.text", "response.object")))
    calls = _json(attributes, "ai.response.toolCalls") or _json(attributes, "ai.result.toolCalls")
    reply: dict[str, Any] = {"role": "assistant", "content": text or ""}
    if isinstance(thoughts := attributes.get("ai.response.reasoning"), str):
        reply["reasoning"] = thoughts
    if calls:
        reply["tool_calls"] = [_ai_sdk_call(one) for one in _items(calls)]
    return Said(history=asked, request=request, replies=[reply] if text or calls else [])


def _ai_sdk_call(one: Any) -> Attributes:
    one = mapping(one)
    return _call(
        {"id": one.get("toolCallId"), "name": one.get("toolName"), "arguments": one.get("input", one.get("args"))}
    )


_BODIES = (
    ("mlflow.spanInputs", "mlflow.spanOutputs"),
    ("langfuse.observation.input", "langfuse.observation.output"),
    ("input.value", "output.value"),
    ("traceloop.entity.input", "traceloop.entity.output"),
)
"""Attributes that have the request and the response as they were."""


def _bodies(span: Span, kind: Kind) -> Said:
    for asked, answered in _BODIES:
        request, response = (_json(span.attributes, name) for name in (asked, answered))
        if request is not None or response is not None:
            return Said(request=_request(request, kind), reply=_reply(response))
    return Said()


def _request(value: Any, kind: Kind) -> Request | None:
    """What a logged request asks, or what a chain was asked; None where it is of no known kind."""
    if kind == "summary":
        with suppress(InputError):
            return request_of(mapping(value).get("inputs") or value, asks=True)
    is_prompt = isinstance(value, str) or any(isinstance(mapping(value).get(key), str) for key in HISTORIES)
    return request_of(value) if is_prompt or has_history(value) else None


def _reply(value: Any) -> Reply | None:
    return reply_of(value) if isinstance(value, str | list) or is_answer(value) else None


_READERS: Sequence[Callable[[Span, Kind], Said]] = (
    _attributes,
    _details,
    _events,
    _openinference,
    _openllmetry,
    _ai_sdk,
    _whole_run,
    _bodies,
)


def _tools(attributes: Attributes) -> Any:
    if (defined := _json(attributes, "gen_ai.tool.definitions")) is not None:
        return defined
    if (defined := _json(attributes, "mlflow.chat.tools")) is not None:
        return defined
    for name in ("llm.tools", "llm.request.functions", "ai.prompt.tools"):
        if tools := [_tool(one) for one in _items(_branch(attributes, name))]:
            return tools
    return mapping(_json(attributes, "llm.invocation_parameters")).get("tools")


def _tool(one: Any) -> Any:
    one = _whole(one, "tools")
    inner = _within(one, "tool")
    if "json_schema" in inner:
        return _whole(inner["json_schema"], "tools")
    return {**inner, "parameters": _whole(inner["parameters"], "tools")} if "parameters" in inner else one


def _settings(attributes: Attributes) -> Attributes:
    prefixes = ("gen_ai.request.", "ai.settings.")
    own = {
        key.removeprefix(prefix): attributes[key] for prefix in prefixes for key in attributes if key.startswith(prefix)
    }
    names = {"stop_sequences": "stop", "choice.count": "n", "maxTokens": "max_tokens", "maxOutputTokens": "max_tokens"}
    renamed = {new: own[old] for old, new in names.items() if old in own}
    return parameters(mapping(_json(attributes, "llm.invocation_parameters")), renamed, own)


# Values


def _json(attributes: Attributes, name: str) -> Any:
    """The value of an attribute, parsed. Raises InputError for JSON text that is cut off."""
    return _whole(_branch(attributes, name), name, quoted=name.startswith(("mlflow.", "traceloop.")))


def _whole(value: Any, name: str, *, quoted: bool = False) -> Any:
    """The value of JSON text; other text, and anything else, as it is. Raises InputError where the end is missing."""
    if not isinstance(value, str):
        return value
    if _PYTHON.match(value):
        raise InputError(f"{name} is what Python prints of an object, not JSON")
    if not (_JSON.match(value) or (quoted and value.startswith('"'))):
        return value
    try:
        return parse_json(value)
    except InputError as error:
        raise InputError(
            f"{name} is cut off after {len(value):,} characters, or is no JSON ({error.problem}); a limit such as"
            " OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cuts"
        ) from None


def _said_in(value: Any, name: str) -> Any:
    """The messages or parts in JSON text of them; other text, which may be JSON that the model wrote, as it is."""
    found = _whole(value, name)
    listed = found if isinstance(found, list) else [found]
    is_said = bool(listed) and all(isinstance(one, Mapping) and any(key in one for key in _SAID) for one in listed)
    return found if is_said or not isinstance(value, str) else value


def _parts(content: Any) -> Any:
    """The parts of a content that is JSON text of them; any other content as it is."""
    return _whole(content, "content") if isinstance(content, str) and _BLOCKS.match(content) else content


def _list(value: Any, role: str) -> Messages:
    """Messages out of a list of them or of text, or out of one alone."""
    if isinstance(value, Mapping):
        value = value["messages"] if isinstance(value.get("messages"), list) else [value]
    if isinstance(value, str) and value:
        value = [value]
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise InputError(f"the messages must be a list, not {type(value).__name__}")
    return [{"role": role, "content": one} if isinstance(one, str) else one for one in value]


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _leaf(attributes: Attributes, name: str) -> Any:
    """The text of an attribute, which MLflow quotes."""
    found = _branch(attributes, name)
    if isinstance(found, str) and len(found) > 1 and found.startswith('"') and found.endswith('"'):
        return found[1:-1]
    return found


def _branch(attributes: Attributes, name: str) -> Any:
    """What an attribute holds: by its name, or in objects within each other, or as attributes that are numbered."""
    if name in attributes:
        return attributes[name]
    found: Any = attributes
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if found is not None:
        return found
    tree = _tree(attributes, f"{name}.")
    for step in name.split("."):
        tree = tree[step] if isinstance(tree, Mapping) and step in tree else None
    return tree


def _tree(attributes: Attributes, prefix: str) -> Any:
    """The attributes of a prefix as the objects and lists that were flattened to them."""
    root: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        *steps, last = key.split(".", _DEEPEST)
        node: Any = root
        for step in steps:
            below = node.get(step)
            if not isinstance(below, _Node):
                below = node[step] = _Node()
            node = below
        if not isinstance(node.get(last), _Node):
            node[last] = value
    return _listed(root)


class _Node(dict[str, Any]):
    """An object that keys with dots stand for; a value may be an object too."""


def _listed(node: Attributes) -> Any:
    """The items in the order of their numbers; what stands beside them, as results of filters, is of no message."""
    values = {key: _listed(value) if isinstance(value, _Node) else value for key, value in node.items()}
    numbers = [key for key in values if _INDEX.fullmatch(key)]
    return [values[key] for key in sorted(numbers, key=int)] if numbers else values
