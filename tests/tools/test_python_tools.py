"""Tools that are Python: their specs, their state, what they raise, and what is no result."""

import asyncio
import errno
import sqlite3
import sys
import threading
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, TypedDict
from urllib.error import HTTPError, URLError

import pytest
from support.agents import called, doing, future_of, log_of, play, reply, results, returned, rollout_of, said
from support.fakes import judged, user_says

from collab_sdk import Engine, MRScorer, Rollout, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ToolError, UnknownNameError, UsageError
from collab_sdk.messages import ToolCall
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel
from collab_sdk.tools import NOWHERE, as_toolbox
from collab_sdk.tools.python import PythonTools
from collab_sdk.types import End


def box(tools):
    return as_toolbox(tools, model=FakeChatModel([]), engine=Engine())


def spec_of(function) -> dict[str, Any]:
    [tool] = box(function).tools(())
    return tool["function"]


def run(tools, *steps, **options):
    return results(play(doing(*(reply(step) for step in steps)), tools=tools, **options))


def run_nothing():
    pass


# Specs


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Address(TypedDict, total=False):
    street: str


def test_a_function_becomes_a_tool_by_its_name_docstring_signature_and_hints():
    def book(
        city: str,
        nights: int,
        size: Size,
        price: float | None = None,
        *,
        breakfast: bool = False,
        guests: list[str] = (),
        kind: Literal["room", "suite"] = "room",
        address: Address | None = None,
        note: Annotated[str, "for the staff"] = "",
        when: date = date.min,
        other: Any = None,
    ) -> str:
        """Book a room.

        Prices are in euros.
        """

    assert spec_of(book) == {
        "name": "book",
        "description": "Book a room.\n\nPrices are in euros.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "integer"},
                "size": {"type": "string", "enum": ["s", "l"]},
                "price": {"type": ["number", "null"]},
                "breakfast": {"type": "boolean"},
                "guests": {"type": "array", "items": {"type": "string"}},
                "kind": {"type": "string", "enum": ["room", "suite"]},
                "address": {
                    "type": ["object", "null"],
                    "properties": {"street": {"type": "string"}},
                    "required": [],
                },
                "note": {"type": "string", "description": "for the staff"},
                "when": {},
                "other": {},
            },
            "required": ["city", "nights", "size"],
            "additionalProperties": False,
        },
    }


def test_a_tool_may_take_any_further_arguments():
    def log(text, **more):
        return sorted(more)

    assert spec_of(log)["parameters"]["additionalProperties"] is True
    assert run(log, ("log", {"text": "x", "b": 1, "a": 2})) == ['["a", "b"]']


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        (lambda *values: 1, "by position"),
        (3, "int is not a tool"),
        ([run_nothing, 3], "int is not a tool"),
        ("nothing", "Unknown tools 'nothing'. Known: none, py:MODULE:NAME, recorded, sandbox:py"),
        ("recorded,recorded", "The tools 'recorded' is given twice"),
        ("none,recorded", "'none' stands alone"),
        ("py:no_such_module:x", "cannot be imported"),
        ("py:math:pi", "float is not a tool|py:math:pi is not a tool"),
        ({}, "holds no tools"),
        (type("Empty", (), {}), "holds no tools"),
        (sqlite3.Connection, "needs|not a tool"),
    ],
)
def test_what_is_no_tool_is_said_before_anything_is_played(tools, problem):
    with pytest.raises((UsageError, UnknownNameError), match=problem):
        box(tools)


def test_two_tools_of_one_name_are_refused():
    def one():
        pass

    with pytest.raises(UsageError, match="'one' is given twice"):
        box([one, {"one": one}])


def test_a_class_that_needs_arguments_is_refused():
    class Shop:
        def __init__(self, stock):
            self.stock = stock

        def buy(self):
            pass

    with pytest.raises(UsageError, match="Shop needs stock to be made"):
        box(Shop)


# Functions


def test_functions_of_all_kinds_are_called_with_arguments_by_name():
    async def wait(seconds: float):
        await asyncio.sleep(0)
        return {"waited": seconds}

    def late(n: int):
        return wait(n)

    def add(a: int, b: int = 1):
        return a + b

    tools = [wait, {"later": late}, partial(add, b=10)]
    assert run(tools, ("wait", {"seconds": 2}), ("later", {"n": 3}), ("add", {"a": 1})) == [
        '{"waited": 2}',
        '{"waited": 3}',
        "11",
    ]


@dataclass
class Room:
    number: int
    free_on: date


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (None, ""),
        ("", ""),
        (0, "0"),
        (False, "false"),
        ([{"a": "ä"}], '[{"a": "ä"}]'),
        (Room(1, date(2026, 1, 2)), '{"number": 1, "free_on": "2026-01-02"}'),
        ({"s": {2, 1}, "e": Size.LARGE}, '{"s": [1, 2], "e": "l"}'),
        ([{"type": "text", "text": "hi"}], '[{"type": "text", "text": "hi"}]'),
    ],
)
def test_a_result_is_text_or_json(value, text):
    def give():
        return value

    assert run(give, ("give", {})) == [text]


PNG = b"\x89PNG\r\n\x1a\n"


class Unreadable:
    def model_dump(self, mode):
        raise RuntimeError("boom")


def test_any_json_is_a_result_whatever_its_type_says():
    def give():
        return [{"type": ["x"], "text": "a"}, {"type": {"a": 1}}]

    assert run(give, ("give", {})) == ['[{"type": ["x"], "text": "a"}, {"type": {"a": 1}}]']


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Unreadable(), "returned Unreadable, which is neither text nor JSON: boom"),
        (PNG, "returned bytes, which is neither text nor JSON"),
        ({"image": PNG}, "returned dict, which is neither text nor JSON"),
        (object(), "returned object, which is neither text nor JSON"),
        (float("nan"), "returned float, which is neither text nor JSON"),
        ([{"type": "text", "text": "a"}, {"type": "image", "data": "aGk="}], "an image"),
        ({"type": "image_url", "image_url": {"url": "http://x"}}, "an image"),
        ("data:image/png;base64,aGk=", "an image"),
        ("x" * 10_000_000, "returned 10,000,000 characters; no more than 200,000 are passed on"),
        (["x" * 10_000_000], "characters; no more than 200,000"),
    ],
    ids=[
        "unreadable",
        "bytes",
        "bytes within",
        "object",
        "nan",
        "image part",
        "image",
        "data url",
        "10 MB",
        "10 MB of JSON",
    ],
)
def test_what_is_neither_text_nor_json_or_too_much_loses_the_sample_in_one_line(value, problem):
    def give():
        return value

    with pytest.raises(ToolError, match=problem) as error:
        run(give, ("give", {}))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("make", [False, True], ids=["sync", "async"])
def test_what_a_tool_raises_is_its_result(make):
    def fail(order: int):
        raise ValueError(f"no order {order}\nat all")

    async def afail(order: int):
        fail(order)

    assert run({"fail": afail if make else fail}, ("fail", {"order": 9})) == ["error: ValueError: no order 9 at all"]


@pytest.mark.parametrize(
    "error", [SystemExit(3), BrokenPipeError("gone"), EOFError(), ConnectionResetError(), ToolError("no network")]
)
def test_a_tool_that_dies_loses_the_sample(error):
    def die():
        raise error

    with pytest.raises(ToolError, match=r"The tool die has died|no network"):
        run(die, ("die", {}))


def chained(outer, inner, *, hidden=False):
    """The outer error as it is when it was raised because of the inner one."""
    outer.__cause__, outer.__suppress_context__ = (None, True) if hidden else (inner, True)
    outer.__context__ = inner
    return outer


REFUSED = ConnectionRefusedError(111, "refused")


class ClosedResourceError(Exception):
    """As anyio has it."""


class HTTPStatusError(Exception):
    """As httpx has it."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    "error",
    [
        URLError(REFUSED),
        OSError(errno.EHOSTUNREACH, "no route"),
        OSError(errno.ETIMEDOUT, "timed out"),
        ClosedResourceError(),
        chained(RuntimeError("the client failed"), REFUSED),
        chained(RuntimeError("the client failed"), chained(KeyError("x"), EOFError())),
        ExceptionGroup("tasks", [ValueError(), ClosedResourceError()]),
        BaseExceptionGroup("tasks", [SystemExit(1)]),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["sync", "async", "class"])
def test_a_tool_whose_server_has_died_loses_the_sample_whatever_its_client_raises(error, kind):
    def call():
        raise error

    async def acall():
        raise error

    class Client:
        def call(self):
            raise error

    with pytest.raises(ToolError, match="The tool call has died: "):
        run({"sync": call, "async": {"call": acall}, "class": Client}[kind], ("call", {}))


@pytest.mark.parametrize(
    "error",
    [
        HTTPError("http://x", 404, "Not Found", {}, None),
        HTTPStatusError(500),
        FileNotFoundError(errno.ENOENT, "no file"),
        sqlite3.OperationalError("database is locked"),
        chained(ValueError("sold out"), REFUSED, hidden=True),
        chained(ValueError("sold out"), chained(HTTPStatusError(404), REFUSED)),
    ],
    ids=repr,
)
def test_what_a_server_answers_is_a_result(error):
    def call():
        raise error

    [result] = run(call, ("call", {}))
    assert result.startswith(f"error: {type(error).__name__}: ")


def test_a_cancelled_run_is_cancelled_in_the_middle_of_a_call():
    async def cancelled():
        began = asyncio.Event()

        async def wait():
            began.set()
            await asyncio.Event().wait()

        rollout = rollout_of(doing(reply(("wait", {}))), tools=wait)
        task = asyncio.create_task(rollout.afutures([said("hi", "user"), said("hello")], goal="g"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_an_error_that_cannot_say_what_it_is_is_a_result_all_the_same():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    def fail():
        raise MuteError

    assert run(fail, ("fail", {})) == ["error: MuteError: "]


def test_halves_of_characters_are_replaced_as_in_replies():
    def give():
        return "a\ud800b"

    def fail():
        raise ValueError("a\ud800b")

    assert run([give, fail], ("give", {}), ("fail", {})) == ["a\ufffdb", "error: ValueError: a\ufffdb"]


def test_a_hanging_object_is_not_waited_for_a_second_time():
    left = []

    class Hanging:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            left.append(self)

        def hang(self):
            released.wait()

    released = threading.Event()
    runner = PythonTools.of(Hanging, engine=Engine(limits=Limits(timeout=0.05)))
    session = runner.open(NOWHERE)

    async def hang_and_leave():
        with pytest.raises(ToolError, match=r"gave no result in 0\.05 s"):
            await session.acall(ToolCall(id="a", name="hang", arguments="{}"), [])
        runner.timeout = 3_600  # to wait for
        await session.aclose()

    run_sync(hang_and_leave())
    released.set()
    assert left == []


@pytest.mark.parametrize("kind", ["sync", "async", "class"])
def test_a_tool_that_hangs_loses_the_sample(kind):
    async def ahang():
        await asyncio.Event().wait()

    def hang():
        asyncio.run(ahang())

    class Hanging:
        def hang(self):
            asyncio.run(ahang())

    tools = {"sync": hang, "async": {"hang": ahang}, "class": Hanging}[kind]
    rollout = Rollout(
        assistant=FakeChatModel(doing(reply(("hang", {}))), name="bot"),
        simulator=Simulator(
            FakeChatModel(lambda _: user_says("x"), name="user"), engine=Engine(limits=Limits(timeout=0.05))
        ),
        samples=1,
        tools=tools,
    )
    [future] = rollout.futures([said("hi", "user"), said("hello")], goal="g")
    assert future.error == "The tool hang gave no result in 0.05 s."
    assert future.end is End.FAILED and future.reward is None


# State


class Shop:
    """Orders, in memory."""

    made = 0

    def __init__(self):
        type(self).made += 1
        self._orders = sqlite3.connect(":memory:")  # which lives in one thread alone
        self._orders.execute("create table orders (id integer, status text)")
        self._orders.execute("insert into orders values (5, 'OPEN')")

    def get_order(self, order: int) -> str:
        """The status of an order."""
        [status] = self._orders.execute("select status from orders where id = ?", [order]).fetchone()
        return status

    def cancel(self, order: int):
        """Cancel an order."""
        if self.get_order(order) == "CANCELLED":
            raise ValueError("it is cancelled already")
        self._orders.execute("update orders set status = 'CANCELLED' where id = ?", [order])

    @staticmethod
    def shout(text: str) -> str:
        return text.upper()

    def _private(self):
        pass


GET, STOP = ("get_order", {"order": 5}), ("cancel", {"order": 5})
HI = said("hi", "user")


def test_the_public_methods_of_a_class_are_its_tools():
    tools = box(Shop).tools(())
    assert [tool["function"]["name"] for tool in tools] == ["cancel", "get_order", "shout"]
    assert list(tools[1]["function"]["parameters"]["properties"]) == ["order"]
    assert run(Shop, ("shout", {"text": "a"})) == ["A"]


def test_what_was_written_can_be_read_back_and_each_future_has_a_state_of_its_own():
    for _ in range(2):
        assert run(Shop, GET, STOP, GET, STOP) == [
            "OPEN",
            "",
            "CANCELLED",
            "error: ValueError: it is cancelled already",
        ]


def test_the_calls_of_the_history_are_made_on_the_object_first():
    history = [HI, called("cancel", order=5), returned(""), said("Done."), said("and?", "user")]
    assert run(Shop, GET, history=history) == ["CANCELLED"]


def test_every_call_is_made_once():
    class Sum:
        total = 0

        def add(self, n: int) -> int:
            self.total += n
            return self.total

    one = ("add", {"n": 1})
    history = [HI, called("add", n=10), returned("10"), said("Done."), said("and?", "user")]
    assert run(Sum, one, one, one, history=history) == ["11", "12", "13"]


def test_a_call_of_the_history_that_could_not_be_made_is_passed_over():
    history = [
        HI,
        called("cancel", "a", text="not JSON"),
        returned("error", "a"),
        called("cancel", "b", order="five"),
        returned("error", "b"),
        called("elsewhere", "c"),
        returned("", "c"),
        called("get_order", "d", order=77),
        returned("error", "d"),
        said("Hm."),
        said("and?", "user"),
    ]
    assert run(Shop, GET, history=history) == ["OPEN"]


def test_a_call_that_failed_in_the_log_or_has_no_result_is_not_made():
    history = [
        HI,
        called("cancel", "a", order=5),
        returned("error: too late", "a"),
        called("cancel", "b", order=5),
        said("Hm."),
        said("and?", "user"),
    ]
    assert run(Shop, GET, history=history) == ["OPEN"]


def test_what_recorded_results_answered_is_done_on_the_object_too():
    log = log_of(HI, called("cancel", order=5), returned("recorded"), said("Done."), tools=())
    assert run(["recorded", Shop], STOP, GET, log=log) == ["recorded", "CANCELLED"]


def test_functions_are_not_called_for_the_history():
    seen = []

    def note(text: str):
        seen.append(text)

    history = [HI, called("note", text="old"), returned(""), said("Done."), said("and?", "user")]
    assert run(note, ("note", {"text": "new"}), history=history) == [""]
    assert seen == ["new"]


def test_an_object_that_is_used_with_with_is_entered_and_left():
    seen = []

    class Entered:
        def __enter__(self):
            seen.append("in")
            return self

        def __exit__(self, *_):
            seen.append("out")
            raise RuntimeError("as it leaves")

        def look(self):
            return seen[-1]

    class AlsoAsync(Entered):
        async def __aenter__(self):
            return super().__enter__()

        async def __aexit__(self, *_):
            super().__exit__()

    for kind in (Entered, AlsoAsync):
        seen.clear()
        assert run(kind, ("look", {}), ("look", {})) == ["in", "in"]
        assert seen == ["in", "out"]


def test_an_object_that_does_not_return_itself_when_it_is_entered_is_said_to_lack_its_tools():
    class Client:
        async def __aenter__(self):
            pass

        async def __aexit__(self, *_):
            pass

        def look(self):
            pass

    with pytest.raises(ToolError, match=r"could not be made: .*NoneType, which has no look; let it return self"):
        run(Client, ("look", {}))


def test_an_object_that_cannot_be_made_loses_the_sample():
    class Broken:
        def __init__(self):
            raise OSError("no database")

        def look(self):
            pass

    future = future_of(doing(reply(("look", {}))), tools=Broken, start=[HI, said("hello")])
    assert future.error == "The tools Broken could not be made: OSError: no database"


# By name, and in the provenance


MODULE = '''
class Desk:
    def look_up(self, order: int) -> str:
        """An order."""
        return "OPEN"

async def ping() -> str:
    return "pong"

ALL = [ping]
NAMED = {"ping2": ping}
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_tools.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tools", raising=False)
    return tmp_path / "own_tools.py"


@pytest.mark.parametrize(
    ("name", "step", "result"),
    [
        ("Desk", ("look_up", {"order": 1}), "OPEN"),
        ("ping", ("ping", {}), "pong"),
        ("ALL", ("ping", {}), "pong"),
        ("NAMED", ("ping2", {}), "pong"),
    ],
)
def test_tools_by_name(module, name, step, result):
    assert run(f"py:own_tools:{name}", step) == [result]


def test_other_code_is_another_provenance(module, monkeypatch):
    def made_with():
        monkeypatch.delitem(sys.modules, "own_tools", raising=False)
        rollout = rollout_of(lambda _: "x", tools="py:own_tools:Desk,simulated")
        return MRScorer(rollout, judge=FakeChatModel(lambda _: judged(), name="judge")).made_with

    before = made_with()
    assert before["tools"] == ["py:own_tools:Desk", "simulated"]
    module.write_text(MODULE.replace("OPEN", "SHIPPED"))
    after = made_with()
    assert before["code"].keys() == {"py:own_tools:Desk"}
    assert before["code"] != after["code"]


def test_tools_of_langchain_are_their_functions():
    langchain_tools = pytest.importorskip("langchain_core.tools")

    @langchain_tools.tool
    def look_up(order: int) -> str:
        """An order."""
        return f"order {order}"

    @langchain_tools.tool("ping")
    async def pinged() -> str:
        """Whether somebody is there."""
        return "pong"

    assert spec_of(look_up)["description"] == "An order."
    assert run([look_up, pinged], ("look_up", {"order": 5}), ("ping", {})) == ["order 5", "pong"]


def test_another_bot_meets_the_same_tools():
    rollout = rollout_of(doing(), tools=Shop).with_assistant(FakeChatModel(doing(reply(GET)), name="other"))
    [future] = rollout.futures([HI, said("hello")], goal="g")
    assert results(future.messages) == ["OPEN"]
