"""What the page of messages quotes is what the program prints: each message is produced here and found there."""

import json
import re

import pytest
from support.cli import chat_row, collab
from support.faults import CONTEXT_WINDOW, QUOTA, TRUNCATED, Fault, always, first, rate_limited, refusal
from support.paths import ROOT
from support.server import LoopbackServer

PAGE = " ".join((ROOT / "docs" / "troubleshooting.md").read_text().split())
SHOWN = "http://localhost:8000/v1"
REFUSED = always(refusal(401, "Missing or wrong virtual key", kind="auth_error"))
NO_MODEL = always(refusal(404, "The model `m` does not exist", code="model_not_found"))
HTML = always(Fault(body="<html>Sign in</html>"))
WHOLE = "Error: .*|Stopped: .*"
LOST = r"6 samples missing .*|      6 m(?!: user failed).*|No result: .*"
REASON = r"      6 m(?!: user failed).*"


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """A folder with logs that are as they should be, and with some that are not; no key in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HOSTED_VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    asked = [{"role": "user", "content": "a latte please"}]
    files = {
        "chats": [chat_row(0)],
        "four": [chat_row(number) for number in range(4)],
        "short": [{"messages": [*asked, {"role": "assistant", "content": "Sure, done."}], "goal": "a latte"}],
        "asked": [{"messages": asked}],
        "texts": [{"text": "hello"}],
        "empty": [],
    }
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def says(result, pattern: str) -> list[str]:
    """The lines of stderr that fit, with the address that the page shows."""
    lines = re.sub(r"http://127\.0\.0\.1:\d{2,}(/api)?(/v1)?", SHOWN, result.stderr).splitlines()
    return [
        line.partition(", in ")[0] if " pairs from " in line else line for line in lines if re.fullmatch(pattern, line)
    ]


def is_quoted(lines: list[str]) -> None:
    assert lines
    for line in lines:
        said = re.sub(r"answered \d+ times", "answered 20 times", line)  # and those that were in flight
        assert " ".join(said.split()) in PAGE, line


@pytest.mark.parametrize(
    ("faults", "pattern"),
    [
        (REFUSED, WHOLE),
        (NO_MODEL, WHOLE),
        (HTML, WHOLE),
        (always(QUOTA), WHOLE),
        (first(3, rate_limited(0)), r"3 failed calls retried\."),
        (always(TRUNCATED), REASON),
        (always(CONTEXT_WINDOW), REASON),
    ],
    ids=["401", "404", "html", "quota", "429", "truncated", "context"],
)
def test_what_a_server_refuses_is_on_the_page(faults, pattern):
    with LoopbackServer(faults=faults) as server:
        is_quoted(says(collab("score", "chats.jsonl", "--model", "m", "--api-base", server.api_base), pattern))


def test_a_wrong_key_is_told_from_none(monkeypatch):
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "the-wrong-key")
    with LoopbackServer(faults=REFUSED) as server:
        [line] = says(collab("score", "chats.jsonl", "--model", "m", "--api-base", server.api_base), WHOLE)
    assert "which is set" in line
    is_quoted([line])


def test_an_address_without_its_path_is_on_the_page():
    with LoopbackServer() as server:
        base = server.api_base.removesuffix("/v1") + "/api"
        is_quoted(says(collab("score", "chats.jsonl", "--model", "m", "--api-base", base), WHOLE))


@pytest.mark.parametrize(("logs", "pattern"), [("four.jsonl", WHOLE), ("chats.jsonl", LOST)])
def test_unreadable_replies_are_on_the_page(logs, pattern):
    with LoopbackServer(lambda body: "I would rather not answer in JSON.") as server:
        is_quoted(says(collab("score", logs, "--model", "m", "--api-base", server.api_base), pattern))


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["chats.jsonl", "--model", "m", "--api-base", "http://127.0.0.1:1/v1"], WHOLE),
        (["chats.jsonl", "--model", "m", "--api-base", "http://127.0.0.1:1/v1", "--max-usd", "1"], WHOLE),
        (["chats.jsonl", "--model", "offline", "--max-calls", "5"], WHOLE),
        (["chats.jsonl"], WHOLE),
        (["chat.jsonl", "--model", "offline"], WHOLE),
        (["empty.jsonl", "--model", "offline"], "Failed: .*|No result: .*"),
        (["texts.jsonl", "--model", "offline"], "Failed: .*|No result: .*"),
        (["asked.jsonl", "--model", "offline"], "Failed: .*|No result: .*"),
    ],
    ids=["unreachable", "price", "budget", "no model", "no file", "empty", "texts", "asked"],
)
def test_what_stops_a_run_before_a_score_is_on_the_page(arguments, pattern):
    is_quoted(says(collab("score", *arguments), pattern))


def test_a_bot_that_always_says_the_same_gives_no_pair(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "same.py").write_text("def bot(messages):\n    return 'Sure, done.'\n")
    result = collab("export-prefs", "short.jsonl", "-a", "py:same:bot", "--model", "offline", "-o", "prefs.jsonl")
    is_quoted(says(result, r"0 pairs from .*|      1 without .*|No result: .*"))
