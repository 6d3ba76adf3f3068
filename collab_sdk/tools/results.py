"""What a Python tool returned, as text. It needs the standard library alone, since it runs in the sandbox too."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MEDIA = ("data:image/", "data:audio/", "data:video/")
PARTS = {"image", "image_url", "input_image", "audio", "input_audio", "video", "file"}
"""Types of content parts that hold no text."""
IS_MEDIA = "an image or a recording; results are text or JSON"


def as_text(value: Any) -> str:
    """A result as text: text itself, or JSON; empty for None. Raises ValueError, saying what it is, for all else."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    if text.lstrip()[:11].lower().startswith(MEDIA) or _holds_media(value):
        raise ValueError(IS_MEDIA)
    return text


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{type(value).__name__}, which is neither text nor JSON: {error}") from None


def _plain(value: Any) -> Any:
    """JSON for what is plainly a value. Raises TypeError for all else."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _holds_media(value: Any) -> bool:
    """Whether it is content parts of which one is no text."""
    parts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(part, Mapping) and "type" in part for part in parts) and any(
        part["type"] in PARTS and not isinstance(part.get("text"), str) for part in parts
    )
