"""By what a call is told to be one of the chat's: who speaks in it, and what it asks for."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from collab_sdk.logs.store.agreement import is_summary, plain
from collab_sdk.logs.store.tree import StoredBody, StoredCall

ALIKE = 0.6
COMPARED = 2_000
"""Characters of a system prompt that are compared with others."""
SHARED = 200
"""Characters at the beginning of two prompts that make them one, whatever follows."""
FIRST_WORDS, LAST_WORDS = 8, 4
"""Words of whole lines that do so at the beginning, where many have "You are a helpful assistant.", and at the end."""
HEARD = 50
"""Voices that a prompt is compared with, the latest first."""
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
    rf"(?:{_any_of(_VERBS)}|\bcheck (?:if|whether)\b).{{0,160}}{_any_of(_OF_THE_CHAT)}|<chat_history>|^#+\s*task\b",
    re.IGNORECASE | re.DOTALL,
)
_ASKS = re.compile(_any_of(_VERBS), re.IGNORECASE)
_AIM = re.compile(_any_of(_AIMS), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Prompt:
    text: str
    is_formatted: bool
    """Whether the reply has a form to fill in."""
    words: Counter[str]

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip()]

    def is_like(self, other: "_Prompt") -> bool:
        """Whether it is the other with something else filled in: they begin, or end, alike, or share most words."""
        if self.is_formatted != other.is_formatted or bool(self.text) != bool(other.text):
            return False
        shared = sum(1 for _ in _same(self.text, other.text))
        if shared >= min(SHARED, max(ALIKE * min(len(self.text), len(other.text)), 12)):
            return True
        lines, others = self.lines, other.lines
        if _words_shared(lines, others) >= FIRST_WORDS or _words_shared(lines[::-1], others[::-1]) >= LAST_WORDS:
            return True
        return 2 * (self.words & other.words).total() >= ALIKE * (self.words.total() + other.words.total())


class Voices:
    """Numbers for the system prompts of calls: one that changes a little from call to call is the same voice."""

    def __init__(self) -> None:
        self._known: list[_Prompt] = []
        self._numbers: dict[tuple[str, bool], int] = {}

    def of(self, history: Sequence[StoredBody], call: StoredCall) -> int:
        prompts = [plain(each.body) for each in takewhile(lambda each: not each.is_said, history)]
        prompts = [prompt for place, prompt in enumerate(prompts) if not place or not is_summary({"content": prompt})]
        text = without_summary(prompts[0])[:COMPARED] if prompts else ""
        voice = text, "response_format" in call.said_of("parameters")
        if voice not in self._numbers:
            prompt = _Prompt(*voice, Counter(text.split()))
            latest = range(len(self._known) - 1, max(-1, len(self._known) - 1 - HEARD), -1)
            number = next((number for number in latest if prompt.is_like(self._known[number])), len(self._known))
            if number == len(self._known):
                self._known.append(prompt)
            self._numbers[voice] = number
        return self._numbers[voice]

    def is_errand(self, voice: int) -> bool:
        """Whether its prompt reads like that of a title, a guard, a router."""
        return _AIM.search(self._known[voice].text) is not None


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


def _words_shared(lines: Sequence[str], others: Sequence[str]) -> int:
    """How many words the lines have up to the first that is another."""
    return sum(len(line.split()) for line, _ in _same(lines, others))


def _same(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What two begin with, up to the first place where they differ."""
    return takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
