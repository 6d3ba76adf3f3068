"""An HTTP server on 127.0.0.1 that answers each request with what a test's function says, for SDKs of any maker."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

CUT = "cut"
"""Among the pieces of a stream: here the connection is closed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    method: str
    path: str
    """Without the query."""
    body: Any
    """The JSON of the body; None if there is none."""


Said = Mapping[str, Any] | tuple[int, Mapping[str, Any]] | str | Iterable[str]
"""A JSON body, by itself or after a status, a text, or the pieces of a stream of server-sent events."""


class ScriptedServer:
    """Serves between `with` and its end, on a free port. `asked` has the requests so far."""

    def __init__(self, answer: Callable[[Asked], Said]) -> None:
        self.asked: list[Asked] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(size)
                request = Asked(
                    method=self.command, path=self.path.partition("?")[0], body=json.loads(text) if text else None
                )
                asked.append(request)
                self._send(answer(request))

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                return

            def _send(self, said: Said) -> None:
                status, said = said if isinstance(said, tuple) else (200, said)
                if isinstance(said, str | Mapping):
                    content = said if isinstance(said, str) else json.dumps(said)
                    self._head(status, "text/html" if isinstance(said, str) else "application/json")
                    self.send_header("Content-Length", str(len(content.encode())))
                    self.end_headers()
                    self.wfile.write(content.encode())
                    return
                self._head(status, "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    self._stream(said)
                except ConnectionError:  # the client has gone
                    self.close_connection = True

            def _head(self, status: int, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)

            def _stream(self, pieces: Iterable[str]) -> None:
                for piece in pieces:
                    if piece == CUT:
                        self.close_connection = True
                        return
                    content = piece.encode()
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
                self.wfile.write(b"0\r\n\r\n")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        # Polled often, so that its end is not waited for.
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
