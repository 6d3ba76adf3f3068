"""The calls of tools in what a model wrote, which each family of models marks in its own way.

transformers reads a reply by a response template, and TRL has one for each chat template that it knows to the letter.
They give a whole reply up for one call that is no JSON. So the families that write JSON are told by the marks in their
chat template and read here, broken calls too; all others are left to the libraries.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.models import tool_calls_in

Call = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]

NAME = re.compile(r'"name"\s*:\s*"([^"\\]*)"')
ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')
HERMES = re.compile(r"<tool_call>(?P<body>.*?)(?:</tool_call>|\Z)", re.DOTALL)
"""Hermes, Qwen 2.5 and 3, and many that were trained after them."""
MISTRAL = re.compile(
    r"\[TOOL_CALLS\]\s*(?:(?P<name>[\w.-]+)(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?(?=\s*\{))?(?P<body>.*?)(?=\[TOOL_CALLS\]|\Z)",
    re.DOTALL,
)
"""A list of calls, or since 2025 each by itself, with its name in front."""
LLAMA = re.compile(
    r'\A\s*(?:<\|python_tag\|>)?(?P<body>\s*\{\s*"(?:type"\s*:\s*"function"\s*,\s*")?name".*)', re.DOTALL
)
"""Llama 3.1 and later: the call is all that is said."""
GPT_OSS = re.compile(
    r"(?:<\|start\|>assistant\s*)?(?:<\|channel\|>\s*commentary\s+)?to=functions\.(?P<name>[\w.-]+)"
    r"(?:[^<]|<\|(?:channel|constrain)\|>)*<\|message\|>(?P<body>.*?)(?:<\|call\|>|(?=<\|start\|>)|\Z)",
    re.DOTALL,
)


BY_MARK = {
    "<function=": "qwen3_5_template",
    "<arg_key>": "glm4moe_template",
    "<|tool_call>call:": "gemma4_template",
    "<|tool_call_start|>": "lfm2_2_5_template",
}
"""TRL's response templates for templates that it does not know to the letter, by what is in them."""


def can_be_read(chat_template: str, *, own: Mapping[str, Any] | None) -> bool:
    """Whether the calls of a model with that template can be told from its text."""
    return (own is None and _pattern(chat_template) is not None) or _response_template(chat_template, own) is not None


def calls_in(
    text: str, chat_template: str, tools: Tools, *, own: Mapping[str, Any] | None
) -> tuple[str, Sequence[Call]]:
    """What was said beside the calls, and the calls in OpenAI's form.

    `own` is the response template that the tokenizer brings, if it does. A text without a call is returned as it is.
    """
    pattern = None if own is not None else _pattern(chat_template)
    if pattern is None:
        return _by_the_libraries(text, chat_template, tools, own)
    found = [call for match in pattern.finditer(text) for call in _read(match["body"], match.groupdict().get("name"))]
    return (pattern.sub("", text), tool_calls_in({"tool_calls": found})) if found else (text, ())


def _pattern(chat_template: str) -> re.Pattern[str] | None:
    """How a model of that template marks its calls, if it writes them as JSON."""
    if "<|channel|>" in chat_template:
        return GPT_OSS
    if "[TOOL_CALLS]" in chat_template:
        return MISTRAL
    if "<tool_call>" in chat_template:
        return None if "<function=" in chat_template or "<arg_key>" in chat_template else HERMES
    return LLAMA if "<|eot_id|>" in chat_template and '"parameters"' in chat_template else None


def _read(body: str, name: str | None) -> Iterator[Call]:
    """The calls in JSON text; what is none stays as it is, as the arguments of a call."""
    if name is not None:
        yield _call(name, body.strip())
        return
    rest = body.strip()
    while rest:
        try:
            found, end = json.JSONDecoder().raw_decode(rest)
        except (ValueError, RecursionError):
            named, begin = NAME.search(rest), ARGUMENTS.search(rest)
            yield _call(named[1] if named else "", rest[begin.end() if begin else 0 :].strip())
            return
        for each in found if isinstance(found, list) else [found]:
            call = each if isinstance(each, dict) else {"arguments": each}
            yield _call(call.get("name"), call.get("arguments", call.get("parameters", {})))
        rest = rest[end:].lstrip(" \n;,")


def _call(name: Any, arguments: Any) -> Call:
    named = name if isinstance(name, str | None) else json.dumps(name)  # whatever the model put there
    return {"function": {"name": named, "arguments": arguments}}


def _by_the_libraries(
    text: str, chat_template: str, tools: Tools, own: Mapping[str, Any] | None
) -> tuple[str, Sequence[Call]]:
    from transformers.utils.chat_parsing import parse_response

    if (template := _response_template(chat_template, own)) is None:
        return text, ()
    try:
        message = parse_response(text, dict(template), prefix="", tools=list(tools))
        calls = tool_calls_in({"tool_calls": message.get("tool_calls") or ()})
    except (ValueError, TypeError, InputError):  # a broken call is then seen as the text that it is
        return text, ()
    return (str(message.get("content") or ""), calls) if calls else (text, ())


def _response_template(chat_template: str, own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """How replies are read: by the tokenizer's own template, by the one that TRL has for it, or by its marks."""
    template = own or _known_to_trl(chat_template)
    return template if template is not None and "tool_calls" in template.get("fields", {}) else None


def _known_to_trl(chat_template: str) -> Mapping[str, Any] | None:
    try:
        from trl import chat_template_utils
    except ImportError:
        return None
    tokenizer = SimpleNamespace(chat_template=chat_template)
    try:
        chat_template_utils.add_response_schema(tokenizer)
    except ValueError:  # a template that it does not know
        name = next((name for mark, name in BY_MARK.items() if mark in chat_template), "")
        return getattr(chat_template_utils, name, None)
    known: Mapping[str, Any] = tokenizer.response_template
    return known
