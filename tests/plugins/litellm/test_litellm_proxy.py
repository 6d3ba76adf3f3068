"""What clients of LiteLLM's proxy say and are told is in the store. Runs where litellm[proxy] is installed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from support import faults
from support.faults import when
from support.server import LoopbackServer

from collab_sdk.logs import ConversationStore

pytest.importorskip("litellm_proxy_extras", reason="needs litellm[proxy]")
pytestmark = pytest.mark.slow

HELLO = [{"role": "user", "content": "hello there"}]
WORDS = "one two three four five six seven eight"


@pytest.fixture
def proxy(tmp_path):
    """A client of a running proxy, and the store that it records to."""
    path = tmp_path / "chats.db"
    code = f"from collab_litellm import CollabLogger\n\nlogger = CollabLogger({str(path)!r})\n"
    (tmp_path / "harvest.py").write_text(code)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with LoopbackServer(lambda body: WORDS, faults=when(lambda body: "leave" in str(body), faults.STALL)) as server:
        parameters = {"model": "openai/gpt-4o", "api_base": server.api_base, "api_key": "-"}
        config = {
            "model_list": [{"model_name": "x", "litellm_params": parameters}],
            "litellm_settings": {"callbacks": "harvest.logger"},
        }
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": "sk-" + "x" * 40}
        command = [sys.executable, "-W", "ignore", "-c", "import litellm; litellm.run_server()"]
        options = ["--config", str(tmp_path / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(
            [*command, *options],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            key = {"Authorization": f"Bearer {environment['LITELLM_MASTER_KEY']}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key, timeout=30) as client:
                wait_for(client, process)
                yield client, path
            process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for(client, process):
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get("/health/liveliness").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError("the proxy has not started")


def chats(path, count):
    """The conversations, once there are so many calls."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists():
            with ConversationStore(path) as store:
                if sum(chat.calls for chat in store.listing()) >= count:
                    return {chat.id: [(m.role, m.content) for m in chat.messages] for chat in store.conversations()}
        time.sleep(0.1)
    raise AssertionError("calls are missing")


def test_all_interfaces_of_the_proxy_are_recorded_and_a_client_that_leaves_is_no_answer(proxy):
    client, path = proxy

    def post(url, session, **body):
        answer = client.post(url, json={"model": "x", **body}, headers={"x-litellm-session-id": session})
        assert answer.status_code == 200, answer.text
        return answer

    leaving = {"model": "x", "messages": [{"role": "user", "content": "I leave"}], "stream": True}
    headers = {"x-litellm-session-id": "left"}
    with client.stream("POST", "/v1/chat/completions", json=leaving, headers=headers) as stream:
        assert any("content" in line for line in stream.iter_lines())
    post("/v1/chat/completions", "whole", messages=HELLO)
    post("/v1/chat/completions", "streamed", messages=HELLO, stream=True)
    first = post("/v1/responses", "response", input="hello there").json()
    post("/v1/responses", "response", input="and you?", previous_response_id=first["id"])
    post("/v1/responses", "response-streamed", input="hello there", stream=True)
    post("/v1/messages", "messages", messages=HELLO, max_tokens=9)
    post("/v1/messages", "messages-streamed", messages=HELLO, max_tokens=9, stream=True)
    answered = [("user", "hello there"), ("assistant", WORDS)]
    expected = dict.fromkeys(("whole", "streamed", "response-streamed", "messages", "messages-streamed"), answered)
    found = chats(path, 8)
    [asked, begun] = found.pop("left")
    assert asked == ("user", "I leave")
    assert WORDS.startswith(begun[1])
    assert begun[1] != WORDS
    assert found == {**expected, "response": [*answered, ("user", "and you?"), ("assistant", WORDS)]}
