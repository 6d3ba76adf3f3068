"""By what a call is told to be one of the chat's: who speaks in it, and what it asks for."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from collab_sdk.logs.store.agreement import is_summary, plain
from collab_sdk.logs.store.tree import StoredBody, StoredCall

ALIKE = 0.6
COMPARED = 2_000
"""Characters of a system prompt that are compared with others."""
_OF_THE_CHAT = (
    r"(?:conversations?|chats?|dialogues?|discussion|exchange|transcript|messages?|chat_history|history|above|user'?s?)"
)
_ERRAND = re.compile(
    rf"\b(?:generate|create|write|suggest|give|provide|propose|come up with|return|produce|make|invent|choose|pick|find|"
    rf"summari[sz]e|name|label|categori[sz]e|classify|rate|score|judge|evaluate|assess|extract|rephrase|rewrite|condense|title)\b"
    rf".{{0,160}}\b{_OF_THE_CHAT}\b|<chat_history>|^#+\s*task\b",
    re.IGNORECASE | re.DOTALL,
)
_AIM = re.compile(
    r"\b(?:titles?|headings?|subject lines?|follow[- ]?ups?|suggestions?|suggested|tags?|keywords?|topics?|name|summar(?:y|i[sz]e|ies)|"
    r"safe|unsafe|moderat\w+|guard\w*|polic(?:y|ies)|toxic\w*|harm\w*|rout(?:e|er|ing)|intents?|classif\w+|categor\w+|label|"
    r"rat(?:e|ing)|scores?|judge|evaluat\w+|grade|rephrase|rewrite|standalone|condense|search quer(?:y|ies)|queries|facts|memor(?:y|ies)|emoji)\b",
    re.IGNORECASE,
)


class Voices:
    """Numbers for the system prompts of calls: one that changes a little from call to call is the same voice."""

    def __init__(self) -> None:
        self._known: list[tuple[str, bool]] = []
        self._numbers: dict[tuple[str, bool], int] = {}

    def of(self, history: Sequence[StoredBody], call: StoredCall) -> int:
        prompts = [plain(each.body) for each in history if not each.is_said]
        prompts = [prompt for place, prompt in enumerate(prompts) if not place or not is_summary({"content": prompt})]
        said = _without_summary(prompts[0]) if prompts else ""
        voice = said[:COMPARED], '"response_format"' in call.details
        if voice not in self._numbers:
            like = (number for number, known in enumerate(self._known) if _is_like(voice, known))
            number = next(like, len(self._known))
            if number == len(self._known):
                self._known.append(voice)
            self._numbers[voice] = number
        return self._numbers[voice]

    def is_errand(self, voice: int) -> bool:
        """Whether its prompt reads like that of a title, a guard, a router."""
        return _AIM.search(self._known[voice][0]) is not None


def is_errand(text: str) -> bool:
    """Whether a message reads like an app's own request about the chat: for a title, follow-ups, a verdict."""
    return _ERRAND.search(text) is not None and _AIM.search(text) is not None


def _without_summary(prompt: str) -> str:
    """A prompt without the summary at its end."""
    kept: list[str] = []
    for line in prompt.splitlines():
        if is_summary({"content": line}):
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _is_like(voice: tuple[str, bool], known: tuple[str, bool]) -> bool:
    (prompt, formatted), (other, was_formatted) = voice, known
    if formatted != was_formatted or bool(prompt) != bool(other):
        return False
    if prompt == other:
        return True
    shared = next((n for n, (one, two) in enumerate(zip(prompt, other, strict=False)) if one != two), None)
    shorter = min(len(prompt), len(other))
    if shared is None or shared >= max(ALIKE * shorter, 12) or shared >= 200:
        return True
    words, others = prompt.split(), other.split()
    return SequenceMatcher(None, words, others, autojunk=False).ratio() >= ALIKE
