"""How far a history agrees with what is known of a chat.

Histories are seldom the chat to the letter. They are its end alone (a window), begin with a summary in place of what
was said, leave out the steps between call and answer, or hold a message as the app reworked it. So two of them are
compared from a message that both have backwards, for as long as they say the same.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

ALIKE = 0.5
"""The share of words that two wordings of one message have in common, at least."""
LONGEST = 20_000
"""Characters of a message that are compared word by word."""
SUMMARY_LETTERS = 300
NEAR = 8
"""Characters around what is quoted that tell that it is."""
_QUOTES = tuple("\"'`“”„«»‘’「」")
_SUMMARY = re.compile(
    r"\b(?:summar(?:y|ies|ised|ized)|recap|condensed|compressed|compacted)\b.{0,80}"
    r"\b(?:conversations?|chats?|dialogue?s?|discussions?|messages?|history|so far|earlier|previous(?:ly)?|to date)\b"
    r"|\b(?:conversation|chat|dialogue?|discussion|message|history|earlier|previous|prior)s?\b.{0,80}"
    r"\b(?:summar(?:y|ised|ized)|recap|condensed|compressed|compacted)\b",
    re.IGNORECASE | re.DOTALL,
)


class Known(Protocol):
    """A message that is known of a chat."""

    @property
    def keys(self) -> Set[bytes]:
        """`own` of it, in every wording that it was seen in."""

    @property
    def body(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message of a history that is no system prompt."""

    own: bytes
    body: Mapping[str, Any]

    @property
    def keys(self) -> Set[bytes]:
        return {self.own}


@dataclass(slots=True)
class Agreement:
    matched: int = 0
    """Messages that are the same."""
    steps: int = 0
    """How many of them are calls of tools, or results."""
    edits: list[tuple[int, Known]] = field(default_factory=list)
    """Places in the history whose message is known in another wording."""
    left: int = 0
    """Messages at the beginning of the history that are not known of the chat."""
    above: int = 0
    """1 if the chat has more than the history, before it."""

    @property
    def is_whole(self) -> bool:
        """Whether the two begin alike."""
        return not self.left and not self.above


def agreement(history: Sequence[Spoken], known: Iterable[Known]) -> Agreement:
    """Compare the messages with those that are known, which come from the last one up."""
    found, place, is_guess = Agreement(), len(history) - 1, False
    above = iter(known)
    each, then = next(above, None), next(above, None)
    while place >= 0 and each is not None:
        said = history[place]
        if said.own in each.keys:
            found.matched += 1
            found.steps += is_step(said.body)
            is_guess = False
        elif is_step(each.body) and not is_step(said.body):
            each, then = then, next(above, None)  # a history that leaves out the steps
            continue
        elif is_step(said.body) and not is_step(each.body):
            place -= 1
            continue
        elif _is_reworked(said.body, each.body):
            found.edits.append((place, each))
        elif not is_guess and place and then is not None and _stands_for(said, each, history[place - 1], then):
            found.edits.append((place, each))
            is_guess = True
        else:
            break
        place -= 1
        each, then = then, next(above, None)
    found.above = int(each is not None)
    is_tail = found.matched > 1 and place >= 0  # one message alone may be said anywhere
    if each is not None and is_tail and _begins_so(history[: place + 1], [each, *([then] if then else ()), *above]):
        found.matched += place + 1  # the first messages and the last: what is between is left out
    else:
        found.left = sum(1 for said in islice(history, place + 1) if not is_step(said.body))
    return found


def _begins_so(history: Sequence[Spoken], known: Sequence[Known]) -> bool:
    """Whether a chat, of which `known` comes from the last message up, begins with these messages.

    They end with an answer: an answer that stands behind another question than the one known before it is one to that.
    """
    first = known[: -len(history) - 1 : -1]
    is_answered = history[-1].body.get("role") == "assistant"
    return is_answered and len(first) == len(history) and all(map(_is_same, history, first))


def _is_same(said: Spoken, known: Known) -> bool:
    return said.own in known.keys


def _is_reworked(said: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether it is the same message in other words.

    For what the person says, one wording must hold the other: few words in common make no edit of it.
    """
    if is_summary(said) != is_summary(known) or not is_alike(said, known):
        return False
    short, long = sorted((plain(said), plain(known)), key=len)
    return said.get("role") != "user" or (bool(short) and says(long, short))


def _stands_for(said: Spoken, known: Known, before: Spoken, then: Known) -> bool:
    """Whether two messages that have nothing in common stand behind the same message, so that one is the other."""
    return (
        said.body.get("role") == known.body.get("role")
        and is_summary(said.body) == is_summary(known.body)
        and before.own in then.keys
    )


def is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two messages of a role may be wordings of one: an answer reworked, cut short or wrapped in a template."""
    if one.get("role") != other.get("role") or _called(one) != _called(other):
        return False
    if one.get("role") == "tool":
        return one.get("tool_call_id") == other.get("tool_call_id")
    short, long = sorted((plain(one), plain(other)), key=len)
    short = short.rstrip(" .…—–-")  # where somebody cut it
    if not short:
        return not long or bool(_called(one))
    return says(long, short) or _overlap(short[:LONGEST], long[:LONGEST]) >= ALIKE


def says(text: str, part: str) -> bool:
    """Whether `part` stands in `text`, in whole words."""
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        if not (start and text[start - 1].isalnum() and part[:1].isalnum()) and not (
            end < len(text) and text[end].isalnum() and part[-1:].isalnum()
        ):
            return True
        start = text.find(part, start + 1)
    return False


def quotes(asked: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether messages have what was said elsewhere in them: several texts, or one of some length."""
    found = {text for text in texts if any(text != each and says(each, text) for each in asked)}
    return len(found) > 1 or any(len(text.split()) > 3 for text in found)


def sets_apart(text: str, part: str) -> bool:
    """Whether `part` stands in `text` in quotes, or behind a label in a line of its own, as no person writes."""
    start = text.find(part) if part else -1
    while start >= 0:
        end = start + len(part)
        before, after = text[max(0, start - NEAR) : start].rstrip(" \t"), text[end : end + NEAR].lstrip(" \t")
        is_in_quotes = before.endswith(_QUOTES) and after.startswith(_QUOTES)
        if is_in_quotes or (before.endswith(":") and (not after or after.startswith("\n"))):
            return True
        start = text.find(part, start + 1)
    return False


def plain(body: Mapping[str, Any]) -> str:
    """The text of a message, without the spaces around it."""
    content = body.get("content")
    if isinstance(content, str):
        return content.strip()
    texts = [part for part in content or () if isinstance(part, str | Mapping)] if isinstance(content, list) else []
    return " ".join(str(part if isinstance(part, str) else part.get("text") or "") for part in texts).strip()


def is_summary(body: Mapping[str, Any]) -> bool:
    """Whether a message says that it sums up what was said before it."""
    return _SUMMARY.search(plain(body)[:SUMMARY_LETTERS]) is not None


def _overlap(one: str, other: str) -> float:
    words, others = (Counter(re.findall(r"\w+", text.lower())) for text in (one, other))
    total = words.total() + others.total()
    return 2 * (words & others).total() / total if total else 0.0


def _called(body: Mapping[str, Any]) -> list[Any]:
    calls = body.get("tool_calls")
    functions = [call.get("function") for call in calls or () if isinstance(call, Mapping)]
    return [(each.get("name"), each.get("arguments")) for each in functions if isinstance(each, Mapping)]


def call_ids(body: Mapping[str, Any]) -> list[str]:
    """Of the calls of tools that a message makes."""
    made = body.get("tool_calls")
    return [str(call.get("id")) for call in made if isinstance(call, Mapping)] if isinstance(made, list) else []


def is_step(body: Mapping[str, Any]) -> bool:
    """Whether it is a call of a tool, or the result of one."""
    return body.get("role") == "tool" or bool(body.get("tool_calls"))
