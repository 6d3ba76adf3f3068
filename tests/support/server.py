"""An OpenAI-compatible endpoint on 127.0.0.1 that counts, delays and misbehaves on request, whole or streamed.

with LoopbackServer(faults=first(1, rate_limited(0))) as server:
    litellm.completion("hosted_vllm/x", api_base=server.api_base, ...)
assert server.count == 2
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, Self

from aiohttp import web

from collab_sdk import ChatReply
from support.brain import offline_brain, varied
from support.faults import Body, Fault, Script
from support.openai_replies import chat_chunks, chat_completion, response, response_events

Said = str | ChatReply | list[str]
"""One choice's text, by itself or with why it ended and what it took; or the texts of several (n > 1)."""
Brain = Callable[[Body], Said | Awaitable[Said]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One request as it arrived; header names are lower case."""

    body: Body
    headers: Mapping[str, str]
    query: str = ""


class LoopbackServer:
    """Serves from its own thread and event loop between `with` and its end, on a free port.

    `brain` answers a request body with text, plain or async; `vary` lets the default brain draw again for a body
    it has seen. `faults` says which requests go wrong, and `latency` how many seconds each takes. What these
    raise is answered with 500 and raised again where the `with` ends.
    """

    def __init__(
        self,
        brain: Brain | None = None,
        *,
        faults: Script | None = None,
        latency: Callable[[], float] | None = None,
        vary: bool = False,
    ) -> None:
        self.requests: list[Received] = []
        self.in_flight_peak = 0
        self._in_flight = 0
        self._brain = brain or (varied(offline_brain) if vary else offline_brain)
        self._faults = faults
        self._latency = latency
        self._error: Exception | None = None

    @property
    def count(self) -> int:
        return len(self.requests)

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        started: Future[int] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(started)), name="loopback-server")
        self._thread.start()
        self._port = started.result(timeout=10)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        if self._error is not None and error is None:
            raise self._error

    async def _serve(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/chat/completions", self._handle)
        app.router.add_post("/v1/responses", self._handle)
        # Cancelling the handler of a client that has gone keeps `in_flight` true, and its hang short.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            started.set_result(runner.addresses[0][1])
            await self._stop.wait()
        except Exception as error:
            started.set_exception(error)
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.requests)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Received(body=body, headers=headers, query=request.query_string))
        self._in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self._in_flight)
        try:
            return await self._answer(request, number, body)
        except ConnectionError:  # the client has gone
            raise
        except Exception as error:
            self._error = self._error or error
            return _reply(Fault(status=500), {"error": {"message": f"the test's own code raised {error!r}"}})
        finally:
            self._in_flight -= 1

    async def _answer(self, request: web.Request, number: int, body: Body) -> web.StreamResponse:
        fault = (self._faults(number, body) if self._faults else None) or Fault()
        if self._latency is not None:
            await asyncio.sleep(self._latency())
        if fault.act == "hang":
            await self._stop.wait()
        if fault.act in ("hang", "drop"):
            return _close(request, web.Response())
        if fault.body is not None:
            return _reply(fault, fault.body)
        said = await self._said(body)
        if "input" in body:
            whole = response(body, said[0].content, fault, number)
            events = response_events(whole)
        else:
            whole = chat_completion(body, said, fault)
            events = chat_chunks(whole, body)
        if body.get("stream"):
            return await self._stream(request, events, fault)
        return await _cut(request, whole) if fault.act == "cut" else _reply(fault, whole)

    async def _said(self, body: Body) -> list[ChatReply]:
        replies: list[ChatReply] = []
        while len(replies) < (body.get("n") or 1):
            said = self._brain(body)
            said = await said if inspect.isawaitable(said) else said
            choices = said if isinstance(said, list) else [said]
            replies += [ChatReply(content=choice) if isinstance(choice, str) else choice for choice in choices]
        return replies

    async def _stream(self, request: web.Request, events: Iterable[str], fault: Fault) -> web.StreamResponse:
        """Send the events; of one that is cut or stalls only the first three."""
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for count, event in enumerate(events):
            if count == 3 and fault.act in ("cut", "stall"):
                if fault.act == "stall":
                    await self._stop.wait()
                return _close(request, stream)
            await stream.write(event.encode())
        return stream


def _reply(fault: Fault, body: Mapping[str, Any] | str) -> web.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    content_type = "text/html" if isinstance(body, str) else "application/json"
    return web.Response(status=fault.status, headers=fault.headers, text=text, content_type=content_type)


async def _cut(request: web.Request, completion: Mapping[str, Any]) -> web.StreamResponse:
    """Promise a whole body, send half of it, and close."""
    payload = json.dumps(completion).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(payload)
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    return _close(request, response)


def _close(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection; the response is what aiohttp wants returned, nothing of it is sent any more."""
    if request.transport is not None:
        request.transport.close()
    return response
