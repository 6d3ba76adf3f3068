"""A model at an OpenAI-compatible server (vLLM, llama.cpp, a gateway), called over HTTP without LiteLLM.

LiteLLM costs 3-4 ms of CPU a call, more than all the rest of the call path: at hundreds of calls in flight the client
would be the bottleneck, not the server.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

from collab_sdk.errors import ModelCallError, UsageError
from collab_sdk.models.base import NOTHING, SETTINGS, ChatReply, ChatRequest
from collab_sdk.models.dialect import PLAIN, Dialect
from collab_sdk.models.openai_shape import NO_MODEL, REDIRECTS, request_arguments, translated
from collab_sdk.models.providers import NO_KEY, OPENAI_ADDRESS, ApiKey
from collab_sdk.secrets import without_credentials
from collab_sdk.spec import Price
from collab_sdk.types import reasoning_of

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST_TOKENS = 2**53
"""A count of tokens that is no count is not believed."""
PATH = "/chat/completions"
REASONING = re.compile(r"o\d|gpt-5(?!-chat)")
REASONING_DIALECT = Dialect(left_out=("stop", "temperature", "top_p"), renamed=("max_tokens",))
"""What OpenAI's reasoning models take."""
IDLE_SECONDS = 5.0
"""How long connections are kept after the last call: whoever makes one call after another finds them open."""


class ServerModel:
    """`served` is the model's name at the server, `name` the one by which the user knows it.

    Raises UsageError if `api_base` is no address.
    """

    takes = SETTINGS
    overrides: Mapping[str, Any] = NOTHING

    def __init__(
        self, name: str, *, served: str, api_base: str, api_key: ApiKey = NO_KEY, price: Price | None = None
    ) -> None:
        try:
            parts = urlsplit(api_base)
        except ValueError:  # no end of an IPv6 address
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
            shown = api_base.rpartition("@")[2]  # what stands before it may be a password
            raise UsageError(f"{shown!r} is no address of a server: write it like http://localhost:8000/v1.")
        self.name = name
        self.price = price
        self._served = served
        self._api_base = api_base
        path = parts.path.rstrip("/").removesuffix(PATH) + PATH
        self._url = urlunsplit(parts._replace(path=path, fragment=""))
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
        return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)

    async def achat(self, request: ChatRequest) -> ChatReply:
        self.api_key.check()
        arguments = request_arguments(request)
        headers = self._headers_with(arguments.pop("extra_headers", {}))
        extra = arguments.pop("extra_body", {})
        body = json.dumps({"model": self._served, **arguments, **extra}).encode()
        try:
            async with (
                self._open() as session,
                session.post(
                    # Its headers may be secrets of this server alone.
                    self._url,
                    data=body,
                    headers=headers,
                    proxy=self._proxy,
                    allow_redirects=False,
                ) as response,
            ):
                raw = await response.read()
            if response.status != 200:
                raise _RefusedError(response.status, raw, response.headers)
            completion = json.loads(raw)
        except Exception as error:
            raise translated(self.name, error, request=request, advice=self._advice(error)) from error
        return _reply(self.name, completion, self.price)

    def _headers_with(self, given: Mapping[str, str]) -> dict[str, str]:
        """All headers of a call; those that the user gives replace others, however they are written."""
        headers = dict(self._headers)
        if self.api_key.value and self._is_keyed:
            headers["Authorization"] = f"Bearer {self.api_key.value}"
        replaced = {name.lower() for name in given}
        return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **given}

    def _advice(self, error: Exception) -> str:
        """What to do about a refusal."""
        status = getattr(error, "status_code", None)
        if status == 401:
            return self.api_key.advice
        if status in REDIRECTS:
            return "It redirects, and its answer is elsewhere: give that address as --api-base (api_base=)."
        address = without_credentials(self._api_base) or ""
        about_model = NO_MODEL.search(str(error)) is not None
        if status == 404 and not about_model and not urlsplit(self._url).path.endswith(f"/v1{PATH}"):
            return f"Did you mean the address {address.partition('?')[0].rstrip('/')}/v1?"
        return ""

    @cached_property
    def dialect(self) -> Dialect:
        """What is known of the server before it was asked."""
        is_reasoning = self.name.startswith("openai/") and REASONING.match(self._served) is not None
        return REASONING_DIALECT if is_reasoning else PLAIN

    def _open(self) -> AbstractAsyncContextManager[Any]:
        loop = asyncio.get_running_loop()
        if (connections := self._connections.get(loop)) is None:
            connections = self._connections[loop] = Connections()
        return connections


def _has_port(parts: SplitResult) -> bool:
    """Whether the port, if there is one, can be one."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


class Connections:
    """The session that the calls of one event loop share: `async with connections as session`.

    It is closed when it has been idle for a while, or when the loop ends and cancels what runs on it.
    """

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._calls = 0
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ClientSession":
        import aiohttp

        self._calls += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the gate bounds them
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the engine's
            )
        return self._session

    async def __aexit__(self, *exception: object) -> None:
        self._calls -= 1
        if self._calls == 0:
            self._closing = asyncio.ensure_future(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        try:
            await asyncio.sleep(IDLE_SECONDS)
        finally:
            if self._calls == 0 and self._session is not None:
                session, self._session = self._session, None
                await session.close()


def _reply(name: str, completion: Any, price: Price | None) -> ChatReply:
    """The first choice of a completion, of which nothing is known but that it was JSON."""
    try:
        choice, usage = completion["choices"][0], completion.get("usage") or {}
        content, finish_reason = choice["message"].get("content"), choice.get("finish_reason")
        reasoning = reasoning_of(choice["message"])
        prompt_tokens, completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (LookupError, TypeError, AttributeError):
        raise ModelCallError(f"{name} answered without choices.", retryable=True) from None
    prompt_tokens, completion_tokens = (
        count if type(count) is int and 0 <= count < MOST_TOKENS else None
        for count in (prompt_tokens, completion_tokens)
    )
    counted = price is not None and prompt_tokens is not None
    return ChatReply(
        content=content if isinstance(content, str) else "",
        reasoning=reasoning,
        finish_reason=finish_reason if isinstance(finish_reason, str) else "stop",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        usd=price.of(prompt_tokens or 0, completion_tokens or 0) if price and counted else None,
    )


class _RefusedError(Exception):
    """An answer that is no completion, with what `translated` looks at in an SDK's error."""

    def __init__(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.headers = headers
        self.body = raw.decode("utf-8", "replace")
        super().__init__(f"{status}: {_said(self.body)}")


def _said(body: str) -> str:
    """What the server says went wrong, where it says so as OpenAI does."""
    try:
        said = json.loads(body)["error"]
        code = f" ({said['code']})" if said.get("code") else ""
        return f"{said['message']}{code}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return body
