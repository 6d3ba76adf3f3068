"""Opening a cache by what the user calls it, and copying one into another."""

import os
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from collab_sdk.cache.base import KeptCache
from collab_sdk.plugins import load

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
ROWS_AT_ONCE = 200


def open_cache(where: str | os.PathLike[str]) -> KeptCache:
    """The cache in a directory, or at a URL whose scheme is an entry point of `collab_sdk.caches`.

    Raises UsageError for a URL that nobody serves, CacheError if the cache cannot be used.
    """
    url = URL.match(where) if isinstance(where, str) else None
    if url is None:
        from collab_sdk.cache.disk import DiskCache

        return DiskCache(Path(where))
    cache: KeptCache = load("caches", url["scheme"].lower())(where)
    return cache


def default_cache(environ: Mapping[str, str]) -> str | Path:
    """`COLLAB_CACHE`, `COLLAB_CACHE_DIR`, or `collab` in the user's cache directory (XDG base directories)."""
    if chosen := environ.get("COLLAB_CACHE") or environ.get("COLLAB_CACHE_DIR"):
        return chosen
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collab"


def copy_cache(source: KeptCache, target: KeptCache) -> tuple[int, int]:
    """Copy what can be read and is not there yet; how many rows were read, and how many were added.

    Started again, it adds what is missing.
    """
    rows, read, added = source.rows(), 0, 0
    while page := dict(islice(rows, ROWS_AT_ONCE)):
        read += len(page)
        added += target.add(page)
    return read, added
