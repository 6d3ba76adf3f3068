"""JSON text, strict on the way in and always valid UTF-8 on the way out."""

import json
import math
import re
from typing import Any, NoReturn

from collab_sdk.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")
_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(source: bytes | str, *, lenient: bool = False) -> Any:
    """The value of JSON text. Raises InputError saying what is wrong and where in the text.

    Lone surrogates, which no UTF-8 file can hold, become U+FFFD. NaN and Infinity, which Python and pandas write for
    what is missing, are None if the reader is `lenient`, else an error.
    """
    try:
        text = source.decode() if isinstance(source, bytes) else source
        if lenient:
            value = json.loads(text, parse_constant=_nothing, parse_float=_finite_or_nothing)
        else:
            value = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
        if _SURROGATE_ESCAPE.search(text):  # most are pairs and fine; too rare to matter for speed
            value = json.loads(_without_surrogates(json.dumps(value, ensure_ascii=False)))
    except UnicodeDecodeError as error:
        byte, column = error.object[error.start], error.start + 1
        raise InputError(f"not UTF-8 text: byte {byte:#04x} at column {column}") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise InputError(f"not JSON: {error.msg} at {line}column {error.colno}") from None
    except RecursionError:
        raise InputError("JSON nested too deeply") from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from None
    return value


def to_json(value: Any) -> str:
    """Compact JSON text. Raises TypeError, ValueError (NaN) or RecursionError for what JSON cannot hold."""
    return _without_surrogates(_WRITER.encode(value))


def _without_surrogates(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _nothing(text: str) -> None:
    return None


def _finite_or_nothing(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999 would come out again as Infinity
        _refuse_number(text)
    return number
