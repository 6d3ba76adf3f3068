"""What looks like a key or a password, and text without it."""

import hashlib
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from collab_sdk.errors import UsageError

__all__ = ["Address", "one_line", "remember_secret", "without_credentials"]

SECRETS = re.compile(r"\b(sk|pk|key|hf|gsk|xai)[-_][\w*-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.IGNORECASE)
SECRET_VARIABLES = ("_API_KEY", "_TOKEN", "_KEY", "_SECRET")
LEAST = 8
"""Characters of a secret that is recognized in a text: a shorter one may be any word."""
SECRET_PARAMETERS = re.compile(r"key|token|secret|passw|auth|credential|^sig|^code$", re.IGNORECASE)


VERSIONS = {"api-version", "api_version"}
HEADERS = re.compile(r"auth|api[-_]?key|cookie|token|secret|passw|credential", re.IGNORECASE)
"""Names of headers and fields whose values nobody else may see."""
KEYS = re.compile(
    r"(?<![\w-])(?:"
    r"(?:sk|pk|rk|hf|gsk|xai|npm|glpat|shpat|dop_v1|xox[abeoprs]|gh[oprsu]|github_pat|key)[-_][\w-]{16,}"
    r"|A(?:KIA|SIA)[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
    r")"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{1,16384}-----END [A-Z ]{0,30}PRIVATE KEY-----"
)


def is_secret(text: str) -> bool:
    """Whether a text looks like a key."""
    return bool(SECRETS.search(text) or KEYS.search(text))


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is a secret: a header, a field of a request."""
    return bool(HEADERS.search(name))


def check_variable(name: str, place: str) -> None:
    """Raise UsageError for what cannot be the name of an environment variable: the secret itself, most likely."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or KEYS.search(name):
        raise UsageError(f"{place} takes the name of an environment variable that holds the secret, not the secret.")


_known: set[str] = set()


def remember_secret(value: str) -> None:
    """Keep a value that is used as a secret out of every error text from now on, whatever it looks like."""
    if len(value) >= LEAST:
        _known.add(value)


def one_line(text: str, limit: int = 300) -> str:
    """An error text fit to print: one line, no keys, not endless."""
    line = SECRETS.sub("[secret]", " ".join(text.split()))
    for secret in _known_secrets():
        line = line.replace(secret, "[secret]")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _known_secrets() -> list[str]:
    """Keys that look like nothing, such as 32 hex digits: those in use, and those in variables; longest first."""
    named = {value.strip() for name, value in os.environ.items() if name.upper().endswith(SECRET_VARIABLES)}
    return sorted((value for value in named | _known if len(value) >= LEAST), key=len, reverse=True)


def without_credentials(url: str | None) -> str | None:
    """A URL without user, password and fragment, and with its query masked.

    Values that may be keys are left out; others, but for an API's version, stand there as a short hash, so that two
    addresses that differ in one stay two.
    """
    if url is None:
        return None
    parts = urlsplit(url)
    query = [
        (name, "" if SECRET_PARAMETERS.search(name) or is_secret(value) else _masked(name, value))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, urlencode(query), ""))


def _masked(name: str, value: str) -> str:
    return value if name.lower() in VERSIONS else f"~{hashlib.sha256(value.encode()).hexdigest()[:8]}"


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
