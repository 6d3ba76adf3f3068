"""The one reader of messages: any spelling that providers, frameworks and apps log, as `Message`s.

Content may be text, or blocks: OpenAI's parts and Responses items, Anthropic's, Bedrock's, Gemini's, those of the AI
SDK, of Assistants, LangChain and OpenTelemetry. Text is text; a model's reasoning is kept apart; calls and results are
calls and results, in whichever message they stand; media are `[image]` and the like, on a line of their own, and
counted. What is of no known kind is counted, and is never text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.blocks import NO_CALLS, REFUSALS, Blocks, as_id, result_text, thoughts_in
from collab_sdk.logs.formats.cells import yes_or_no
from collab_sdk.logs.formats.spellings import (
    RESULTS,
    ROLES,
    first_of,
    is_block,
    is_item,
    is_output,
    is_result,
    kind_of,
    plain,
    role_of,
    type_of,
)
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, calls_of, reasoning_of
from collab_sdk.tool_calls import tool_calls_in

_ROLE_KEYS = (
    *("role", "from", "sender", "speaker", "author", "type", "sender_type", "message_type", "author_role"),
    *("sender_role", "participant", "actor", "who"),
)
_IS_USER = ("is_user", "is_human", "is_from_user", "from_user")
_FLAGS = (*_IS_USER, "is_bot", "is_ai", "is_assistant")
_CONTENT_KEYS = (
    *("content", "parts", "value", "text", "message", "body", "contents", "utterance", "msg"),
    *("message_text", "message_content", "mes"),
)
_TRAINED = ("weight", "loss", "train", "trainable")
"""What fine-tuning files call how much is to be learnt from a message: OpenAI's, ms-swift's, Axolotl's."""
_INSTEAD = ("audio", "tool_calls", "function_call", "additional_kwargs", "refusal", "reasoning", "reasoning_content")
"""Fields of a message that has no content beside them."""
_THOUGHT_KEYS = ("thinking", "thoughts")
_PIECE = frozenset(
    """text thought thoughtSignature thought_signature functionCall function_call functionResponse function_response
    executableCode executable_code codeExecutionResult code_execution_result inlineData inline_data""".split()
)
"""The keys of Gemini's parts."""
_CALL_ROLES = ("function_call", "tool_call", "tool_calls")
"""Speakers whose text is a call, as JSON."""
_BLOCKS_AS_TEXT = re.compile(r'\s*\[\s*\{[^{}\[\]]*"type"')
_IN_PARALLEL = 200
"""Messages among which parallel calls and their results are looked for."""
SILENT = "messages of the assistant's that hold no words and no call"


def read_messages(values: Any, *, untrained: set[int] | None = None) -> tuple[Message, ...]:
    """Messages from a list of them, or its JSON text. Raises InputError naming the message that is none.

    Calls that follow each other, as items of the Responses API, are calls of one message. The places of messages that
    nothing is to be learnt from, as they say themselves, are added to `untrained`.
    """
    if isinstance(values, str):
        values = parse_json(values) if values.lstrip().startswith("[") else values
    if not isinstance(values, list):
        raise InputError(f"the messages must be a list, not {type_of(values)}")
    parts: list[list[Message]] = []
    taught: list[bool] = []
    for position, value in enumerate(values, start=1):
        try:
            found = message_of(value)
        except InputError as error:
            raise InputError(f"message {position}: {error.problem}") from None
        is_taught = not is_untrained(value)
        if found and parts and _go_on(parts[-1], found[0], is_item=is_item(value)):
            parts[-1].append(found[0])
            taught[-1] = taught[-1] and is_taught
            found = found[1:]
        parts += ([one] for one in found)
        taught += [is_taught] * len(found)
    messages = list(map(_joined, parts))
    runs = _runs(messages)
    if untrained is not None:
        untrained |= {
            place
            for place, run in enumerate(runs)
            if messages[run[0]].role == "assistant" and not all(taught[n] for n in run)
        }
    return tuple(_joined(messages[run.start : run.stop]) for run in runs)


def message_of(value: Any, *, role: Any = None) -> tuple[Message, ...]:
    """The messages in one logged message, which are several where calls, results and text stand in one.

    `value` is an object, or a pair of role and content; or text, where `role` tells who speaks. Raises InputError for
    what is no message, or whose speaker is unknown.
    """
    if isinstance(value, str) and role is not None:
        value = {"content": value, "role": role}
    if isinstance(value, list) and len(value) == 2:
        value = {"role": value[0], "content": value[1]}
    if not isinstance(value, Mapping):
        raise InputError(f"a message must be an object with role and content, not {type_of(value)}")
    if is_item(value):
        if kind_of(value) == "reasoning" and not thoughts_in(value):  # encrypted, or not asked for
            return ()
        return _messages("tool" if kind_of(value) in RESULTS or is_output(value) else "assistant", [value], {})
    value = _fields(value)
    name = _speaker(value) if role is None else role
    speaker, content = role_of(name), _content(value)
    if plain(name) in _CALL_ROLES and content:
        return (Message(role="assistant", content="", tool_calls=_written_calls(content)),)
    return _messages(speaker, content, value)


def _messages(role: str, content: Any, fields: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of one speaker's content, with what stands beside it in the fields of the logged message."""
    if role == "tool" and not (isinstance(content, list) and any(is_result(block) for block in content)):
        call_id = as_id(first_of(fields, "tool_call_id", "toolCallId", "tool_use_id", "call_id"))
        return (Message(role="tool", content=result_text(content), name=_name(fields), tool_call_id=call_id),)
    if isinstance(content, int | float):
        raise InputError(f"content must be a string or a list of parts, not {type_of(content)}")
    blocks = Blocks()
    if isinstance(content, str):
        content = _unpacked(content)
    content = _with_invocations(content, fields)
    if isinstance(content, str):
        blocks.texts.append(content)
    elif content is not None:
        blocks.read(content)
    if role == "assistant":
        if isinstance(content, list) and all(isinstance(one, Mapping) and one.keys() <= _PIECE for one in content):
            blocks.glue = ""  # Gemini's parts are what was streamed, piece by piece
        return _assistant(blocks, fields)
    if content is None:
        raise InputError("content must be a string or a list of parts, not null")
    text = blocks.text_alone()
    results = tuple(message for message in blocks.done if message.role == "tool")
    if role == "tool" or (results and not text):
        return results
    return (*results, Message(role=role, content=text, name=_name(fields) if role == "user" else None))


def _with_invocations(content: Any, fields: Mapping[str, Any]) -> Any:
    """A content with the calls and results that the AI SDK before version 5 had beside it, if not in it too."""
    beside = fields.get("toolInvocations")
    if not isinstance(beside, list) or not beside:
        return content
    blocks = content if isinstance(content, list) else [content] if content else []
    if any(isinstance(block, Mapping) and "toolInvocation" in block for block in blocks):
        return content
    return [*({"type": "tool-invocation", "toolInvocation": one} for one in beside), *blocks]


def _assistant(blocks: Blocks, fields: Mapping[str, Any]) -> tuple[Message, ...]:
    refusal = fields.get("refusal")
    if isinstance(refusal, str) and refusal and not blocks.text():
        note(REFUSALS)
        blocks.texts.append(refusal)
    audio = fields.get("audio")
    spoken = audio.get("transcript") if isinstance(audio, Mapping) else None
    if isinstance(spoken, str) and not blocks.text():
        blocks.texts.append(spoken)
    done = blocks.finished()
    made = {call.get("id") for message in done for call in message.tool_calls}
    beside = [call for call in _beside(fields) if not call["id"] or call["id"] not in made]
    named = {call["id"] for call in beside}
    # LangChain logs calls among the content, too, where their arguments may be missing.
    blocks.calls = [*(call for call in blocks.calls if call["id"] not in named), *beside]
    thoughts = reasoning_of(fields) or next(
        (fields[key] for key in _THOUGHT_KEYS if isinstance(fields.get(key), str)), ""
    )
    text, calls, reasoning = blocks.text(), list(blocks.calls), "\n".join(filter(None, [thoughts, *blocks.reasoning]))
    if done and not text.strip() and not calls:
        return tuple(done)
    if not text and not calls and not reasoning:
        note(SILENT)
    last = Message(
        role="assistant",
        content=text,
        name=_name(fields),
        tool_calls=tool_calls_in({"tool_calls": calls}),
        reasoning=reasoning,
    )
    return (*done, last)


def _written_calls(content: Any) -> tuple[Mapping[str, Any], ...]:
    """The calls that a message of a role for them holds, as JSON: `{"name", "arguments"}`, or a list of them."""
    value = parse_json(content) if isinstance(content, str) else content
    calls = [_call_beside(one) for one in (value if isinstance(value, list) else [value])]
    if not calls or None in calls:
        raise InputError("a function_call must be JSON with name and arguments")
    return tool_calls_in({"tool_calls": calls})


def is_untrained(value: object) -> bool:
    """Whether a message says that nothing is to be learnt from it: 0, or false."""
    return isinstance(value, Mapping) and any(yes_or_no(value.get(key)) is False for key in _TRAINED)


def _beside(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls that stand beside a content, each that can be read."""
    extra = fields.get("additional_kwargs")
    sources = (fields, extra if isinstance(extra, Mapping) else {})
    for source in sources:
        found = first_of(source, "tool_calls", "toolCalls")
        if isinstance(found, str) and found.lstrip().startswith("["):
            with suppress(InputError):
                found = parse_json(found)
        if isinstance(found, list) and found:
            return [call for one in found if (call := _call_beside(one))]
        if found:
            note(NO_CALLS)
        legacy = source.get("function_call")
        if legacy and not isinstance(legacy, str):
            return list(calls_of({"function_call": legacy}))
    return []


def _call_beside(call: Any) -> Mapping[str, Any] | None:
    blocks = Blocks()
    if isinstance(call, Mapping) and not isinstance(call.get("function"), Mapping) and "custom" not in call:
        blocks.call({"type": "tool_call", **call}, "tool_call")
        return blocks.calls[0] if blocks.calls else None
    try:
        [read] = calls_of({"tool_calls": [call]})
    except InputError:
        note(NO_CALLS)
        return None
    return {**read, "id": as_id(call.get("id"))}


def _fields(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a message, unwrapped where a framework wraps them: LangChain's constructors and `data`."""
    if value.get("type") == "constructor" and "lc" in value:
        path, kwargs = value.get("id"), value.get("kwargs")
        if not isinstance(path, list) or not path or not isinstance(kwargs, Mapping):
            raise InputError("an lc constructor must have an id and kwargs")
        kind = plain(path[-1]).removesuffix("_chunk").removesuffix("_message")
        return {**kwargs, "role": kwargs.get("role") if kind == "chat" else kind}
    if isinstance(value.get("data"), Mapping) and "role" not in value:
        inner = value["data"]
        return {**inner, "role": inner.get("role", value.get("type"))}
    inner = value.get("message")
    if isinstance(inner, Mapping) and "role" not in value and ("role" in inner or "author" in inner):
        return _fields(inner)
    who: Mapping[str, Any] = next(
        (value[key] for key in ("author", "sender", "from") if isinstance(value.get(key), Mapping)), {}
    )
    named = [who[key] for key in ("role", "type", "name") if isinstance(who.get(key), str)]
    if named and "role" not in value:
        return {**value, "role": next((name for name in named if plain(name) in ROLES), named[0])}
    return value


def _speaker(value: Mapping[str, Any]) -> Any:
    """The name of who speaks: under `role`, else under the first of its other keys that has a known one."""
    if isinstance(value.get("role"), str) and value["role"]:
        return value["role"]
    spelled = {plain(key): found for key, found in value.items()}
    named = [spelled[key] for key in _ROLE_KEYS if isinstance(spelled.get(key), str) and spelled[key]]
    known = [name for name in named if plain(name).removesuffix("_chunk").removesuffix("_message") in ROLES]
    flags = [
        (key in _IS_USER) == is_set
        for key, one in spelled.items()
        if key in _FLAGS and (is_set := yes_or_no(one)) is not None
    ]
    if flags and not known:
        return "user" if flags[0] else "assistant"
    return next(iter(known or named), None) or _named(value, _ROLE_KEYS)


def _content(value: Mapping[str, Any]) -> Any:
    parts = value.get("parts")
    if isinstance(parts, list) and parts and isinstance(parts[0], Mapping):  # the AI SDK has the text beside them
        return parts
    content = _named(value, _CONTENT_KEYS)
    if content is None and not any(
        plain(key) in _CONTENT_KEYS or (plain(key) in _INSTEAD and beside is not None) for key, beside in value.items()
    ):
        raise InputError("no content: expected text or a list of parts")
    if isinstance(content, Mapping) and isinstance(content.get("parts"), list):
        return content["parts"]
    return content


def _unpacked(text: str) -> Any:
    """The blocks of a content that was logged as their JSON text, as in a column; any other text as it is."""
    if not _BLOCKS_AS_TEXT.match(text):
        return text
    try:
        value = parse_json(text)
    except InputError:
        return text
    return value if value and all(is_block(one) and "type" in one for one in value) else text


def _named(value: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first of these fields that holds anything, whatever the case of its name."""
    for name in names:
        if value.get(name) not in (None, "", []):
            return value[name]
    spelled = {plain(key): found for key, found in value.items()}
    return next((spelled[name] for name in names if spelled.get(name) is not None), None)


def _go_on(parts: Sequence[Message], found: Message, *, is_item: bool) -> bool:
    """Whether it is of one message with those parts: reasoning or text, and then calls, each logged by itself."""
    first, last = parts[0], parts[-1]
    if first.role != "assistant" or found.role != "assistant":
        return False
    if not last.content and not last.tool_calls:
        return bool(last.reasoning and (found.content or found.tool_calls or found.reasoning))
    return is_item and bool(found.tool_calls) and not found.content.strip()


def _runs(messages: Sequence[Message]) -> list[range]:
    """The places of each message; of several, where parallel calls were logged one by one before their results."""
    runs: list[range] = []
    open_ids: set[str | None] = set()
    for place, message in enumerate(messages):
        begun = messages[place - 1] if place else None
        calls_on = begun is not None and begun.tool_calls and message.tool_calls and not message.content.strip()
        if calls_on and open_ids & _answered_behind(messages, place):
            runs[-1] = range(runs[-1].start, place + 1)
        else:
            runs.append(range(place, place + 1))
            open_ids = set()
        open_ids |= {call.id for call in message.calls}
    return runs


def _answered_behind(messages: Sequence[Message], place: int) -> set[str | None]:
    """The calls whose results come behind this message, before anybody says anything more."""
    behind = takewhile(lambda one: one.role == "tool" or one.tool_calls, messages[place + 1 : place + _IN_PARALLEL])
    return {one.tool_call_id for one in behind if one.role == "tool"}


def _joined(parts: Sequence[Message]) -> Message:
    """The message of these parts."""
    if len(parts) == 1:
        return parts[0]
    calls = tool_calls_in({"tool_calls": [call for part in parts for call in part.tool_calls]})
    reasoning = "\n".join(part.reasoning for part in parts if part.reasoning)
    content = next((part.content for part in parts if part.content), "")
    return replace(parts[0], content=content, tool_calls=calls, reasoning=reasoning)


def _name(fields: Mapping[str, Any]) -> str | None:
    name = fields.get("name", fields.get("toolName"))
    return name if isinstance(name, str) and name else None
