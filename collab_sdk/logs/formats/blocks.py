"""The one reader of messages: any spelling that providers, frameworks and apps log, as `Message`s.

Content may be text, or blocks: OpenAI's parts and Responses items, Anthropic's, Bedrock's, Gemini's, those of the AI
SDK, of Assistants, LangChain and OpenTelemetry. Text is text; a model's reasoning is kept apart; calls and results are
calls and results, in whichever message they stand; media are `[image]` and the like, on a line of their own, and
counted. What is of no known kind is counted, and is never text.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, calls_of, reasoning_of
from collab_sdk.tool_calls import tool_calls_in

_ROLE_NAMES = {
    "system": "system developer instructions system_prompt",
    "user": """user human customer client prompter visitor guest end_user enduser usr person consumer caller
        requester""",
    "assistant": """assistant ai gpt model bot agent chatbot chatgpt claude bing bard gemini llm copilot function_call
        tool_call tool_calls ai_assistant ai_agent virtual_assistant virtual_agent support_agent representative""",
    "tool": "tool function observation tool_result tool_response function_response ipython",
}
ROLES = {name: role for role, names in _ROLE_NAMES.items() for name in names.split()}
"""The roles of messages by the names that they have in logs, in the spelling of `plain`."""
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
_INSTEAD = ("tool_calls", "function_call", "additional_kwargs", "refusal", "reasoning", "reasoning_content")
"""Fields of a message that has no content beside them."""
_THOUGHT_KEYS = ("thinking", "thoughts")

_TEXT = ("text", "plain_text", "markdown", "refusal", "audio_transcription")
_REASONING = (
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_text",
    "summary_text",
    "reasoning_content",
    "thought",
    "think",
)
_THOUGHTS = (
    *("thinking", "think", "reasoning", "text", "content", "summary", "value"),
    *("reasoningText", "reasoningContent"),
)
"""Where blocks of reasoning have it."""
_CALLS = (
    *("tool_use", "tool_call", "function_call", "tool_invocation", "dynamic_tool"),
    *("server_tool_use", "mcp_tool_use", "custom_tool_call", "local_shell_call", "server_tool_call"),
)
_ARGUMENTS = ("arguments", "input", "args", "action", "rawInput", "queries", "code")
_HOSTED = ("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call")
"""Calls of tools that the provider runs itself; the result is in the call, or is not logged."""
_CALL_ROLES = ("function_call", "tool_call", "tool_calls")
"""Speakers whose text is a call, as JSON."""
_OUTPUTS = ("_call_output", "_search_output")
_RESULTS = ("tool_result", "tool_response", "function_response", "tool_call_response", "server_tool_call_response")
_DONE = ("output-available", "result", "output-error")
"""States of the AI SDK's calls that have a result, be it empty."""
_HARMLESS = (
    "step_start",
    "agent_update",
    "mcp_list_tools",
    "cache_point",
    "cache_control",
    "source_url",
    "source_document",
    "token_budget",
    "citations",
)
"""Blocks that say nothing of what was said or done."""
_MEDIA = ("image", "audio", "video", "file", "document", "attachment")
_BARE = {
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_response",
    "function_response": "function_response",
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "reasoningContent": "reasoning",
    "inlineData": "file",
    "inline_data": "file",
    "fileData": "file",
    "file_data": "file",
    "image": "image",
    "document": "document",
    "video": "video",
    "cachePoint": "cache_point",
}
"""What a block without a type holds, by its only key: Gemini's and Bedrock's spelling."""
_WITHIN = ("toolInvocation", "tool_call", *_BARE)
"""Where a block that is a call has it, if not in its own fields."""
_KIND = re.compile(r"[a-z0-9_.]{1,40}")
_MARK = re.compile("\u3010[^\u3010\u3011]{1,200}\u3011")
"""What a provider puts into a text for a citation."""
_BLOCKS_AS_TEXT = re.compile(r'\s*\[\s*\{[^{}\[\]]*"type"')
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_AFFIX = re.compile(r"^(?:input|output)_|_url$")

UNKNOWN = "parts of messages of the unknown kind {kind}, left out"
MEDIA = "[{kind}] in place of content that is no text"
REFUSALS = "refusals, read as what the assistant said"
NO_CALLS = "calls of tools that cannot be read, left out"
SILENT = "messages of the assistant's that hold no words and no call"
PROVIDER_TOOLS = "tools of the provider's own, left out"


def plain(name: Any) -> str:
    """A name in the spelling of the tables: `toolCallId`, `tool-call-id` and `TOOL_CALL_ID` are `tool_call_id`."""
    if not isinstance(name, str):
        return ""
    return _plain_key(name) if len(name) <= _LONGEST_KEY else _spelled_plainly(name)


def _spelled_plainly(name: str) -> str:
    return _CAMEL.sub("_", name.strip()).replace("-", "_").replace(" ", "_").lower()


_LONGEST_KEY = 64
_plain_key = lru_cache(maxsize=4096)(_spelled_plainly)
"""The keys of a log are few, and each is asked for in every row."""


def role_of(name: Any) -> str:
    """The role that a log's name for it means. Raises InputError for one that is unknown."""
    spelled = plain(name).removesuffix("_chunk").removesuffix("_message")
    try:
        return ROLES[spelled]
    except KeyError:
        raise InputError(
            f"unknown role {_shown(name)}; expected system, user, assistant, tool or a common name for one of them"
        ) from None


def read_messages(values: Any, *, untrained: set[int] | None = None) -> tuple[Message, ...]:
    """Messages from a list of them, or its JSON text. Raises InputError naming the message that is none.

    Calls that follow each other, as items of the Responses API, are calls of one message. The places of messages that
    nothing is to be learnt from, as they say themselves, are added to `untrained`.
    """
    if isinstance(values, str):
        values = parse_json(values) if values.lstrip().startswith("[") else values
    if not isinstance(values, list):
        raise InputError(f"the messages must be a list, not {_type_of(values)}")
    messages: list[Message] = []
    for position, value in enumerate(values, start=1):
        try:
            found = message_of(value)
        except InputError as error:
            raise InputError(f"message {position}: {error.problem}") from None
        place = len(messages)
        if found and messages and _go_on(messages[-1], found[0], is_item=_is_item(value)):
            found = (_joined(messages.pop(), found[0]), *found[1:])
            place -= 1
        if untrained is not None and _is_untrained(value):
            untrained |= {n for n, one in enumerate(found, start=place) if one.role == "assistant"}
        messages += found
    return tuple(messages)


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
        raise InputError(f"a message must be an object with role and content, not {_type_of(value)}")
    if _is_item(value):
        if _kind(value) == "reasoning" and not _thoughts(value):  # encrypted, or not asked for
            return ()
        return _messages("tool" if _kind(value) in _RESULTS or _is_output(value) else "assistant", [value], {})
    value = _fields(value)
    name = _speaker(value) if role is None else role
    speaker, content = role_of(name), _content(value)
    if plain(name) in _CALL_ROLES and content:
        return (Message(role="assistant", content="", tool_calls=_written_calls(content)),)
    return _messages(speaker, content, value)


def text_of_blocks(content: Any) -> str:
    """The text of a content, such as a system prompt or a tool's result: what is no text is counted."""
    if content is None or isinstance(content, str):
        return content or ""
    blocks = _Blocks()
    blocks.read(content)
    return blocks.text()


def result_text(value: Any) -> str:
    """The result of a tool as a model reads it: its text, or JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping) and "value" in value and "type" in value:  # the AI SDK's
        return result_text(value["value"])
    if isinstance(value, list) and value and all(isinstance(one, str) or _is_block(one) for one in value):
        return text_of_blocks(value)
    if _is_block(value):
        return text_of_blocks([value])
    return to_json(value)


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Tools in OpenAI's form, from any provider's, or their JSON text. Those that are no functions are counted."""
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except InputError:
            value = [value]
    if isinstance(value, Mapping):  # the AI SDK has them by name, Bedrock in a toolConfig
        named = [{"name": name, **tool} for name, tool in value.items() if isinstance(tool, Mapping)]
        value = value["tools"] if isinstance(value.get("tools"), list) else named
    tools: list[Mapping[str, Any]] = []
    for tool in value if isinstance(value, list) else ():
        declared = (
            tool.get("functionDeclarations", tool.get("function_declarations")) if isinstance(tool, Mapping) else None
        )
        for one in declared if isinstance(declared, list) else [tool]:
            if function := _function(one):
                tools.append({"type": "function", "function": function})
            else:
                note(PROVIDER_TOOLS)
    return tuple(tools)


def _function(tool: Any) -> dict[str, Any] | None:
    """The definition in a tool, with the schema under `parameters`."""
    if not isinstance(tool, Mapping):
        return None
    inner = next(
        (tool[key] for key in ("function", "toolSpec", "tool_spec") if isinstance(tool.get(key), Mapping)), tool
    )
    if not isinstance(inner.get("name"), str):
        return None
    if inner is not tool and "parameters" in inner:
        return dict(inner)
    schema = next((inner[key] for key in ("parameters", "input_schema", "inputSchema") if key in inner), None)
    if inner is tool and schema is None and plain(tool.get("type")) not in ("function", "custom", ""):
        return None
    if isinstance(schema, Mapping) and isinstance(schema.get("json", schema.get("jsonSchema")), Mapping):
        schema = schema.get("json", schema.get("jsonSchema"))
    function: dict[str, Any] = {"name": inner["name"]}
    if isinstance(inner.get("description"), str):
        function["description"] = inner["description"]
    if isinstance(schema, Mapping):
        function["parameters"] = schema
    if "strict" in inner:
        function["strict"] = inner["strict"]
    return function


@dataclass(kw_only=True)
class _Blocks:
    """What the blocks of one content hold, in their order: runs of text and calls, and results between them."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    done: list[Message] = field(default_factory=list)
    """Messages that are whole, as a result follows them, and those results."""
    glue: str = "\n"

    def read(self, content: Any) -> None:
        blocks = content if isinstance(content, list | tuple) else [content]
        if any(isinstance(block, Mapping) and block.get("citations") for block in blocks):
            self.glue = ""  # a sentence is cut where what it cites changes
        for block in blocks:
            self._block(block)

    def text(self) -> str:
        return self.glue.join(text for text in self.texts if text)

    def flush(self) -> None:
        """End the assistant's message that is being read, if it holds anything."""
        if any(text.strip() for text in self.texts) or self.calls:
            self.done.append(
                Message(
                    role="assistant",
                    content=self.text(),
                    tool_calls=tool_calls_in({"tool_calls": self.calls}),
                    reasoning="\n".join(self.reasoning),
                )
            )
            self.reasoning = []
        self.texts, self.calls = [], []

    def _block(self, block: Any) -> None:
        if isinstance(block, str):
            self.texts.append(block)
            return
        if not isinstance(block, Mapping):
            note(UNKNOWN.format(kind=type(block).__name__))
            return
        kind = _kind(block)
        if kind in _REASONING or (block.get("thought") is True and kind == "text"):
            self.reasoning += _thoughts(block)
        elif kind in _TEXT:
            self._say(block, kind)
        elif kind == "json":
            self.texts.append(to_json(block.get("json", block.get("value"))))
        elif kind in _CALLS or (kind.startswith("tool_") and "state" in block) or _is_provider_call(kind):
            self._call(block, kind)
        elif kind in _RESULTS or kind.endswith(("_tool_result", *_OUTPUTS)):
            self._result(block)
        elif kind in _HARMLESS:
            pass
        elif medium := _medium(block, kind):
            self._show(block, medium)
        else:
            note(UNKNOWN.format(kind=kind if _KIND.fullmatch(kind) else "that has no name"))

    def _say(self, block: Mapping[str, Any], kind: str) -> None:
        said = _first(block, "text", "content", "refusal", "value")
        holder = said if isinstance(said, Mapping) else block  # Assistants: {"value", "annotations"}
        text = said.get("value") if isinstance(said, Mapping) else said
        if not isinstance(text, str):
            note(UNKNOWN.format(kind="text that is no text"))
            return
        if kind == "refusal":
            note(REFUSALS)
        noted = holder.get("annotations")
        for one in noted if isinstance(noted, list) else ():
            mark = one.get("text") if isinstance(one, Mapping) else None
            if isinstance(mark, str) and _MARK.fullmatch(mark):
                text = text.replace(mark, "")
        self.texts.append(text)

    def _show(self, block: Mapping[str, Any], medium: str) -> None:
        words = block.get("transcript")
        inner = block.get(medium)
        if words is None and isinstance(inner, Mapping):
            words = inner.get("transcript")
        if isinstance(words, str) and words.strip():
            self.texts.append(words)
            return
        note(MEDIA.format(kind=medium))
        self.texts.append(f"[{medium}]")

    def _call(self, block: Mapping[str, Any], kind: str) -> None:
        inner = next((block[key] for key in _WITHIN if isinstance(block.get(key), Mapping)), block)
        if isinstance(inner.get("function"), Mapping):
            inner = {**inner, **inner["function"]}
        name = _first(inner, "name", "toolName", "tool_name")
        if name is None:
            name = kind.removeprefix("tool_") if kind.startswith("tool_") and "state" in block else kind
            name = str(block.get("type")).removeprefix("tool-") if "state" in block else name.removesuffix("_call")
        call_id = _first(inner, "call_id", "toolCallId", "tool_call_id", "toolUseId", "tool_use_id", "id")
        key = next((key for key in _ARGUMENTS if inner.get(key) is not None), "")
        arguments = {key: inner[key]} if key in ("queries", "code") else inner.get(key)
        if not isinstance(name, str) or (name.strip() == "" and arguments is None):
            note(NO_CALLS)
            return
        text = arguments if isinstance(arguments, str) else to_json({} if arguments is None else arguments)
        self.calls.append({"id": _id(call_id), "type": "function", "function": {"name": name, "arguments": text}})
        # The AI SDK's parts and the provider's own tools have the result in the call.
        result = _first(inner, "output", "outputs", "result", "results", "errorText", "error")
        if kind == "image_generation_call" and result is not None:
            note(MEDIA.format(kind="image"))
            result = "[image]"
        if result is not None or kind in _HOSTED or str(inner.get("state")) in _DONE:
            self._answer(_id(call_id), name, result)

    def _result(self, block: Mapping[str, Any]) -> None:
        inner = next((block[key] for key in _BARE if isinstance(block.get(key), Mapping)), block)
        name = _first(inner, "name", "toolName", "tool_name")
        call_id = _first(inner, "tool_use_id", "toolUseId", "call_id", "toolCallId", "tool_call_id", "id")
        content = _first(inner, "content", "output", "response", "result", "value", "text", "tools")
        self._answer(_id(call_id), name if isinstance(name, str) else None, content)

    def _answer(self, call_id: str | None, name: str | None, content: Any) -> None:
        together = self.done and self.done[-1].role == "tool" and not self.texts  # parallel calls, each with its result
        if together and self.calls and self._called_before():
            place = max(n for n, message in enumerate(self.done) if message.role == "assistant")
            calls = tool_calls_in({"tool_calls": [*self.done[place].tool_calls, *self.calls]})
            self.done[place] = replace(self.done[place], tool_calls=calls)
            self.calls = []
        else:
            self.flush()
        self.done.append(Message(role="tool", content=result_text(content), name=name, tool_call_id=call_id))

    def _called_before(self) -> bool:
        called = [message for message in self.done if message.role == "assistant"]
        return bool(called and called[-1].tool_calls)


def _messages(role: str, content: Any, fields: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of one speaker's content, with what stands beside it in the fields of the logged message."""
    if role == "tool" and not (isinstance(content, list) and any(_is_result(block) for block in content)):
        call_id = _id(_first(fields, "tool_call_id", "toolCallId", "tool_use_id", "call_id"))
        return (Message(role="tool", content=result_text(content), name=_name(fields), tool_call_id=call_id),)
    if isinstance(content, int | float):
        raise InputError(f"content must be a string or a list of parts, not {_type_of(content)}")
    blocks = _Blocks()
    if isinstance(content, str):
        content = _unpacked(content)
    if isinstance(content, str):
        blocks.texts.append(content)
    elif content is not None:
        blocks.read(content)
    if role == "assistant":
        return _assistant(blocks, fields)
    if content is None:
        raise InputError("content must be a string or a list of parts, not null")
    if blocks.calls:
        note(NO_CALLS, len(blocks.calls))
    results = tuple(message for message in blocks.done if message.role == "tool")
    said = [message.content for message in blocks.done if message.role == "assistant" and message.content]
    text = blocks.glue.join((*said, *filter(None, [blocks.text()])))
    if role == "tool" or (results and not text):
        return results
    return (*results, Message(role=role, content=text, name=_name(fields) if role == "user" else None))


def _assistant(blocks: _Blocks, fields: Mapping[str, Any]) -> tuple[Message, ...]:
    refusal = fields.get("refusal")
    if isinstance(refusal, str) and refusal and not blocks.text():
        note(REFUSALS)
        blocks.texts.append(refusal)
    done = {call.get("id") for message in blocks.done for call in message.tool_calls}
    beside = [call for call in _beside(fields) if not call["id"] or call["id"] not in done]
    named = {call["id"] for call in beside}
    # LangChain logs calls among the content, too, where their arguments may be missing.
    blocks.calls = [*(call for call in blocks.calls if call["id"] not in named), *beside]
    thoughts = reasoning_of(fields) or next(
        (fields[key] for key in _THOUGHT_KEYS if isinstance(fields.get(key), str)), ""
    )
    text, calls, reasoning = blocks.text(), list(blocks.calls), "\n".join(filter(None, [thoughts, *blocks.reasoning]))
    if blocks.done and not text.strip() and not calls:
        return tuple(blocks.done)
    if not text and not calls and not reasoning:
        note(SILENT)
    last = Message(
        role="assistant",
        content=text,
        name=_name(fields),
        tool_calls=tool_calls_in({"tool_calls": calls}),
        reasoning=reasoning,
    )
    return (*blocks.done, last)


def _written_calls(content: Any) -> tuple[Mapping[str, Any], ...]:
    """The calls that a message of a role for them holds, as JSON: `{"name", "arguments"}`, or a list of them."""
    value = parse_json(content) if isinstance(content, str) else content
    calls = [_call_beside(one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)]
    if not calls or None in calls:
        raise InputError("a function_call must be JSON with name and arguments")
    return tool_calls_in({"tool_calls": calls})


def _is_untrained(value: Any) -> bool:
    """Whether a message says that nothing is to be learnt from it: 0, or false."""
    flags = [value[key] for key in _TRAINED if key in value] if isinstance(value, Mapping) else []
    return any(isinstance(flag, bool | int | float) and not flag for flag in flags)


def _beside(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls that stand beside a content, each that can be read."""
    extra = fields.get("additional_kwargs")
    sources = (fields, extra if isinstance(extra, Mapping) else {})
    for source in sources:
        found = _first(source, "tool_calls", "toolCalls")
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
    blocks = _Blocks()
    if isinstance(call, Mapping) and not isinstance(call.get("function"), Mapping) and "custom" not in call:
        blocks._call({"type": "tool_call", **call}, "tool_call")
        return blocks.calls[0] if blocks.calls else None
    try:
        [read] = calls_of({"tool_calls": [call]})
    except InputError:
        note(NO_CALLS)
        return None
    return {**read, "id": _id(call.get("id"))}


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
    author = value.get("author")
    if isinstance(author, Mapping) and "role" in author:
        return {**value, "role": author["role"]}
    return value


def _speaker(value: Mapping[str, Any]) -> Any:
    """The name of who speaks: under `role`, else under the first of its other keys that has a known one."""
    if isinstance(value.get("role"), str) and value["role"]:
        return value["role"]
    spelled = {plain(key): found for key, found in value.items()}
    named = [spelled[key] for key in _ROLE_KEYS if isinstance(spelled.get(key), str) and spelled[key]]
    known = [name for name in named if plain(name).removesuffix("_chunk").removesuffix("_message") in ROLES]
    flags = [(key in _IS_USER) == bool(one) for key, one in spelled.items() if key in _FLAGS and one in (True, False)]
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
    return value if value and all(_is_block(one) and "type" in one for one in value) else text


def _named(value: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first of these fields that holds anything, whatever the case of its name."""
    for name in names:
        if value.get(name) not in (None, "", []):
            return value[name]
    spelled = {plain(key): found for key, found in value.items()}
    return next((spelled[name] for name in names if spelled.get(name) is not None), None)


def _kind(block: Mapping[str, Any]) -> str:
    given = block.get("type", block.get("kind"))
    if isinstance(given, str):
        return _AFFIX.sub("", plain(given))
    bare = next((kind for key, kind in _BARE.items() if block.get(key) is not None), None)
    if bare:
        return bare
    return "text" if isinstance(block.get("text"), str) else "json" if "json" in block else ""


def _is_block(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = _kind(value)
    known = kind in ("json", *_TEXT, *_REASONING, *_CALLS, *_RESULTS) or bool(_medium(value, kind))
    return known and ("type" in value or len(value) == 1)


def _is_result(value: Any) -> bool:
    return isinstance(value, Mapping) and (_kind(value) in _RESULTS or _is_output(value))


def _is_item(value: Any) -> bool:
    """Whether it is an item of the Responses API that is no message: a call, a result, reasoning."""
    if not isinstance(value, Mapping) or "role" in value or not isinstance(value.get("type"), str):
        return False
    kind = _kind(value)
    if kind == "function_call" and "name" not in value:
        return False
    return (
        kind == "reasoning" or (kind != "tool_call" and kind in _CALLS) or _is_output(value) or _is_provider_call(kind)
    )


def _is_output(value: Mapping[str, Any]) -> bool:
    return _kind(value).endswith(_OUTPUTS)


def _is_provider_call(kind: str) -> bool:
    """Whether it is a call of a tool that the provider runs itself, such as `web_search_call`."""
    return kind.endswith("_call") and kind not in ("tool_call", "function_call")


def _medium(block: Mapping[str, Any], kind: str) -> str | None:
    """The medium of a block that is one, by its type, its modality or its MIME type."""
    inner = next((block[key] for key in ("inlineData", "inline_data", "fileData", "file_data") if key in block), block)
    about = (
        kind,
        _first(block, "modality"),
        _first(inner if isinstance(inner, Mapping) else block, "mimeType", "mime_type", "mediaType"),
    )
    words = [plain(one).partition("/")[0] for one in about if isinstance(one, str)]
    if not any(medium in words[0] for medium in (*_MEDIA, "blob", "uri", "media")):
        return None
    return next((medium for word in reversed(words) for medium in _MEDIA if medium in word), "file")


def _thoughts(block: Mapping[str, Any]) -> list[str]:
    found = _first(block, *_THOUGHTS)
    if isinstance(found, str):
        return [found]
    if isinstance(found, list):
        return [text for one in found if isinstance(one, Mapping) for text in _thoughts(one)]
    return _thoughts(found) if isinstance(found, Mapping) else []


def _go_on(message: Message, found: Message, *, is_item: bool) -> bool:
    """Whether both are one message: its reasoning or its text, and then its calls, each logged by itself."""
    if message.role != "assistant" or found.role != "assistant":
        return False
    only_thought = not message.content and not message.tool_calls and bool(message.reasoning)
    return only_thought or (is_item and bool(found.tool_calls))


def _joined(message: Message, found: Message) -> Message:
    calls = tool_calls_in({"tool_calls": [*message.tool_calls, *found.tool_calls]})
    reasoning = "\n".join(filter(None, [message.reasoning, found.reasoning]))
    return replace(message, content=message.content or found.content, tool_calls=calls, reasoning=reasoning)


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _name(fields: Mapping[str, Any]) -> str | None:
    name = fields.get("name", fields.get("toolName"))
    return name if isinstance(name, str) and name else None


def _id(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _type_of(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _shown(value: Any) -> str:
    return repr(value[:40]) if isinstance(value, str) else _type_of(value)
