"""The process of the tests: the program that they test runs in another, and only plain values come from there.

Runs in the sandbox, behind the source of `plain.py`; a call of `main` is put behind it. Equality is thus decided by
types that the program has not made, the test library is out of its reach, and so is the token of success.
"""

import builtins
import ctypes
import importlib
import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

if __package__:
    from collab_sdk.sandbox.plain import Connection, decode, encode
SET_DUMPABLE = 4
RAISED: dict[str, type[BaseException]] = {
    name: each for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, Exception)
} | {"SystemExit": SystemExit}
"""What a call may raise here: nothing that a test library takes for a wish to skip a test."""
ASKED = (
    *("__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__enter__"),
    *("__exit__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__floordiv__"),
    *("__mod__", "__pow__", "__neg__", "__abs__", "__and__", "__or__", "__xor__", "__invert__", "__matmul__"),
    *("__iadd__", "__isub__", "__imul__", "__str__", "__repr__", "__bool__", "__hash__", "__reversed__"),
)
BUILTIN = {"__str__": "str", "__repr__": "repr", "__bool__": "bool", "__hash__": "hash", "__iter__": "iter"}
BUILTIN |= {"__next__": "next", "__len__": "len"}


class Tested:
    """The other process, and what it is asked."""

    def __init__(self, program: Any) -> None:
        asked, asking = os.pipe()
        answering, answered = os.pipe()
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-sSP", "-c", program["tested"], str(asked), str(answered), *sys.path],
            pass_fds=(asked, answered),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asked)
        os.close(answered)
        self._connection = Connection(answering, asking)
        self._functions: list[Callable[..., Any]] = []
        self._unfit = program["unfit"]
        self._exceptions: dict[str, type[BaseException]] = dict(RAISED)
        self._connection.write({"before": program["before"], "code": program["code"]})

    def names(self) -> dict[str, Any]:
        """What the program defines."""
        return {name: self._named(name, held) for name, held in self._read().items() if not _is_known(name, held)}

    def ask(self, what: str, *args: Any, **kwargs: Any) -> Any:
        self._connection.write({"what": what, "args": self._encode(list(args)), "kwargs": self._encode(kwargs)})
        while "function" in (answer := self._read()):
            self._connection.write(self._run(answer))
        if sys.stdout is not sys.__stdout__:  # the tests look at what is printed
            sys.stdout.write(str(answer["printed"]))
        if "raised" in answer:
            name = next((name for name in answer["raised"] if name in self._exceptions), "Exception")
            raise _made(self._exceptions[name], decode(answer["args"], self._resolve))
        for place, changed in answer["changed"].items():
            _change(args[int(place)], decode(changed, self._resolve))
        return decode(answer["value"], self._resolve)

    def _read(self) -> Any:
        try:
            return self._connection.read()
        except (EOFError, OSError, ValueError):
            os._exit(1)  # an exception could be what a test expects

    def _run(self, asked: Any) -> Any:
        """A function of the tests, which they handed to the program."""
        try:
            args, kwargs = (decode(asked[name], self._resolve) for name in ("args", "kwargs"))
            return {"value": self._encode(self._functions[asked["function"]](*args, **kwargs))}
        except Exception as error:
            return {"raised": type(error).__name__, "why": str(error)}

    def _encode(self, value: Any) -> Any:
        return encode(value, self._refer)

    def _refer(self, value: Any) -> Any:
        if type(value) is Remote:
            return ["object", object.__getattribute__(value, "_number")]
        name = getattr(value, "__name__", "")
        if getattr(builtins, name, None) is value:
            return ["builtin", name]
        if not callable(value) or isinstance(value, type):
            sys.stderr.write(f"{self._unfit}\n")  # the tests hand over what cannot leave their process
            sys.stderr.flush()
            os._exit(1)
        self._functions.append(value)
        return ["function", len(self._functions) - 1]

    def _resolve(self, name: str, held: Any) -> Any:
        return self._functions[held] if name == "function" else Remote(self, int(held))

    def _named(self, name: str, held: Any) -> Any:
        if "module" in held:
            found = held["module"].partition(".")[0] in sys.stdlib_module_names
            return importlib.import_module(held["module"]) if found else None
        if "exception" in held:
            known = next((each for each in held["exception"] if each in RAISED), "Exception")
            made = self._exceptions[name] = type(name, (RAISED[known],), {})
            return made
        return decode(held["value"], self._resolve)


class Remote:
    """An object of the program's. It equals no plain value, whatever it says itself."""

    __slots__ = ("_number", "_tested")

    def __init__(self, tested: Tested, number: int) -> None:
        object.__setattr__(self, "_tested", tested)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        return self._tested.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._tested.ask("setattr", self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._tested.ask("call", self, *args, **kwargs)

    def __instancecheck__(self, other: Any) -> bool:
        return type(other) is Remote and self._tested.ask("isinstance", other, self) is True

    def __eq__(self, other: object) -> bool:
        return type(other) is Remote and self._tested.ask("__eq__", self, other) is True

    def __lt__(self, other: object) -> bool:
        return self._ordered("__lt__", other)

    def __le__(self, other: object) -> bool:
        return self._ordered("__le__", other)

    def __gt__(self, other: object) -> bool:
        return self._ordered("__gt__", other)

    def __ge__(self, other: object) -> bool:
        return self._ordered("__ge__", other)

    def _ordered(self, name: str, other: object) -> bool:
        if type(other) is not Remote:
            raise TypeError("an object of the program is compared with a plain value")
        return self._tested.ask(name, self, other) is True


def _made(kind: type[BaseException], args: Any) -> BaseException:
    try:
        return kind(*args)
    except TypeError:
        return RuntimeError(kind.__name__)


def _asking(name: str) -> Callable[..., Any]:
    def ask(self: Remote, *args: Any) -> Any:
        return self._tested.ask(BUILTIN.get(name, name), self, *args)

    return ask


def _is_known(name: str, held: Any) -> bool:
    """Whether the name means something already, which a program must not replace: `abs`, or `math`."""
    return hasattr(builtins, name) or (name in sys.stdlib_module_names and "module" not in held)


def _change(old: Any, new: Any) -> None:
    """Do to an argument what the program did to its copy."""
    if isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)


def main(program: Any) -> None:
    for name in ASKED:
        setattr(Remote, name, _asking(name))
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)  # so that the other process can neither read nor write this one
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    names = module.__dict__
    tests = [compile(program[part], "<tests>", "exec") for part in ("before", "after")]
    tested = Tested(program)
    exec(tests[0], names)  # noqa: S102
    for name, value in tested.names().items():
        if name not in names or name in program["stubs"]:
            names[name] = value
    exec(tests[1], names)  # noqa: S102
