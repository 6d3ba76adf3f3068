"""LM Studio's `*.conversation.json`, `{"messages": [{"versions": [...], "currentlySelected"}]}`.

Each message has the versions of it that were written; the chat is those that are selected, and the others of the
assistant's are alternatives.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.trees import read_tree
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_PROMPT = "llm.prediction.systemPrompt"
_HARMLESS = ("genInfo", "debugInfoBlock", "status", "toolStatus")


def _matches(row: Row) -> bool:
    messages = row.get("messages")
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(one, Mapping) and isinstance(one.get("versions"), list) for one in messages)
    )


def _read(row: Row) -> Conversation | None:
    if not _matches(row):
        raise InputError("messages must be a list of messages, each with versions")
    nodes: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, str | None] = {}
    before: str | None = None
    for position, message in enumerate(row["messages"], start=1):
        versions = objects(message["versions"])
        for number, version in enumerate(versions, start=1):
            nodes[f"{position}, version {number}"] = version
            parents[f"{position}, version {number}"] = before
        chosen = message.get("currentlySelected")
        if versions:
            number = chosen + 1 if type(chosen) is int and 0 <= chosen < len(versions) else len(versions)
            before = f"{position}, version {number}"
    tree = read_tree(parents, lambda name: _messages(nodes[name]), before)
    if prompt := _prompt(row):
        tree = tree.with_system(prompt)
    names = [mapping(nodes[name].get("senderInfo")).get("senderName") for name in tree.path]
    model = first_text(*reversed(names), mapping(row.get("lastUsedModel")).get("identifier"))
    found = {"title": first_text(row.get("name")), "model": model}
    metadata = {key: value for key, value in found.items() if value}
    ended = row.get("assistantLastMessagedAt") or row.get("createdAt")
    return tree.conversation({"id": row.get("id"), "metadata": metadata, "ended": ended})


def _prompt(row: Row) -> str | None:
    fields = objects(mapping(row.get("perChatPredictionConfig")).get("fields"))
    return first_text(*(one.get("value") for one in fields if one.get("key") == _PROMPT), row.get("systemPrompt"))


def _messages(version: Mapping[str, Any]) -> tuple[Message, ...]:
    content: Any = version.get("content")
    if isinstance(version.get("steps"), list):
        content = [block for step in objects(version["steps"]) for block in _step(step)]
    if isinstance(content, list):
        content = [_block(block) for block in content]
    if version.get("role") == "assistant" and not content:
        return ()
    return message_of({"role": version.get("role"), "content": content or ""})


def _step(step: Mapping[str, Any]) -> Iterator[Any]:
    if step.get("type") in _HARMLESS:
        return
    content = step.get("content")
    thinks = mapping(step.get("style")).get("type") == "thinking"
    for block in content if isinstance(content, list) else [step]:
        is_thought = thinks and isinstance(block, Mapping) and block.get("type") == "text"
        yield {"type": "thinking", "thinking": block.get("text")} if is_thought else block


def _block(block: Any) -> Any:
    """A block in the spelling of the others."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "toolCallRequest":
        given = block["arguments"] if "arguments" in block else block.get("parameters")
        return {"type": "tool_use", "id": _id(block), "name": block.get("name"), "input": given}
    if kind == "toolCallResult":
        return {"type": "tool_result", "tool_use_id": _id(block), "content": block.get("content")}
    if kind == "file" and block.get("fileType") == "image":
        return {"type": "image"}
    return block


def _id(block: Mapping[str, Any]) -> Any:
    return block.get("toolCallRequestId") or block.get("callId")


LM_STUDIO = ConversationFormat(
    name="lm-studio", priority=17, known_by="messages with versions", matches=_matches, read=_read
)
