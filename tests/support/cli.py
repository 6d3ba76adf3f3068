"""The command line, in this process or in one of its own, and what it works on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from collab_cli.main import main

REQUESTS = ("a mocha please", "book me a train to Berlin", "write a toast for my sister", "plan a hike for Sunday")


def collab(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def spawn(*arguments: object, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """`collab` as a process, which heeds signals even where the tests run in the background; its output is in pipes."""
    command = [sys.executable, "-m", "collab_cli.main", *map(str, arguments)]
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "preexec_fn": heed_signals,
    }
    return subprocess.Popen(command, cwd=cwd, **pipes | options)


def heed_signals() -> None:
    """In a process that is made: a shell in the background has its children ignore them."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def chat_row(number: int, **fields: Any) -> dict[str, Any]:
    """A logged chat of two exchanges, with its goal."""
    request = REQUESTS[number % len(REQUESTS)]
    messages = [
        {"role": "user", "content": request},
        {"role": "assistant", "content": "Sure, done."},
        {"role": "user", "content": "you did not ask me about the size"},
        {"role": "assistant", "content": "Which size?"},
    ]
    return {"id": f"chat-{number}", "messages": messages, "goal": "what: as said\nsize: large", **fields}


def write_chats(path: Path, n: int = 2) -> Path:
    path.write_text("".join(json.dumps(chat_row(number)) + "\n" for number in range(n)))
    return path


def write_bot(folder: Path, body: str, *, name: str = "bots") -> str:
    """A module with a function `bot(messages)`, and its name as a `py:` bot. It notes every call in `calls.txt`."""
    calls = folder / "calls.txt"
    lines = [f"with open({str(calls)!r}, 'a') as calls:", "    calls.write('.')", *body.splitlines()]
    code = "".join(f"    {line}\n" for line in lines)
    (folder / f"{name}.py").write_text(f"import time\n\ndef bot(messages):\n{code}")
    return f"py:{name}:bot"


def bot_calls(folder: Path) -> int:
    notes = folder / "calls.txt"
    return len(notes.read_text()) if notes.exists() else 0
