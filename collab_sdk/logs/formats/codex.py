"""Sessions of Codex, `~/.codex/sessions/**/rollout-*.jsonl`: `{"timestamp", "type", "payload"}`.

Its `response_item`s are items of the Responses API, and are the conversation; its events tell of the same once more.
Until September 2025 the items were rows by themselves, behind one with `id` and `instructions`. What the program says
in the user's place is read as the system's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import Row, first_text, to_conversation
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.trees import settled
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, link_tool_calls
from collab_sdk.types import Conversation

TAKEN_BACK = "turns that were taken back, left out"
UNREAD = "items of a session that are neither messages nor calls, left out"

_ITEM = frozenset("type id status role content phase name arguments input call_id output action summary".split())
_KINDS = (
    *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
    *("local_shell_call", "web_search_call"),
)
_HEAD = frozenset(("id", "timestamp", "instructions", "git"))
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state")
_HARMLESS = ("ghost_snapshot", "compaction", "compaction_summary", "context_compaction", "other")
_CONTEXT = re.compile(
    r"\s*(?:<(?:environment_context|user_instructions|instructions|skill|user_shell_command|turn_aborted|subagents?"
    r"|subagent_notification|hook_prompt|user_action|additional_context|codex_internal_context)[\s>]"
    r"|# AGENTS\.md instructions)",
    re.IGNORECASE,
)
_IDE = ("# Context from my IDE setup:", "# Files mentioned by the user:")
_REQUEST = "## My request for Codex:"


def _matches(row: Row) -> bool:
    if "payload" in row:
        return row.get("type") in _TYPES and isinstance(row["payload"], Mapping)
    return _is_old(row)


def _is_old(row: Row) -> bool:
    """Whether it is a row of the older form: a head, a state, or an item."""
    if "type" not in row:
        return row.keys() == {"record_type"} or (row.keys() <= _HEAD and "instructions" in row and "timestamp" in row)
    is_item = row["type"] in _KINDS and row.keys() - {"encrypted_content"} <= _ITEM
    return is_item and (row["type"] != "message" or isinstance(row.get("content"), list | str))


def _as_now(row: Row) -> Row:
    """A row of the older form in that of today."""
    if "payload" in row:
        return row
    if "type" in row:
        return {"type": "response_item", "payload": row}
    return {"type": "session_meta", "payload": row, "timestamp": row.get("timestamp")}


def _read(rows: Sequence[Row]) -> Conversation | None:
    rows = [_as_now(row) for row in rows if _matches(row) and "record_type" not in row]
    if not rows:
        raise InputError("no rows of a session of Codex: they have type and payload")
    metas = [row["payload"] for row in rows if row["type"] == "session_meta"]
    meta = metas[0] if metas else {}
    messages = tuple(_messages(rows))
    if not messages:
        return None
    prompt = first_text(mapping(meta.get("base_instructions")).get("text"), meta.get("instructions"))
    if prompt:
        messages = (Message(role="system", content=prompt), *messages)
    models = [row["payload"].get("model") for row in rows if row["type"] == "turn_context"]
    named = [model for model in models if isinstance(model, str)]
    times = [row["timestamp"] for row in rows if isinstance(row.get("timestamp"), str)]
    about = {"id": first_text(meta.get("id")), "metadata": {"model": named[-1]} if named else {}}
    kept, _ = settled(link_tool_calls(messages))
    return to_conversation(about | {"ended": times[-1] if times else None}, tuple(kept))


def _messages(rows: Sequence[Row]) -> list[Message]:
    messages: list[Message] = []
    items: list[Mapping[str, Any]] = []
    for row in rows:
        payload = row["payload"]
        if row["type"] == "response_item":
            items.append(payload)
        elif row["type"] == "event_msg" and payload.get("type") == "thread_rolled_back":
            messages += _said(items)
            items = []
            _take_back(messages, payload.get("num_turns"))
    return [*messages, *_said(items)]


def _said(items: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    known = []
    for item in items:
        kind = item.get("type")
        if kind == "reasoning" and not item.get("summary") and not item.get("content"):
            continue  # it is encrypted
        if kind == "message" or "role" in item:
            known += _parted(item)
        elif isinstance(kind, str) and kind.endswith(("reasoning", "_call", "_output")):
            known.append(item)
        elif kind not in _HARMLESS:
            note(UNREAD)
    for message in read_messages(known):
        if message.role == "user" and message.content.lstrip().startswith(_IDE) and _REQUEST in message.content:
            message = replace(message, content=message.content.partition(_REQUEST)[2].strip())
        yield message


def _parted(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A message, or what the program says in one of the user's, and what the user does."""
    content = item.get("content")
    blocks = content if isinstance(content, list) else [content]
    context = [block for block in blocks if _CONTEXT.match(_text_of(block))]
    if item.get("role") != "user" or not context:
        return [item]
    rest = [block for block in blocks if not _CONTEXT.match(_text_of(block))]
    system = {"role": "system", "content": context}
    return [system, {**item, "content": rest}] if rest else [system]


def _text_of(block: Any) -> str:
    text = block.get("text") if isinstance(block, Mapping) else block
    return text if isinstance(text, str) else ""


def _take_back(messages: list[Message], turns: Any) -> None:
    """Delete the last turns, each from what the user said on."""
    if type(turns) is not int or turns <= 0:
        return
    asked: list[int] = []
    for position in range(len(messages) - 1, -1, -1):
        if messages[position].role == "user":
            asked.append(position)
            if len(asked) == turns:
                break
    note(TAKEN_BACK, len(asked))
    del messages[asked[-1] if asked else len(messages) :]


CODEX = EventFormat(
    name="codex",
    priority=16,
    known_by="type and payload, or type and call_id",
    matches=_matches,
    chat=lambda row: None,
    read=_read,
)
