"""Messages as nodes of a tree: each under a hash of its own content and its parent's hash."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.messages import text_of

_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call")
_HASH_BYTES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A message and, through its hash, all that came before it."""

    hash: bytes
    body: str
    """The message as JSON."""


def chain(messages: Iterable[Mapping[str, Any]], *, after: bytes = b"") -> list[Node]:
    """The nodes of canonical messages that follow the node `after`. Raises TypeError or ValueError for no JSON."""
    nodes = []
    for message in messages:
        body = to_json(message)
        after = hashlib.blake2b(after + body.encode(), digest_size=_HASH_BYTES).digest()
        nodes.append(Node(hash=after, body=body))
    return nodes


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
