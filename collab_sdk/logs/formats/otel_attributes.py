"""The values of a trace's attributes: numbered, nested or as JSON text, and how to tell that one was cut off."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.json_fields import mapping

Attributes = Mapping[str, Any]
Messages = Sequence[Any]

_BLOCKS = re.compile(r'\s*\[\s*\{\s*"(?:type|text|image|toolUse|toolResult|content)"')
_JSON = re.compile(r'\s*(?:\[\s*){0,3}(?:\{\s*["}]|(?<=\[)(?:"|\]))')
_PYTHON = re.compile(r"""\s*\[?\s*\{\s*'(?:role|content|type|messages|parts|finish_reason)'\s*:""")
"""How values begin that are JSON text of parts, of any objects, and what Python prints of objects."""
_QUOTED = ("mlflow.", "traceloop.")
"""Attributes whose texts are JSON too."""
_SAID = (
    *("role", "content", "parts", "messages", "text", "tool_calls", "toolUse", "toolResult"),
    *("choices", "generations", "inputs", "outputs", "input", "output"),
)
_INDEX = re.compile(r"[0-9]{1,18}")
_DEEPEST = 12


def json_of(attributes: Attributes, name: str) -> Any:
    """The value of an attribute, parsed. Raises InputError for JSON text that is cut off."""
    return whole(branch(attributes, name), name, quoted=name.startswith(_QUOTED))


def whole(value: Any, name: str, *, quoted: bool = False) -> Any:
    """The value of JSON text; other text, and anything else, as it is. Raises InputError where the end is missing."""
    if not isinstance(value, str):
        return value
    if _PYTHON.match(value):
        raise InputError(f"{name} is what Python prints of an object, not JSON")
    if not (_JSON.match(value) or (quoted and value.startswith('"'))):
        return value
    try:
        return parse_json(value)
    except InputError as error:
        raise InputError(
            f"{name} is cut off after {len(value):,} characters, or is no JSON ({error.problem}); a limit such as"
            " OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cuts"
        ) from None


def said_in(value: Any, name: str) -> Any:
    """The messages or parts in JSON text of them; other text, which may be JSON that the model wrote, as it is."""
    found = whole(value, name)
    listed = found if isinstance(found, list) else [found]
    is_said = bool(listed) and all(isinstance(one, Mapping) and any(key in one for key in _SAID) for one in listed)
    return found if is_said or not isinstance(value, str) else value


def parts_of(content: Any) -> Any:
    """The parts of a content that is JSON text of them; any other content as it is."""
    return whole(content, "content") if isinstance(content, str) and _BLOCKS.match(content) else content


def messages_of(value: Any, role: str) -> Messages:
    """Messages out of a list of them or of text, or out of one alone."""
    if isinstance(value, Mapping):
        value = value["messages"] if isinstance(value.get("messages"), list) else [value]
    if isinstance(value, str) and value:
        value = [value]
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise InputError(f"the messages must be a list, not {type(value).__name__}")
    return [{"role": role, "content": one} if isinstance(one, str) else one for one in value]


def items_of(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def leaf(attributes: Attributes, name: str) -> Any:
    """The text of an attribute, which MLflow quotes."""
    found = branch(attributes, name)
    if isinstance(found, str) and len(found) > 1 and found.startswith('"') and found.endswith('"'):
        return found[1:-1]
    return found


def branch(attributes: Attributes, name: str) -> Any:
    """What an attribute holds: by its name, or in objects within each other, or as attributes that are numbered."""
    if name in attributes:
        return attributes[name]
    found: Any = attributes
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if found is not None:
        return found
    tree = tree_of(attributes, f"{name}.")
    for step in name.split("."):
        tree = tree[step] if isinstance(tree, Mapping) and step in tree else None
    return tree


def tree_of(attributes: Attributes, prefix: str) -> Any:
    """The attributes of a prefix as the objects and lists that were flattened to them."""
    root: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        *steps, last = key.split(".", _DEEPEST)
        node: Any = root
        for step in steps:
            below = node.get(step)
            if not isinstance(below, _Node):
                below = node[step] = _Node()
            node = below
        if not isinstance(node.get(last), _Node):
            node[last] = value
    return _listed(root)


class _Node(dict[str, Any]):
    """An object that keys with dots stand for; a value may be an object too."""


def _listed(node: Attributes) -> Any:
    """The items in the order of their numbers; what stands beside them, as results of filters, is of no message."""
    values = {key: _listed(value) if isinstance(value, _Node) else value for key, value in node.items()}
    numbers = [key for key in values if _INDEX.fullmatch(key)]
    return [values[key] for key in sorted(numbers, key=int)] if numbers else values


def within(item: Any, name: str) -> Attributes:
    """The fields that an item of a list has under a name of its own, in an object or with dots."""
    fields = mapping(item)
    return mapping(fields.get(name)) or mapping(mapping(tree_of(fields, f"{name}.")).get(name)) or fields
