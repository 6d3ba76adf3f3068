"""Rows that other machines may write: nothing in them is believed before its HMAC is."""

import hmac
from collections.abc import Mapping
from typing import Any

from collab_sdk.cache.record import HostileRowError, compress, decompress, from_json, to_json
from collab_sdk.errors import UsageError
from collab_sdk.secrets import remember_secret

VARIABLE = "COLLAB_CACHE_HMAC_KEY"
SHORTEST = 32
"""Characters of a key: `openssl rand -hex 32` makes twice as many."""
CHECKED = b"collab/cache/key-check/v1"
CHECK_DIGITS = 16
VERSION = b"\x01"
DIGEST = "sha256"
DIGEST_BYTES = 32


class Signer:
    """Binds a row to its key (HMAC-SHA256, RFC 2104), under a secret that all who share the cache have.

    Of several secrets the first signs, and rows under any of them are believed: so a secret can be replaced by another.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self.checks = [_check_value(secret) for secret in self._secrets]
        """The check values of the secrets, in the same order."""

    def close(self, key: str, row: Any) -> bytes:
        body = VERSION + compress(to_json(row))
        return body[:1] + self._digest(key, body) + body[1:]

    def open(self, key: str, signed: bytes) -> Any:
        """Raises HostileRowError for what was not signed under one of the secrets, or for another key."""
        if not self.has_signed(key, signed):
            raise HostileRowError("a wrong HMAC")
        if signed[:1] != VERSION:
            raise HostileRowError("a row of another version")
        return from_json(decompress(signed[1 + DIGEST_BYTES :]))

    def has_signed(self, key: str, signed: bytes) -> bool:
        return any(_is_signed(key, signed, secret) for secret in self._secrets)

    def is_current(self, key: str, signed: bytes) -> bool:
        """Whether it was signed under the first secret."""
        return _is_signed(key, signed, self._secrets[0])

    def _digest(self, key: str, body: bytes) -> bytes:
        return _digest(key, body, self._secrets[0])


def is_whole(signed: bytes) -> bool:
    """Whether it has the form of a row, whoever signed it: zlib keeps a checksum of its own."""
    try:
        decompress(signed[1 + DIGEST_BYTES :])
    except HostileRowError:
        return False
    return signed[:1] == VERSION


def _is_signed(key: str, signed: bytes, secret: bytes) -> bool:
    body = signed[:1] + signed[1 + DIGEST_BYTES :]
    return hmac.compare_digest(_digest(key, body, secret), signed[1 : 1 + DIGEST_BYTES])


def _digest(key: str, body: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, key.encode() + b"\0" + body, DIGEST)


def _check_value(secret: bytes) -> str:
    return hmac.digest(secret, CHECKED, DIGEST).hex()[:CHECK_DIGITS]


def key_check_value(environ: Mapping[str, str]) -> str | None:
    """What tells the key that new rows are signed with from another, and gives nothing of it away.

    16 hexadecimal digits of an HMAC under the key; None where no key is set.
    """
    secrets = _secrets(environ)
    return _check_value(secrets[0].encode()) if secrets else None


def signer_of(environ: Mapping[str, str], where: str) -> Signer:
    """The signer of the cache at `where`. Raises UsageError where there is no secret, or one that can be guessed."""
    secrets = _secrets(environ)
    short = next((secret for secret in secrets if len(secret) < SHORTEST), None)
    if short is not None or not secrets:
        wrong = f"{VARIABLE} is not set"
        if short is not None:
            which = f"key {secrets.index(short) + 1} of {len(secrets)} in " if len(secrets) > 1 else ""
            wrong = f"{which}{VARIABLE} has {len(short)} characters, fewer than {SHORTEST}"
        raise UsageError(
            f"A shared cache needs a key to tell its own rows by, and {wrong}: make one with "
            f"`openssl rand -hex 32`, and set it alike wherever {where} is used."
        )
    for secret in secrets:
        remember_secret(secret)
    return Signer(*secrets)


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Several are separated by commas."""
    return [part.strip() for part in environ.get(VARIABLE, "").split(",") if part.strip()]
