"""The process of a tested program: it runs the program, then does what the tests ask, and answers in plain values.

It is started by `tester.py` behind the source of `plain.py`. Nothing that decides about success is in it.
"""

import builtins
import contextlib
import io
import json
import os
import sys
import types
from typing import Any

if __package__:
    from collab_sdk.sandbox.plain import Connection, decode, encode


class Served:
    """The objects that the tests hold, by number, and the tests' functions that were handed in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._objects: list[Any] = []

    def run(self) -> None:
        while True:
            self._connection.write(self._answer(self._connection.read()))

    def encode(self, value: Any) -> Any:
        return encode(value, self._refer)

    def _answer(self, request: Any) -> Any:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                args = decode(request["args"], self._resolve)
                before = [json.dumps(self.encode(each)) for each in args]
                value = _do(request["what"], args, decode(request["kwargs"], self._resolve))
                changed = {
                    n: self.encode(each) for n, each in enumerate(args) if type(each) in (list, dict, set, bytearray)
                }
                changed = {n: each for n, each in changed.items() if json.dumps(each) != before[n]}
                answer = {"value": self.encode(value), "changed": changed}
            except BaseException as error:  # SystemExit among them
                answer = {"raised": [each.__name__ for each in type(error).__mro__], "args": self._arguments(error)}
        return {**answer, "printed": printed.getvalue()}

    def _arguments(self, error: BaseException) -> Any:
        try:
            return encode(list(error.args), str)
        except Exception:
            return ["list", []]

    def _refer(self, value: Any) -> Any:
        self._objects.append(value)
        return ["object", len(self._objects) - 1]

    def _resolve(self, name: str, held: Any) -> Any:
        if name == "object":
            return self._objects[held]
        if name == "builtin":
            return getattr(builtins, held)
        return lambda *args, **kwargs: self._call_back(held, args, kwargs)

    def _call_back(self, number: int, args: Any, kwargs: Any) -> Any:
        asked = {"function": number, "args": self.encode(list(args)), "kwargs": self.encode(kwargs)}
        self._connection.write(asked)
        while "what" in (answer := self._connection.read()):  # the function of the tests uses the program in turn
            self._connection.write(self._answer(answer))
        if "raised" in answer:
            raise getattr(builtins, answer["raised"], RuntimeError)(answer["why"])
        return decode(answer["value"], self._resolve)


def _do(what: str, args: Any, kwargs: Any) -> Any:
    if what == "call":
        return args[0](*args[1:], **kwargs)
    if what == "isinstance":
        return isinstance(args[0], args[1])
    if what in ("getattr", "setattr", "delattr", "iter", "next", "len", "bool", "str", "repr", "hash"):
        return getattr(builtins, what)(*args)
    return getattr(type(args[0]), what)(*args)


def describe(value: Any, served: Served) -> Any:
    """What a name of the program's stands for: a module, an exception's class, or anything else."""
    if isinstance(value, types.ModuleType):
        return {"module": value.__name__}
    if isinstance(value, type) and issubclass(value, BaseException):
        return {"exception": [each.__name__ for each in value.__mro__], "value": served.encode(value)}
    return {"value": served.encode(value)}


def main() -> None:
    reading, writing = map(int, sys.argv[1:3])
    sys.path += sys.argv[3:]
    del sys.argv[1:]
    connection = Connection(reading, writing)
    program = connection.read()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    served, names = Served(connection), module.__dict__
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(program["before"], "<tests>", "exec"), names)  # noqa: S102
            known = dict(names)
            exec(compile(program["code"], "<program>", "exec"), names)  # noqa: S102
        new = {name: value for name, value in names.items() if name not in known or known[name] is not value}
        connection.write({name: describe(value, served) for name, value in new.items() if name[:2] != "__"})
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    served.run()


if __name__ == "__main__":
    main()
