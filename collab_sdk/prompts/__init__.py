"""Prompt templates as text files, and the fences that keep chat text from being read as instructions."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Literal, get_args

from collab_sdk.messages import Ending, Message, ToolCall
from collab_sdk.types import Persona

__all__ = [
    "ABOUT_YOU",
    "END_OF_CONVERSATION",
    "PointTag",
    "Prompt",
    "Tag",
    "fence",
    "fence_continuation",
    "fence_deeds",
    "fence_goal",
    "fence_persona",
    "fence_points",
    "fence_transcript",
    "json_line",
    "load_prompt",
    "middle_out",
    "unfence",
    "unfence_continuations",
    "unfence_goal",
    "unfence_offered",
    "unfence_patience",
    "unfence_points",
    "unfence_transcript",
]

PointTag = Literal["requirements", "rules"]
"""What a judge may be asked to list, and goes through point by point."""
Tag = Literal[
    "goal", "persona", "examples", "transcript", "continuation", "criteria", "tool", "calls", "call", PointTag
]
_FENCE = rf"(?=\\*\s*(?:/?\s*(?:{'|'.join(get_args(Tag))})\b|\|))"
FENCE_LIKE = re.compile("<" + _FENCE, re.IGNORECASE)
"""A `<` that opens or closes a fence, whatever backslashes follow it, or a control token such as `<|im_end|>`."""
ESCAPED_FENCE = re.compile(r"<\\" + _FENCE, re.IGNORECASE)
JSON_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<\uff1c\ufe64\u25c1\x85\u2028\u2029"}
"""What fences and control tokens begin with, `<` and what looks like it; and what some take for the end of a line."""
PATIENCE = "useless answers before you give up"
MOST_OF_RESULT, MOST_OF_RESULTS = 4_000, 60_000
"""Characters that the judge sees of a call's arguments or result, and of all those of a conversation."""
BEGINNING = 30
"""Characters of them that are shown, where there is no room for more, of however many calls there is room for."""
MOST_OF_SYSTEM = 20_000
"""Characters that the judge sees of a system prompt."""
MOST_POINTS, MOST_OF_POINT = 100, 1_000
"""How many points a list may have, and how many characters each; the prompts that ask for one say so too."""
MOST_OF_CONTINUATIONS = 200_000
"""Characters of all continuations that the judge sees in one call."""
MOST_OFFERED, NAMED, DESCRIBED = 100, 200, 200
"""How many offered tools the judge sees, and characters of a tool's name and of what it is for."""
ENDED = {
    Ending.CUT_OFF: "cut off here by its length limit, and sent like that",
    Ending.FILTERED: "stopped here by a content filter or a refusal, and sent like that",
    Ending.EMPTY: "sent without a word",
}
"""What a transcript says of a reply that did not end by itself, in a field of its own, which no text can forge."""
END_OF_CONVERSATION = "<|endconversation|>"
"""What a model writes that is the user, when they leave (UserLM's token, arXiv 2510.06552); it is in no transcript."""
ABOUT_YOU = "About you:"
"""What such a model reads above who it is, behind what it wants."""
BRACKETED = re.compile(r"\[(?=/?[A-Z_]+\])")
"""What control tokens of Mistral's and Llama's kind begin with, such as `[INST]`."""


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


@cache
def prompts_digest() -> str:
    """A hash of all templates: with another, any prompt may be another."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.txt")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def fence(tag: Tag, text: str) -> str:
    """`text` between `<tag>` lines. What could be read as a fence in it gets a backslash, and code stays as it is."""
    harmless = FENCE_LIKE.sub(r"<\\", text)
    return f"<{tag}>\n{harmless}\n</{tag}>"


def unfence(tag: Tag, prompt: str) -> str:
    """What `fence` put in; empty if the tag is absent."""
    match = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    return ESCAPED_FENCE.sub("<", match[1]) if match else ""


def json_line(value: Any) -> str:
    """JSON on one line without fences or control tokens: it has escapes for what they begin with, which readers see."""
    return BRACKETED.sub(r"\\u005b", json.dumps(value, ensure_ascii=False).translate(JSON_ESCAPES))


def fence_goal(text: str) -> str:
    """What a user wants as fenced JSON lines, a string for each line: wherever it comes from, it ends no fence."""
    return fence("goal", "\n".join(json_line(line) for line in text.split("\n")))


def unfence_goal(prompt: str) -> str:
    """The text that `fence_goal` put into a prompt."""
    return "\n".join(json.loads(line) for line in unfence("goal", prompt).split("\n") if line)


def fence_persona(persona: Persona | None) -> str:
    """Who a user is, as fenced JSON on one line; empty for nobody in particular. The name is shown only alone."""
    if persona is None or persona.is_nobody:
        return ""
    said = {
        "behaviour": persona.traits if persona.says_something else [persona.name],
        "writes": persona.writes,
        "forgets": persona.forgets,
        PATIENCE: persona.patience,
    }
    return fence("persona", json_line({key: value for key, value in said.items() if value}))


def unfence_patience(prompt: str) -> int | None:
    """The patience of the persona that `fence_persona` put into a prompt; None where it has none."""
    said = unfence("persona", prompt)
    patience: int | None = json.loads(said).get(PATIENCE) if said else None
    return patience


def fence_points(tag: PointTag, points: Iterable[str]) -> str:
    """Points by number as fenced JSON lines: what was made of hostile material ends no fence either."""
    rows = (json_line({"number": number, "text": point}) for number, point in enumerate(points, start=1))
    return fence(tag, "\n".join(rows))


def unfence_points(tag: PointTag, prompt: str) -> list[str]:
    """The points that `fence_points` put into a prompt, in order."""
    return [json.loads(line)["text"] for line in unfence(tag, prompt).split("\n") if line]


def fence_transcript(messages: Iterable[Message]) -> str:
    """What the user sees of a conversation, as fenced JSON lines: no message can forge another speaker's turn."""
    lines = [
        json_line({"speaker": message.role, "text": message.content, **_ended(message)})
        for message in messages
        if message.role in ("user", "assistant") and (message.content or message.ended)
    ]
    return fence("transcript", "\n".join(lines))


def fence_deeds(messages: Iterable[Message], tools: Iterable[Mapping[str, Any]] = ()) -> str:
    """All of a conversation, as fenced JSON lines: the system prompt, what was said, calls and their results.

    Before it stands what the assistant could call. Calls are numbered, so that equal conversations are equal texts.
    What is too long is cut, and says so; of many calls the latest are shown most fully.
    """
    lines, texts = _lines(messages)
    _shorten(texts, MOST_OF_RESULTS)
    return fence("transcript", "\n".join(map(json_line, [*_offered(list(tools)), *lines])))


def fence_continuation(history: Sequence[Message], continuation: Sequence[Message]) -> str:
    """One of several ways in which a conversation went on, as fenced JSON lines like those of `fence_deeds`.

    Its calls are numbered on from those of the history. What is shown of it does not depend on what else is shown: what
    was said is never cut, and its calls and results have the room of a conversation's.
    """
    before = len(_lines(history)[0])
    lines, texts = _lines([*history, *continuation])
    lines = lines[before:]
    own = set(map(id, lines))
    _shorten([(line, key) for line, key in texts if id(line) in own], MOST_OF_RESULTS)
    return fence("continuation", "\n".join(map(json_line, lines)))


def _lines(messages: Iterable[Message]) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], str]]]:
    """What `fence_deeds` shows of messages, still uncut, and where in it arguments and results stand."""
    lines: list[dict[str, Any]] = []
    texts: list[tuple[dict[str, Any], str]] = []
    waiting: dict[str | None, list[dict[str, Any]]] = {}
    number = 0
    for message in messages:
        if message.role == "tool":
            calls = waiting.get(message.tool_call_id)
            call = calls.pop(0) if calls else {"call": None}
            call.pop("result", None)
            lines.append({"speaker": "tool", "call": call["call"], "result": message.content})
            texts.append((lines[-1], "result"))
        elif message.content or (message.ended and not message.calls):
            said = message.content
            said = said if message.role in ("user", "assistant") else middle_out(said, MOST_OF_SYSTEM)[0]
            lines.append({"speaker": message.role, "text": said})
        for made in message.calls:
            number += 1
            shown = {"tool": _beginning(made.name, NAMED), "arguments": _arguments(made)}
            lines.append({"speaker": message.role, "call": number, **shown, "result": None})
            texts.append((lines[-1], "arguments"))
            waiting.setdefault(made.id, []).append(lines[-1])
        if message.ended:
            lines[-1] |= _ended(message)
    return lines, texts


def _ended(message: Message) -> dict[str, str]:
    return {"ended": ENDED[message.ended]} if message.ended else {}


def _arguments(call: ToolCall) -> str:
    """In canonical form where they are an object, so that spaces and the order of keys make no other text."""
    try:
        parsed = call.parsed
        return call.arguments if parsed is None else _canonical(parsed)
    except (ValueError, RecursionError):
        return call.arguments


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _shorten(texts: Sequence[tuple[dict[str, Any], str]], most: int) -> None:
    """Cut arguments and results in place, the earliest first, until all have room together."""
    least = min(BEGINNING, most // (2 * len(texts) or 1))
    room = most - least * len(texts)
    for line, key in reversed(texts):
        text = line[key]
        more = max(0, min(len(text), MOST_OF_RESULT) - least)
        if more <= room:
            line[key], left_out = middle_out(text, MOST_OF_RESULT)
            room -= more
        else:
            line[key], left_out, room = _beginning(text, least), len(text) - least, 0
        if left_out:
            line["characters_left_out"] = left_out


def _offered(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line of what can be called, if anything can."""
    if not tools:
        return []
    more = len(tools) - MOST_OFFERED
    offered = [_offer(tool) for tool in tools[:MOST_OFFERED]]
    return [{"speaker": "tools", "offered": offered, **({"more_tools": more} if more > 0 else {})}]


def _offer(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function", tool)
    function = function if isinstance(function, Mapping) else {}
    said = str(function.get("description") or "")
    name = _beginning(str(function.get("name") or ""), NAMED)
    return {"tool": name, **({"description": _beginning(said, DESCRIBED)} if said else {})}


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def middle_out(text: str, most: int) -> tuple[str, int]:
    """The text with its middle left out where it is longer, and how many characters that is."""
    left_out = len(text) - most
    if left_out <= 0:
        return text, 0
    half = most // 2
    return f"{text[:half]} […{left_out:,} characters left out…] {text[-half:]}", left_out


def unfence_transcript(prompt: str) -> list[Message]:
    """The messages that `fence_transcript` or `fence_deeds` put into a prompt, a call a message."""
    return _read_lines(unfence("transcript", prompt))


def unfence_continuations(prompt: str) -> list[list[Message]]:
    """The continuations that `fence_continuation` put into a prompt, in order."""
    fenced = re.findall(r"<continuation>\n(.*?)\n</continuation>", prompt, re.DOTALL)
    return [_read_lines(ESCAPED_FENCE.sub("<", each)) for each in fenced]


def _read_lines(text: str) -> list[Message]:
    rows = [json.loads(line) for line in text.splitlines() if line]
    return [message for row in rows if (message := _message(row)) is not None]


def _message(row: Mapping[str, Any]) -> Message | None:
    ended = next((ending for ending, said in ENDED.items() if said == row.get("ended")), None)
    if "text" in row:
        return Message(role=row["speaker"], content=row["text"], ended=ended)
    if "tool" in row:
        made = {"name": row["tool"], "arguments": row["arguments"]}
        calls = ({"id": str(row["call"]), "type": "function", "function": made},)
        return Message(role="assistant", content="", tool_calls=calls, ended=ended)
    if "result" in row:
        return Message(role="tool", content=row["result"], tool_call_id=str(row["call"]) if row["call"] else None)
    return None


def unfence_offered(prompt: str) -> list[str]:
    """The names of the tools that `fence_deeds` says the assistant could call."""
    rows = [json.loads(line) for line in unfence("transcript", prompt).splitlines() if line]
    return [tool["tool"] for row in rows for tool in row.get("offered", ())]
