"""The form that a reply must have, declared once: its JSON Schema is sent to the model, and answers are read by it.

Readers are lenient in form and strict in meaning: "true", 0 and "0.8" read as what they say, and nothing is guessed.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
FLAGS: Mapping[Any, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


@runtime_checkable
class Form(Protocol):
    """What one value must look like."""

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON Schema, in the subset that servers hold strictly: no key is optional, and none may be added."""

    def read(self, value: Any, name: str = "the answer") -> Any:
        """The value in its own type. Raises ValueError for another form, in words that the model can act on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A string. `null`, or no such key, reads as `default`, where there is one."""

    default: str | None = None

    @property
    def is_optional(self) -> bool:
        """Whether the key may be missing."""
        return self.default is not None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def read(self, value: Any, name: str = "the answer") -> str:
        if value is None and self.default is not None:
            return self.default
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A remark that decides nothing: whatever stands there is taken as text, and it may be left out."""

    words: tuple[str, ...] = ()
    """What servers hold the model to; anything else is read all the same."""
    is_optional: ClassVar[bool] = True

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)} if self.words else {"type": "string"}

    def read(self, value: Any, name: str = "the answer") -> str:
        try:
            return "" if value is None else str(value)
        except RecursionError:
            raise ValueError(f"{name} is nested too deeply") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """True or false. `null` reads as `null`, where that is given; a key that is missing never does."""

    null: bool | None = None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def read(self, value: Any, name: str = "the answer") -> bool:
        if value is None and self.null is not None:
            return self.null
        said = value.strip().lower() if isinstance(value, str) else value
        if not isinstance(said, str | int | float) or said not in FLAGS:
            raise ValueError(f"{name} must be true or false")
        return FLAGS[said]


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number from `low` to `high`."""

    low: float = 0.0
    high: float = 1.0

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def read(self, value: Any, name: str = "the answer") -> float:
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            value = float(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high or not math.isfinite(value):
            raise ValueError(f"{name} must be a number from {self.low:g} to {self.high:g}")
        return float(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list. `keyed` names two fields of an item, for models that write `{"milk": true}` in place of the list."""

    item: Form
    at_least: int = 0
    at_most: int | None = None
    """What servers hold the model to, since small models write lists without end; a longer one is read all the same."""
    keyed: tuple[str, str] | None = None

    @property
    def schema(self) -> dict[str, Any]:
        least = {"minItems": self.at_least} if self.at_least else {}
        most = {"maxItems": self.at_most} if self.at_most else {}
        return {"type": "array", "items": self.item.schema, **least, **most}

    def read(self, value: Any, name: str = "the answer") -> list[Any]:
        if isinstance(value, Mapping) and self.keyed is not None:
            key, content = self.keyed
            value = [{key: each, content: item} for each, item in value.items()]
        if not isinstance(value, list) or len(value) < self.at_least:
            raise ValueError(f"{name} must be a list{' with an entry for each' if self.at_least else ''}")
        return [self.item.read(item, f"each entry of {name}") for item in value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """An object with these keys; others are ignored. A value that is no object is read as the field `bare`."""

    fields: Mapping[str, Form] = field(hash=False)
    bare: str | None = None

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: form.schema for name, form in self.fields.items()},
            "required": list(self.fields),
            "additionalProperties": False,
        }

    def read(self, value: Any, name: str = "the answer") -> dict[str, Any]:
        if not isinstance(value, Mapping):
            if self.bare is None or value is None:
                raise ValueError(f"{name} must be an object")
            value = {self.bare: value}
        return {each: self._field(value, each, form) for each, form in self.fields.items()}

    def _field(self, value: Mapping[str, Any], name: str, form: Form) -> Any:
        if name not in value and not getattr(form, "is_optional", False):
            raise ValueError(f'"{name}" is missing')
        return form.read(value.get(name), f'"{name}"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Anything:
    """Whatever somebody else's reader wants to make of it."""

    schema: dict[str, Any] = field(default_factory=dict, hash=False)

    def read(self, value: Any, name: str = "the answer") -> Any:
        return value
