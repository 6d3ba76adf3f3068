"""Copies of what an app handed over: plain JSON values, every text redacted, media as references."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collab_sdk.harvest.redaction import redact_text
from collab_sdk.secrets import is_secret_name
from collab_sdk.suppression import suppress

FAILED = "[redaction failed]"
OTHER_ROLES = {"developer": "system", "function": "tool"}
"""OpenAI's newer and older names."""
NOTHING: frozenset[str] = frozenset()
MESSAGE = frozenset({"role", "type", "id", "tool_call_id", "call_id"})
"""What holds messages together; a redactor that touched it would tear tool calls from their results."""
BELOW = {"tool_calls": frozenset({"type", "id"}), "content": frozenset({"type"})}
"""And what holds a call, and a part of the content: what lies deeper is text, whatever its key is called."""
SPEC = frozenset({"type"})
KIND = re.compile(r"[a-z][a-z0-9_.-]{0,40}")
"""What the `type` of something may be; anything else under that key is text too."""
MEDIA = frozenset({"data", "file_data", "b64_json", "base64", "image_data"})
DATA_URL = re.compile(r"data:([\w.+-]{1,100}/[\w.+-]{1,100})[^,]{0,200};base64,", re.IGNORECASE)
LONG = 256
DEPTH = 32
LONGEST = 1_000_000
"""Characters that are redacted while the app waits; a longer text would hold it up for seconds."""
REMEMBERED = 8_000_000


class Snapshot:
    """Copies values. What a text became is remembered, so that of a growing history only the new messages cost.

    `redact` is never trusted: where it raises or returns no text, the text is replaced, and `on_failure` is told.
    """

    def __init__(self, redact: Callable[[str], str] | None, on_failure: Callable[[BaseException], None]) -> None:
        self._redact = redact
        self._on_failure = on_failure
        # Two generations: when the younger has grown to REMEMBERED characters, the older is forgotten.
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._size = 0

    def messages(self, messages: Sequence[Any]) -> tuple[dict[str, Any], ...]:
        """The messages as dicts. Raises TypeError for what is none."""
        rows = tuple(self._mapping(message, structure=MESSAGE) for message in messages)
        for row in rows:
            if row.get("role") in OTHER_ROLES:
                row["role"] = OTHER_ROLES[row["role"]]
        return rows

    def specs(self, specs: Sequence[Any]) -> tuple[dict[str, Any], ...]:
        """Specifications of tools as dicts. Raises TypeError for what is none."""
        return tuple(self._mapping(spec, structure=SPEC) for spec in specs)

    def details(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """What is said about a call: nothing in it holds a message together, so every text is redacted."""
        return self._mapping(value)

    def _mapping(self, value: Any, depth: int = 0, structure: frozenset[str] = NOTHING) -> dict[str, Any]:
        """A mapping or pydantic model. Raises TypeError for anything else."""
        if type(value) is not dict and not isinstance(value, Mapping):
            if not _is_model(value):
                raise TypeError(f"{type(value).__name__} is not a message")
            value = value.model_dump(exclude_unset=True, warnings=False)
        below = BELOW if structure is MESSAGE else {}
        return {
            self._key(key): part
            if key in structure and type(part) is str and (key != "type" or KIND.fullmatch(part))
            else self._named(key, part)
            if type(part) is str and key not in MEDIA
            else self._value(part, depth + 1, below.get(key, NOTHING), media=key in MEDIA)
            for key, part in value.items()
        }

    def _named(self, key: Any, text: str) -> str:
        """A text in a mapping: a password shows only beside its name."""
        if self._redact is None or not is_secret_name(str(key)):
            return self.text(text)
        try:
            [redacted] = json.loads(self.text(json.dumps({key: text}, ensure_ascii=False))).values()
        except (AttributeError, TypeError, ValueError):
            return FAILED
        return redacted if isinstance(redacted, str) else self.text(text)

    def text(self, text: str) -> str:
        known = self._young.get(text)
        if known is None:
            known = self._old.get(text)
            if known is None:
                return self._new(text) if text else text
            self._remember(text, known)
        return known

    def _key(self, key: Any) -> str:
        """A name stays as it is; what is none may be a person's address or number."""
        return key if type(key) is str and key.isidentifier() else self.text(str(key))

    def _value(self, value: Any, depth: int, structure: frozenset[str], *, media: bool = False) -> Any:
        if isinstance(value, str):
            return _reference("base64", value) if media and len(value) >= LONG else self.text(str(value))
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -1_000_000 < value < 1_000_000 else self._number(int(value))
        if isinstance(value, float):
            return value if value - value == 0 else None  # JSON has no infinity
        if isinstance(value, bytes | bytearray):
            return _reference("bytes", bytes(value))
        if depth > DEPTH:
            return f"[{type(value).__name__}]"
        if isinstance(value, Mapping) or _is_model(value):
            return self._mapping(value, depth, structure)
        if isinstance(value, Sequence | set | frozenset):
            return [self._value(part, depth + 1, structure) for part in value]
        return f"[{type(value).__name__}]"

    def _number(self, number: int) -> int | str:
        """Phone and card numbers come as numbers too."""
        text = str(number)
        redacted = self.text(text)
        return number if redacted == text else redacted

    def _new(self, text: str) -> str:
        try:
            redacted = self._redacted(text)
        except KeyboardInterrupt:  # the user's, in whose thread this runs
            raise
        except BaseException as error:
            self._on_failure(error)
            return FAILED  # and not remembered: a service that is back must find the same history again
        redacted = text if redacted == text else redacted  # one object for both
        self._remember(text, redacted)
        return redacted

    def _redacted(self, text: str) -> str:
        if url := DATA_URL.match(text):
            return _reference(url[1].lower(), text)
        text = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
        if self._redact is None:
            return text
        if len(text) > LONGEST:
            return _reference("text", text)
        with suppress():
            return redact_text(text, partial(_checked, self._redact))

    def _remember(self, text: str, redacted: str) -> None:
        if len(text) > REMEMBERED // 2:
            return
        self._size += len(text) + LONG
        if self._size > REMEMBERED:
            self._old, self._young, self._size = self._young, {}, len(text)
        self._young[text] = redacted


def _is_model(value: Any) -> bool:
    """Whether it is a pydantic model, and not the class of one."""
    return hasattr(value, "model_dump") and not isinstance(value, type)


def _checked(redact: Callable[[str], str], text: str) -> str:
    redacted = redact(text)
    if not isinstance(redacted, str):
        raise TypeError(f"the redactor returned {type(redacted).__name__}, no text")
    return redacted


def _reference(kind: str, data: str | bytes) -> str:
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    return f"[{kind}, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}]"
