"""Messages as nodes of a tree: each under a hash of its own content and its parent's hash.

Beside that hash, which is the whole history's to the letter, stand two by which chats are told: `own`, of what the
message says alone, and `said`, of all that the two sides said to each other up to it. Neither knows system prompts,
which change from call to call, nor ids of tool calls, which some libraries make anew.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.messages import text_of

_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call")
_PLAIN = {"role", "content"}
_HASH_BYTES = 20
REMEMBERED = 4_000
"""Characters of a message whose node is remembered: with 2,048 of them that takes some megabytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A message and, through its hashes, all that came before it."""

    hash: bytes
    body: str = field(compare=False)
    """The message as JSON."""
    own: bytes = field(compare=False)
    said: bytes = field(compare=False)
    spoken: int = field(compare=False)
    """How many messages up to it, itself included, are no system prompts."""
    role: str = field(compare=False)


BEGINNING = Node(hash=b"", body="", own=b"", said=b"", spoken=0, role="")
"""Before the first message."""


def chain(messages: Iterable[Mapping[str, Any]], *, after: Node = BEGINNING) -> list[Node]:
    """The nodes of canonical messages that follow the node `after`. Raises TypeError or ValueError for no JSON."""
    nodes = []
    for message in messages:
        content = message.get("content")
        is_plain = isinstance(content, str) and len(content) <= REMEMBERED and message.keys() == _PLAIN
        after = _text(after, message["role"], content) if is_plain else _node(after, message)
        nodes.append(after)
    return nodes


@lru_cache(maxsize=2048)  # each call of a chat has all the messages of the one before
def _text(after: Node, role: str, content: str) -> Node:
    return _node(after, {"role": role, "content": content})


def _node(after: Node, message: Mapping[str, Any]) -> Node:
    body, role = to_json(message), str(message.get("role") or "")
    own, is_said = own_hash(message), role != "system"
    return Node(
        hash=_hash(after.hash + body.encode()),
        body=body,
        own=own,
        said=_hash(after.said + own) if is_said else after.said,
        spoken=after.spoken + is_said,
        role=role,
    )


def own_hash(message: Mapping[str, Any]) -> bytes:
    """The hash of what a canonical message says, whatever stands before it. Raises TypeError or ValueError."""
    content, calls = message.get("content", ""), message.get("tool_calls")
    if isinstance(content, str) and not calls:
        return _hash(f"{message.get('role')}\0{content.strip()}".encode("utf-8", "replace"))
    called = [_called(call) for call in calls] if isinstance(calls, list | tuple) else calls
    said = [message.get("role"), content.strip() if isinstance(content, str) else content, called]
    return _hash(to_json(said).encode())


def _called(call: Any) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    return [function.get("name"), function.get("arguments")] if isinstance(function, Mapping) else call


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def canonical(message: Mapping[str, Any]) -> dict[str, Any]:
    """The one form of a message: what apps send back as history must equal what the model replied.

    Between the two, libraries put nulls where nothing was, parts where text was, and spaces into arguments.
    """
    kept = {key: message[key] for key in _KEPT if message.get(key) not in (None, "", [], ())}
    kept["content"] = _content(kept.get("content", ""))
    if isinstance(kept.get("tool_calls"), list | tuple):
        kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
    return {key: kept[key] for key in _KEPT if key in kept}


def _content(content: Any) -> Any:
    """Text where all parts are text; parts with media as they are."""
    if isinstance(content, list | tuple) and all(_is_text(part) for part in content):
        return text_of(content)
    return content


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and isinstance(part.get("text"), str))


def _call(call: Any) -> Any:
    if not isinstance(call, Mapping):
        return call
    kept = {key: value for key, value in call.items() if value is not None and key != "index"}  # of a stream's chunks
    function = kept.get("function")
    if isinstance(function, Mapping):
        kept["function"] = {key: _arguments(value) if key == "arguments" else value for key, value in function.items()}
    return dict(sorted(kept.items()))


def _arguments(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return to_json(arguments)
    try:
        return to_json(parse_json(arguments))
    except (InputError, ValueError):  # a model's own idea of JSON
        return arguments
