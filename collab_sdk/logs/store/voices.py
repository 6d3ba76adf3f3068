"""By what a call is told to be one of the chat's: who speaks in it, and what it asks for."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from collab_sdk.logs.store.agreement import is_summary, plain
from collab_sdk.logs.store.call import IMPORTED
from collab_sdk.logs.store.tree import StoredBody, StoredCall

ALIKE = 0.6
COMPARED = 2_000
"""Characters of a system prompt that are compared with others."""
_VERBS = """
    assess categori[sz]e choose classify condense create evaluate extract find generate give invent judge label make
    name pick produce propose provide rate rephrase rewrite score suggest summari[sz]e title write
"""
_OF_THE_CHAT = """
    above chat_history chats? conversations? dialogues? discussion exchange history messages? transcript
"""
_AIMS = r"""
    categor\w+ classif\w+ condense emoji evaluat\w+ extract\sfacts follow[-\s]?ups? grade guard\w* harm\w* headings?
    intents? judge keywords? label memor(?:y|ies) moderat\w+ name queries rat(?:e|ing) rephrase rewrite
    rout(?:e|er|ing) safe scores? search\squer(?:y|ies) standalone storing\sfacts subject\slines? suggested suggestions?
    summar(?:y|i[sz]e|ies) tags? titles? topics? toxic\w* unsafe
"""


def _any_of(words: str) -> str:
    return rf"\b(?:{'|'.join(words.split())})\b"


_ERRAND = re.compile(
    rf"{_any_of(_VERBS)}.{{0,160}}{_any_of(_OF_THE_CHAT)}|<chat_history>|^#+\s*task\b", re.IGNORECASE | re.DOTALL
)
_ASKS = re.compile(_any_of(_VERBS), re.IGNORECASE)
_AIM = re.compile(_any_of(_AIMS), re.IGNORECASE)


class Voices:
    """Numbers for the system prompts of calls: one that changes a little from call to call is the same voice."""

    def __init__(self) -> None:
        self._known: list[tuple[str, bool]] = []
        self._numbers: dict[tuple[str, bool], int] = {}

    def of(self, history: Sequence[StoredBody], call: StoredCall) -> int:
        if call.source == IMPORTED:  # where a log has a prompt amid a chat, it is nobody else's
            history = list(takewhile(lambda each: not each.is_said, history))
        prompts = [plain(each.body) for each in history if not each.is_said]
        prompts = [prompt for place, prompt in enumerate(prompts) if not place or not is_summary({"content": prompt})]
        said = without_summary(prompts[0]) if prompts else ""
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


def may_be_errand(text: str) -> bool:
    """Whether a message asks for what apps ask for, though a person might: that it is the app's must show elsewhere."""
    return _ASKS.search(text) is not None and _AIM.search(text) is not None


def without_summary(prompt: str) -> str:
    """A prompt without the summary at its end."""
    lines = prompt.splitlines(keepends=True)
    end = next((place for place, line in enumerate(lines) if is_summary({"content": line})), None)
    return prompt if end is None else "".join(lines[:end]).strip()


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
