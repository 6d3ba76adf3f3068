"""What formats share that log calls of a model, each with the history so far, and no conversations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.blocks import read_messages, tools_of
from collab_sdk.logs.formats.conversation_row import LAST, Row
from collab_sdk.logs.store import LoggedCall

_PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFormat:
    """A log of calls. `read` gives the call, None where something else is logged, and raises InputError.

    A call may come in two halves, without replies and without messages, in two rows of one run id. `name`, `known_by`
    and `priority` are those of a `ConversationFormat`.
    """

    name: str
    known_by: str
    priority: int = LAST
    matches: Callable[[Row], bool]
    read: Callable[[Row], LoggedCall | None]
    unwrapped: Callable[[Row], Sequence[Row]] = lambda row: [row]
    """The entries of a row that wraps several, as answers of an API do."""


def call_messages(values: Any) -> tuple[Mapping[str, Any], ...]:
    """OpenAI-style dicts of a history, or of replies, in any spelling that frameworks log. Raises InputError."""
    if isinstance(values, str | Mapping):
        values = [values]
    if isinstance(values, list):  # a prompt may be text alone
        values = [{"role": "user", "content": value} if isinstance(value, str) else value for value in values]
    return tuple(message.to_dict() for message in read_messages(values))


def parameters(*sources: Any) -> dict[str, Any]:
    """The settings worth keeping: an allow list, since keys and headers are logged among them."""
    given = {key: value for source in sources for key, value in mapping(source).items()}
    return {key: given[key] for key in _PARAMETERS if given.get(key) is not None}


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; none in anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def tool_list(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tools_of(value)


def unpacked(value: Any) -> Any:
    """The value of JSON text; other text, and anything else, as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return parse_json(value)
        except InputError:
            return value
    return value


def run_id(row: Row, *keys: str) -> str:
    for key in keys:
        if isinstance(row.get(key), str) and row[key]:
            return str(row[key])
    raise InputError(f"no id: {' or '.join(keys)} must be text")
