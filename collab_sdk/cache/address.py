"""The URL of a cache's server, read so strictly that all who read it agree where its password ends."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from collab_sdk.errors import UsageError
from collab_sdk.files import reason
from collab_sdk.secrets import Address, remember_address

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
EXAMPLE = "redis://:PASSWORD@HOST:6379/0"
VARIABLE = "COLLAB_CACHE_PASSWORD_FILE"
_ENCODED = "%[0-9a-fA-F]{2}"
_SAFE = r"""[!"$&'()*+,.0-9;<=>A-Z^_`a-z{|}~-]"""
"""In a user or password; whatever parsers disagree on is percent-encoded."""
_USER = rf"(?:{_SAFE}|{_ENCODED})*"
_PASSWORD = rf"(?:{_SAFE}|:|{_ENCODED})*"
_HOST = rf"(?:\[[0-9a-fA-F:.]+\]|(?:[\w.~-]|{_ENCODED})*)(?::\d{{0,5}})?"
ADDRESS = re.compile(
    rf"{URL.pattern}(?:{_USER}(?P<password>:{_PASSWORD})?@)?{_HOST}(?:,{_HOST})*(?:/[^\s\x00-\x1f\x7f@?#\\]*)?(?:\?[^\s\x00-\x1f\x7f@#\\]*)?",
    re.IGNORECASE | re.ASCII,
)


def server_address(url: str, environ: Mapping[str, str], *, example: str = EXAMPLE) -> Address:
    """The address of a cache, with the password of the file that `COLLAB_CACHE_PASSWORD_FILE` names if it has none.

    Raises UsageError, which shows no part of it, for what parsers might read in different ways.
    """
    found = ADDRESS.fullmatch(url)
    if found is None or not _is_split(url):
        scheme = URL.match(url)
        raise UsageError(
            f"The address of the cache, {scheme[0] if scheme else ''}…, cannot be read: write it like {example}. In a "
            "user or password, percent-encode what is neither letter nor digit (/ is %2F, # is %23, @ is %40), or "
            f"leave the password out and name a file that holds it in {VARIABLE}."
        )
    if found["password"] in (None, ":") and (path := environ.get(VARIABLE)):
        url = _with_password(url, _password_in(path))
    remember_address(url)
    return Address(url)


def _is_split(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:  # of several hosts, one in brackets
        return False
    return True


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}"))


def _password_in(path: str) -> str:
    try:
        password = Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{VARIABLE} names {path}, which cannot be read: {reason(error)}.") from None
    if not password:
        raise UsageError(f"{VARIABLE} names {path}, which holds no password.")
    return password


def is_local(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.startswith("/")  # a socket in the file system
