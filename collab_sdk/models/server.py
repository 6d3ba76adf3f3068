"""A model at an OpenAI-compatible server (vLLM, llama.cpp, a gateway), called over HTTP without LiteLLM.

LiteLLM costs 3-4 ms of CPU a call, more than all the rest of the call path: at hundreds of calls in flight the client
would be the bottleneck, not the server.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from traceback import clear_frames
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakKeyDictionary

from collab_sdk.errors import CollabError, EndpointError, ModelCallError, UsageError
from collab_sdk.models.base import NOTHING, SETTINGS, ChatReply, ChatRequest
from collab_sdk.models.connections import MOST_BYTES, SHOWN_BYTES, Connections
from collab_sdk.models.dialect import PLAIN, Dialect
from collab_sdk.models.openai_shape import NO_MODEL, reply_of, request_arguments, translated
from collab_sdk.models.providers import NO_KEY, OPENAI_ADDRESS, ApiKey
from collab_sdk.secrets import Address, one_line, remember_address, without_credentials
from collab_sdk.spec import Price

MOST_VALUES = 10**6
"""In the JSON of a reply: a value takes up to a hundred times the memory of its text."""
PATH = "/chat/completions"
REASONING = re.compile(r"o\d|gpt-5(?!-chat)")
REASONING_DIALECT = Dialect(left_out=("stop", "temperature", "top_p"), renamed=("max_tokens",))
"""What OpenAI's reasoning models take."""


class ServerModel:
    """`served` is the model's name at the server, `name` the one by which the user knows it.

    Raises UsageError if `api_base` is no address.
    """

    takes = SETTINGS
    overrides: Mapping[str, Any] = NOTHING

    def __init__(
        self, name: str, *, served: str, api_base: str, api_key: ApiKey = NO_KEY, price: Price | None = None
    ) -> None:
        if not _is_address(api_base):
            shown = without_credentials(api_base)
            raise UsageError(f"{shown!r} is not the address of a server: write it like http://localhost:8000/v1.")
        parts = urlsplit(api_base)
        remember_address(api_base)
        self.name = name
        self.price = price
        self._served = served
        self._api_base = api_base
        path = parts.path.rstrip("/").removesuffix(PATH) + PATH
        self._url = urlunsplit(parts._replace(path=path, fragment=""))
        self._address = Address(api_base)
        self._headers = {"Content-Type": "application/json", "User-Agent": "collab-sdk"}
        self.api_key = api_key
        self._is_keyed = not parts.username  # which is another way to say who calls
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        base = without_credentials(self._api_base)
        return {"model": self.name, "api_base": None if base == OPENAI_ADDRESS else base}

    @cached_property
    def _proxy(self) -> str | None:
        from urllib.request import getproxies, proxy_bypass  # which takes a while, for http.client and ssl

        # Once: aiohttp's own trust_env looks it up in a thread for every call.
        parts = urlsplit(self._api_base)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        if proxy is None:
            return None
        remember_address(proxy)
        proxy = proxy if "://" in proxy else f"http://{proxy}"  # as curl reads it
        if not _is_address(proxy):
            raise EndpointError(
                f"{self.name} cannot be asked: the environment's {parts.scheme}_proxy is not the address of an HTTP "
                "proxy. Write it like http://proxy.example:3128, or add the server to no_proxy."
            )
        return proxy

    async def achat(self, request: ChatRequest) -> ChatReply:
        self.api_key.check()
        arguments = request_arguments(request)
        headers = self._headers_with(arguments.pop("extra_headers", {}))
        extra = arguments.pop("extra_body", {})
        body = json.dumps({"model": self._served, **arguments, **extra}).encode()
        try:
            return reply_of(self.name, await self._completion(body, headers), self.price)
        except Exception as error:
            clear_frames(error.__traceback__)  # they hold what was read, for as long as somebody holds the error
            if isinstance(error, CollabError):
                raise
            raise self._failure(error, request) from error

    async def _completion(self, body: bytes, headers: Mapping[str, str]) -> Any:
        """The JSON that the server answers with, which is read no further than a reply can be long."""
        # To no other address: its headers may be secrets of this server alone.
        answer = await self._connections_here.post(self._url, body, headers=headers, proxy=self._proxy)
        if answer.status != 200:
            raise _RefusedError(answer.status, answer.body, answer.headers)
        if answer.is_cut:
            raise self._unusable(f"with more than {MOST_BYTES / 2**20:.0f} MB, which is too large for a reply")
        completion = self._json_in(answer.body)
        if isinstance(completion, dict) and completion.get("error") and not completion.get("choices"):
            raise _RefusedError(_status_in(completion["error"]), answer.body[:SHOWN_BYTES], answer.headers)
        return completion

    def _json_in(self, raw: bytes) -> Any:
        if sum(raw.count(mark) for mark in b",[{") > MOST_VALUES:
            raise self._unusable(f"with JSON of more than {MOST_VALUES:,} values, which is too large for a reply")
        with suppress(ValueError, RecursionError):  # a JSON error holds the whole text: nothing is raised from it
            return json.loads(raw)
        raise self._unusable(self._what_is(raw[:SHOWN_BYTES]))

    def _unusable(self, with_what: str) -> ModelCallError:
        """An answer that another try hardly makes better."""
        return ModelCallError(f"{self.name} answered {with_what}.", retryable=True, tries=2)

    def _what_is(self, raw: bytes) -> str:
        """What came in place of JSON."""
        text = raw.decode("utf-8", "replace").strip()
        if text.startswith("<"):
            address = self._address_with_version if self._lacks_version else self._address.shown
            return f"with HTML, not JSON (is {address} the address of its API?)"
        if text.startswith(("{", "[")):
            return "with JSON that breaks off or cannot be read"
        return f"with something that is not JSON: {self._said(text, 100)}" if text else "with an empty body"

    def _failure(self, error: Exception, request: ChatRequest) -> CollabError:
        """What went wrong in a call, in a line that says what to do about it."""
        import aiohttp

        if isinstance(error, _RefusedError):
            error.args = (self._address.without_secrets(str(error)),)
            return translated(self.name, error, request=request, advice=self._advice(error))
        said, shown = self._said(_text_of(error)), self._address.shown
        if isinstance(error, aiohttp.InvalidURL):
            return EndpointError(f"{self.name} cannot be asked at {shown}: {said}.")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return EndpointError(
                f"{self.name} is not asked, for the certificate of {shown} is not trusted: {said}. The environment's "
                "SSL_CERT_FILE names a file of the authorities that are."
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            advice = f"Check the environment's {urlsplit(shown).scheme}_proxy, or add the server to no_proxy."
            return ModelCallError(f"{self.name}: its proxy cannot be used: {said}. {advice}", retryable=True, tries=2)
        if isinstance(error, aiohttp.ClientConnectorError):
            advice = "Is the server running, and is that its address?"
            if isinstance(error, aiohttp.ClientConnectorDNSError):
                advice = "Is the name of the host written correctly?"
            elif isinstance(error, aiohttp.ClientConnectorSSLError):
                advice = "If the server speaks plain HTTP, its address begins with http://."
            return ModelCallError(f"{self.name} cannot be reached at {shown}: {said}. {advice}", retryable=True)
        if isinstance(error, aiohttp.ClientResponseError):  # headers without an end, and what else is no HTTP
            return self._unusable(f"with what is no HTTP: {said}")
        return ModelCallError(f"{self.name}: {said}", retryable=True)

    def _said(self, text: str, limit: int = 300) -> str:
        return one_line(self._address.without_secrets(text), limit).rstrip(".")

    def _headers_with(self, given: Mapping[str, str]) -> dict[str, str]:
        """All headers of a call; those that the user gives replace others, however they are written."""
        headers = dict(self._headers)
        if self.api_key.value and self._is_keyed:
            headers["Authorization"] = f"Bearer {self.api_key.value}"
        replaced = {name.lower() for name in given}
        if broken := [name for name, value in given.items() if not f"{name}{value}".isprintable()]:
            raise EndpointError(
                f"The header {broken[0]!r} holds a line break, or another character that cannot be in one."
            )
        return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **given}

    def _advice(self, error: "_RefusedError") -> str:
        """What to do about a refusal."""
        if error.status_code == 401:
            return self.api_key.advice
        about_model = NO_MODEL.search(str(error)) is not None
        if error.status_code == 404 and not about_model and self._lacks_version:
            return f"Did you mean the address {self._address_with_version}?"
        return ""

    @property
    def _lacks_version(self) -> bool:
        return not urlsplit(self._url).path.endswith(f"/v1{PATH}")

    @property
    def _address_with_version(self) -> str:
        return f"{self._address.shown.partition('?')[0].rstrip('/').removesuffix(PATH)}/v1"

    @cached_property
    def dialect(self) -> Dialect:
        """What is known of the server before it was asked."""
        is_reasoning = self.name.startswith("openai/") and REASONING.match(self._served) is not None
        return REASONING_DIALECT if is_reasoning else PLAIN

    @property
    def _connections_here(self) -> Connections:
        """Those of the event loop that runs."""
        loop = asyncio.get_running_loop()
        if (connections := self._connections.get(loop)) is None:
            connections = self._connections[loop] = Connections()
        return connections


def _is_address(text: str) -> bool:
    """Whether it is the URL of something that speaks HTTP, with a port that can be one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # which is no end of an IPv6 address, or no port
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and " " not in parts.netloc


def _status_in(error: Any) -> int:
    """The status that an error names which came with a 200, as OpenRouter's do."""
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if type(code) is int and 400 <= code < 600 else 200


def _text_of(error: Exception) -> str:
    """What an error of aiohttp's says, without the address that its whole text may hold."""
    cause: OSError | None = getattr(error, "os_error", None)
    if cause is not None:
        said = cause.strerror or str(cause)
        return os.strerror(cause.errno) if cause.errno and said.startswith("Connect call failed") else said
    message = getattr(error, "message", None)
    return message if isinstance(message, str) and message else str(error) or type(error).__name__


class _RefusedError(Exception):
    """An answer that is no completion, with what `translated` looks at in an SDK's error."""

    def __init__(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.headers = headers
        self.body = raw.decode("utf-8", "replace")
        said = _said(self.body).strip()
        super().__init__(f"{status}: {said}" if said else str(status))


def _said(body: str) -> str:
    """What the server says went wrong, where it says so as OpenAI does."""
    try:
        said = json.loads(body)["error"]
        code = f" ({said['code']})" if said.get("code") else ""
        return f"{said['message']}{code}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return body
