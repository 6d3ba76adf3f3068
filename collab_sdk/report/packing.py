"""Conversations as blocks of compressed JSON, which a page opens one at a time."""

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass, field

from collab_sdk.files import to_json
from collab_sdk.report.fields import Row

BLOCK_BYTES = 1_000_000
"""Of JSON in a block, about: what a browser unpacks before it can show the first conversation in it."""
_UNSAFE = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


@dataclass(kw_only=True, slots=True)
class Blocks:
    """The conversations so far: compressed blocks, and those of the last one that is still open."""

    packed: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)
    _size: int = 0

    @property
    def number(self) -> int:
        """Of the block that the next conversation goes to."""
        return len(self.packed)

    def add(self, chat: Row) -> None:
        text = to_json(chat)
        self._open.append(text)
        self._size += len(text)
        if self._size >= BLOCK_BYTES:
            self.close()

    def close(self) -> None:
        if self._open:
            self.packed.append(packed(f"[{','.join(self._open)}]"))
            self._open, self._size = [], 0


def packed(text: str) -> str:
    """gzip, as base64: no character of it means anything in HTML. The same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def script_json(value: object) -> str:
    """JSON that ends no script element, whatever is in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_UNSAFE)


def csp_hash(text: str) -> str:
    """What a Content-Security-Policy allows the script or style of exactly this text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
