"""Rows that other machines may write: nothing in them is believed before its HMAC is."""

import hmac
from collections.abc import Mapping
from typing import Any

from collab_sdk.cache.record import HostileRowError, compress, decompress, from_json, to_json
from collab_sdk.errors import UsageError

VARIABLE = "COLLAB_CACHE_HMAC_KEY"
SHORTEST = 32
"""Characters of a key: `openssl rand -hex 32` makes twice as many."""
VERSION = b"\x01"
DIGEST = "sha256"
DIGEST_BYTES = 32


class Signer:
    """Binds a row to its key (HMAC-SHA256, RFC 2104), under a secret that all who share the cache have."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def close(self, key: str, row: Any) -> bytes:
        body = VERSION + compress(to_json(row))
        return body[:1] + self._digest(key, body) + body[1:]

    def open(self, key: str, signed: bytes) -> Any:
        """Raises HostileRowError for what was not signed under this secret, or for another key."""
        body = signed[:1] + signed[1 + DIGEST_BYTES :]
        if not hmac.compare_digest(self._digest(key, body), signed[1 : 1 + DIGEST_BYTES]):
            raise HostileRowError("a wrong HMAC")
        if body[:1] != VERSION:
            raise HostileRowError("a row of another version")
        return from_json(decompress(body[1:]))

    def _digest(self, key: str, body: bytes) -> bytes:
        return hmac.digest(self._secret, key.encode() + b"\0" + body, DIGEST)


def signer_of(environ: Mapping[str, str], where: str) -> Signer:
    """The signer of the cache at `where`. Raises UsageError where there is no secret, or one that can be guessed."""
    secret = environ.get(VARIABLE, "").strip()
    if len(secret) < SHORTEST:
        wrong = f"has {len(secret)} characters, fewer than {SHORTEST}" if secret else "is not set"
        raise UsageError(
            f"A shared cache needs a key to tell its own rows by, and {VARIABLE} {wrong}: make one with "
            f"`openssl rand -hex 32`, and set it alike wherever {where} is used."
        )
    return Signer(secret)


def key_check_value(environ: Mapping[str, str]) -> str | None:
    """What tells the key from another, and gives nothing of it away: 16 hexadecimal digits. None where none is set."""
    secret = environ.get(VARIABLE, "").strip()
    return hmac.digest(secret.encode(), b"collab/cache/key-check/v1", DIGEST).hex()[:16] if secret else None
