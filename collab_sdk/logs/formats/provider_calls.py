"""What a model was sent and what it answered, in the spelling of any provider's API or of the libraries around them.

A request has its history under `messages`, `input`, `contents` or `prompt`, with the system prompt in it or beside it.
A reply is a response of an API (`choices`, `output`, `candidates`, a message), the events of a streamed one, or text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import message_of, plain, read_messages, text_of_blocks, tools_of
from collab_sdk.logs.formats.call_row import mapping, objects, parameters, unpacked
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.notes import note
from collab_sdk.logs.store import LoggedCall
from collab_sdk.messages import Message, deeds_of, is_decision

HISTORIES = ("messages", "input_messages", "input", "contents", "prompt", "prompts")
_SYSTEM = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")
_QUESTIONS = ("question", "query", "user_input", "user_message", "human_input", "message", "text", "inputText")
_PAST = ("chat_history", "history")
_ANSWERS = (
    *("output", "message", "messages", "text", "content", "completion", "generation", "generated_text", "output_text"),
    *("outputText", "response", "answer", "result", "results", "reply", "outputs"),
)
_MESSAGE_BESIDE = ("content", "parts", "tool_calls", "toolCalls", "function_call", "data", "kwargs")
_REPLY_KEYS = ("content", "message", "messages", "text", "tool_calls", "output_text", "completion", "generation")
_SERVER_ITEMS = (
    *("item_reference", "compaction", "compaction_summary", "mcp_list_tools"),
    *("mcp_approval_request", "mcp_approval_response", "additional_tools"),
)
_NOT_CHAT = (
    *("embedding", "moderation", "image", "audio", "speech", "transcri", "rerank", "ocr", "video", "vector_store"),
    *("fine_tun", "mcp_tool", "list_batch", "create_batch", "retrieve_batch", "get_responses", "search"),
)
_TOOLS = ("tools", "functions", "toolConfig", "tool_config")
DEEPEST = 6
"""Objects around a reply."""

HELD_BY_SERVER = "items of requests that only the provider's server knows, left out"
OTHER_CHOICES = "messages before the last of one of several choices, left out"
UNREADABLE = "replies in an unknown form, left out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a model was sent."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    previous_response: str | None = None
    """The response whose history this goes on from, at the provider."""
    conversation: str | None = None
    """The conversation that the provider holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back: for each of the choices (n > 1) its messages."""

    choices: tuple[tuple[Message, ...], ...] = ()
    id: str | None = None
    model: str | None = None
    broken_off: bool = False
    error: str | None = None


def request_of(value: Any, *, asks: bool = False) -> Request:
    """The request in a body, a list of messages, or a prompt. Raises InputError for what has no messages.

    With `asks`, a question under one of its usual names is the user's message, as in inputs of chains and data sets.
    """
    body = _body(value)
    config = mapping(body.get("config"))
    history = _history(body, asks)
    system = next((unpacked(each[key]) for each in (body, config) for key in _SYSTEM if each.get(key)), None)
    prompt = text_of_blocks(system.get("parts", [system]) if isinstance(system, Mapping) else system)
    if prompt and Message(role="system", content=prompt) not in history:
        history = (Message(role="system", content=prompt), *history)
    conversation = body.get("conversation")
    tools = next((each[key] for each in (body, config) for key in _TOOLS if each.get(key)), None)
    return Request(
        messages=history,
        tools=tools_of(tools),
        model=first_text(body.get("model"), body.get("model_name"), body.get("modelId")),
        parameters=parameters(config, body.get("inferenceConfig"), body.get("generationConfig"), body),
        previous_response=first_text(body.get("previous_response_id")),
        conversation=first_text(conversation, mapping(conversation).get("id")),
    )


def has_history(value: Any) -> bool:
    """Whether it is the body of a request that has a list of messages, or a list of them."""
    value = unpacked(value)
    if isinstance(value, Mapping):
        return any(has_history(value.get(key)) for key in HISTORIES)
    first = value[0] if isinstance(value, list) and value else None
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, Mapping) and any(key in first for key in ("role", "from", "parts", "lc", "kwargs", "type"))


def reply_of(value: Any) -> Reply:
    """The reply in a response; one without choices where it holds none. Raises InputError for messages that are none."""
    response = unpacked(value) if _is_response(unpacked(value)) else value
    response = _streamed(response)
    about = mapping(response)
    if "choices" not in about and isinstance(about.get("response"), Mapping):
        about = mapping(about["response"])
    error = about.get("error")
    choices = [choice for choice in _choices(response, DEEPEST) if any(map(is_decision, choice))]
    return Reply(
        choices=tuple(choices),
        id=first_text(about.get("id")),
        model=first_text(about.get("model"), about.get("modelVersion"), about.get("model_version")),
        broken_off=about.get("status") in ("in_progress", "queued", "cancelled"),
        error=first_text(error, mapping(error).get("message"), mapping(error).get("type")),
    )


def is_reply(value: Any) -> bool:
    """Whether it has the form of a response or of a message, and is not what a model wrote in JSON."""
    return _is_response(value) or (isinstance(value, Mapping) and any(key in value for key in _REPLY_KEYS))


def is_question(value: Any) -> bool:
    """Whether it is an object that asks something under one of the usual names."""
    return isinstance(value, Mapping) and any(isinstance(value.get(key), str) for key in (*_QUESTIONS, *HISTORIES))


def is_answer(value: Any) -> bool:
    """Whether it is a reply, or an object that has one under one of the usual names."""
    return is_reply(value) or (isinstance(value, Mapping) and any(value.get(key) for key in _ANSWERS))


def is_chat(*names: Any) -> bool:
    """Whether a call of that kind, path or model is one of a chat model, as far as its names tell."""
    return not any(word in plain(name) for name in names if isinstance(name, str) for word in _NOT_CHAT)


def logged_call(
    request: Request, reply: Reply, *, run_id: str, conversation_id: str | None = None, **known: Any
) -> LoggedCall:
    """The call, with what else its log knows of it: fields of `LoggedCall`, which win over those of the two bodies."""
    before, replies = _answered(request.messages, reply.choices)
    error = known.pop("error", None) or reply.error
    found = "failed" if error else "ok"
    if replies:
        found = "partial" if error or reply.broken_off else "ok"
    fields = {
        "status": found,
        "error": error.partition("\n")[0] if error else None,
        "model": request.model or reply.model,
        "tools": request.tools,
        "parameters": request.parameters,
        **{key: value for key, value in known.items() if value not in (None, (), {})},
    }
    return LoggedCall(
        run_id=run_id,
        conversation_id=conversation_id or request.conversation,
        messages=tuple(message.to_dict() for message in before),
        replies=tuple(message.to_dict() for message in replies),
        response_id=reply.id,
        previous_response=request.previous_response,
        is_added=request.conversation is not None and request.previous_response is None,
        source="import",
        **fields,
    )


def summarized(inputs: Any, outputs: Any, **known: Any) -> LoggedCall | None:
    """What a chain, a graph or a trace was asked and gave back, as one call; None where that is no chat.

    Its outputs may hold the whole state, or the new messages alone; its inputs the chat so far, or its end.
    """
    try:
        request, reply = request_of(inputs, asks=True), reply_of(outputs)
        state = unpacked(mapping(outputs).get("messages"))
        told = _messages(state) if isinstance(state, list) else ()
    except InputError:
        return None
    asked = [message for message in request.messages if message.role == "user"]
    if asked and asked[-1] in told:
        request = replace(request, messages=())
    if told:
        reply = replace(reply, choices=(told,) if any(map(is_decision, told)) else ())
    call = logged_call(request, reply, **known)
    if not call.replies:
        return call
    is_question = not told and not has_history(inputs)  # which says nothing of the chat before it
    shown = (*(message for message in call.messages if message["role"] != "system"), *call.replies[:1])
    return replace(call, shown=shown, shown_is_turn=is_question)


def _answered(
    history: tuple[Message, ...], choices: tuple[tuple[Message, ...], ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The history and the replies to it: of several messages the last is the reply, and what led to it is history."""
    if len(choices) != 1:
        lasts = [[message for message in choice if message.role == "assistant"] for choice in choices]
        note(OTHER_CHOICES, sum(len(messages) - 1 for messages in lasts))
        return history, tuple(messages[-1] for messages in lasts)
    [choice] = choices
    last = max(place for place, message in enumerate(choice) if message.role == "assistant")
    run = choice[: last + 1]
    size = len(run)
    if len(history) > size and deeds_of(history[-size:]) == deeds_of(run):  # some loggers add it before they log
        history = history[:-size]
    return (*history, *run[:-1]), run[-1:]


def _body(value: Any) -> Mapping[str, Any]:
    value = unpacked(value)
    if isinstance(value, str | list):
        return {"messages": value}
    if not isinstance(value, Mapping):
        raise InputError(f"the request must be an object with messages, not {_type_of(value)}")
    if isinstance(value.get("args"), list) and isinstance(value.get("kwargs"), Mapping):  # of a decorated function
        arguments = value["args"]
        return _body(value["kwargs"] or (arguments[0] if len(arguments) == 1 else None))
    inner = value.get("body")
    if isinstance(inner, Mapping) and not any(value.get(key) for key in HISTORIES):
        return inner
    return value


def _history(body: Mapping[str, Any], asks: bool) -> tuple[Message, ...]:
    given = [unpacked(body[key]) for key in HISTORIES if body.get(key) not in (None, "", [], {})]
    if not given and asks:
        given = [body[key] for key in _QUESTIONS if isinstance(body.get(key), str) and body[key].strip()]
    if not given:
        raise InputError(f"the messages must be a list, not {_type_of(body.get('messages'))}")
    history = _messages(given[0])
    past = next((unpacked(body[key]) for key in _PAST if isinstance(unpacked(body.get(key)), list)), None)
    return (*_messages(past), *history) if past and isinstance(given[0], str) else history


def _messages(value: Any) -> tuple[Message, ...]:
    if isinstance(value, Mapping) and ("messages" in value or "input" in value):
        return request_of(value).messages
    values = value if isinstance(value, list) else [value]
    if len(values) == 1 and isinstance(values[0], list) and not _is_pair(values[0]):  # a batch of one
        values = values[0]
    return read_messages([_spoken(one) for one in values if not _is_held(one)])


def _spoken(value: Any) -> Any:
    """A message whose speaker goes without saying, as one of the user's."""
    if isinstance(value, str):
        return {"role": "user", "content": value}
    if isinstance(value, Mapping) and isinstance(value.get("parts"), list) and not value.get("role"):
        return {**value, "role": "user"}
    return value


def _is_pair(values: list[Any]) -> bool:
    return len(values) == 2 and all(isinstance(one, str) for one in values)


def _is_held(value: Any) -> bool:
    held = isinstance(value, Mapping) and "role" not in value and value.get("type") in _SERVER_ITEMS
    note(HELD_BY_SERVER, int(held))
    return held


def _is_response(value: Any) -> bool:
    """Whether it has the form of an API's response, or of a message; the text of a reply may be JSON, too."""
    if isinstance(value, list):
        return bool(value) and all(_is_response(one) or _is_message(one) or _is_event(one) for one in value)
    if not isinstance(value, Mapping):
        return False
    lists = ("choices", "candidates", "generations", "output")
    return _is_message(value) or any(isinstance(value.get(key), list) for key in lists) or "toolCalls" in value


def _is_message(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return ("role" in value or "lc" in value or "type" in value) and any(key in value for key in _MESSAGE_BESIDE)


def _choices(value: Any, deepest: int) -> list[tuple[Message, ...]]:
    if value is None or value == "" or value == [] or value == {} or not deepest:
        return []
    if isinstance(value, str):
        return [(Message(role="assistant", content=value),)]
    if isinstance(value, list):
        return _listed(value, deepest)
    if not isinstance(value, Mapping):
        note(UNREADABLE)
        return []
    for key in ("choices", "candidates", "generations"):
        if isinstance(value.get(key), list):
            return [choice for one in _flat(value[key]) if (choice := _choice(one))]
    if _is_message(value) or (plain(value.get("role")) in ("assistant", "model")):
        return [message_of({**value, **({} if "lc" in value else {"role": value.get("role") or "assistant"})})]
    if isinstance(value.get("text"), str) and len(value) > 1:  # the AI SDK's, and those of chains
        calls = unpacked(value.get("toolCalls", value.get("tool_calls")))
        return [message_of({**value, "role": "assistant", "content": value["text"], "tool_calls": calls or []})]
    if "content" in value or "tool_calls" in value or "toolCalls" in value:
        return [message_of({"role": "assistant", **value})]
    key = next((key for key in _ANSWERS if value.get(key) not in (None, "", [], {})), None)
    if key is not None:
        return _choices(value[key], deepest - 1)
    if not any(name in value for name in ("error", "data", *_ANSWERS)):
        note(UNREADABLE)
    return []


def _listed(values: list[Any], deepest: int) -> list[tuple[Message, ...]]:
    """A list of choices, or of the messages and items of one reply."""
    if all(isinstance(one, str) for one in values):
        return [(Message(role="assistant", content=one),) for one in values]
    if not all(_is_message(one) or (isinstance(one, Mapping) and "type" in one) or _is_role_pair(one) for one in values):
        return [choice for one in values for choice in _choices(one, deepest - 1)]
    messages = read_messages([one for one in values if not _is_held(one)])
    is_run = any(message.role != "assistant" for message in messages) or any("role" not in mapping(one) for one in values)
    if not is_run and len(messages) == len(values):
        return [(message,) for message in messages]
    asked = max((place for place, one in enumerate(messages, start=1) if one.role in ("user", "system")), default=0)
    return [messages[asked:]]


def _is_role_pair(value: Any) -> bool:
    return isinstance(value, list) and _is_pair(value)


def _flat(values: Iterable[Any]) -> list[Any]:
    return [one for each in values for one in (each if isinstance(each, list) and not _is_pair(each) else [each])]


def _choice(value: Any) -> tuple[Message, ...]:
    """One of several: OpenAI's, Gemini's, LangChain's, or text."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    fields = mapping(value)
    message = next((fields[key] for key in ("message", "delta", "content") if fields.get(key)), None)
    if message is None and isinstance(fields.get("text"), str):
        return (Message(role="assistant", content=fields["text"]),)
    if isinstance(message, list) and not _is_pair(message):
        return message_of({"role": "assistant", "content": message})
    if isinstance(message, Mapping):
        spoken = "lc" in message or "role" in message or "type" in message
        return message_of(message if spoken else {**message, "role": "assistant"})
    return message_of(message, role="assistant") if message else ()


def _is_event(value: Any) -> bool:
    """Whether it is an event of a stream: OpenAI's chunks, Anthropic's or the Responses API's events."""
    kind = mapping(value).get("type")
    if isinstance(kind, str) and kind.startswith(("message_", "content_block_", "response.")):
        return True
    return any("delta" in choice for choice in objects(mapping(value).get("choices")))


def _streamed(value: Any) -> Any:
    """The response that the events of a stream make up; what is no list of events as it is."""
    if not isinstance(value, list) or not value or not all(map(_is_event, value)):
        return value
    whole = next((event["response"] for event in reversed(value) if isinstance(event.get("response"), Mapping)), None)
    if whole is not None:
        return whole
    if any("choices" in event for event in value):
        return _chunked(value)
    message: dict[str, Any] = {"role": "assistant"}
    blocks: dict[Any, dict[str, Any]] = {}
    inputs: dict[Any, str] = {}
    for event in value:
        message |= {key: found for key, found in mapping(event.get("message")).items() if key != "content"}
        place, delta = event.get("index"), mapping(event.get("delta"))
        if isinstance(event.get("content_block"), Mapping):
            blocks[place] = dict(event["content_block"])
        for name in ("text", "thinking"):
            if isinstance(delta.get(name), str):
                block = blocks.setdefault(place, {"type": name})
                block[name] = f"{block.get(name) or ''}{delta[name]}"
        if isinstance(delta.get("partial_json"), str):
            inputs[place] = inputs.get(place, "") + delta["partial_json"]
    for place, text in inputs.items():
        if place in blocks:
            blocks[place]["input"] = unpacked(text)
    return {**message, "content": list(blocks.values())}


def _chunked(chunks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A response of chunks of the Chat Completions API."""
    said: dict[Any, dict[str, Any]] = {}
    for choice in (choice for chunk in chunks for choice in objects(chunk.get("choices"))):
        delta = mapping(choice.get("delta"))
        message = said.setdefault(choice.get("index", 0), {"role": "assistant", "content": "", "calls": {}})
        for name in ("content", "reasoning_content", "refusal"):
            if isinstance(delta.get(name), str):
                message[name] = f"{message.get(name) or ''}{delta[name]}"
        for call in objects(delta.get("tool_calls")):
            whole = message["calls"].setdefault(call.get("index", 0), {"id": None, "name": "", "arguments": ""})
            whole["id"] = whole["id"] or call.get("id")
            for name in ("name", "arguments"):
                part = mapping(call.get("function")).get(name)
                whole[name] += part if isinstance(part, str) else ""
    choices = []
    for message in said.values():
        calls = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in message.pop("calls").values()
        ]
        choices.append({"message": {**message, "tool_calls": calls}})
    return {**chunks[0], "choices": choices}


def _type_of(value: Any) -> str:
    return "null" if value is None else type(value).__name__
