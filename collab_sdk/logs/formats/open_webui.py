"""Open WebUI: its exports `[{"id", "title", "chat": {"history": {"currentId", "messages": {...}}}}]`, and `webui.db`.

A chat is a tree of messages; another answer under the same parent, of the same model or of one beside it, is an
alternative. Reasoning, calls of tools and code that was run stand in the text of an answer, in blocks of HTML, or since
0.8 in its `output`, as items of the Responses API.
"""

import html
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, reported
from collab_sdk.logs.formats.databases import DatabaseFormat, Report
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.logged_messages import message_of, read_messages
from collab_sdk.logs.formats.trees import read_tree, with_files
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

FAILED = "errors that were shown in the assistant's place, left out"
SHARED = "copies of chats that were shared, left out"

_DETAILS = re.compile(r'<details type="(reasoning|tool_calls|code_interpreter)"([^<>]*)>')
_END = "</details>"
_ATTRIBUTE = re.compile(r'\b([a-z_]{1,40})="([^"]*)"')
_SUMMARY = re.compile(r"\s*<summary>[^<]*</summary>\s*")
_CODE = "open_webui:code_interpreter"


def _matches(row: Row) -> bool:
    row = _chat_of(row)
    chat = mapping(row.get("chat")) or row
    messages = mapping(chat.get("history")).get("messages")
    if isinstance(messages, Mapping):
        return all(isinstance(one, Mapping) for one in messages.values())
    listed = chat.get("messages")
    return (
        chat is not row
        and "id" in row
        and "title" in row
        and isinstance(listed, list)
        and all(isinstance(one, Mapping) for one in listed)
    )


def _chat_of(row: Row) -> Row:
    """The row of the chat; feedback that was given holds a snapshot of one."""
    return mapping(mapping(row.get("snapshot")).get("chat")) or row


def _read(row: Row) -> Conversation | None:
    if not _matches(row):
        raise InputError("chat must be an object with a history of messages")
    row = _chat_of(row)
    chat = mapping(row.get("chat")) or row
    history = mapping(chat.get("history"))
    nodes = mapping(history.get("messages")) or _listed(objects(chat.get("messages")))
    children = {child: name for name, node in nodes.items() for child in _names(node.get("childrenIds"))}
    parents = {name: node["parentId"] if "parentId" in node else children.get(name) for name, node in nodes.items()}
    tree = read_tree(parents, lambda name: _messages(nodes[name]), history.get("currentId") or chat.get("currentId"))
    path = [nodes[name] for name in tree.path]
    prompt = mapping(chat.get("params")).get("system") or chat.get("system")
    if isinstance(prompt, str) and prompt.strip():
        tree = tree.with_system(prompt)
    times = [node["timestamp"] for node in path if node.get("timestamp")]
    about = {"id": row.get("id"), "metadata": _metadata(row, chat, path)}
    return tree.conversation(about | {"ended": times[-1] if times else row.get("updated_at")})


def _listed(messages: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Messages of a chat without a history, each under the one before it."""
    nodes: dict[str, Mapping[str, Any]] = {}
    for position, message in enumerate(messages):
        nodes[f"message {position}"] = {"parentId": f"message {position - 1}" if position else None} | {
            key: value for key, value in message.items() if key != "parentId"
        }
    return nodes


def _names(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _metadata(row: Row, chat: Mapping[str, Any], path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    models = [*_names(chat.get("models"))[:1], *_names([node.get("model") for node in path])]
    ratings = [mapping(node.get("annotation")).get("rating") for node in path]
    given = [rating for rating in ratings if type(rating) in (int, float)]
    title = next((one for one in (row.get("title"), chat.get("title")) if isinstance(one, str) and one), None)
    found = {"title": title, "model": models[-1] if models else None, "rating": given[-1] if given else None}
    return {key: value for key, value in found.items() if value is not None}


def _messages(node: Mapping[str, Any]) -> tuple[Message, ...]:
    role, content = node.get("role"), node.get("content")
    if role == "assistant":
        return _answer(node)
    said = message_of({"role": role, "content": "" if content is None else content})
    kinds = ["image" if file.get("type") == "image" else "file" for file in objects(node.get("files"))]
    return with_files(said, kinds)


def _answer(node: Mapping[str, Any]) -> tuple[Message, ...]:
    content, output = node.get("content"), node.get("output")
    if found := read_messages([item for one in objects(output) for item in _items(one)]):
        return found
    if isinstance(content, str):
        content = [block for block in _blocks(content) if block != ""]
    if not content:
        note(FAILED, int(bool(node.get("error"))))
        return ()
    return message_of({"role": "assistant", "content": content})


def _items(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """An item of an output; code that was run is a call with its result."""
    if item.get("type") != _CODE:
        return [item]
    call = {"type": "function_call", "call_id": item.get("id"), "name": "code_interpreter"}
    arguments = {key: item[key] for key in ("lang", "code") if isinstance(item.get(key), str)}
    ran = {"type": "function_call_output", "call_id": item.get("id"), "output": item.get("output")}
    return [{**call, "arguments": arguments}, ran]


def _blocks(text: str) -> Iterator[Any]:
    """The text of an answer, with the blocks of HTML in it as blocks of a message."""
    begin = 0
    while found := _DETAILS.search(text, begin):
        yield text[begin : found.start()].strip()
        end = text.find(_END, found.end())
        body = text[found.end() : end if end >= 0 else len(text)]
        begin = end + len(_END) if end >= 0 else len(text)
        if summary := _SUMMARY.match(body):
            body = body[summary.end() :]
        attributes = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(found[2])}
        yield from _details(found[1], attributes, body)
    rest = text[begin:]
    yield rest.strip() if begin else rest


def _details(kind: str, attributes: Mapping[str, str], body: str) -> Iterator[Any]:
    if kind == "reasoning":
        lines = html.unescape(body).strip().splitlines()
        yield {"type": "reasoning", "text": "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines)}
        return
    call: dict[str, Any] = {"type": "tool_use", "id": attributes.get("id"), "name": attributes.get("name", "")}
    result = attributes.get("result") or html.unescape(body).strip()
    if kind == "tool_calls":
        call["input"] = _unquoted(attributes.get("arguments", ""))
        result = _unquoted(result)
    else:
        call |= {"name": kind, "input": {"code": body.strip()}}
        result = attributes.get("output", "")
    yield call
    if attributes.get("done") == "true" or result:
        yield {"type": "tool_result", "tool_use_id": call["id"], "name": call["name"], "content": result}


def _unquoted(text: str) -> str:
    """The text that JSON text is of; other text as it is."""
    try:
        value = parse_json(text)
    except InputError:
        return text
    return value if isinstance(value, str) else text


def _matches_tables(tables: Set[str]) -> bool:
    return tables >= {"chat", "auth", "user"}


def _read_tables(database: sqlite3.Connection, file: str, report: Report) -> Iterator[Conversation]:
    for (number,) in database.execute("SELECT rowid FROM chat ORDER BY rowid").fetchall():
        where = f"{file}, row {number}"
        conversation = None
        with reported("open-webui", where, report):
            conversation = _read_row(database, number)
        if conversation:
            yield conversation


def _read_row(database: sqlite3.Connection, number: int) -> Conversation | None:
    try:
        row = dict(database.execute("SELECT * FROM chat WHERE rowid = ?", [number]).fetchone())
    except sqlite3.Error as error:  # such as a value that is too long to be loaded
        raise InputError(f"cannot be read: {error}") from None
    if str(row.get("user_id")).startswith("shared-"):
        note(SHARED)
        return None
    chat = row.get("chat")
    return _read(row | {"chat": parse_json(chat) if isinstance(chat, str) else chat})


OPEN_WEBUI = ConversationFormat(
    name="open-webui", priority=13, known_by="chat.history.messages", matches=_matches, read=_read
)
WEBUI_DB = DatabaseFormat(name="open-webui", known_by="chat, auth and user", matches=_matches_tables, read=_read_tables)
