"""What a person typed, out of the templates that apps put it into before they send it to a model.

Nothing says that a message is a filled-in template; two things teach it. Of a last message with what was retrieved for
it, later histories have the plain wording. Of a history that is written as text into one message, the next such
message has what was typed before the answer to it.
"""

import re
from collections.abc import Sequence

from collab_sdk.logs.store.agreement import says

_LABEL = re.compile(r"^[^\w\n]*[\w ]{1,30}[:>\])]+[ \t]*")
"""At the beginning of a line of a transcript: `User: `."""
TOLD = 12
"""Characters of an answer that are enough to know that a message quotes it."""


def unwrapped(text: str, taught: Sequence[tuple[str, str]]) -> str | None:
    """What was typed, of a message in a template that other messages came in; None where they do not teach it.

    `taught` are such messages with their plain wording.
    """
    for filled, typed in reversed(taught):
        start = filled.rfind(typed)
        found = _between(text, filled[:start], filled[start + len(typed) :])
        if found:
            return found
    return None


def typed_between(prompts: Sequence[str], answers: Sequence[str]) -> list[str] | None:
    """What was typed, of messages that each hold the whole chat so far as text; None where they do not.

    `answers` are the replies to the messages, in order.
    """
    pairs = list(zip(prompts[1:], answers, strict=False))
    if not all(says(prompt, answer) for prompt, answer in pairs):
        return None
    if 2 * sum(len(answer) >= TOLD for _, answer in pairs) <= len(pairs):
        return None
    typed: list[str] = []
    for number, (later, answer) in enumerate(pairs):
        before = answers[number - 1] if number else ""
        start = later.find(before) + len(before) if number else 0
        asked = _last_asked(later[start : later.find(answer, start)], prompts[number])
        if asked is None:
            return None
        typed.append(asked)
    last = unwrapped(prompts[-1], list(zip(prompts[:-1], typed, strict=True)))
    return None if last is None else [*typed, last]


def _last_asked(transcript: str, prompt: str) -> str | None:
    """The longest end of a transcript, but for labels, that stands at the end of a prompt too."""
    lines = transcript.rstrip().splitlines()
    if lines and _LABEL.sub("", lines[-1]).strip() == "":
        lines.pop()  # the label of the answer
    found = None
    for first in range(len(lines) - 1, -1, -1):
        text = "\n".join([_LABEL.sub("", lines[first]), *lines[first + 1 :]]).strip()
        place = prompt.rfind(text)
        if not text or place < 0 or len(prompt) - place - len(text) > max(200, len(prompt) // 2):
            break
        found = text
        if _LABEL.match(lines[first]):
            break
    return found


def _between(text: str, before: str, after: str) -> str | None:
    """What stands between the label before and what comes after, as they were in another filled-in template."""
    label = before.rsplit("\n", 1)[-1] or before[-40:].lstrip()
    if not before:
        end = text.find(after[:20]) if after else len(text)
        return text[:end].strip() if end > 0 else None
    place = text.rfind(label) if label.strip() else -1
    if place < 0:
        return None
    rest = text[place + len(label) :]
    if not after.strip():
        return rest.strip()
    closing = after.strip().splitlines()[0]
    end = rest.rfind(closing)
    return rest[:end].strip() if end > 0 else None
