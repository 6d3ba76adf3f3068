"""A Hugging Face hub on 127.0.0.1, as far as its client needs one to create a repository and upload files."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "hf_writes"
OWNER = "someone"


@dataclass(kw_only=True)
class Hub:
    """What is on it. `refuses` are repositories that the token must not write; `public` those that are no secret."""

    endpoint: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    refuses: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        if token != TOKEN:
            return 401, {"error": "Invalid credentials"}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": OWNER, "auth": {"accessToken": {"role": "write"}}}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        repo, _, rest = path.removeprefix("/api/models/").partition("/")
        name, _, rest = rest.partition("/")
        repo = f"{repo}/{name}"
        if repo in self.refuses:
            return 403, {"error": "Forbidden"}
        if repo not in self.repos:
            return 404, {"error": "Repository not found"}
        if rest == "preupload/main":
            asked = json.loads(body)["files"]
            return 200, {
                "files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            }
        if rest == "commit/main":
            rows = [json.loads(line) for line in body.splitlines()]
            for row in rows:
                if row["key"] == "file":
                    self.repos[repo][row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            return 200, {"commitUrl": f"{self.endpoint}/{repo}/commit/1", "commitOid": "1", "hookOutput": ""}
        return 200, {"id": repo, "private": repo not in self.public, "siblings": []}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if repo in self.repos:
            return 409, {"error": "You already created this model repo", "url": f"{self.endpoint}/{repo}"}
        self.repos[repo] = {}
        if not asked.get("private") and asked.get("visibility") != "private":
            self.public.add(repo)
        return 200, {"url": f"{self.endpoint}/{repo}"}


@contextmanager
def loopback_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            status, said = hub.answer(self.command, self.path.partition("?")[0], token, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":  # whose answer has none, or it would be read as the next one
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
