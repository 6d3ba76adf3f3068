"""What looks like a key or a password, and text without it."""

import hashlib
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

from collab_sdk.errors import UsageError

__all__ = [
    "Address",
    "harmless",
    "is_secret",
    "one_line",
    "remember_address",
    "remember_secret",
    "without_credentials",
    "without_url_passwords",
]

SECRETS = re.compile(r"\b(sk|pk|key|hf|gsk|xai)[-_][\w*-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.IGNORECASE)
SECRET_VARIABLES = ("_API_KEY", "_TOKEN", "_KEY", "_SECRET")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)")
"""What a terminal takes for a command."""
LEAST = 8
"""Characters of a secret that is recognized in a text: a shorter one may be any word."""
SECRET_PARAMETERS = re.compile(r"key|token|secret|passw|auth|credential|^sig|^code$", re.IGNORECASE)


SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
URL_CREDENTIALS = re.compile(r"((?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]*://)(?!(?:USER)?(?::PASSWORD)?@)\S*@")
"""To the last @: a password may hold any character, though a URL's should not. An example's stands for one."""
SPACED_CREDENTIALS = re.compile(URL_CREDENTIALS.pattern.replace(r"\S", "."), re.DOTALL)
GIVEN_PASSWORD = re.compile(r"(\b\w*password\s*=\s*)(?!PASSWORD\b)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE)
"""In the query of a URL, or among the keywords of PostgreSQL's client."""
MASKED = re.compile(r"~[0-9a-f]{8}")
VERSIONS = {"api-version", "api_version"}
HEADERS = re.compile(r"auth|api[-_]?key|cookie|token|secret|passw|credential", re.IGNORECASE)
"""Names of headers and fields whose values nobody else may see."""
_PREFIXES = (
    "sk|pk|rk|hf|gsk|xai|npm|pypi|glpat|glptt|gldt|shp(?:at|ca|pa|ss)|do[opr]_v1|xox[abeoprs]|xapp|gh[oprsu]|github_pat"
    "|whsec|lin_api|ntn|dckr_pat|glsa|glc|nvapi|lsv2_[ps]t|pcsk|pplx|tvly|figd|sbp|sntrys|GOCSPX|NRAK|HRKU"
    "|sq0(?:atp|csp)|r8|AGE-SECRET-KEY"
)
_PEM_END = r"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
KEYS = re.compile(
    r"(?<![\w-])(?=\S{7})(?:"  # most words are shorter, and are passed over
    rf"(?:(?:{_PREFIXES})[-_]|A[KS]IA|AIza|eyJ|ya29\.)[\w.-]{{3,300}}"  # broken over two lines or more
    r"(?:\r?\n[ \t]{0,4}(?=[\w.-]{0,60}(?:\d|[A-Z]{2}))[\w.-]{6,300}(?![^\r\n])){1,9}"
    rf"|(?:{_PREFIXES})[-_][\w-]{{16,}}"
    r"|(?:key|secret)[-_](?=[\w-]{0,60}\d)[\w-]{16,}"
    r"|A(?:KIA|SIA)[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}"
    r"|ya29\.[\w-]{16,}(?:\.[\w-]{1,512}){0,3}"
    r"|1//0[\w-]{30,}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}"
    r"|hv[bs]\.[\w-]{20,}"
    r"|dp\.(?:pt|st|ct|sa)\.[\w.-]{20,}"
    r"|dapi[0-9a-f]{32}"
    r"|(?:SK|AC)[0-9a-f]{32}"
    r"|EAA[A-Za-z0-9]{40,}"
    r"|\d{8,10}:[\w-]{30,}"  # a Telegram bot's
    r"|(?:sig|X-(?:Amz|Goog)-Signature)=[\w%+/-]{20,}={0,2}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*){1,3}"
    r")"
    r"|https://(?:hooks\.slack\.com/(?:services|workflows|triggers)|(?:\w{1,16}\.)?discord(?:app)?\.com/api/webhooks)"
    r"/[\w/-]{16,}"
    rf"|-----BEGIN [A-Z ]{{0,30}}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){{1,16384}}{_PEM_END}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\s{1,4}[A-Za-z0-9+/=]{40,80}){1,400}"  # cut off
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


def harmless(text: str) -> str:
    """Text without escape sequences and control characters, which could drive a terminal. Lines stay."""
    lines = ESCAPES.sub("", text).replace("\t", "    ").splitlines()
    return "\n".join("".join(char for char in line if char.isprintable()) for line in lines)


def _known_secrets() -> list[str]:
    """Keys that look like nothing, such as 32 hex digits: those in use, and those in variables; longest first."""
    named = {value.strip() for name, value in os.environ.items() if name.upper().endswith(SECRET_VARIABLES)}
    return sorted((value for value in named | _known if len(value) >= LEAST), key=len, reverse=True)


def without_credentials(url: str | None) -> str | None:
    """A URL without user, password and fragment, and with its query masked; one that is masked stays as it is.

    Values that may be keys are left out; others, but for an API's version, stand there as a short hash, so that two
    addresses that differ in one stay two. What is no URL at all is shown without what may be a secret of it.
    """
    if url is None:
        return None
    has_scheme = SCHEME.match(url) is not None
    try:
        parts = urlsplit(url if has_scheme else f"//{url}")  # or else `user` of user:password@host were the scheme
    except ValueError:  # no end of an IPv6 address
        return url.partition("?")[0].rpartition("@")[2]
    query = [
        (name if not is_secret(name) else _hashed(name), _masked(name, value))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = parts.path.rstrip("/")
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, urlencode(query), ""))
    return shown if has_scheme else shown.removeprefix("//")


def without_url_passwords(text: str, *, spaces: bool = False) -> str:
    """The text with no user or password of any address in it; with `spaces` there may be some in a password."""
    credentials = SPACED_CREDENTIALS if spaces else URL_CREDENTIALS
    begin, at, end = text.rpartition("@")  # behind the last one nothing is looked for, at each :// anew
    return GIVEN_PASSWORD.sub(r"\1[secret]", credentials.sub(r"\1[secret]@", begin + at) + end)


def _masked(name: str, value: str) -> str:
    if SECRET_PARAMETERS.search(name) or is_secret(value):
        return ""
    return value if name.lower() in VERSIONS or MASKED.fullmatch(value) or not value else _hashed(value)


def _hashed(value: str) -> str:
    return f"~{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def remember_address(url: str | None) -> None:
    """Keep the password of a URL, and the keys in its query, out of every error text from now on."""
    try:
        secrets = Address(url or "").secrets
    except ValueError:  # no URL
        return
    for secret in secrets:
        remember_secret(secret)


@dataclass(frozen=True)
class Address:
    """The URL of a server, which must never be seen with its password."""

    url: str

    @property
    def shown(self) -> str:
        """Without user and password."""
        return without_credentials(self.url) or ""

    def said(self, error: BaseException) -> str:
        """What a client library says went wrong: one line, in which neither the URL nor its secrets are left."""
        return one_line(self.without_secrets(str(error) or type(error).__name__)).rstrip(".?")

    def without_secrets(self, text: str) -> str:
        """The text without the URL and all that is secret in it."""
        for secret in (self.url, *self.secrets):
            text = text.replace(secret, "[secret]") if secret else text
        return text

    @property
    def secrets(self) -> list[str]:
        """User and password together, the password, and the keys in the query, as written and as they are meant."""
        parts = urlsplit(self.url)
        credentials, _, _ = parts.netloc.rpartition("@")
        password = credentials.partition(":")[2]
        asked = [
            value
            for part in parts.query.split("&")
            for name, _, raw in [part.partition("=")]
            if SECRET_PARAMETERS.search(unquote_plus(name)) or is_secret(unquote_plus(raw))
            for value in (raw, unquote_plus(raw))
        ]
        found = (credentials, password, unquote(password), *asked)
        return sorted({secret for secret in found if secret}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"
