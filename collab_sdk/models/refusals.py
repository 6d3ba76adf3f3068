"""Which part of a request a server does not take, by the words of its refusal.

What is learnt is kept for good. So a refusal teaches only if it names a part of the request and says that it is not
taken; one about this chat, about a value's size or about what the model wrote teaches nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.models.base import ChatRequest
from collab_sdk.models.dialect import RESPONSE_FORMAT, SYSTEM, with_value

REFUSALS = {400, 422}
TEACHING = {*REFUSALS, 500}
"""500: what servers answer whose chat template does not take the chat, or whose checks of a request fail."""
COMPLAINT_CHARACTERS = 1_000
MOST_ROWS = 50
PLACE_CHARACTERS = 200


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


QUOTED_SYSTEM = r"['\"`]system['\"`]"
SYSTEM_MESSAGE = r"\bsystem['\"`]?[ _](?:role|message|prompt|instruction)s?"

ABOUT_THE_CHAT = _any_of(
    r"\bflagged\b|\bmoderat|\bblocked\b|guardrail|\bsafety\b|\bpolic(?:y|ies)\b",  # it may quote what the user said
    r"\bcontent[ _-]?(?:filter|management)|prohibited[ _]content|\bharmful\b",
    r"\bgenerated (?:json|output|text)|\bmodel output\b|failed to generate",  # a reply, which the next try may not give
)
CODES_ABOUT_THE_CHAT = {
    "content_filter",  # OpenAI, Azure
    "content_policy_violation",
    "data_inspection_failed",  # DashScope
    "json_validate_failed",  # Groq: of what the model wrote
}
REPEATED = _any_of(
    r"['\"]input['\"]\s?:|\binput_value\s?=",  # pydantic: what it was sent, the chat included
    r"\bdid you mean\b",  # Groq: another parameter than the one refused
)
TEMPLATE_REFUSES_SYSTEM = _any_of(
    r"\bsystem role (?:is )?not supported",  # Gemma 1 and 2
    r"\broles must alternate",  # old Mistral and Llama 2: system is neither user nor assistant
    r"only user and assistant roles are supported",  # Mistral 7B in LM Studio
    r"\bsystem message must be (?:at the beginning|first)",  # Qwen 3.5, of one that stands elsewhere
)
TAKES_SYSTEM = _any_of(
    r"\boptional\)? system message",  # newer Mistral templates, Perplexity: only the others must alternate
)
SERVER_REFUSES_SYSTEM = _any_of(
    rf"{SYSTEM_MESSAGE},? (?:is |are )?(?:not (?:supported|enabled|available)|unsupported)",
    rf"(?:not|n't) (?:currently )?(?:support|accept) (?:the |a |any )?['\"`]?{SYSTEM_MESSAGE}",  # Bedrock
    r"\bsystem['\"`]? role (?:is )?(?:not (?:allowed|permitted)|invalid)",
    r"developer instruction is not (?:enabled|supported)",  # Gemini's API, of Gemma 3
    r"\brole\W{1,3}system['\"`]? (?:is )?(?:not (?:supported|allowed|permitted|valid)|unsupported)",  # Anthropic
    r"(?:unknown|unsupported|invalid|unexpected) (?:message )?role\W{1,3}system\b",
    rf"not support {QUOTED_SYSTEM}",  # o1-mini: 'messages[0].role' does not support 'system'
    rf"(?:unknown variant|(?:invalid|unsupported) value)\W{{1,2}}{QUOTED_SYSTEM}",  # servers in Rust
    rf"{QUOTED_SYSTEM} is not (?:one of|a valid role|supported|allowed)",  # JSON Schema validators
    rf"\btag {QUOTED_SYSTEM}[^.]{{0,40}} does not match",  # pydantic, of a union of messages
)
TEMPLATE = _any_of(r"jinja|\btemplate")
ROLE_OF_MESSAGE = re.compile(r"\bmessages\W{1,2}(\d{1,4})\b.{0,60}\brole$")
OUT_OF_RANGE = _any_of(
    r"context (?:length|window|size)|too (?:long|large|big|many|high|small|low)|exceed|\bfits?\b|\breduce\b",
    r"\bbetween\b|\bat (?:most|least)\b|\bup to \d|maximum|minimum|\brange\b|\blimits?\b|<=|>=|≤|≥",
    r"\b(?:less|greater|more|fewer|smaller|larger|longer|shorter|higher|lower) (?:than|or equal)\b",
)
NOT_ZERO = _any_of(
    r"strictly positive",  # TGI and transformers, of a temperature of 0
    r"> ?0(?![.\d])|greater than (?:0|zero)(?![.\d])",
)
"""Out of range in a way that leaving the setting out mends, if it is 0."""
ONE_VALUE = _any_of(
    r"unsupported value|\bonly\b[^.]{0,40}\bvalue|\bvalue\b[^.]{0,40}\bnot support",  # OpenAI: a temperature of 1
    r"\bonly \d[\d.]{0,6} is (?:allowed|supported)",  # Kimi
    r"\bonly be set to\b",  # Anthropic, of the temperature of a model that thinks
)
"""Another value of the same setting may do."""
REFUSING = _any_of(
    r"not (?:a )?(?:supported|allowed|permitted|accepted|enabled|available|implemented|recogni[sz]ed|valid\b|one of)",
    r"(?:not|n't) (?:currently |yet )?(?:support|accept|allow)",
    r"\bun(?:supported|available|known|expected|recogni[sz]ed)\b|\binvalid\b|\bincompatible\b",
    r"cannot (?:both )?(?:be|find)\b",  # Anthropic: two at a time; Gemini: no such field
    r"\bdeprecated\b|\bno longer\b|\bonly\b",
    r"\b(?:must|should|has to) (?:be|contain)\b",
    r"\bfailed to parse\b|\bconversion failed\b",  # llama.cpp, of a schema
)
"""Without one of these, the name of a parameter is only a word."""
FORMAT_NAMED = _any_of(
    r"response[_ ]?format|json[_ ](?:schema|mode)\b|json_object",
    r"structured[ -]outputs?|guided[_ ](?:json|decoding)",  # vLLM
)
FORMAT_REFUSED = _any_of(
    r"(?:unsupported|unknown|invalid parameter)\W{1,3}(?:grammar|json objects?)\b|failed to parse grammar",
    r"\b(?:grammar|json objects?) (?:is |are )?(?:not (?:supported|valid)|unsupported)",  # TGI
    r"not support (?:a |the )?(?:grammars?|json objects?)\b",
)
"""Words that are also said of what a model wrote, so only next to a refusal."""
FORMAT_IS_INVALID = re.compile(r"validation errors?:? .{0,80}'response_format'")
"""From a server that fails: llama-cpp-python's checks of a request are answered with 500."""
TOOLS = r"['\"`]?(?:tools?|tool_choice|functions?|(?:tool|function)[ _-](?:us(?:e|age)|calls?|calling|choice))\b['\"`]?"
TOOLS_REFUSED = _any_of(
    # Ollama, LiteLLM
    rf"(?:not|n't) (?:currently |yet )?(?:support|accept|allow)s? (?:the |any |parameters?: \[?)?{TOOLS}",
    r"no endpoints found that support tool use",  # OpenRouter
    r"\btools? param\w* requires? --jinja",  # llama.cpp
    r"requires --enable-auto-tool-choice|--tool-call-parser to be set",  # vLLM
    rf"{TOOLS} (?:(?:parameter|param|role) )?(?:is |are )?(?:currently )?"
    r"(?:not (?:supported|allowed|available|enabled|permitted)|unsupported)",
    rf"(?:unknown|unsupported|unrecogni[sz]ed|unexpected)[\w ]{{0,40}}\W{{1,3}}{TOOLS}",
)
TEMPLATE_REFUSES_TOOLS = _any_of(r"\broles must alternate", r"only user and assistant roles are supported")
"""Of a chat with calls and results; of others it is about the system role."""
SENTENCES = re.compile(r"[.;!?](?:\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Complaint:
    """What a server says of a request that it refuses, without what it repeats of it."""

    said: str
    places: Sequence[str] = ()
    """Where in the request, as `messages[0].role` or `body.seed`."""
    codes: Sequence[object] = ()

    @property
    def is_about_the_chat(self) -> bool:
        coded = any(isinstance(code, str) and code.lower() in CODES_ABOUT_THE_CHAT for code in self.codes)
        return coded or ABOUT_THE_CHAT.search(self.said) is not None


def refuses_tools(error: Exception, request: ChatRequest) -> bool:
    """Whether a server says that it takes no tools, or no calls and results. They are never left out to please it."""
    has_results = any(message.role == "tool" or message.tool_calls for message in request.messages)
    complaint = _complaint(error)
    if not (request.tools or has_results) or complaint.is_about_the_chat:
        return False
    if has_results and TEMPLATE_REFUSES_TOOLS.search(complaint.said) and not TAKES_SYSTEM.search(complaint.said):
        return True
    named = any(place.split(".")[-1] in ("tools", "tool_choice") for place in complaint.places)
    return TOOLS_REFUSED.search(complaint.said) is not None or (named and REFUSING.search(complaint.said) is not None)


def refused_parameter(error: Exception, request: ChatRequest) -> str | None:
    """Which part of the `request` a server does not take, by its refusal; None if it is about something else."""
    status, complaint = getattr(error, "status_code", None), _complaint(error)
    if status not in TEACHING or complaint.is_about_the_chat:
        return None
    if _refuses_system(complaint, request, may_fail=status not in REFUSALS):
        return SYSTEM
    asked_for_json = request.dialect.response_format(request.reply_schema) is not None
    if status not in REFUSALS:
        return RESPONSE_FORMAT if asked_for_json and FORMAT_IS_INVALID.search(complaint.said) else None
    settings = request.settings.sent()
    sent = {each: value for each, value in settings.items() if not each.startswith("extra_")}
    sent |= settings.get("extra_body", {})
    sent = {each: value for each, value in sent.items() if each not in ("tools", "tool_choice")}
    name = _placed(complaint, sent, asked_for_json) or _named(complaint, sent, asked_for_json)
    is_zero = name in sent and sent[name] == 0 and NOT_ZERO.search(complaint.said) is not None
    if name is None or (OUT_OF_RANGE.search(complaint.said) and not is_zero):
        return None  # without the setting, another thing would be asked
    return with_value(name, sent[name]) if name in sent and (is_zero or ONE_VALUE.search(complaint.said)) else name


def _refuses_system(complaint: _Complaint, request: ChatRequest, *, may_fail: bool) -> bool:
    """`may_fail`: only what a chat template says counts, for a server that fails says anything of its system."""
    roles = [message.role for message in request.messages]
    if SYSTEM not in roles or TAKES_SYSTEM.search(complaint.said):
        return False
    if TEMPLATE_REFUSES_SYSTEM.search(complaint.said):
        return True
    if may_fail and not TEMPLATE.search(complaint.said):
        return False
    found = [ROLE_OF_MESSAGE.search(place) for place in complaint.places]
    positions = [int(place[1]) for place in found if place is not None]
    in_place = any(position < len(roles) and roles[position] == SYSTEM for position in positions)
    return in_place or SERVER_REFUSES_SYSTEM.search(complaint.said) is not None


def _placed(complaint: _Complaint, sent: Iterable[str], asked_for_json: bool) -> str | None:
    """The parameter that stands in one of the places which the server names."""
    for place in complaint.places:
        parts = place.split(".")
        if asked_for_json and RESPONSE_FORMAT in place:
            return RESPONSE_FORMAT
        if "messages" not in parts and (name := next((each for each in sent if each in parts), None)) is not None:
            return name
    return None


def _named(complaint: _Complaint, sent: Iterable[str], asked_for_json: bool) -> str | None:
    """The parameter that is named first in the first sentence which names one and refuses something."""
    for sentence in SENTENCES.split(complaint.said):
        if not REFUSING.search(sentence):
            continue
        found = {name: place for name in sent if (place := _mentioned(name, sentence)) is not None}
        about = FORMAT_NAMED.search(sentence) or FORMAT_REFUSED.search(sentence)
        if asked_for_json and about is not None:
            found[RESPONSE_FORMAT] = about.start()
        if found:
            return min(found, key=lambda name: found[name])
    return None


def _mentioned(name: str, sentence: str) -> int | None:
    """Where a parameter is named as one: `stop` and `seed` are also words."""
    first, *rest = name.split("_")
    word = f"(?:{re.escape(name)}|{re.escape(first + ''.join(part.title() for part in rest))})"  # xAI: reasoningEffort
    patterns = [
        rf"[`'\"\[]{word}[`'\"\]]",
        rf"\b(?:parameters?|arguments?|fields?|property|supplied|per-request):? {word}(?!\w)",
        rf"(?<!\w){word} (?:is|are|param|sequence)",
        rf"(?m:^\s?{word}(?:: |$)|: {word}$)",
    ]
    if "_" in name or name == "temperature":
        patterns.append(rf"(?<!\w){word}(?!\w)")
    found = _any_of(*patterns).search(sentence)
    return None if found is None else found.start()


def _complaint(error: Exception) -> _Complaint:
    body: Any = getattr(error, "body", None)
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return _Complaint(said=_own_words(body))
    if isinstance(body, list):  # Gemini's
        body = next((each for each in body if isinstance(each, Mapping)), None)
    if not isinstance(body, Mapping):
        return _Complaint(said=_own_words(str(error)))
    inner = body.get("error", body)
    inner = inner if isinstance(inner, Mapping) else {"message": inner}
    message = inner.get("message")
    listed = [inner.get(name) for name in ("detail", "details", "errors")]
    listed += [message.get("detail") if isinstance(message, Mapping) else message]  # Mistral's, either way
    details = next((each for each in listed if isinstance(each, list)), [])
    rows = [row for row in details[:MOST_ROWS] if isinstance(row, Mapping)]
    upstream = inner.get("metadata")
    raw = upstream.get("raw") if isinstance(upstream, Mapping) else None  # OpenRouter: what its provider said
    words = [message, inner.get("detail"), raw, *(row.get("msg") for row in rows)]
    cause = inner.get("innererror")
    return _Complaint(
        said=" ".join(_own_words(word) for word in words if isinstance(word, str))[:COMPLAINT_CHARACTERS],
        places=[place for row in (inner, *rows) if (place := _place(row.get("loc", row.get("param"))))],
        codes=[each.get("code") for each in (body, inner, cause) if isinstance(each, Mapping)],
    )


def _place(value: object) -> str:
    if isinstance(value, list | tuple):
        value = ".".join(map(str, value[:10]))
    return value[:PLACE_CHARACTERS] if isinstance(value, str) else ""


def _own_words(text: str) -> str:
    text = text[:COMPLAINT_CHARACTERS]
    repeated = REPEATED.search(text)
    return text if repeated is None else text[: repeated.start()]
