"""Opening a cache by what the user calls it, and copying one into another."""

import os
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from collab_sdk.cache.address import URL, server_address
from collab_sdk.cache.base import KeptCache
from collab_sdk.cache.contents import Copied, Unreadable
from collab_sdk.errors import UsageError
from collab_sdk.plugins import load, names

ROWS_AT_ONCE = 200
KEYWORDS = re.compile(r"\b(?:host|hostaddr|user|password|dbname|service)\s*=")
"""Of libpq's other form of an address, `host=db user=me`."""


def open_cache(where: str | os.PathLike[str], *, any_key: bool = False) -> KeptCache:
    """The cache in a directory, or at a URL whose scheme is an entry point of `collab_sdk.caches`.

    With `any_key`, one at a server is opened even if it is used with other keys than this process has; it can only be
    counted then. Raises UsageError for a URL that nobody serves, CacheError if the cache cannot be used.
    """
    if is_directory(where):
        from collab_sdk.cache.disk import DiskCache

        return DiskCache(Path(where))
    scheme = str(where).partition("://")[0].lower()
    cache: KeptCache = load("caches", scheme)(where, any_key=any_key)
    return cache


def is_directory(where: str | os.PathLike[str]) -> bool:
    """Whether a cache is in a directory, and at no server.

    Raises UsageError for a URL with a slip in its beginning, such as `redis:/:PASSWORD@host` or `me:PASSWORD@host`, and
    for the keywords of PostgreSQL's client, which would become a directory of that name.
    """
    if isinstance(where, str) and KEYWORDS.search(where) and not Path(where).expanduser().is_dir():
        raise UsageError("The address of a cache is a URL: write it like postgresql://USER@HOST:5432/DATABASE.")
    if not isinstance(where, str) or ":" not in where:
        return True
    if URL.match(where):
        return False
    scheme = where.partition(":")[0].strip(" /").lower()
    is_cut_off = ("@" in where or where.startswith("//")) and not Path(where).expanduser().is_dir()
    if "://" in where or scheme in names("caches") or is_cut_off:
        raise UsageError(
            "The address of a cache begins with redis:// or postgresql://, and this one does not quite. (A directory "
            "whose name has both : and @ must exist before.)"
        )
    return True


def shown_place(where: str) -> str:
    """Where a cache is, without a password. Raises UsageError for a URL that cannot be read."""
    return where if is_directory(where) else server_address(where, {}).shown


def default_cache(environ: Mapping[str, str]) -> str | Path:
    """`COLLAB_CACHE`, `COLLAB_CACHE_DIR`, or `collab` in the user's cache directory (XDG base directories)."""
    if chosen := environ.get("COLLAB_CACHE") or environ.get("COLLAB_CACHE_DIR"):
        return chosen
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collab"


def copy_cache(source: KeptCache, target: KeptCache) -> Copied:
    """Copy what can be read, is not there yet and is not too large for `target`.

    Started again, it adds what is missing.
    """
    rows, read, added, unreadable = source.rows(), 0, 0, 0
    too_large: dict[str, int] = {}
    while page := dict(islice(rows, ROWS_AT_ONCE)):
        readable = {key: row for key, row in page.items() if not isinstance(row, Unreadable)}
        read += len(readable)
        unreadable += len(page) - len(readable)
        if readable:
            new = target.add(readable)
            added += new.rows
            too_large |= new.too_large
    return Copied(read=read, added=added, unreadable=unreadable, too_large=too_large)
