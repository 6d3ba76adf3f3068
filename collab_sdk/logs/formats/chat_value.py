"""A chat as the value of one key, in any shape that people keep it in: messages, pairs, exchanges, columns, or text."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.spellings import ROLES, plain
from collab_sdk.logs.formats.times import time_of
from collab_sdk.messages import Message

CHAT_KEYS = (
    *("messages", "conversations", "conversation", "dialogue", "dialog", "dialogs", "dialogues", "turns", "chat"),
    *("chat_messages", "contents", "utterances", "mapping", "history", "data", "items", "transcript"),
)
"""Keys under which chats have their messages."""
_OBJECTS = ("messages", "conversation", "chat", "mapping")
"""Those under which an object may hold them."""
CHAT_IDS = (
    *("conversation_id", "thread_id", "chat_id", "session_id", "dialogue_id", "dialog_id", "message_tree_id"),
    *("conversation_uuid", "chat_uuid", "conv_id", "conversation", "thread", "chat", "session", "dialogue"),
    *("ticket_id", "case_id", "room_id", "interaction_id"),
)
"""Keys under which messages name their chat."""
ASKED = (
    *("instruction", "prompt", "question", "query", "user_message", "user_input", "user_query", "user_prompt"),
    *("human_message", "request", "problem", "input", "inputs", "ask", "user", "human", "customer", "q"),
)
"""Keys of what the user says, in exchanges that name their sides; last those that may name the user."""
SAID = (
    *("response", "output", "completion", "reply", "solution", "answer", "assistant_message", "assistant_response"),
    *("ai_message", "ai_response", "bot_message", "bot_response", "model_response", "model_output", "llm_response"),
    *("agent_response", "targets", "target", "assistant", "bot", "ai", "gpt", "chatbot", "chatgpt", "agent", "a"),
)
"""Keys of what the assistant says in them."""
BESIDE = (
    *("generation", "reply", "assistant", "assistant_response", "assistant_reply", "model_response", "llm_output"),
    *("llm_response", "ai_response", "bot_response", "response_text", "output_text", "generated_text", "final_answer"),
    *("answer", "result", "prediction", "content"),
)
"""Keys of a text beside messages that may be the reply to them, or what was to be answered."""
_MORE = {"instruction": ("input", "context"), "prompt": ("input",), "question": ("context",)}
"""What the user says besides, under another key of the same exchange."""
_SPEAKERS = ("from", "sender", "speaker", "author", "type", "is_user", "is_bot")
_TEXTS = ("content", "value", "text", "parts", "message", "body")
_JSON = re.compile(r'\s*(?:"\s*)?[\[{]')
_PYTHON = re.compile(r"\s*[\[(]\s*[\[({]")
LONGEST_PYTHON = 1_000_000
"""Characters of a list as Python shows it; its parser needs a hundred times the memory."""


def read_chat(value: Any, *, untrained: set[int] | None = None) -> tuple[Message, ...]:
    """The messages of a chat in any shape. Raises InputError where no messages, or no speakers, can be told.

    `untrained` is that of `read_messages`.
    """
    return read_messages(chat_messages(value), untrained=untrained)


def chat_messages(value: Any) -> Any:
    """The chat as a list of messages, which are still in any spelling; what has none of the shapes is left as it is."""
    if isinstance(value, str):
        value = written_value(value) if _JSON.match(value) or _PYTHON.match(value) else value
    if isinstance(value, Mapping):
        page = value.get("data", value.get("messages"))
        value = page if isinstance(page, list) else _rows_of(value)
    if not isinstance(value, list):
        return value
    messages = [parse_json(one) if isinstance(one, str) and one.lstrip().startswith("{") else one for one in value]
    if messages and all(isinstance(one, list) and len(one) == 2 for one in messages) and not _are_named(messages):
        messages = [said for asked, answered in messages for said in exchange(asked, answered)]
    return in_order(_by_system([said for one in messages for said in exchange_of(one) or [one]]))


def is_chat(value: Any) -> bool:
    """Whether a value may be the messages of one chat, rather than something that holds chats."""
    if isinstance(value, Mapping):
        if isinstance(value.get("data"), list):
            return is_chat(value["data"])
        return _rows_of(value) is not value or not any(isinstance(one, list | Mapping) for one in value.values())
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, Mapping):
        holds = any(isinstance(first.get(key), list | Mapping if key in _OBJECTS else list) for key in CHAT_KEYS)
        return not holds and not _are_of_several(value)
    return not (isinstance(first, list) and first and isinstance(first[0], list | Mapping))


def has_chat(row: Mapping[str, Any], key: str) -> bool:
    """Whether the row has its chat under this key. Tables have nulls in the columns that a row does not use."""
    if key not in row or not is_chat(row[key]):
        return False
    return row[key] is not None or not any(row.get(other) is not None for other in CHAT_KEYS)


def chat_of_row(row: Mapping[str, Any]) -> str | None:
    """The id of the chat that a message names as its own; None where it names none."""
    return id_of(row, CHAT_IDS)


def id_of(row: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The first id that a row has under these keys, in the spelling of `plain`."""
    spelled = {plain(key): value for key, value in row.items()}
    found = (spelled[key] for key in keys if isinstance(spelled.get(key), str | int | float))
    return next((str(one) for one in found if one != "" and not isinstance(one, bool)), None)


def written_value(text: str) -> Any:
    """The value of JSON text, or of a list or object as Python shows it. Raises InputError."""
    try:
        value = parse_json(text)
    except InputError as error:
        if "'" not in text and not _PYTHON.match(text):
            raise InputError(f"text that should hold JSON: {error.problem}") from None
        return _python_value(text)
    return parse_json(value) if isinstance(value, str) and _JSON.match(value) else value


def exchange_of(value: Any) -> list[dict[str, Any]]:
    """The messages of an object that has its speakers as keys, such as `{"user", "bot"}`; none of any other."""
    if not isinstance(value, Mapping) or "role" in value or any(value.get(key) not in (None, "") for key in _SPEAKERS):
        return []
    return said_under_keys(value)


def exchange(asked: Any, said: Any) -> list[dict[str, Any]]:
    """What the two sides said, as messages; a side of None said nothing."""
    sides = (("user", asked), ("assistant", said))
    return [{"role": role, "content": content} for role, content in sides if content is not None]


def said_under_keys(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stands under the keys that name the system, the user and the assistant, as messages in this order."""
    spelled = {plain(key): one for key, one in value.items() if one is not None}
    asked = next((key for key in ASKED if key in spelled), "")
    said = next((spelled[key] for key in SAID if key in spelled), None)
    question = spelled.get(asked)
    if isinstance(question, str):
        more = [spelled.get(key) for key in _MORE.get(asked, ())]
        texts = dict.fromkeys([question, *(one for one in more if isinstance(one, str))])
        question = "\n".join(filter(None, texts))
    system = next((spelled[key] for key in ("system", "system_prompt") if isinstance(spelled.get(key), str)), "")
    before = [{"role": "system", "content": system}] if system.strip() else []
    return [*before, *exchange(question, said)]


def in_order(messages: list[Any]) -> list[Any]:
    """The messages, the oldest first, where their times, or the API that they are of, say that the newest is."""
    times = [time_of(one) if isinstance(one, Mapping) else None for one in messages]
    known = [time for time in times if time is not None]
    falls = [later - earlier for earlier, later in pairwise(known)]
    if any(falls) and len(known) == len(messages):
        return messages if any(fall > 0 for fall in falls) else messages[::-1]
    return messages if any(falls) or not _are_latest_first(messages) else messages[::-1]


def _are_latest_first(messages: list[Any]) -> bool:
    """Whether messages whose times do not tell are as OpenAI lists those of a thread or of a conversation."""
    objects = [one for one in messages if isinstance(one, Mapping)]
    if not objects or len(objects) < len(messages):
        return False
    ends = [objects[place].get("role") for place in (0, -1)]
    if all(one.get("object") == "thread.message" for one in objects):
        return ends != ["user", "assistant"]
    return ends == ["assistant", "user"] and all("id" in one and "type" in one for one in objects)


def _are_of_several(messages: list[Any]) -> bool:
    """Whether messages name different chats."""
    if chat_of_row(messages[0]) is None:
        return False
    return len({chat_of_row(one) for one in messages if isinstance(one, Mapping)}) > 1


def _by_system(messages: list[Any]) -> list[Any]:
    """The messages, the assistant called so where dialogue corpora say `SYSTEM`: it alone answers the user."""
    names = [plain(one.get("speaker")) if isinstance(one, Mapping) and "role" not in one else "" for one in messages]
    if not names or set(names) not in ({"user", "system"}, {"usr", "sys"}) or names[0] in ("system", "sys"):
        return messages
    return [
        {**one, "speaker": "assistant"} if name in ("system", "sys") else one
        for name, one in zip(names, messages, strict=True)
    ]


def _are_named(pairs: list[Any]) -> bool:
    """Whether pairs are of a role and what was said, and not of what two sides said."""
    return any(plain(name).removesuffix("_message") in ROLES for name, _ in pairs if isinstance(name, str))


def _rows_of(value: Mapping[str, Any]) -> Any:
    """The messages of columns, `{"role": [...], "content": [...]}`; of a message, a list; else the value."""
    if not any(key in value for key in ("role", *_SPEAKERS)) or not any(key in value for key in _TEXTS):
        return value
    columns = [one for one in value.values() if isinstance(one, list)]
    if len(columns) == len(value) and len(set(map(len, columns))) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    return [value]


def _python_value(text: str) -> Any:
    """The value of a literal of Python's, as JSON has it. Raises InputError for what may mean something else."""
    problem = "text that is neither JSON nor a plain list of Python's; write such columns with json.dumps"
    if len(text) > LONGEST_PYTHON:
        raise InputError(f"{problem}: more than {LONGEST_PYTHON:,} characters")
    try:
        kinds = [token.type for token in _tokens(text.strip())]
        # NumPy shows a list of strings without commas, which Python would read as one.
        if any(one == next == tokenize.STRING for one, next in pairwise(kinds)):
            raise InputError(problem)
        return parse_json(to_json(ast.literal_eval(text.strip())))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        raise InputError(problem) from None


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    skipped = (tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE)
    return (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in skipped)
