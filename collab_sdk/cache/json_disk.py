"""How diskcache stores a record: as checksummed JSON, and nothing else.

diskcache's own Disk and JSONDisk run pickles from a hostile row (CVE-2025-69872), and open and delete files that a row
names.
"""

import hashlib
from typing import Any, NoReturn

import diskcache
from diskcache.core import MODE_RAW

from collab_sdk.cache.encoding import HostileRowError, compress, decompress, from_json, to_json

DIGEST_BYTES = 16


class JSONOnlyDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys are strings, values are JSON behind a checksum, all of it inside the database."""

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        return key if raw and isinstance(key, str) else ""  # a key that no look-up of ours can hit

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, memoryview]:
        raw = to_json(value)
        return 0, MODE_RAW, None, memoryview(_digest(raw) + compress(raw))

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise HostileRowError("a row of another kind")
        raw = decompress(value[DIGEST_BYTES:])
        if _digest(raw) != value[:DIGEST_BYTES]:
            raise HostileRowError("a wrong checksum")
        return from_json(raw)

    def filename(self, key: Any = None, value: Any = None) -> NoReturn:
        raise HostileRowError("values are never stored in files")

    def remove(self, file_path: str) -> None:
        """Rows of ours name no file; whatever file a hostile row names is left alone."""


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:DIGEST_BYTES]
