"""The kinds of server that a run is tested with, and the table of them in docs/servers.md.

python tests/support/server_kinds.py  # prints the table
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.brain import offline_brain
from support.faults import Body, Fault, Script, always, every, rate_limited, refusal

REDIRECT = Fault(status=308, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"}, body="")
HTML = Fault(body="<!DOCTYPE html><html><body>Welcome to nginx!</body></html>")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerKind:
    """A server that behaves so, and what happens then."""

    name: str
    does: str
    happens: str
    """What no line of the run says."""
    says: tuple[str, ...] = ()
    """The lines that are said, each once, without the model's name."""
    refuses: Script | None = None
    dress: Callable[[str], str] = str
    """What becomes of the model's answer on its way."""
    answers: bool = True
    """Whether it ever answers; if not, `says` is the line that the run ends with."""


def brain_of(kind: ServerKind) -> Callable[[Body], Any]:
    async def brain(body: Body) -> str:
        return kind.dress(await offline_brain(body))

    return brain


def format_of(body: Body) -> str | None:
    return (body.get("response_format") or {}).get("type")


def no_json_object(number: int, body: Body) -> Fault | None:
    """https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189"""
    if format_of(body) in (None, "json_schema", "text"):
        return None
    return Fault(status=400, body={"error": "'response_format.type' must be 'json_schema' or 'text'"})


def reasoning_model(number: int, body: Body) -> Fault | None:
    if "max_tokens" in body:
        said = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refusal(400, said, code="unsupported_parameter", param="max_tokens")
    if body.get("temperature", 1) != 1:
        said = (
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. "
            "Only the default (1) value is supported."
        )
        return refusal(400, said, code="unsupported_value", param="temperature")
    if "stop" in body:
        said = "Unsupported parameter: 'stop' is not supported with this model."
        return refusal(400, said, code="unsupported_parameter", param="stop")
    return None


def no_system_role(number: int, body: Body) -> Fault | None:
    return refusal(400, "System role not supported") if _has_system(body) else None


def alternating_roles(number: int, body: Body) -> Fault | None:
    roles = [message["role"] for message in body["messages"]]
    if roles == [("user", "assistant")[position % 2] for position in range(len(roles))]:
        return None
    said = "Conversation roles must alternate user/assistant/user/assistant/..."
    return refusal(500, f"jinja2.exceptions.TemplateError: {said}", kind="InternalServerError")


def strict_gateway(number: int, body: Body) -> Fault | None:
    unknown = [name for name in ("seed", "stop", "response_format") if name in body]
    rows = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": body[name]}
        for name in unknown
    ]
    return Fault(status=422, body={"detail": rows}) if rows else None


def no_stop(number: int, body: Body) -> Fault | None:
    return refusal(400, "`stop` is not supported by this backend") if "stop" in body else None


def _has_system(body: Body) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


def thought_without_a_beginning(text: str) -> str:
    return f'Okay, let me see. They may expect {{"done": true, "message": null}} here.\n</think>\n\n{text}'


def in_channels(text: str) -> str:
    thought = 'The user wants an answer, perhaps {"done": true}.'
    return (
        f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>"
    )


def between_sentences(text: str) -> str:
    return (
        f"Sure! Here is what you asked for:\n\n```json\n{text}\n```\n\nI hope this helps." if _is_json(text) else text
    )


def loosely(text: str) -> str:
    """Each answer in another of the forms that small models write."""
    if not _is_json(text):
        return text
    trailing = f"{text.rstrip()[:-1]},}}"
    return (trailing, f"[{text}]", f"```\n{trailing}\n```", f"~~~json\n{text}\n~~~")[len(text) % 4]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


SERVER_KINDS = (
    ServerKind(
        name="vLLM, SGLang, llama.cpp",
        does="accepts a JSON schema and enforces it",
        happens="Nothing needs to be said.",
    ),
    ServerKind(
        name="LM Studio",
        does="takes a JSON schema, and answers 400 to `json_object`",
        happens="A schema is asked for first, so it never comes to that.",
        refuses=no_json_object,
    ),
    ServerKind(
        name="o-series and GPT-5 behind a gateway",
        does="answers 400 to `max_tokens`, to a `temperature` other than 1, and to `stop`",
        happens="",
        says=(
            "does not take max_tokens; max_completion_tokens is sent from now on.",
            "does not take stop; it is left out.",
            "does not take temperature=0.0; it is left out.",
            "does not take temperature=0.8; it is left out.",
        ),
        refuses=reasoning_model,
    ),
    ServerKind(
        name="Gemma 1 and 2",
        does="answers 400 to a system message",
        happens="",
        says=("does not take the system role; its message is put at the head of the user's from now on.",),
        refuses=no_system_role,
    ),
    ServerKind(
        name="old Mistral templates",
        does="answers 500 unless user and assistant alternate",
        happens="",
        says=("does not take the system role; its message is put at the head of the user's from now on.",),
        refuses=alternating_roles,
    ),
    ServerKind(
        name="R1 or QwQ on vLLM without a reasoning parser",
        does="answers with its thoughts, `</think>` and the answer",
        happens="The thoughts are cut off: no user or judge sees them, and nothing is trained on them.",
        dress=thought_without_a_beginning,
    ),
    ServerKind(
        name="the same with a reasoning parser",
        does="answers with `reasoning_content` beside the content",
        happens="The content is the reply.",
        refuses=always(Fault(message={"reasoning_content": 'They may expect {"done": true} here.'})),
    ),
    ServerKind(
        name="gpt-oss without a parser",
        does="answers with its channels in the content",
        happens="The final channel is the reply.",
        dress=in_channels,
    ),
    ServerKind(
        name="`transformers serve`, Ollama with an old model",
        does="takes a schema and ignores it: JSON between sentences",
        happens="The object is found, unless there are several that differ.",
        dress=between_sentences,
    ),
    ServerKind(
        name="a small model without a schema",
        does="answers in a list, in a fence, or with trailing commas",
        happens="It is read as what it says.",
        dress=loosely,
    ),
    ServerKind(
        name="a strict gateway (FastAPI)",
        does="answers 422 to `seed`, `stop` and `response_format`",
        happens="",
        says=(
            "does not take seed; it is left out.",
            "does not take stop; it is left out.",
            "does not take response_format json_schema; json_object is asked for from now on.",
            "does not take response_format json_object; the prompt alone asks for JSON from now on.",
        ),
        refuses=strict_gateway,
    ),
    ServerKind(
        name="a backend without stop sequences",
        does="answers 400 to `stop`",
        happens="",
        says=("does not take stop; it is left out.",),
        refuses=no_stop,
    ),
    ServerKind(
        name="a rate limiter",
        does="answers 429 with a `Retry-After` date that names no zone",
        happens="The time is taken as UTC. After a minute of waiting, a line says so; the summary has the total wait.",
        refuses=every(3, rate_limited("Fri, 31 Dec 2021 23:59:59")),
    ),
    ServerKind(
        name="a proxy that hides usage",
        does="answers without `usage`",
        happens="Tokens and money are shown as unknown.",
        refuses=always(Fault(usage=False)),
    ),
    ServerKind(
        name="an address that is no API",
        does="answers 200 with HTML",
        happens="The run stops after two calls.",
        says=("answered with HTML, not JSON (is http://HOST/v1 the address of its API?).",),
        refuses=always(HTML),
        answers=False,
    ),
    ServerKind(
        name="a gateway that redirects",
        does="answers 301, 302, 303, 307 or 308",
        happens="The run stops after one call; nothing is sent to the other address.",
        says=("It redirects, and its answer is elsewhere: give that address as --api-base (api_base=).",),
        refuses=always(REDIRECT),
        answers=False,
    ),
)


def table() -> str:
    """The rows of docs/servers.md."""
    rows = ["| server | what it does | what happens | readable samples |", "|---|---|---|---|"]
    for kind in SERVER_KINDS:
        said = " ".join(f"“{line}”" for line in kind.says)
        happens = " ".join(part for part in (kind.happens, said) if part)
        rows.append(f"| {kind.name} | {kind.does} | {happens} | {'100 %' if kind.answers else 'none'} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
