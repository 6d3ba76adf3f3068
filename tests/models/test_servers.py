"""Servers as they are: answers without end, without form or sense, and what is said of each in a line."""

import json
import socketserver
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import openai
import pytest
from support.cli import collab, write_chats
from support.faults import Fault, always, counted, either, first, http_date, rate_limited, refusal
from support.server import LoopbackServer

from collab_sdk import ChatReply, ChatRequest, Engine, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.engine import RetryPolicy
from collab_sdk.errors import CollabError, EndpointError, ModelCallError, SampleError, UsageError
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole
from collab_sdk.models.openai_shape import parse_retry_after, retry_after_in
from collab_sdk.secrets import without_credentials
from collab_sdk.spec import ModelSettings, ModelSpec, Price, RunSpec, UserSpec
from collab_sdk.testing import FakeChatModel

MOST_MEMORY = 400
"""Megabytes of a process whose server answers without end."""
SECRET = "topsecret99"


def hello(text: str = "hello") -> ChatRequest:
    return ChatRequest(role=CallRole.ASSISTANT, messages=as_messages([{"role": "user", "content": text}]))


async def no_wait(seconds: float) -> None:
    """A sleep that takes no time."""


def asked(api_base: str, **options: object) -> ChatReply:
    """What an engine gets from a server."""
    return run_sync(Engine(sleep=no_wait).call(as_chat_model("m", api_base=api_base, **options), hello()))


def refused(api_base: str, **options: object) -> str:
    """The line that an engine ends a call with."""
    with pytest.raises(CollabError) as error:
        asked(api_base, **options)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value)


@contextmanager
def answering(pieces: Callable[[], Iterable[bytes]]) -> Iterator[str]:
    """The address of a server that answers every request with these bytes, and closes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline().strip()) and line:
                name, _, value = line.lower().partition(b":")
                length = int(value) if name == b"content-length" else length
            self.rfile.read(length)
            with suppress(ConnectionError):
                for piece in pieces():
                    self.wfile.write(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def endless(status: str = "200 OK", **headers: object) -> Iterator[bytes]:
    yield head(status, Content_Type="application/json", Transfer_Encoding="chunked", **headers)
    while True:
        yield chunk(b" " * 65536)


def gzip_bomb(status: str = "200 OK") -> Iterator[bytes]:
    """16 GB in 16 MB: each piece is as good as the one before it, since a full flush forgets what came before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    begin = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    yield head(status, Content_Encoding="gzip", Transfer_Encoding="chunked") + chunk(begin)
    for _ in range(16 * 1024):
        yield chunk(piece)


def endless_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-More: " + b"a" * 4000 + b"\r\n"


def whole(body: bytes, **headers: object) -> Iterator[bytes]:
    yield head(Content_Type="application/json", Content_Length=len(body), Connection="close", **headers) + body


ENDLESS = {
    "gzip of 16 GB": (gzip_bomb, "more than 16 MB"),
    "a stream without end": (endless, "more than 16 MB"),
    "an error of 16 GB": (lambda: gzip_bomb("500 Internal Server Error"), "500"),
    "a refusal without end": (lambda: endless("400 Bad Request"), "400"),
    "headers without end": (endless_headers, "no HTTP"),
    "ten million values": (lambda: whole(b'{"choices":[' + b"[]," * 5_000_000 + b"[]]}"), "values"),
    "a text of 15 MB": (
        lambda: whole(json.dumps({"choices": [{"message": {"content": "\U0001f600" + "a" * 15_000_000}}]}).encode()),
        "15,000,001 characters",
    ),
}
CLIENT = r"""
import asyncio, json, re, sys
from collab_sdk import ChatRequest, Engine, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CollabError
from collab_sdk.models import CallRole
from collab_sdk.messages import as_messages

async def no_wait(seconds): pass

request = ChatRequest(role=CallRole.ASSISTANT, messages=as_messages([{"role": "user", "content": "hello"}]))
said = []
for address in sys.argv[1:]:
    try:
        run_sync(Engine(sleep=no_wait).call(as_chat_model("m", api_base=address), request))
    except CollabError as error:
        said.append(str(error))

async def many(model):
    await asyncio.gather(*(model.achat(request) for _ in range(28)), return_exceptions=True)

run_sync(many(as_chat_model("m", api_base=sys.argv[1])))
# getrusage would count what the process had before it was this program: the memory of whoever started it.
[kilobytes] = re.findall(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
print(json.dumps([said, int(kilobytes) / 1024]))
"""


def test_an_answer_without_end_costs_one_line_and_little_memory_and_so_do_many_at_once():
    with ExitStack() as servers:
        addresses = [servers.enter_context(answering(pieces)) for pieces, _ in ENDLESS.values()]
        done = subprocess.run([sys.executable, "-c", CLIENT, *addresses], capture_output=True, text=True, check=True)
    said, peak = json.loads(done.stdout)
    for (_, words), line in zip(ENDLESS.values(), said, strict=True):
        assert words in line
        assert "\n" not in line
    assert peak < MOST_MEMORY


def test_what_was_read_is_not_held_by_the_error_that_it_ended_in():
    held = []
    with answering(lambda: whole(b"[" + b" " * 3_000_000)) as address, pytest.raises(ModelCallError) as error:
        run_sync(as_chat_model("m", api_base=address).achat(hello()))
    seen: BaseException | None = error.value
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            values = trace.tb_frame.f_locals.values()
            bodies = [getattr(value, "body", value) for value in values]
            held += [body for body in bodies if isinstance(body, bytes | bytearray) and len(body) > 1_000_000]
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    assert not held


def test_a_reply_of_a_few_megabytes_is_read_packed_or_not():
    text = "a " * 3_000_000
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = packer.compress(body) + packer.flush()
    with answering(lambda: whole(body)) as plain, answering(lambda: whole(packed, Content_Encoding="gzip")) as gzip:
        assert asked(plain).content == asked(gzip).content == text


def completion(**message: object) -> dict:
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}]}


READ = {
    "parts": (completion(content=[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]), "one\ntwo"),
    "no role": ({"choices": [{"message": {"content": "hi"}}]}, "hi"),
    "odd finish reason": ({"choices": [{"message": {"content": "hi"}, "finish_reason": 7}]}, "hi"),
    "half a character": (completion(content="a\ud83db"), "a\ufffdb"),
    "a character in halves": (completion(content="a\ud83d\ude00b"), "a\U0001f600b"),
}


@pytest.mark.parametrize("name", READ)
def test_a_completion_of_an_odd_form_is_read(name):
    body, text = READ[name]
    with LoopbackServer(faults=always(Fault(body=json.dumps(body)))) as server:
        assert asked(server.api_base).content == text


UNREADABLE: dict[str, bytes] = {
    "choices that are no list": b'{"choices": {"0": {"message": {"content": "hi"}}}}',
    "no choice": b'{"choices": []}',
    "a choice that is a number": b'{"choices": [7]}',
    "a message that is a list": b'{"choices": [{"message": [{"type": "text", "text": "hi"}]}]}',
    "a message that is null": b'{"choices": [{"message": null}]}',
    "content that is a number": b'{"choices": [{"message": {"content": 7}}]}',
    "content of nonsense": b'{"choices": [{"message": {"content": [[7]]}}]}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "nested too deeply": b'{"choices": ' + b"[" * 200_000,
    "no UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "a number of 5,000 digits": b'{"usage": {"prompt_tokens": ' + b"9" * 5000 + b'}, "choices": []}',
    "half of it": b'{"choices": [{"message"',
    "events": b'data: {"choices": []}\n\n',
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_loses_that_sample_alone(name):
    good = json.dumps(completion(content="hi")).encode()
    answers = iter([good, *[UNREADABLE[name]] * 20])

    def next_answer() -> Iterator[bytes]:
        body = next(answers)
        yield head(Content_Length=len(body), Connection="close") + body

    with answering(next_answer) as address:
        engine, model = Engine(sleep=no_wait), as_chat_model("m", api_base=address)
        assert run_sync(engine.call(model, hello())).content == "hi"
        with pytest.raises(SampleError) as error:
            run_sync(engine.call(model, hello("again")))
    assert str(error.value).startswith("m answered with")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate", "x-unknown"])
def test_a_body_that_is_not_packed_as_it_says_is_one_line(encoding):
    with answering(lambda: whole(b"this is not packed", Content_Encoding=encoding)) as address:
        assert refused(address).startswith("m has never answered; the run stops. m")


@pytest.mark.parametrize("length", [10, 10_000])
def test_a_length_that_is_a_lie_is_one_line(length):
    body = json.dumps(completion(content="hi")).encode()
    with answering(lambda: [head(Content_Length=length) + body]) as address:
        assert "m has never answered" in refused(address)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["elsewhere", "itself"])
def test_a_redirect_is_refused_in_a_sentence_and_not_followed(status, to):
    with LoopbackServer() as elsewhere, LoopbackServer(faults=lambda *_: fault) as server:
        target = elsewhere if to == "elsewhere" else server
        fault = Fault(status=status, headers={"Location": f"{target.api_base}/chat/completions"}, body="")
        assert "It redirects, and its answer is elsewhere" in refused(server.api_base)
        assert (server.count, elsewhere.count) == (1, 0)


def test_a_client_that_does_not_follow_redirects_says_so():
    fault = Fault(status=307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"}, body="")
    with LoopbackServer(faults=always(fault)) as server:
        http_client = httpx.Client()
        client = openai.OpenAI(api_key="k", base_url=server.api_base, http_client=http_client)
        with http_client, pytest.raises(EndpointError, match="It redirects"):
            run_sync(Engine().call(as_chat_model(client, model="m"), hello()))
        assert server.count == 1


HTML = Fault(body="<!DOCTYPE html><html><body>Welcome to your gateway</body></html>")


@pytest.mark.parametrize(("path", "advised"), [("", "/v1"), ("/v1", "/v1")])
def test_a_page_in_place_of_an_answer_is_told_as_what_it_is(path, advised):
    with LoopbackServer(faults=always(HTML)) as server:
        address = server.api_base.removesuffix("/v1")
        line = refused(f"{address}{path}")
        assert f"m answered with HTML, not JSON (is {address}{advised} the address of its API?)" in line
        assert server.count == 2  # a page of a gateway between may go by


def test_an_error_that_comes_with_a_200_is_told_as_an_error():
    said = {"error": {"message": "Provider returned error", "code": 502}}
    with LoopbackServer(faults=first(1, Fault(body=said))) as server:
        assert asked(server.api_base).content
        assert server.count == 2
    with LoopbackServer(faults=always(Fault(body={"error": {"message": "No credits", "code": 402}}))) as server:
        assert "refuses the request" in refused(server.api_base)
        assert server.count == 1


COUNTS = [-(10**9), -1, 10**9, 10**400, True, "7", 7.0, None, [7], {}]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("through", ["server", "client"])
def test_a_count_of_tokens_that_is_none_is_not_believed(count, through):
    price = Price(prompt=1.0, completion=1.0)
    with ExitStack() as clients, LoopbackServer(faults=always(counted(count))) as server:
        model = as_chat_model("m", api_base=server.api_base, price=price)
        if through == "client":
            client = clients.enter_context(openai.OpenAI(api_key="k", base_url=server.api_base))
            model = as_chat_model(client, model="m", price=price)
        engine = Engine()
        reply = run_sync(engine.call(model, hello()))
    assert (reply.prompt_tokens, reply.usd) == (None, None)
    assert engine.ledger.total.prompt_tokens == 0
    assert engine.ledger.total.unpriced_calls == 1


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf"), "1", True])
def test_a_model_of_ones_own_cannot_lower_the_totals(count, usd):
    reply = ChatReply(content="hi", prompt_tokens=count, completion_tokens=count, usd=usd)
    engine = Engine()
    run_sync(engine.call(FakeChatModel([reply], name="own"), hello()))
    total = engine.ledger.total
    assert (total.prompt_tokens, total.completion_tokens, total.usd, total.unpriced_calls) == (0, 0, 0.0, 1)


NOW = datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("-3", 0.0),
        ("1e9", 1e9),
        ("Thu, 31 Dec 2026 23:59:59 GMT", 9.0),
        ("Thu, 31 Dec 2026 23:59:59", 9.0),
        ("Thu, 31 Dec 2026 23:59:59 -0000", 9.0),
        ("Thu, 31 Dec 2026 23:59:59 +0100", 0.0),
        ("2026-12-31T23:59:59Z", 9.0),
        ("2026-12-31T23:59:59", 9.0),
        ("Thu, 31 Dec 2025 23:59:59 GMT", 0.0),
        *[(junk, None) for junk in ("nan", "inf", "-inf", "1e999", "soon", "", "Thu, 31 Dec 99999 23:59:59 GMT", "\0")],
        (None, None),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


def test_milliseconds_win_over_seconds_and_what_is_no_header_asks_for_nothing():
    assert retry_after_in({"Retry-After-Ms": "1500", "Retry-After": "7"}) == 1.5
    assert retry_after_in({"retry-after-ms": "junk", "retry-after": 7}) == 7.0
    assert retry_after_in(None) is retry_after_in("retry-after: 7") is retry_after_in({}) is None


@pytest.mark.parametrize("asked_for", [10**400, float("inf"), 1e9, 7, -7, float("nan")])
def test_no_wait_is_longer_than_the_policy_says(asked_for):
    for limited in (True, False):
        error = ModelCallError("busy", retryable=True, retry_after=asked_for, rate_limited=limited)
        pause = RetryPolicy().pause_after(error, 1)
        assert pause is not None
        assert 0 <= pause <= 60


@pytest.mark.parametrize(
    "value", ["Fri, 31 Dec 2021 23:59:59", "Fri, 31 Dec 2021 23:59:59 -0000", "nan", "soon", "1e9"]
)
def test_no_form_of_the_time_to_wait_ends_a_run(value):
    with LoopbackServer(faults=either(first(2, rate_limited(value)), first(3, rate_limited(http_date(3))))) as server:
        assert asked(server.api_base).content
        assert server.count == 4


QUERIES = {
    f"?api_key={SECRET}": (SECRET,),
    f"?deployment=a&subscription-key={SECRET}": (SECRET,),
    "?api_key=short": ("short",),
    "?code=a%2Fb%3Dc": ("a%2Fb%3Dc", "a/b=c"),
}
ANSWERS = {
    "connection refused": None,
    "wrong key": refusal(401, f"Wrong key {SECRET}, or short, for ?api_key={SECRET}&code=a%2Fb%3Dc, which is a/b=c"),
    "not found": refusal(404, f"No route for /v1/chat/completions?api_key={SECRET}"),
    "bad request": refusal(400, f"Unknown parameter in ?api_key={SECRET}"),
    "a page": Fault(body=f"<html>?api_key={SECRET}</html>"),
    "no JSON": Fault(body=f"GET ?api_key={SECRET}"),
    "server error": refusal(500, f"Internal error at ?api_key={SECRET}"),
    "a redirect": Fault(status=307, headers={"Location": f"http://127.0.0.1:9/?api_key={SECRET}"}, body=""),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("query", QUERIES)
def test_a_key_in_the_query_of_an_address_is_in_no_error(answer, query):
    fault = ANSWERS[answer]
    with LoopbackServer(faults=always(fault) if fault else None) as server:
        base = f"{server.api_base}{query}"
        if fault:
            line = refused(base)
    if not fault:
        line = refused(base)
    for secret in QUERIES[query]:
        assert secret not in line


def test_a_key_in_the_query_of_an_address_is_in_no_file_and_on_no_screen(tmp_path, monkeypatch):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer(faults=first(1, refusal(500, f"at ?api_key={SECRET}"))) as server:
        base = f"{server.api_base}?api_key={SECRET}&deployment=blue"
        served = ["--model", "m", "--api-base", base, "--cache-dir", tmp_path / "cache"]
        results = [
            collab("doctor", *served),
            collab("score", logs, *served, "--dry-run"),
            collab("score", logs, *served, "-o", tmp_path / "scores.jsonl"),
            collab("export-prefs", logs, *served, "-o", tmp_path / "prefs.jsonl"),
            collab("report", tmp_path / "prefs.jsonl", "-o", tmp_path / "report.html"),
            collab("report", tmp_path / "scores.jsonl", "-o", tmp_path / "scores.html"),
        ]
        assert "deployment=blue" in server.requests[0].query
        assert f"api_key={SECRET}" in server.requests[0].query
    for result in results:
        assert SECRET not in result.output + result.stderr
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 5
    for file in written:
        assert SECRET.encode() not in file.read_bytes(), file


ADDRESSES = ["user:hunter22@host", "user:hunter22@host:8000/v1", "host/v1?api_key=hunter22", "http://[::1?key=hunter22"]


@pytest.mark.parametrize("address", [*ADDRESSES, *(f"http://{each}" for each in ADDRESSES[:3])])
def test_no_password_of_an_address_is_kept_with_a_spec_or_shown(address):
    spec = ModelSpec(name="m", api_base=address)
    assert "hunter22" not in json.dumps([spec.to_dict(), spec.deciding("judge"), repr(spec)])
    if not address.startswith("http://u") and not address.startswith("http://h"):
        with pytest.raises(UsageError) as error:
            as_chat_model(spec)
        assert "hunter22" not in str(error.value)


def test_what_is_masked_is_not_masked_again():
    address = f"http://me:pw@host/v1/?deployment=a&api_key={SECRET}&api-version=2&flag="
    masked = without_credentials(address)
    assert without_credentials(masked) == masked
    role = ModelSpec(name="m", api_base=masked)
    spec = RunSpec(assistants=(role,), simulators=(UserSpec.of(role),), judge=role)
    assert RunSpec.from_dict(spec.to_dict()) == spec
    assert RunSpec.from_dict(spec.to_dict()).deciding() == spec.deciding()


def test_a_host_that_does_not_exist_a_port_without_a_server_and_a_wrong_scheme_each_have_their_advice():
    with LoopbackServer() as server:
        assert "its address begins with http://" in refused(server.api_base.replace("http:", "https:"))
    assert "Connection refused. Is the server running, and is that its address?" in refused(server.api_base)
    assert "Is the name of the host written correctly?" in refused("http://no-such-host.invalid/v1")


@pytest.mark.parametrize("proxy", ["http://me:hunter22@127.0.0.1:99999", "junk proxy hunter22", "socks5://hunter22:1"])
def test_a_proxy_that_is_no_address_is_told_once_and_without_its_password(proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", proxy)
    line = refused("http://llm.example/v1")
    assert "the environment's http_proxy is not the address of an HTTP proxy" in line
    assert "hunter22" not in line


def test_a_header_with_a_line_break_is_told_by_its_name(monkeypatch):
    monkeypatch.setenv("GATEWAY_TOKEN", "token-of-gateway\n")
    with LoopbackServer() as server, pytest.raises(EndpointError, match="The header 'X-Token' holds a line break"):
        request = replace(hello(), settings=ModelSettings(extra_headers={"X-Token": "env:GATEWAY_TOKEN"}))
        run_sync(Engine().call(as_chat_model("m", api_base=server.api_base), request))
    assert server.count == 0


def test_a_key_with_a_line_break_is_told_by_its_variable(monkeypatch):
    monkeypatch.setenv("GATEWAY_KEY", "key-of-gateway\n")
    with (
        LoopbackServer() as server,
        pytest.raises(EndpointError, match="The key in the environment variable GATEWAY_KEY"),
    ):
        asked(server.api_base, api_key_env="GATEWAY_KEY")
    assert server.count == 0
