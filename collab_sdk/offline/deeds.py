"""What an assistant did with its tools: its calls, what came back, and whether that was a refusal."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from collab_sdk.messages import Message, ToolCall, only_reads
from collab_sdk.offline.words import tokens_of

REFUSAL = re.compile(
    r"\b(?:errors?|fail(?:s|ed|ure)?|cannot|could(?: not|n['’]t)|can['’]?t|unable|den(?:ied|ies)|refuse[sd]?|declined"
    r"|rejected|invalid|forbidden|unauthori[sz]ed|exception|no (?:such|result)|there is no"
    r"|not (?:found|allowed|possible|available|permitted|authori[sz]ed|eligible|done)|no \w+ (?:was )?found"
    r"|does(?: not|n['’]t) exist|too late)\b",
    re.IGNORECASE,
)
BEGINNING = 300
"""Characters of a result in which a refusal is looked for: a long document may hold any word."""
OUTCOMES = ("status", "result", "message", "detail", "reason", "outcome")
"""Keys of a JSON result under which a refusal may stand in words."""
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
ENDING = re.compile(r"(?:ation|ing|ed|es|(?<!s)s|e)$")
IRREGULAR = {"sent": "send", "paid": "pay", "made": "make", "found": "find", "bought": "buy", "sold": "sell"}
STEM = 5
CLAUSE = re.compile(r"[,;\n]+|[.!?]+(?:\s|$)|\s(?:and|but|so)\s")


@dataclass(frozen=True, kw_only=True)
class Deed:
    """A call, and what came back; `result` is None where nothing did."""

    call: ToolCall
    result: str | None

    @property
    def acts(self) -> bool:
        """Whether it changes something, rather than looking it up."""
        return not only_reads(self.call.name)

    @cached_property
    def succeeded(self) -> bool:
        return self.result is not None and not is_refusal(self.result)

    @cached_property
    def text(self) -> str:
        """What was called, with what, and what came back."""
        arguments = " ".join(map(str, leaves(self.call.parsed))) if self.call.parsed else ""
        return f"{spelt_out(self.call.name)}\n{arguments}\n{plain(self.result or '')}"

    @cached_property
    def stems(self) -> frozenset[str]:
        return stems_of(self.text)

    @cached_property
    def found(self) -> frozenset[str]:
        """Stems of what the result says is the case; not of what it refuses."""
        clauses = CLAUSE.split(plain(self.result or ""))
        return frozenset().union(*(stems_of(clause) for clause in clauses if not REFUSAL.search(clause)))


def verbs_of(names: Iterable[str]) -> frozenset[str]:
    """What the tools of these names do that change something, as the stems of their first words."""
    return frozenset().union(
        *(stems_of(tokens_of(spelt_out(name))[0]) for name in names if name and not only_reads(name))
    )


def steps(transcript: Iterable[Message]) -> Iterator[Message | Deed]:
    """What was said, and what was done as soon as its result is there; what got none comes last."""
    waiting: dict[str | None, ToolCall] = {}
    for message in transcript:
        if message.role == "tool":
            if (call := waiting.pop(message.tool_call_id, None)) is not None:
                yield Deed(call=call, result=message.content)
            continue
        if message.content:
            yield message
        waiting.update({call.id: call for call in message.calls})
    for call in waiting.values():
        yield Deed(call=call, result=None)


def is_refusal(result: str) -> bool:
    """Whether a result says that nothing came of the call."""
    value = _json(result)
    if not isinstance(value, Mapping):
        return bool(REFUSAL.search(result[:BEGINNING]))
    if any(value.get(key) for key in ("error", "errors", "exception")):
        return True
    if any(value.get(key) is False for key in ("success", "ok", "succeeded")):
        return True
    return any(REFUSAL.search(str(value[key])[:BEGINNING]) for key in OUTCOMES if isinstance(value.get(key), str))


def plain(result: str) -> str:
    """A result as a person would say it: JSON without its marks."""
    value = _json(result)
    return result if value is None else _said(value)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{spelt_out(str(key))} {_said(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return str(value)


def leaves(value: Any) -> Iterator[Any]:
    """The values in JSON, without the keys that they stand under."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def _json(text: str) -> Any:
    """The object, list or string that a text is as JSON; None for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list | str) else None


def spelt_out(name: str) -> str:
    """`cancelOrder` and `cancel_order` as words."""
    return CAMEL.sub(" ", name).replace("_", " ")


@lru_cache(maxsize=4096)
def stems_of(text: str) -> frozenset[str]:
    """The words of a text in a form that "refund", "refunds" and "refunded" share. Numbers are none of them."""
    return frozenset(_stem(word) for word in tokens_of(text) if not word[0].isdigit())


def _stem(word: str) -> str:
    word = IRREGULAR.get(word, word)
    bare = ENDING.sub("", word) if len(word) > 3 else word
    if len(bare) > 3 and bare[-1] == bare[-2]:
        bare = bare[:-1]
    return bare[:STEM]
