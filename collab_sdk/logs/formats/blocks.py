"""The blocks of a content, in whatever spelling, as text, reasoning, calls and results.

Media are `[image]` and the like, on a line of their own, and counted. What is of no known kind is counted, and is never
text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.logs.formats.spellings import (
    BARE,
    CALLS,
    HARMLESS,
    HOSTED,
    OUTPUTS,
    REASONINGS,
    RESULTS,
    TEXTS,
    first_of,
    is_block,
    is_provider_call,
    kind_of,
    medium_of,
)
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.tool_calls import tool_calls_in

_THOUGHTS = (
    *("thinking", "think", "reasoning", "text", "content", "summary", "value"),
    *("reasoningText", "reasoningContent"),
)
"""Where blocks of reasoning have it."""
_ARGUMENTS = ("arguments", "input", "args", "action", "rawInput", "queries", "code")
_DONE = ("output-available", "result", "output-error")
"""States of the AI SDK's calls that have a result, be it empty."""
_WITHIN = ("toolInvocation", "tool_call", *BARE)
"""Where a block that is a call has it, if not in its own fields."""
_KIND = re.compile(r"[a-z0-9_.]{1,40}")
_MARK = re.compile("\u3010[^\u3010\u3011]{1,200}\u3011")
"""What a provider puts into a text for a citation."""
UNKNOWN = "parts of messages of the unknown kind {kind}, left out"
MEDIA = "[{kind}] in place of content that is not text"
REFUSALS = "refusals, read as what the assistant said"
NO_CALLS = "calls of tools that cannot be read, left out"


def text_of_blocks(content: Any) -> str:
    """The text of a content, such as a system prompt or a tool's result: what is no text is counted."""
    if content is None or isinstance(content, str):
        return content or ""
    blocks = Blocks()
    blocks.read(content)
    return blocks.text_alone()


def result_text(value: Any) -> str:
    """The result of a tool as a model reads it: its text, or JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping) and "value" in value and "type" in value:  # the AI SDK's
        return result_text(value["value"])
    if isinstance(value, list) and value and all(isinstance(one, str) or is_block(one) for one in value):
        return text_of_blocks(value)
    if is_block(value):
        return text_of_blocks([value])
    return to_json(value)


@dataclass(kw_only=True)
class Blocks:
    """What the blocks of one content hold, in their order: runs of text and calls, and results between them."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    done: list[Message] = field(default_factory=list)
    """Messages that a result follows, without their calls, and those results."""
    called: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    """The calls of those messages, by their place."""
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
            self.called[len(self.done)] = self.calls
            reasoning = "\n".join(self.reasoning)
            self.done.append(Message(role="assistant", content=self.text(), reasoning=reasoning))
            self.reasoning = []
        self.texts, self.calls = [], []

    def _block(self, block: Any) -> None:
        if isinstance(block, str):
            self.texts.append(block)
            return
        if not isinstance(block, Mapping):
            note(UNKNOWN.format(kind=type(block).__name__))
            return
        kind = kind_of(block)
        if kind in REASONINGS or (block.get("thought") is True and kind == "text"):
            self.reasoning += thoughts_in(block)
        elif kind in TEXTS:
            self._say(block, kind)
        elif kind == "json":
            self.texts.append(to_json(block.get("json", block.get("value"))))
        elif kind in CALLS or (kind.startswith("tool_") and "state" in block) or is_provider_call(kind):
            self.call(block, kind)
        elif kind in RESULTS or kind.endswith(("_tool_result", *OUTPUTS)):
            self._result(block)
        elif kind in HARMLESS:
            pass
        elif medium := medium_of(block, kind):
            self._show(block, medium)
        else:
            note(UNKNOWN.format(kind=kind if _KIND.fullmatch(kind) else "that has no name"))

    def _say(self, block: Mapping[str, Any], kind: str) -> None:
        said = first_of(block, "text", "content", "refusal", "value")
        holder = said if isinstance(said, Mapping) else block  # Assistants: {"value", "annotations"}
        text = said.get("value") if isinstance(said, Mapping) else said
        if not isinstance(text, str):
            note(UNKNOWN.format(kind="text that is not text"))
            return
        if kind == "refusal":
            note(REFUSALS)
        noted = holder.get("annotations")
        if isinstance(noted, list) and noted:
            marks = {one["text"] for one in noted if isinstance(one, Mapping) and isinstance(one.get("text"), str)}
            text = _MARK.sub(lambda mark: "" if mark[0] in marks else mark[0], text)
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

    def call(self, block: Mapping[str, Any], kind: str) -> None:
        inner = next((block[key] for key in _WITHIN if isinstance(block.get(key), Mapping)), block)
        if isinstance(inner.get("function"), Mapping):
            inner = {**inner, **inner["function"]}
        name = first_of(inner, "name", "toolName", "tool_name")
        if name is None:
            name = kind.removeprefix("tool_") if kind.startswith("tool_") and "state" in block else kind
            name = str(block.get("type")).removeprefix("tool-") if "state" in block else name.removesuffix("_call")
        call_id = first_of(inner, "call_id", "toolCallId", "tool_call_id", "toolUseId", "tool_use_id", "id")
        key = next((key for key in _ARGUMENTS if inner.get(key) is not None), "")
        arguments = {key: inner[key]} if key in ("queries", "code") else inner.get(key)
        if not isinstance(name, str) or (name.strip() == "" and arguments is None):
            note(NO_CALLS)
            return
        text = arguments if isinstance(arguments, str) else to_json({} if arguments is None else arguments)
        self.calls.append({"id": as_id(call_id), "type": "function", "function": {"name": name, "arguments": text}})
        # The AI SDK's parts and the provider's own tools have the result in the call.
        result = first_of(inner, "output", "outputs", "result", "results", "errorText", "error")
        if kind == "image_generation_call" and result is not None:
            note(MEDIA.format(kind="image"))
            result = "[image]"
        if result is not None or kind in HOSTED or str(inner.get("state")) in _DONE:
            self._answer(as_id(call_id), name, result)

    def _result(self, block: Mapping[str, Any]) -> None:
        inner = next((block[key] for key in BARE if isinstance(block.get(key), Mapping)), block)
        name = first_of(inner, "name", "toolName", "tool_name")
        call_id = first_of(inner, "tool_use_id", "toolUseId", "call_id", "toolCallId", "tool_call_id", "id")
        content = first_of(inner, "content", "output", "response", "result", "value", "text", "tools")
        self._answer(as_id(call_id), name if isinstance(name, str) else None, content)

    def _answer(self, call_id: str | None, name: str | None, content: Any) -> None:
        before = next(reversed(self.called.values()), None)
        if before and self.calls and self.done[-1].role == "tool" and not self.texts:
            before += self.calls  # in parallel, each with its result behind it
            self.calls = []
        else:
            self.flush()
        self.done.append(Message(role="tool", content=result_text(content), name=name, tool_call_id=call_id))

    def text_alone(self) -> str:
        """The text of one who cannot call a tool; calls are counted."""
        done = self.finished()
        note(NO_CALLS, len(self.calls) + sum(len(message.tool_calls) for message in done))
        said = (message.content for message in done if message.role == "assistant")
        return self.glue.join(filter(None, [*said, self.text()]))

    def finished(self) -> list[Message]:
        """The messages in `done`, with their calls."""
        for place, calls in self.called.items():
            self.done[place] = replace(self.done[place], tool_calls=tool_calls_in({"tool_calls": calls}))
        self.called = {}
        return self.done


def thoughts_in(block: Mapping[str, Any]) -> list[str]:
    found = first_of(block, *_THOUGHTS)
    if isinstance(found, str):
        return [found]
    if isinstance(found, list):
        return [text for one in found if isinstance(one, Mapping) for text in thoughts_in(one)]
    return thoughts_in(found) if isinstance(found, Mapping) else []


def as_id(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
