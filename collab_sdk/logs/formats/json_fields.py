"""What a field of a row holds, be it JSON or, as in the cells of tables, its text."""

import re
from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.chat_value import written_value

_PYTHON = re.compile(r"[\s\[]*\{\s*'(?:role|content|messages|choices|id|type|lc|input|output|model|text|parts)'\s*:")
"""How messages and bodies begin that pandas wrote into a cell as Python shows them."""


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, or JSON text of one, as in cells of tables; else an empty one."""
    value = unpacked(value)
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; none in anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def unpacked(value: Any) -> Any:
    """The value of JSON text, or of messages and bodies as Python shows them; other text, and all else, as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return written_value(value) if _PYTHON.match(value) else parse_json(value)
        except InputError:
            return value
    return value
