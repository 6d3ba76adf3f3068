"""Python tools in the sandbox: a process for each future, which holds their state."""

import os
import sys

import pytest
from support.agents import called, doing, play, reply, results, returned, rollout_of, said
from support.sandboxes import as_this_user

from collab_sdk import Engine
from collab_sdk.errors import SandboxError, ToolError, UsageError
from collab_sdk.sandbox import find_isolation
from collab_sdk.spec import Limits

MODULE = '''
import os, socket
from dataclasses import dataclass
from enum import Enum

HERE = os.getpid()

@dataclass
class Order:
    number: int
    status: str

class Shop:
    def __init__(self):
        self._orders = {5: "OPEN"}

    async def get_order(self, order: int) -> Order:
        """The status of an order."""
        return Order(order, self._orders[order])

    def cancel(self, order: int):
        self._orders[order] = "CANCELLED"

def run(code: str):
    """Run some code."""
    names = {}
    exec(code, names)
    return names.get("result")

def pid():
    return HERE

BOTH = [run, pid]
NAMED = {"execute": run}

class Broken:
    def __init__(self):
        raise OSError("no database")

    def look(self):
        pass
'''
HI = said("hi", "user")
GET, STOP = ("get_order", {"order": 5}), ("cancel", {"order": 5})


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    try:
        as_this_user("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    (tmp_path / "own_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_shop", raising=False)
    yield
    sys.modules.pop("own_shop", None)


def run(name, *steps, **options):
    return results(play(doing(*(reply(step) for step in steps)), tools=f"sandbox:py:own_shop:{name}", **options))


def code(text):
    return ("run", {"code": text})


def test_what_was_written_is_read_back_and_each_future_begins_anew():
    for _ in range(2):
        assert run("Shop", GET, STOP, GET) == [
            '{"number": 5, "status": "OPEN"}',
            "",
            '{"number": 5, "status": "CANCELLED"}',
        ]


def test_the_calls_of_the_history_are_made_first():
    history = [HI, called("cancel", order=5), returned(""), said("Done."), said("and?", "user")]
    assert run("Shop", GET, history=history) == ['{"number": 5, "status": "CANCELLED"}']


@pytest.mark.parametrize(("name", "tool"), [("run", "run"), ("BOTH", "run"), ("NAMED", "execute")])
def test_functions_run_there_too(name, tool):
    assert run(name, (tool, {"code": "result = 6 * 7"})) == ["42"]


def test_it_is_another_process_without_network_files_or_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    steps = [
        ("pid", {}),
        code("import os; result = dict(os.environ)"),
        code(f"result = open({str(tmp_path / 'own_shop.py')!r}).read()"),
        code("import socket; result = socket.create_connection(('1.1.1.1', 53), 1)"),
    ]
    pid, environment, file, network = run("BOTH", *steps)
    assert pid != str(os.getpid())
    assert "sk-secret" not in environment
    assert file.startswith("error: FileNotFoundError")
    assert network.startswith("error: OSError")


def test_what_a_tool_raises_is_its_result():
    assert run("Shop", ("get_order", {"order": 9}), GET) == ["error: KeyError: 9", '{"number": 5, "status": "OPEN"}']


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import os; os._exit(1)", "The tool run has died in the sandbox: failed"),
        ("raise SystemExit", "The tool run has died in the sandbox: failed"),
        ("result = b'png'", "returned bytes, which is neither text nor JSON"),
        ("result = 'data:image/png;base64,xx'", "returned an image"),
        ("result = 'x' * 10_000_000", "its answer is too long"),
        ("x = bytearray(3 * 10**9)", "error: MemoryError"),
        ("while True: pass", "The tool run gave no result in 0.5 s"),
    ],
    ids=["exit", "SystemExit", "bytes", "image", "10 MB", "memory", "hangs"],
)
def test_a_tool_that_dies_hangs_or_returns_no_text_loses_the_sample(text, problem):
    engine = Engine(limits=Limits(timeout=0.5 if "while" in text else 20))
    rollout = rollout_of(doing(reply(code(text))), tools="sandbox:py:own_shop:run", engine=engine)
    [future] = rollout.futures([HI, said("hello")], goal="g")
    said_of_it = future.error or " ".join(results(future.messages))
    assert problem in said_of_it


def test_an_object_that_cannot_be_made_loses_the_sample():
    with pytest.raises(ToolError, match="Broken could not be made: OSError: no database"):
        run("Broken", ("look", {}))


def test_without_any_isolation_the_tools_are_refused(monkeypatch):
    monkeypatch.setenv("PATH", "")
    find_isolation.cache_clear()
    with pytest.raises(UsageError, match="install bubblewrap"):
        run("Shop", GET)
    find_isolation.cache_clear()
