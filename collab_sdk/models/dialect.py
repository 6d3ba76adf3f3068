"""What a server takes of a request, learnt from what it refused."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.spec import ModelSettings

SYSTEM, RESPONSE_FORMAT = "system", "response_format"
"""What can be refused, beside the settings by their names: the system role, and the way to ask for JSON."""
SUCCESSORS = {"max_tokens": "max_completion_tokens"}
"""Settings that some servers only take under a newer name."""


class ReplyFormat(StrEnum):
    """How a server is asked for JSON, the strictest way first; every prompt asks for it in words as well."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    PROMPT = "prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The form of requests that one model's server takes."""

    reply_format: ReplyFormat = ReplyFormat.SCHEMA
    left_out: tuple[str, ...] = ()
    """Settings that are not sent, by name; or `name=value` for one that is sent with other values."""
    renamed: tuple[str, ...] = ()
    """Settings that are sent under their newer name."""
    system_role: bool = True
    """If not, the system message stands at the head of the first user message."""
    schemas: tuple[tuple[str, ReplyFormat], ...] = ()
    """How a server that takes other schemas is asked instead for these, by their digests."""

    def without(self, parameter: str, schema: Mapping[str, Any] | None = None) -> "Dialect":
        """The dialect for a server that refused `parameter`; the same one if nothing can be done about it.

        `schema` is the one that it refused, if it has taken others.
        """
        name, equals, value = parameter.partition("=")
        base = next((old for old, successor in SUCCESSORS.items() if name == successor), name)
        if name == SYSTEM:
            return replace(self, system_role=False)
        if name == RESPONSE_FORMAT:
            if schema is None or self.reply_format is ReplyFormat.PROMPT:
                return replace(self, reply_format=self._next(self.reply_format))
            digest = _digest(schema)
            known = dict(self.schemas)
            known[digest] = self._next(known.get(digest, self.reply_format))
            return replace(self, schemas=tuple(sorted(known.items())))
        if name in SUCCESSORS and name not in (*self.renamed, *self.left_out) and not equals:
            return replace(self, renamed=tuple(sorted({*self.renamed, name})))
        renamed = tuple(each for each in self.renamed if equals or each != base)
        return replace(self, left_out=tuple(sorted({*self.left_out, f"{base}{equals}{value}"})), renamed=renamed)

    @staticmethod
    def _next(reply_format: ReplyFormat) -> ReplyFormat:
        formats = list(ReplyFormat)
        return formats[min(formats.index(reply_format) + 1, len(formats) - 1)]

    def settings(self, settings: ModelSettings) -> ModelSettings:
        """The settings as they are sent."""
        if unsent := self.unsent(settings):
            unset = {name: None for name in unsent if getattr(settings, name, None) is not None}
            extra = {each: value for each, value in (settings.extra_body or {}).items() if each not in unsent}
            settings = replace(settings, **unset, extra_body=extra or None)
        for name in self.renamed:
            if (value := getattr(settings, name)) is not None:
                extra = {SUCCESSORS[name]: value, **(settings.extra_body or {})}
                settings = replace(settings, **{name: None}, extra_body=extra)
        return settings

    def messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages as they are sent."""
        return tuple(messages) if self.system_role else _folded(messages)

    def unsent(self, settings: ModelSettings) -> dict[str, str]:
        """Those of the settings that are left out: by name, what of them is."""
        if not self.left_out:
            return {}
        named = {**settings.sent(), **(settings.extra_body or {})}
        entries = {name: (name, with_value(name, value)) for name, value in named.items()}
        return {name: entry for name, both in entries.items() for entry in both if entry in self.left_out}

    def response_format(self, schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The parameter of that name, for a reply that holds an object of that schema; None: it is not sent."""
        if schema is None:
            return None
        reply_format = dict(self.schemas).get(_digest(schema), self.reply_format) if self.schemas else self.reply_format
        if reply_format is ReplyFormat.PROMPT:
            return None
        if reply_format is ReplyFormat.OBJECT:
            return {"type": "json_object"}
        described = {"name": "reply", "schema": schema, "strict": _is_strict(schema)}
        return {"type": "json_schema", "json_schema": described}

    def to_dict(self) -> dict[str, Any]:
        lists = {"left_out": list(self.left_out), "renamed": list(self.renamed)}
        return {**asdict(self), **lists, "schemas": dict(self.schemas)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Dialect":
        """Raises ValueError or a LookupError for what `to_dict` did not make."""
        return cls(
            reply_format=ReplyFormat(value["reply_format"]),
            left_out=tuple(map(str, value["left_out"])),
            renamed=tuple(each for each in value["renamed"] if each in SUCCESSORS),
            system_role=bool(value["system_role"]),
            schemas=tuple((str(digest), ReplyFormat(each)) for digest, each in value["schemas"].items()),
        )


PLAIN = Dialect()
"""Of a server of which nothing is known."""


def with_value(name: str, value: Any) -> str:
    """A setting with its value, for a server that takes other values."""
    return f"{name}={value_text(value)}"


def value_text(value: Any) -> str:
    """A JSON value as text, the same for the same value."""
    return json.dumps(value, default=str, sort_keys=True)


def _digest(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(value_text(schema).encode()).hexdigest()[:16]


def _folded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """System messages at the head of the user message that follows, or of one of their own."""
    folded: list[Message] = []
    pending: list[str] = []
    for message in messages:
        if message.role == "system":
            pending.append(message.content)
        elif message.role == "user" and pending:
            folded.append(replace(message, content="\n\n".join([*pending, message.content])))
            pending = []
        else:
            folded.append(message)
    if pending:
        folded.append(Message(role="user", content="\n\n".join(pending)))
    return tuple(folded)


def _is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether a server can hold a model to every part of it: OpenAI's takes no part that is left open."""
    return schema.get("additionalProperties") is False and all(schema.get("properties", {}).values())
