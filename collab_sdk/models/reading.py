"""Reading what a model answers with."""

import json
import re
from typing import Any

THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in a model's answer, which may stand in a code fence or between sentences. ValueError if none."""
    text = THINKING.sub("", text)
    start = text.find("{")
    if start < 0:
        raise ValueError("there is no JSON object in it")
    try:
        value, _ = json.JSONDecoder(parse_constant=_refuse).raw_decode(text, start)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the JSON breaks off or is wrong: {error.msg} at character {error.pos - start}") from None
    return dict(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
