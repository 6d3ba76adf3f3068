"""What a model thought, cut from what it said.

Reasoning models mark their thoughts, each family in its own way, and not every server takes them off. A user never sees
them, so nobody who plays, judges, counts or learns may. But people also talk about these marks, and lose no word by it:
a mark counts only where a model that thinks would put it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.messages import Message, as_messages, is_decision
from collab_sdk.models.base import ChatReply
from collab_sdk.types import PARTIAL_TURNS, UNTRAINED_TURNS, Conversation

_TAG = r"(?i:(?:[a-z]+:)?(?:think(?:ing)?|longcat_think))"
_WORD = r"(?i:(?:[a-z]+:)?(?:reasoning|thoughts?))"
_HEADER = r"[^<\n]{0,99}(?:<\|constrain\|>[^<\n]{0,99})?<\|message\|>"
MARK = re.compile(
    rf"""
    (?=[<[◁]) (?:  # makes the search several times as fast
    (?P<opens>
        <{_TAG}>                                                      # DeepSeek, Qwen, GLM, EXAONE, Seed and others
      | \[THINK\]                                                     # Magistral
      | ◁think▷                                                       # Kimi
      | <\|(?:START_THINKING|inner_prefix|begin_of_thought)\|>        # Command, Apertus, OpenThinker
      | <\|channel>thought | <unused94>(?:thought)?                   # Gemma 4, MedGemma
      | <\|channel\|>(?:analysis|commentary){_HEADER}                 # gpt-oss
    )
    | (?P<closes>
        </{_TAG}>
      | \[/THINK\]
      | ◁/think▷
      | <\|(?:END_THINKING|inner_suffix|end_of_thought)\|>
      | <channel\|> | <unused95>
      | <\|channel\|>final{_HEADER}
    )
    | (?P<unfolds><details\ type="reasoning"[^<>\n]{{0,200}}>)        # chats copied out of Open WebUI
    | (?P<folds></details>)
    | (?P<word><{_WORD}>)                                             # any XML may have these
    | (?P<word_ends></{_WORD}>)
    )
    """,
    re.VERBOSE,
)
CLOSED_BY = {"opens": "closes", "unfolds": "folds", "word": "word_ends"}
CODE_OR_MARK = re.compile(
    rf"(?P<code>(?<!`)(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)) | {MARK.pattern}", re.VERBOSE
)
CONTROL = re.compile(
    r"<\|(?:start\|>assistant|(?:end|return|call|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution)\|>)"
)
"""What else frames thoughts and answers in those formats."""
HEADER = frozenset(["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"])
"""Of what the headers of gpt-oss's channels consist."""
FRAME = re.compile(rf"(?:\s|{CONTROL.pattern})*")
BEGINNING = re.compile(rf"(?:\A|({CONTROL.pattern})) {{0,3}}\Z")
"""What may come before a mark in its line; four spaces would make it code."""
UNMARKED = (
    # gpt-oss where the server drops special tokens but keeps the names of the channels; then Granite.
    re.compile(r"\s*analysis(?=[^\W_a-z])(.*)assistantfinal(.*)", re.DOTALL),
    re.compile(r"\s*Here(?: is|'s) my thought process:(.*)Here(?: is|'s) my response:(.*)", re.DOTALL),
)
"""Formats without marks of their own: the thought, then the answer."""
FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)$")
OBJECT = re.compile(r"[\s\ufeff]*(?:(?:`{3,}|~{3,})[^\n]{0,80}\n\s*)?(?:(\{)|\[(?!/?THINK\]))")
"""How JSON begins, be it fenced."""
ELEMENT = re.compile(r"\s*(?:(?:`{3,}|~{3,})[^\n]{0,80}\n\s*)?(<([A-Za-z][\w-]{0,40})>)")
QUOTES = frozenset("\"'`“”‘’«»„")
SENTENCE_ENDS = frozenset(".?!…。！？\n")
NEAR = 80
"""How many characters around a mark are looked at."""
PARAGRAPH = "\n\n"


def split_reasoning(text: str, *, is_json: bool = False) -> tuple[str, str]:
    """Split a reply into its content and the reasoning in it; a text without reasoning is returned as it is.

    An opening mark counts at the beginning of the reply, and at the beginning of a line if the thought is closed later;
    `<reasoning>` and the like only at the beginning of the reply. A reply that begins with a thought that is never
    closed was cut off: it has no content. A closing mark without an opening one ends a thought that the chat template
    began, if it ends its line, or stands between a sentence and the next without a space. All other marks are text, as
    are those in quotes or code, and those in a reply that is an object.

    Where JSON is asked for (`is_json`), all up to the last closing mark is thought, since what stands between two
    thoughts may be quoted in one. But what begins as JSON is never cut, since a mark behind that may be quoted too.
    """
    content = text
    thoughts: list[str] = []
    while True:
        rest, thought = _after_thoughts(content) if is_json else _around_thoughts(content)
        if rest == content:
            rest, thought = _unmarked(content, is_json)
        if rest == content:
            return content, _paragraphs(thoughts)
        content = rest
        thoughts.append(thought)


def set_apart(reply: ChatReply, *, is_json: bool = False) -> ChatReply:
    """The reply with all that its model thought in `reasoning`, whichever way the server sent it.

    Where an object is asked for, one of thoughts alone stays as it is, so that the model can be told what is missing.
    """
    if reply.steps:
        reply = replace(reply, steps=tuple(_set_apart(step) for step in reply.steps))
    content, reasoning = split_reasoning(reply.content, is_json=is_json)
    if content == reply.content or (is_json and not content):
        return reply
    return replace(reply, content=content, reasoning=_paragraphs([reply.reasoning, reasoning]))


def marks_reasoning(token: str) -> bool:
    """Whether a special token of a tokenizer is a mark of reasoning, or part of one."""
    return token in HEADER or MARK.fullmatch(token) is not None or CONTROL.fullmatch(token) is not None


def reasoning_marks(text: str) -> list[re.Match[str]]:
    """All marks in a text, whether or not they count; the `lastgroup` of one tells if it `opens` or `closes`."""
    return list(MARK.finditer(text))


def without_reasoning(messages: Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """The messages, what the assistant thought in `reasoning`. Raises InputError for what is no message."""
    return tuple(map(_set_apart, as_messages(messages)))


def conversation_without_reasoning(conversation: Conversation) -> Conversation:
    """The conversation as its user saw it, with what the assistant thought in the `reasoning` of its messages.

    A turn of thoughts alone is left out, so later turns may have another index.
    """
    messages = without_reasoning(conversation.messages)
    alternatives = {
        turn: tuple(said for said in map(without_reasoning, others) if any(map(is_decision, said)))
        for turn, others in conversation.alternatives.items()
    }
    if messages == conversation.messages and alternatives == conversation.alternatives:
        return conversation
    changed = replace(conversation, messages=messages)
    places = {len(turn.history): turn.index for turn in changed.turns()}
    moved = {turn.index: places.get(len(turn.history)) for turn in conversation.turns()}
    metadata = conversation.metadata
    for key, turns in (
        (PARTIAL_TURNS, conversation.partial_turns),
        (UNTRAINED_TURNS, conversation.untrained_turns),
    ):
        if key in metadata:
            metadata = {**metadata, key: sorted(new for turn in turns if (new := moved.get(turn)) is not None)}
    kept = {new: alternatives[old] for old, new in moved.items() if new is not None and alternatives.get(old)}
    return replace(changed, alternatives=kept, metadata=metadata)


def _set_apart(message: Message) -> Message:
    if message.role != "assistant":
        return message
    content, reasoning = split_reasoning(message.content)
    if content == message.content:
        return message
    return replace(message, content=content, reasoning=_paragraphs([message.reasoning, reasoning]))


def _unmarked(text: str, is_json: bool) -> tuple[str, str]:
    if not (is_json and OBJECT.match(text)):
        for form in UNMARKED:
            if found := form.match(text):
                return _trimmed(found[2]), found[1]
    return text, ""


def _after_thoughts(text: str) -> tuple[str, str]:
    """Split a reply that JSON is wanted of, at its last closing mark or the first that JSON comes after."""
    if OBJECT.match(text):
        return text, ""
    start = _begin(text, 0)
    opening, end = _opening_at(text, start), -1
    for mark in MARK.finditer(text, start):
        if mark.lastgroup not in CLOSED_BY.values() or _is_quoted(text, mark):
            continue
        if opening is None and text.count("{", start, mark.start()) > text.count("}", start, mark.start()):
            break  # the mark stands in an object, where it is quoted
        end, start = mark.start(), _begin(text, mark.end())
        opening = _opening_at(text, start)
        if OBJECT.match(text, start):
            break
    if opening is not None:
        return "", _thought(text)
    return (text, "") if end < 0 else (_trimmed(text[start:]), _thought(text[:end]))


def _around_thoughts(text: str) -> tuple[str, str]:
    """Split a reply of free text."""
    if MARK.search(text) is None:
        return text, ""
    parts: list[str] = []
    said: set[int] = set()
    """Places of the parts that are said; the others are thoughts."""
    start = _begin(text, 0)
    while (said or not _is_answer(text, start)) and (found := _next_thought(text, start, is_first=not said)):
        opening, closing = found
        until, following = (closing.start(), closing.end()) if closing else (len(text), len(text))
        if opening is None:
            said = set()  # all of it was thought
        elif before := text[start : opening.start()]:
            said.add(len(parts))
            parts.append(before)
        parts.append(text[opening.end() if opening else start : until])
        start = _begin(text, following)
    if not parts:
        return text, ""
    content = [part for place, part in enumerate(parts) if place in said]
    thoughts = [part for place, part in enumerate(parts) if place not in said]
    return _paragraphs([*content, text[start:]]), _paragraphs(thoughts)


def _next_thought(text: str, start: int, *, is_first: bool) -> tuple[re.Match[str] | None, re.Match[str] | None] | None:
    """The marks around the next thought; one that begins the reply may lack either."""
    opening: re.Match[str] | None = None
    unpaired = 0
    """How many opening marks are text; each makes a closing mark text."""
    for mark in _marks(text, start):
        if opening is not None:
            if mark.lastgroup == CLOSED_BY[str(opening.lastgroup)]:
                return opening, mark
        elif mark.lastgroup in CLOSED_BY:
            begins_reply = is_first and mark.start() == start
            if begins_reply or (mark.lastgroup != "word" and BEGINNING.search(_line_before(text, start, mark))):
                opening = mark
            else:
                unpaired += mark.lastgroup == "opens"
        elif mark.lastgroup == "closes":
            if unpaired:
                unpaired -= 1
            elif _ends_thought(text, start, mark):
                return None, mark
    if opening is None or not is_first or opening.start() > start:
        return None
    closing = None
    for mark in MARK.finditer(text, opening.end()):  # if nothing else closes the thought, what seemed to be code does
        if mark.lastgroup == CLOSED_BY[str(opening.lastgroup)]:
            closing = mark
    return opening, closing


def _marks(text: str, start: int) -> Iterator[re.Match[str]]:
    """The marks that stand neither in code nor in quotes.

    A fence that is never closed may have been opened in a thought: a closing mark alone in its line still counts there.
    """
    is_open = has_opening = False
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if not is_open and (fence := FENCE.match(text, start, end)):
            ticks = fence[1] or fence[2]
            following = re.compile(rf"^[ \t>]*{ticks}{ticks[0]}*([^\n]*)$", re.MULTILINE).search(text, end)
            if following and not following[1].strip():
                start = following.end() + 1
                continue
            is_open = True
        line = text[start:end].strip()
        for mark in CODE_OR_MARK.finditer(text, start, end):
            if mark.lastgroup == "code" or _is_quoted(text, mark):
                continue
            has_opening |= is_open and mark.lastgroup in CLOSED_BY
            if not is_open or (mark[0] == line and not has_opening):
                yield mark
        start = end + 1


def _ends_thought(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a closing mark without an opening one ends a thought that the chat template began."""
    before, behind = _line_before(text, start, mark), text[mark.end() : mark.end() + NEAR]
    beginning = BEGINNING.search(before)
    if (beginning and beginning[1]) or CONTROL.match(behind) or _is_answer(text, mark.end()):
        return True
    last = before[-1:] or "\n"
    is_last_in_line = not behind.partition("\n")[0].strip()
    return last not in QUOTES and (is_last_in_line or (last in SENTENCE_ENDS and behind[0].isalnum()))


def _line_before(text: str, start: int, mark: re.Match[str]) -> str:
    return text[max(start, mark.start() - NEAR) : mark.start()].rpartition("\n")[2]


def _opening_at(text: str, position: int) -> re.Match[str] | None:
    mark = MARK.match(text, position)
    return mark if mark and mark.lastgroup in CLOSED_BY else None


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    return text[mark.start() - 1 : mark.start()] in QUOTES and text[mark.end() : mark.end() + 1] in QUOTES


def _is_answer(text: str, start: int) -> bool:
    """Whether what begins there looks like one object, or one element between tags, be it fenced."""
    ending = text[-NEAR:].rstrip("`~ \t\r\n")
    if (begun := OBJECT.match(text, start)) and begun[1]:
        return ending.endswith("}")
    tagged = ELEMENT.match(text, start)
    return tagged is not None and not MARK.match(tagged[1]) and ending.endswith(f"</{tagged[2]}>")


def _begin(text: str, position: int) -> int:
    """Where the text goes on after white space and control tokens."""
    framed = FRAME.match(text, position)
    return framed.end() if framed else position


def _trimmed(text: str) -> str:
    """The text without white space and control tokens at its ends."""
    start, end = _begin(text, 0), len(text)
    while (trimmed := _without_last_control(text, start, end)) < end:
        end = trimmed
    return text[start:end]


def _without_last_control(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    last = text.rfind("<|", start, end)
    return last if last >= 0 and CONTROL.fullmatch(text, last, end) else end


def _thought(text: str) -> str:
    """The text of a thought, without the mark that it may begin with."""
    opening = _opening_at(text, _begin(text, 0))
    return _trimmed(text[opening.end() :] if opening else text)


def _paragraphs(parts: Sequence[str]) -> str:
    return PARAGRAPH.join(trimmed for part in parts if (trimmed := _trimmed(part)))
