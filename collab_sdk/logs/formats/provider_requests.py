"""What a model was sent, in the spelling of any provider's API or of the libraries around them.

The history is under `messages`, `input`, `contents` or `prompt`, with the system prompt in it or beside it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import text_of_blocks
from collab_sdk.logs.formats.call_row import parameters
from collab_sdk.logs.formats.conversation_row import first_text
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.formats.tool_calls import tools_of
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message

HISTORIES = ("messages", "input_messages", "input", "contents", "prompt", "prompts")
_SYSTEM = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")
_QUESTIONS = ("question", "query", "user_input", "user_message", "human_input", "message", "text", "inputText")
_PAST = ("chat_history", "history")
_TOOLS = ("tools", "functions", "toolConfig", "tool_config")
_SERVER_ITEMS = (
    *("item_reference", "compaction", "compaction_summary", "mcp_list_tools"),
    *("mcp_approval_request", "mcp_approval_response", "additional_tools"),
)
_OTHER_KINDS = (
    *(
        "embedding",
        "moderation",
        "image",
        "speech",
        "transcription",
        "rerank",
        "ocr",
        "video",
        "vector_store",
        "search",
    ),
    *("fine_tun", "mcp_tool", "batch", "file", "get_responses", "delete_responses", "cancel_responses", "input_items"),
)
_OTHER_PATHS = re.compile(
    r"/(?:embeddings|images/(?:generations|edits|variations)|audio/(?:speech|transcriptions|translations)|moderations"
    r"|rerank|ocr|videos)(?:[/?]|\Z)"
)
_OTHER_MODELS = re.compile(r"embed|moderation|whisper|rerank|dall-e|gpt-image|stable-diffusion|titan-image|imagen")

HELD_BY_SERVER = "items of requests that only the provider's server knows, left out"


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
        parameters=parameters(
            config, body.get("inferenceConfig"), body.get("generationConfig", body.get("generation_config")), body
        ),
        previous_response=first_text(body.get("previous_response_id")),
        conversation=first_text(conversation, mapping(conversation).get("id")),
    )


def has_history(value: Any) -> bool:
    """Whether it is the body of a request that has a list of messages, or a list of them."""
    value = unpacked(value)
    if isinstance(value, Mapping):
        body = unpacked(value.get("body"))
        holders = (value, body) if isinstance(body, Mapping) else (value,)
        return any(_is_history(unpacked(holder.get(key))) for holder in holders for key in HISTORIES)
    return _is_history(value)


def _is_history(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else None
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, Mapping) and any(key in first for key in ("role", "from", "parts", "lc", "kwargs", "type"))


def is_prompt(value: Any) -> bool:
    """Whether it is the body of a request whose prompt is text alone."""
    body = mapping(value)
    return any(isinstance(body.get(key), str) and body[key] for key in ("input", "prompt")) or (
        isinstance(body.get("body"), Mapping) and is_prompt(body["body"])
    )


def is_question(value: Any) -> bool:
    """Whether it is an object that asks something under one of the usual names."""
    return isinstance(value, Mapping) and any(isinstance(value.get(key), str) for key in (*_QUESTIONS, *HISTORIES))


def is_chat(*, kind: Any = None, path: Any = None, model: Any = None) -> bool:
    """Whether a call of this kind (LiteLLM's `call_type`), path of an API and model is one of a chat model."""
    return not (
        any(word in plain(kind) for word in _OTHER_KINDS)
        or (isinstance(path, str) and _OTHER_PATHS.search(path))
        or (isinstance(model, str) and _OTHER_MODELS.search(model))
    )


def messages_in(value: Any) -> tuple[Message, ...]:
    """The messages of a history, of one message, or of a prompt. Raises InputError."""
    if isinstance(value, Mapping) and ("messages" in value or "input" in value):
        return request_of(value).messages
    if isinstance(value, Mapping) and isinstance(value.get("data"), list):  # a page of an API
        value = value["data"]
    values = value if isinstance(value, list) else [value]
    if len(values) == 1 and isinstance(values[0], list) and not is_pair(values[0]):  # a batch of one
        values = values[0]
    return read_messages([_spoken(one) for one in values if not is_held(one)])


def is_held(value: Any) -> bool:
    """Whether it is an item that stands for what only the provider's server knows; it is counted."""
    held = isinstance(value, Mapping) and "role" not in value and value.get("type") in _SERVER_ITEMS
    note(HELD_BY_SERVER, int(held))
    return held


def is_pair(values: list[Any]) -> bool:
    """Whether it is a message as a pair of role and content."""
    return len(values) == 2 and all(isinstance(one, str) for one in values)


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
    history = messages_in(given[0])
    past = next((unpacked(body[key]) for key in _PAST if isinstance(unpacked(body.get(key)), list)), None)
    return (*messages_in(past), *history) if past and isinstance(given[0], str) else history


def _spoken(value: Any) -> Any:
    """A message whose speaker goes without saying, as one of the user's."""
    if isinstance(value, str):
        return {"role": "user", "content": value}
    if isinstance(value, Mapping) and isinstance(value.get("parts"), list) and not value.get("role"):
        return {**value, "role": "user"}
    return value


def _type_of(value: Any) -> str:
    return "null" if value is None else type(value).__name__
