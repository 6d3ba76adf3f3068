"""Replies in the form of a JSON object."""

import json
import re
from collections.abc import Mapping
from typing import Any

from collab_sdk.models.base import CallRole, ChatRequest
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import ModelSettings
from collab_sdk.types import Message

THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


def json_request(
    role: CallRole, prompt: str, fields: Mapping[str, str], *, settings: ModelSettings, sample: str = ""
) -> ChatRequest:
    """A request for a JSON object: the template `prompt` as instructions, and `{prompt}_turn` with `fields` filled in.

    Instructions first, conversation after: providers' prefix caches hit on the fixed part. `sample` tells draws apart.
    """
    instructions, turn = load_prompt(prompt), load_prompt(f"{prompt}_turn")
    return ChatRequest(
        role=role,
        messages=(
            Message(role="system", content=instructions.text),
            Message(role="user", content=turn.fill(**fields)),
        ),
        settings=settings,
        json_reply=True,
        template=instructions.hash + turn.hash,
        sample=sample,
    )


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
