"""What looks like a key or a password, and text without it."""

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

__all__ = ["Address", "one_line", "without_credentials"]

SECRETS = re.compile(r"\b(sk|pk|key|hf|gsk|xai)[-_][\w*-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.IGNORECASE)
SECRET_VARIABLES = ("_API_KEY", "_TOKEN", "_KEY", "_SECRET")
SECRET_PARAMETERS = re.compile(r"key|token|secret|passw|auth|credential|^sig|^code$", re.IGNORECASE)


def one_line(text: str, limit: int = 300) -> str:
    """An error text fit to print: one line, no keys, not endless."""
    line = SECRETS.sub("[secret]", " ".join(text.split()))
    for secret in _environment_secrets():
        line = line.replace(secret, "[secret]")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _environment_secrets() -> list[str]:
    """Keys that look like nothing, such as 32 hex digits, are known by the variables they came from; longest first."""
    named = {value.strip() for name, value in os.environ.items() if name.upper().endswith(SECRET_VARIABLES)}
    return sorted((value for value in named if len(value) >= 8), key=len, reverse=True)


def without_credentials(url: str | None) -> str | None:
    """A URL without user, password, fragment, and the values of query parameters that may be keys."""
    if url is None:
        return None
    parts = urlsplit(url)
    query = [
        (name, "" if SECRET_PARAMETERS.search(name) or SECRETS.search(value) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, urlencode(query), ""))


@dataclass(frozen=True)
class Address:
    """The URL of a server, which must never be seen with its password."""

    url: str

    @property
    def shown(self) -> str:
        """Without user and password."""
        return without_credentials(self.url) or ""

    def said(self, error: BaseException) -> str:
        """What a client library says went wrong: one line, in which neither the URL nor its password is left."""
        text = str(error) or type(error).__name__
        for secret in self._secrets():
            text = text.replace(secret, "[secret]")
        return one_line(text).rstrip(".?")

    def _secrets(self) -> list[str]:
        parts = urlsplit(self.url)
        credentials, _, _ = parts.netloc.rpartition("@")
        password = credentials.partition(":")[2]
        asked = [value for name, value in parse_qsl(parts.query) if SECRET_PARAMETERS.search(name)]
        return [secret for secret in (self.url, credentials, password, unquote(password), *asked) if secret]

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"
