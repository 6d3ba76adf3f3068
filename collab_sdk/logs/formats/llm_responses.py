"""The older tables of simonw/llm: a response a row, with its prompt, and tables of what came with it."""

import sqlite3
from collections.abc import Callable, Iterator, Set
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import MEDIA
from collab_sdk.logs.formats.conversation_row import check_answered, first_text, to_conversation
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_CONVERSATIONS = "SELECT coalesce(conversation_id, id) AS name FROM responses GROUP BY name ORDER BY min(id)"
_RESPONSES = """
    SELECT id, model, system, prompt, response FROM responses
    WHERE coalesce(conversation_id, id) = ? ORDER BY datetime_utc, id"""
_BESIDE = {
    "prompt_fragments": """
        SELECT content FROM prompt_fragments JOIN fragments ON fragments.id = fragment_id
        WHERE response_id = ? ORDER BY "order" """,
    "system_fragments": """
        SELECT content FROM system_fragments JOIN fragments ON fragments.id = fragment_id
        WHERE response_id = ? ORDER BY "order" """,
    "prompt_attachments": 'SELECT 1 FROM prompt_attachments WHERE response_id = ? ORDER BY "order"',
    "tool_calls": "SELECT name, arguments, tool_call_id FROM tool_calls WHERE response_id = ? ORDER BY id",
    "tool_results": "SELECT name, output, tool_call_id FROM tool_results WHERE response_id = ? ORDER BY id",
}
"""By the table, which older versions may not have."""


def read_responses(
    database: sqlite3.Connection,
    file: str,
    report: Callable[[InputError], None],
    *,
    tables: Set[str],
    known: Callable[[str], bool],
) -> Iterator[Conversation]:
    """The conversations, without those that are `known` already."""
    for (name,) in database.execute(_CONVERSATIONS):
        if known(name):
            continue
        rows = database.execute(_RESPONSES, [name]).fetchall()
        messages: list[Message] = []
        for row in rows:
            beside = {
                table: database.execute(query, [row["id"]]).fetchall() if table in tables else []
                for table, query in _BESIDE.items()
            }
            messages += _exchange(row, beside, messages)
        models = [row["model"] for row in rows if isinstance(row["model"], str)]
        about = {"id": name, "metadata": {"model": models[-1]} if models else {}}
        try:
            yield check_answered(to_conversation(about, tuple(messages)))
        except InputError as error:
            report(InputError(error.problem, where=f"{file}, conversation {name}"))


def _exchange(row: sqlite3.Row, beside: dict[str, list[Any]], before: list[Message]) -> list[Message]:
    """The system prompt where it is new, as each response repeats it; results of tools, the prompt, the response."""
    latest = next((message.content for message in reversed(before) if message.role == "system"), "")
    system = _text(row["system"], beside["system_fragments"])
    messages = [Message(role="system", content=system)] if system not in ("", latest) else []
    messages += [
        Message(
            role="tool",
            content=_text(result["output"], []),
            name=first_text(result["name"]),
            tool_call_id=first_text(result["tool_call_id"]),
        )
        for result in beside["tool_results"]
    ]
    prompt = _text(row["prompt"], beside["prompt_fragments"], attachments=len(beside["prompt_attachments"]))
    messages += [Message(role="user", content=prompt)] if prompt else []
    calls = tuple(
        {
            "id": first_text(call["tool_call_id"]),
            "function": {"name": first_text(call["name"]), "arguments": first_text(call["arguments"]) or "{}"},
        }
        for call in beside["tool_calls"]
    )
    response = _text(row["response"], [])
    messages += [Message(role="assistant", content=response, tool_calls=calls)] if response or calls else []
    return messages


def _text(text: Any, fragments: list[Any], *, attachments: int = 0) -> str:
    """The text behind the fragments it was sent with, and placeholders for attachments."""
    note(MEDIA.format(kind="attachment"), attachments)
    pieces = [fragment["content"] for fragment in fragments] + [text] + ["[attachment]"] * attachments
    return "\n".join(piece for piece in pieces if isinstance(piece, str) and piece)
