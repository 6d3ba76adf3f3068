"""Prompt templates as text files, and the fences that keep chat text from being read as instructions."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from collab_sdk.types import Message

LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What JSON leaves as it is and some take for the end of a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A template. `hash` goes into cache keys, so that a changed prompt is a new call."""

    text: str
    hash: str

    def fill(self, **values: str) -> str:
        return Template(self.text).substitute(values)


@cache
def load_prompt(name: str) -> Prompt:
    """The template in `prompts/{name}.txt`."""
    text = Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").strip()
    return Prompt(text=text, hash=hashlib.sha256(text.encode()).hexdigest()[:16])


def fence(tag: str, text: str) -> str:
    """`text` between `<tag>` lines. Its own `<` are escaped, so nothing inside can close the fence."""
    return f"<{tag}>\n{text.replace('&', '&amp;').replace('<', '&lt;')}\n</{tag}>"


def unfence(tag: str, prompt: str) -> str:
    """What `fence` put in; empty if the tag is absent."""
    match = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    return match[1].replace("&lt;", "<").replace("&amp;", "&") if match else ""


def fence_transcript(messages: Iterable[Message]) -> str:
    """What the user sees of a conversation, as fenced JSON lines: no message can forge another speaker's turn."""
    lines = [
        json.dumps({"speaker": message.role, "text": message.content}, ensure_ascii=False).translate(LINE_BREAKS)
        for message in messages
        if message.role in ("user", "assistant") and message.content
    ]
    return fence("transcript", "\n".join(lines))


def unfence_transcript(prompt: str) -> list[Message]:
    """The messages that `fence_transcript` put into a prompt."""
    rows = [json.loads(line) for line in unfence("transcript", prompt).splitlines() if line]
    return [Message(role=row["speaker"], content=row["text"]) for row in rows]
