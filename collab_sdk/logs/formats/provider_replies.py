"""What a model answered: a response of any provider's API, the events of a streamed one, a message, or text.

Responses are `{"choices"}`, `{"output"}`, `{"candidates"}` or a message, in whatever of a library wraps them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.formats.json_fields import mapping, objects, unpacked
from collab_sdk.logs.formats.logged_messages import message_of, read_messages
from collab_sdk.logs.formats.provider_requests import is_held, is_pair
from collab_sdk.logs.formats.spellings import is_block, is_item, plain
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, is_decision

_ANSWERS = (
    *("output", "message", "messages", "text", "content", "completion", "generation", "generated_text", "output_text"),
    *("outputText", "response", "answer", "result", "results", "reply", "outputs", "body"),
)
_MESSAGE_BESIDE = ("content", "parts", "tool_calls", "toolCalls", "function_call", "data", "kwargs")
_REPLY_KEYS = ("content", "message", "messages", "text", "tool_calls", "output_text", "completion", "generation")
_OF_FAILURES = ("error", "code", "type", "status", "statusCode", "__type")
"""Fields beside the message of an error."""
_WHOLE = ("response.completed", "response.incomplete", "response.failed")
_CUT = "in_progress"
_DATA = re.compile(r"data:\s*[{\[]")
_STREAM = re.compile(r"(?:data|event|id|retry)?:")
"""How the lines of server-sent events begin."""
DEEPEST = 6
"""Objects around a reply."""

UNREADABLE = "replies in an unknown form, left out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back: for each of the choices (n > 1) its messages."""

    choices: tuple[tuple[Message, ...], ...] = ()
    id: str | None = None
    model: str | None = None
    broken_off: bool = False
    error: str | None = None


def reply_of(value: Any) -> Reply:
    """The reply in a response; without choices where it holds none. Raises InputError for messages that are none."""
    response = unpacked(value) if _is_response(unpacked(value)) else _streamed(value)
    response = _assembled(response)
    about = mapping(response)
    if "choices" not in about and isinstance(about.get("response"), Mapping):
        about = mapping(about["response"])
    error = about.get("error")
    choices = [choice for choice in _choices(response, DEEPEST) if any(map(is_decision, choice))]
    return Reply(
        choices=tuple(choices),
        id=first_text(about.get("id")),
        model=first_text(about.get("model"), about.get("modelVersion"), about.get("model_version")),
        broken_off=about.get("status") in (_CUT, "queued", "cancelled"),
        error=first_text(error, mapping(error).get("message"), mapping(error).get("type")),
    )


def is_reply(value: Any) -> bool:
    """Whether it has the form of a response or of a message, and is not what a model wrote in JSON."""
    return _is_response(value) or (isinstance(value, Mapping) and any(key in value for key in _REPLY_KEYS))


def is_answer(value: Any) -> bool:
    """Whether it is a reply, or an object that has one under one of the usual names."""
    return is_reply(value) or (isinstance(value, Mapping) and any(value.get(key) for key in _ANSWERS))


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
        streamed = _streamed(value)
        text = (Message(role="assistant", content=value),)
        return [text] if streamed is value else _choices(_assembled(streamed), deepest - 1)
    if isinstance(value, list):
        return _listed(value, deepest)
    if not isinstance(value, Mapping):
        note(UNREADABLE)
        return []
    for key in ("choices", "candidates", "generations"):
        if isinstance(value.get(key), list):
            return [choice for one in _flat(value[key]) if (choice := _choice(one))]
    if _is_message(value) or plain(value.get("role")) in ("assistant", "model"):
        is_wrapped = "lc" in value or isinstance(value.get("data"), Mapping)
        return [message_of(value if is_wrapped else {**value, "role": value.get("role") or "assistant"})]
    if isinstance(value.get("text"), str) and len(value) > 1:  # the AI SDK's, and those of chains
        calls = unpacked(value.get("toolCalls", value.get("tool_calls")))
        return [message_of({**value, "role": "assistant", "content": value["text"], "tool_calls": calls or []})]
    if "content" in value or "tool_calls" in value or "toolCalls" in value:
        return [message_of({"role": "assistant", **value})]
    is_failure = isinstance(value.get("message"), str) and any(key in value for key in _OF_FAILURES)
    said = [value[key] for key in _ANSWERS if value.get(key) not in (None, "", [], {})]
    if said and not is_failure:
        return _choices(said[0], deepest - 1)
    if not any(name in value for name in ("error", "data", *_ANSWERS)):
        note(UNREADABLE)
    return []


def _listed(values: list[Any], deepest: int) -> list[tuple[Message, ...]]:
    """A list of choices, of the blocks of a message, or of the messages and items of one reply."""
    if all(map(_is_block, values)) and not all(map(is_item, values)):
        return [message_of({"role": "assistant", "content": values})]
    if all(isinstance(one, str) for one in values):
        return [(Message(role="assistant", content=one),) for one in values]
    if not all(_is_message(one) or "type" in mapping(one) or _is_role_pair(one) for one in values):
        return [choice for one in values for choice in _choices(one, deepest - 1)]
    messages = read_messages([one for one in values if not is_held(one)])
    speaks_alone = all(message.role == "assistant" for message in messages)
    is_run = not speaks_alone or any("role" not in mapping(one) for one in values)
    if not is_run and len(messages) == len(values):
        return [(message,) for message in messages]
    asked = max((place for place, one in enumerate(messages, start=1) if one.role in ("user", "system")), default=0)
    return [messages[asked:]]


def _is_block(value: Any) -> bool:
    return is_block(value) and "type" in value and "role" not in value


def _is_role_pair(value: Any) -> bool:
    return isinstance(value, list) and is_pair(value)


def _flat(values: Iterable[Any]) -> list[Any]:
    return [one for each in values for one in (each if isinstance(each, list) and not is_pair(each) else [each])]


def _choice(value: Any) -> tuple[Message, ...]:
    """One of several: OpenAI's, Gemini's, LangChain's, or text."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    fields = mapping(value)
    message = next((fields[key] for key in ("message", "delta", "content") if fields.get(key)), None)
    if message is None and isinstance(fields.get("text"), str):
        return (Message(role="assistant", content=fields["text"]),)
    if isinstance(message, list) and not is_pair(message):
        return message_of({"role": "assistant", "content": message})
    if isinstance(message, Mapping):
        spoken = "lc" in message or "role" in message or "type" in message
        return message_of(message if spoken else {**message, "role": "assistant"})
    return message_of(message, role="assistant") if message else ()


def _is_event(value: Any) -> bool:
    """Whether it is an event of a stream: OpenAI's chunks, Anthropic's or the Responses API's events."""
    if not isinstance(value, Mapping):
        return False
    kind = value.get("type")
    if isinstance(kind, str) and (kind == "ping" or kind.startswith(("message_", "content_block_", "response."))):
        return True
    choices = objects(value.get("choices"))
    is_usage = "choices" in value and not choices and "usage" in value
    return is_usage or any("delta" in choice for choice in choices)


def _streamed(value: Any) -> Any:
    """The events of a stream that was logged as it came, in text; any other value as it is.

    Raises InputError for one that holds anything else, but for its last event, which may be cut.
    """
    lines = [line.strip() for line in value.split("\n") if line.strip()] if isinstance(value, str) else []
    if not any(map(_DATA.match, lines)) or not all(map(_STREAM.match, lines)):
        return value
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    data = [text for text in data if text not in ("", "[DONE]")]
    events = []
    for text in data:
        try:
            events.append(parse_json(text))
        except InputError:
            if text is not data[-1]:
                raise InputError("a streamed reply with an event that is no JSON") from None
    if not all(map(_is_event, events)) and not all("candidates" in mapping(event) for event in events):
        raise InputError("a streamed reply with events of an unknown kind")
    return events


def _assembled(value: Any) -> Any:
    """The response that the events of a stream make up; what is no list of events as it is."""
    if isinstance(value, list) and value and all("candidates" in mapping(event) for event in value):
        first = [mapping(one) for event in value for one in objects(event["candidates"])[:1]]
        parts = [part for one in first for part in objects(mapping(one.get("content")).get("parts"))]
        is_over = any(one.get("finishReason") for one in first)
        said = {"content": {"role": "model", "parts": parts}}
        return {**value[-1], "candidates": [said], "status": "completed" if is_over else _CUT}
    if not isinstance(value, list) or not value or not all(map(_is_event, value)):
        return value
    if any("choices" in event for event in value):
        return _chunked(value)
    whole = next((event["response"] for event in value if event.get("type") in _WHOLE), None)
    if isinstance(whole, Mapping):
        return whole
    texts = [event.get("delta") for event in value if event.get("type") == "response.output_text.delta"]
    if texts:
        return {"status": _CUT, "content": "".join(text for text in texts if isinstance(text, str))}
    is_over = any(event.get("type") == "message_stop" for event in value)
    message: dict[str, Any] = {"role": "assistant", "status": "completed" if is_over else _CUT}
    blocks: dict[Any, dict[str, Any]] = {}
    inputs: dict[Any, str] = {}
    for event in value:
        message |= {key: found for key, found in mapping(event.get("message")).items() if key != "content"}
        place, delta = _place(event), mapping(event.get("delta"))
        if isinstance(event.get("content_block"), Mapping):
            blocks[place] = dict(event["content_block"])
        for name in ("text", "thinking"):
            if isinstance(delta.get(name), str):
                _extend(blocks.setdefault(place, {"type": name}), name, delta[name])
        if isinstance(delta.get("partial_json"), str):
            inputs[place] = inputs.get(place, "") + delta["partial_json"]
    for place, text in inputs.items():
        if place in blocks:
            blocks[place]["input"] = unpacked(text)
    return {**message, "content": list(blocks.values())}


def _extend(fields: dict[str, Any], name: str, text: str) -> None:
    before = fields.get(name)
    fields[name] = before + text if isinstance(before, str) else text


def _place(part: Mapping[str, Any]) -> int:
    """Which of several a part of a stream belongs to."""
    index = part.get("index")
    return index if isinstance(index, int) else 0


def _chunked(chunks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A response of chunks of the Chat Completions API."""
    said: dict[Any, dict[str, Any]] = {}
    for choice in (choice for chunk in chunks for choice in objects(chunk.get("choices"))):
        delta = mapping(choice.get("delta"))
        message = said.setdefault(_place(choice), {"role": "assistant", "content": "", "calls": {}})
        for name in ("content", "reasoning_content", "refusal"):
            if isinstance(delta.get(name), str):
                _extend(message, name, delta[name])
        for call in objects(delta.get("tool_calls")):
            whole = message["calls"].setdefault(_place(call), {"id": None, "name": "", "arguments": ""})
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
    is_over = any(choice.get("finish_reason") for chunk in chunks for choice in objects(chunk.get("choices")))
    return {**chunks[0], "choices": choices, "status": "completed" if is_over else _CUT}
