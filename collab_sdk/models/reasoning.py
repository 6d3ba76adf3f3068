"""What a model thought, cut from what it said.

Reasoning models mark their thoughts, each family in its own way, and not every server takes them off. A user never sees
them, so nobody who plays, judges, counts or learns may.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.models.base import ChatReply
from collab_sdk.types import PARTIAL_TURNS, Conversation, Message, as_messages

_NAME = r"(?:[a-z]+:)?(?:think(?:ing)?|thoughts?|reasoning|longcat_think)"
_HEADER = r"[^<\n]{0,99}(?:<\|constrain\|>[^<\n]{0,99})?<\|message\|>"
SIGNS = "<[◁"
"""What marks begin with."""
MARK = re.compile(
    rf"""
    (?=[<[◁]) (?:  # makes the search four times as fast
    (?P<opens>
        <(?i:{_NAME})>                                                # DeepSeek, Qwen, GLM, EXAONE, Seed and others
      | \[THINK\]                                                     # Magistral
      | ◁think▷                                                       # Kimi
      | <\|(?:START_THINKING|inner_prefix|begin_of_thought)\|>        # Command, Apertus, OpenThinker
      | <\|channel>thought | <unused94>(?:thought)?                   # Gemma 4, MedGemma
      | <\|channel\|>(?:analysis|commentary){_HEADER}                 # gpt-oss
    )
    | (?P<closes>
        </(?i:{_NAME})>
      | \[/THINK\]
      | ◁/think▷
      | <\|(?:END_THINKING|inner_suffix|end_of_thought)\|>
      | <channel\|> | <unused95>
      | <\|channel\|>final{_HEADER}
    )
    | (?P<unfolds><details\ type="reasoning"[^<>]{{0,200}}>)          # chats copied out of Open WebUI
    | (?P<folds></details>)
    )
    """,
    re.VERBOSE,
)
CONTROL = re.compile(
    r"<\|(?:start\|>assistant|(?:end|return|call|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution)\|>)"
)
"""What else frames thoughts and answers in those formats."""
HEADER = frozenset(["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"])
"""Of what the headers of gpt-oss's channels consist."""
FRAME = re.compile(rf"(?:\s|{CONTROL.pattern})+")
UNMARKED = (
    # gpt-oss where the server drops special tokens but keeps the names of the channels; then Granite.
    (re.compile(r"\s*analysis(?=\S)"), re.compile("assistantfinal")),
    (re.compile(r"\s*Here(?: is|'s) my thought process:"), re.compile(r"Here(?: is|'s) my response:")),
)
"""Formats without marks of their own: how such a reply begins, and what the answer comes after. Both must be there."""
FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
FENCED = re.compile(r"```(?:json)?\s(.*)```", re.DOTALL | re.IGNORECASE)
TICKS = re.compile("`+")
QUOTES = frozenset("\"'`“”‘’«»„")
PARAGRAPH = "\n\n"
INDENT = 80
"""Characters before or after a mark in which its line begins or ends, where it stands alone."""
MOST_MARKS = 10_000
"""A text with as many is hostile, and is cut at its last closing mark without a look at what is code."""
MOST_OBJECTS = 8
"""After how many of the last closing marks an object is looked for; each may have to read the whole text."""


def split_reasoning(text: str, *, is_json: bool = False) -> tuple[str, str]:
    """The content of a reply, and the reasoning in it; a text without reasoning is returned as it is.

    A closing mark without an opening one ends a thought that the chat template began. A thought that is never closed is
    a reply that was cut off: it has no content. Text before and between thoughts is content; but where one JSON object
    is asked for (`is_json`), all up to the last closing mark is thought, since what stands between two thoughts may be
    quoted in one, and an opening mark amid the rest is text, since it may be quoted there. Marks in quotes or in code
    are text, and so are those within a reply that as a whole is JSON.
    """
    content, reasoning = _split(text, is_json)
    if content != text and _split(content, is_json) != (content, ""):
        return "", _paragraphs([reasoning, content])  # without the thought in it, what is left reads as another
    return content, reasoning


def set_apart(reply: ChatReply, *, is_json: bool = False) -> ChatReply:
    """The reply with all that its model thought in `reasoning`, whichever way the server sent it.

    Where an object is asked for, one of thoughts alone stays as it is, so that the model can be told what is missing.
    """
    content, reasoning = split_reasoning(reply.content, is_json=is_json)
    if content == reply.content or (is_json and not content):
        return reply
    return replace(reply, content=content, reasoning=_paragraphs([reply.reasoning, reasoning]))


def marks_reasoning(token: str) -> bool:
    """Whether a special token of a tokenizer is a mark of reasoning, or part of one."""
    return token in HEADER or MARK.fullmatch(token) is not None or CONTROL.fullmatch(token) is not None


def said(messages: Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """The messages, what the assistant thought in `reasoning`. Raises InputError for what is no message."""
    return tuple(map(_set_apart, as_messages(messages)))


def said_in(conversation: Conversation) -> Conversation:
    """The conversation as its user saw it, with what the assistant thought in the `reasoning` of its messages.

    Turns that were nothing but thoughts are none, so others may have another index.
    """
    messages = said(conversation.messages)
    alternatives = {
        turn: tuple(text for text in (split_reasoning(each)[0] for each in texts) if text.strip())
        for turn, texts in conversation.alternatives.items()
    }
    if messages == conversation.messages and alternatives == conversation.alternatives:
        return conversation
    changed = replace(conversation, messages=messages)
    places = {len(turn.history): turn.index for turn in changed.turns()}
    moved = {turn.index: places.get(len(turn.history)) for turn in conversation.turns()}
    metadata = conversation.metadata
    if PARTIAL_TURNS in metadata:
        partial = {moved.get(turn) for turn in conversation.partial_turns} - {None}
        metadata = {**metadata, PARTIAL_TURNS: sorted(turn for turn in partial if turn is not None)}
    kept = {new: alternatives[old] for old, new in moved.items() if new is not None and alternatives.get(old)}
    return replace(changed, alternatives=kept, metadata=metadata)


def _set_apart(message: Message) -> Message:
    if message.role != "assistant":
        return message
    content, reasoning = split_reasoning(message.content)
    if content == message.content:
        return message
    return replace(message, content=content, reasoning=_paragraphs([message.reasoning, reasoning]))


def _split(text: str, is_json: bool) -> tuple[str, str]:
    for beginning, answer in UNMARKED:
        if (begun := beginning.match(text)) and (last := _last(answer, text)) and last.start() >= begun.end():
            return _trimmed(text[last.end() :]), _thought(text[begun.end() : last.start()])
    if not any(sign in text for sign in SIGNS):
        return text, ""
    found = deque(MARK.finditer(text), maxlen=MOST_MARKS)
    marks = [mark for mark in found if not _is_quoted(text, mark)]
    if not marks or _is_object(text):
        return text, ""
    closing = [mark for mark in marks if mark.lastgroup == "closes"]
    for mark in closing[-MOST_OBJECTS:]:
        if _is_object(rest := _trimmed(text[mark.end() :])):
            return rest, _thought(text[: mark.start()])
    is_hostile = len(found) == MOST_MARKS
    if not (is_hostile or (is_json and any(mark.lastgroup in ("opens", "closes") for mark in marks))):
        return _around_thoughts(text, marks)
    rest = _trimmed(text[closing[-1].end() :]) if closing else _trimmed(text)
    if (begun := MARK.match(rest)) and begun.lastgroup == "opens":
        return "", _thought(text)
    return (rest, _thought(text[: closing[-1].start()])) if closing else (text, "")


def _around_thoughts(text: str, marks: Sequence[re.Match[str]]) -> tuple[str, str]:
    said: list[str] = []
    thought: list[str] = []
    code = _Code(text)
    opened: re.Match[str] | None = None
    since = position = 0
    spare: int | None = None
    """Where in `marks` the last one is that would close the thought in hand if it did not seem to be code."""
    while position < len(marks) or spare is not None:
        if position < len(marks):
            is_code = code.holds(marks[position])
        else:
            position, is_code = spare or 0, False
        mark = marks[position]
        closes = mark.lastgroup == ("folds" if opened and opened.lastgroup == "unfolds" else "closes")
        if is_code:
            spare = position if opened and closes else spare
        elif closes or (opened is None and mark.lastgroup in ("opens", "unfolds")):
            (thought if closes else said).append(text[since : mark.start()])
            opened, spare = None if closes else mark, None
            since = mark.end()
            code.restart(since)
        position += 1
    if opened:
        return "", _thought(text)
    return (_seamless([*said, text[since:]]), _paragraphs(thought)) if since else (text, "")


class _Code:
    """Tells whether marks stand in inline code or in a closed code fence, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._fences = list(FENCE.finditer(text))
        self._starts = [fence.start() for fence in self._fences]
        self._closers = _closers(self._fences)
        self._nearest: dict[str, tuple[int, int]] = {}
        self.restart(0)

    def restart(self, position: int) -> None:
        """Begin another text at this position, whatever code was open before it."""
        self._next_fence = bisect_left(self._starts, position)
        self._fenced = (position, position)
        self._opens_in_fence = False
        self._counted, self._ticks = position, 0

    def holds(self, mark: re.Match[str]) -> bool:
        inline = self._is_inline(mark)
        while self._fenced[1] <= mark.start() and self._comes_next(mark):
            self._pass_fence()
        if not self._fenced[0] <= mark.start() < self._fenced[1]:
            return inline
        if mark.lastgroup == "closes" and not self._opens_in_fence and _is_alone(self._text, mark):
            return False  # the fence was left open in a thought, and another in the answer seems to close it
        self._opens_in_fence |= mark.lastgroup == "opens"
        return True

    def _comes_next(self, mark: re.Match[str]) -> bool:
        """Whether another fence comes before the mark."""
        return self._next_fence < len(self._starts) and self._starts[self._next_fence] < mark.start()

    def _pass_fence(self) -> None:
        opening, closer = self._next_fence, self._closers[self._next_fence]
        self._next_fence += 1
        if closer is not None:
            self._fenced = (self._fences[opening].end(), self._starts[closer])
            self._opens_in_fence = False
            self._next_fence = closer + 1

    def _is_inline(self, mark: re.Match[str]) -> bool:
        """Whether an odd number of backticks, or runs of them, comes before it in its line, and another after it."""
        line = self._text.rfind("\n", self._counted, mark.start()) + 1
        if line:
            self._ticks = 0
        self._ticks += len(TICKS.findall(self._text, max(line, self._counted), mark.start()))
        self._counted = mark.start()
        return self._ticks % 2 == 1 and self._find("`", mark.end()) < self._find("\n", mark.end())

    def _find(self, character: str, start: int) -> int:
        """Where it comes next; looked for once, however many marks stand before it."""
        since, found = self._nearest.get(character, (0, -1))
        if not since <= start <= found:
            found = self._text.find(character, start)
            found = len(self._text) if found < 0 else found
            self._nearest[character] = (start, found)
        return found


def _is_alone(text: str, mark: re.Match[str]) -> bool:
    """Whether nothing else stands in its line."""
    before = text[max(mark.start() - INDENT, 0) : mark.start()].rpartition("\n")[2]
    return not before.strip() and not text[mark.end() : mark.end() + INDENT].partition("\n")[0].strip()


def _closers(fences: Sequence[re.Match[str]]) -> list[int | None]:
    """For each fence the position of the next one that closes it: a bare one of the same kind, at least as long."""
    closers: list[int | None] = []
    bare: dict[str, list[tuple[int, int]]] = {"`": [], "~": []}
    """Of each kind those that may close one before them, as (-length, position), the nearest and shortest last."""
    for position in range(len(fences) - 1, -1, -1):
        fence = fences[position]
        known, length = bare[fence[1][0]], len(fence[1])
        enough = bisect_right(known, (-length, len(fences)))
        closers.append(known[enough - 1][1] if enough else None)
        if not fence[2].strip():
            while known and -known[-1][0] <= length:
                known.pop()
            known.append((-length, position))
    return closers[::-1]


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    return text[mark.start() - 1 : mark.start()] in QUOTES and text[mark.end() : mark.end() + 1] in QUOTES


def _is_object(text: str) -> bool:
    """Whether a text is, apart from a code fence around it, one JSON object and nothing else."""
    text = text.strip()
    if text.startswith("```") and (fenced := FENCED.fullmatch(text)):
        text = fenced[1].strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def _trimmed(text: str) -> str:
    """The text without white space and control tokens at its ends."""
    begun = FRAME.match(text)
    start, end = begun.end() if begun else 0, len(text)
    while (trimmed := _without_last_control(text, start, end)) < end:
        end = trimmed
    return text[start:end]


def _thought(text: str) -> str:
    """The text of a thought, without the mark that it may begin with."""
    trimmed = _trimmed(text)
    begun = MARK.match(trimmed)
    return _trimmed(trimmed[begun.end() :]) if begun else trimmed


def _without_last_control(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    last = text.rfind("<|", start, end)
    return last if last >= 0 and CONTROL.fullmatch(text, last, end) else end


def _paragraphs(parts: Sequence[str]) -> str:
    return PARAGRAPH.join(trimmed for part in parts if (trimmed := _trimmed(part)))


def _seamless(parts: Sequence[str]) -> str:
    """The parts as one text; where something was between two, the white space around it is left."""
    gap = ""
    pieces: list[str] = []
    for part in parts:
        if not (trimmed := _trimmed(part)):
            continue
        before = part[: len(part) - len(part.lstrip())]
        if pieces:
            pieces.append(max(gap, before, key=len) or PARAGRAPH)
        pieces.append(trimmed)
        gap = part[len(part.rstrip()) :]
    return "".join(pieces)
