"""What a node of a ChatGPT export says."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.blocks import MEDIA, UNKNOWN, text_of_blocks
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.spellings import role_of
from collab_sdk.logs.formats.trees import with_files
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.tool_calls import tool_calls_in

_EVERYBODY = ("", "all")
_TOOL = "tool:"
_FIELDS = {
    "code": ("text",),
    "execution_output": ("text",),
    "tether_quote": ("title", "text"),
    "tether_browsing_code": ("text",),
    "tether_browsing_display": ("result", "summary"),
    "sonic_webpage": ("title", "url", "text"),
    "citable_code_output": ("output_str",),
    "system_error": ("name", "text"),
    "user_editable_context": ("user_profile", "user_instructions"),
    "model_editable_context": ("model_set_context",),
}
"""Where kinds of content that are no list of parts have their text."""

HIDDEN = "messages that are hidden from the conversation, left out"
MEMORY = "memories of the assistant's, left out"

_MARK = re.compile("\ue200([^\ue200\ue201]*)\ue201")
_OPEN_MARK = re.compile("(\ue200[a-z_]*(?:\ue202[A-Za-z0-9_]*)*|(?:\ue202[A-Za-z0-9_]*)+)")
_SOURCE = re.compile(
    r"(【[^【】\n]{0,80}†[^【】\n]{0,80}】|【oaicite:\d{1,9}】|:contentReference\[oaicite:\d{1,9}\]\{index=\d{1,9}\})"
)
_PRIVATE = re.compile("[\ue200-\ue2ff]")
_REFERENCE = re.compile(r"turn\d{1,9}[a-z_]{1,40}\d|【[^】\n]{0,80}†|entity\[")
"""What a reference without private characters looks like, so that none takes words away."""
_VALUE = re.compile("([a-z_]*)\ue202?(.*)", re.DOTALL)
_NAMED = {"entity": 1, "product_entity": 1, "link_title": 0, "url": 0}
"""Marks that stand for a name, and which of their values is that name."""
_AUDIO = re.compile("audio.*_asset_pointer")
_KIND = re.compile(r"[a-z0-9_.]{1,40}")


def chatgpt_messages(value: Any) -> tuple[Message, ...]:
    """The message of a node, if it says anything. Raises InputError for a role or content that is none."""
    if value is None:
        return ()
    author, content = (value.get("author"), value.get("content")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(author, Mapping) or not isinstance(content, Mapping):
        raise InputError("a message must be an object with author and content")
    role, about = role_of(author.get("role")), mapping(value.get("metadata"))
    kind = content.get("content_type")
    if kind in ("thoughts", "reasoning_recap"):
        return _thinks(_thoughts(content))
    text = without_marks(_text(content), about.get("content_references"))
    if kind == "model_editable_context":
        note(MEMORY, int(bool(text)))
        return ()
    if kind == "user_editable_context" or (role != "tool" and about.get("is_user_system_message") is True):
        # Custom instructions, which are sent as if the user had said them.
        text = text if kind == "user_editable_context" or role == "system" else ""
        text = text or _joined(mapping(about.get("user_context_message_data")).values())
        return (Message(role="system", content=text),) if text.strip() else ()
    if role == "tool":
        name = author.get("name")
        named = name if isinstance(name, str) and name else None
        return (Message(role="tool", content=_result(text, about), name=named),)
    recipient = value.get("recipient")
    if role == "assistant" and isinstance(recipient, str) and recipient not in _EVERYBODY:
        function = {"name": recipient, "arguments": _arguments(text)}
        id = value.get("id")
        call = {"id": id if isinstance(id, str) else None, "function": function}
        return (Message(role="assistant", content="", tool_calls=tool_calls_in({"tool_calls": [call]})),)
    if about.get("is_visually_hidden_from_conversation") is True and role != "system":
        note(HIDDEN, int(bool(text.strip())))
        return ()
    if role == "assistant" and value.get("channel") == "analysis":
        return _thinks(text)
    if role == "user":
        said = with_files([Message(role="user", content=text)], _attached(about))
        return said if said[0].content.strip() or not _is_blank(content) else ()
    found = (Message(role=role, content=text),) if text.strip() else ()
    by = mapping(author.get("metadata")).get("real_author")
    if role == "assistant" and isinstance(by, str) and by.startswith(_TOOL):
        # A search that is answered in the same breath: what it found stands beside the answer, and in no node.
        return (Message(role="tool", content=_result("", about), name=by.removeprefix(_TOOL)), *found)
    return found


def without_marks(text: str, references: Any = None) -> str:
    """The text without the marks of citations, images and widgets; those of entities and links become their names.

    `references` are those of the message, whose `matched_text` names marks that have lost their private characters.
    """
    named = {reference.get("matched_text") for reference in objects(references)}
    marks = sorted((mark for mark in named if isinstance(mark, str) and _REFERENCE.search(mark)), key=len, reverse=True)
    clean = text
    if marks:
        clean = _cut(clean, re.compile("(" + "|".join(map(re.escape, marks)) + ")"))
    for pattern in (_MARK, _OPEN_MARK, _SOURCE):
        clean = _cut(clean, pattern)
    clean = _PRIVATE.sub("", clean)
    return text if clean == text else clean.strip()


def _cut(text: str, mark: re.Pattern[str]) -> str:
    """The text with the name of each mark in its place, or without it and the space in front of it."""
    pieces = []
    begin = 0
    for found in mark.finditer(text):
        before, name = text[begin : found.start()], _name_of(found[1])
        goes_on = text[found.end() : found.end() + 1].isalnum()
        pieces += [before if name or goes_on else before.rstrip(" \t"), name]
        begin = found.end()
    return "".join([*pieces, text[begin:]])


def _name_of(mark: str) -> str:
    found = _VALUE.match(mark)
    if found is None or found[1] not in _NAMED:
        return ""
    value: Any = found[2]
    if value.startswith(("[", "{")):
        try:
            value = parse_json(value)
        except InputError:
            return ""
        if isinstance(value, Mapping):
            return str(value.get("name") or "")
        place = _NAMED[found[1]]
        named = value[place] if len(value) > place else ""
        return named if isinstance(named, str) else ""
    return str(value.split("\ue202")[0])


def _text(content: Mapping[str, Any]) -> str:
    """The text of a content of a known kind; what is of no known one is counted."""
    kind, parts = content.get("content_type"), content.get("parts")
    if isinstance(kind, str) and kind in _FIELDS:
        return _joined(content.get(field) for field in _FIELDS[kind])
    if kind in ("text", "multimodal_text", None) and isinstance(parts, list):
        return text_of_blocks(_blocks(parts))
    if kind == "text" and isinstance(content.get("text"), str):
        return str(content["text"])
    note(UNKNOWN.format(kind=kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "that has no name"))
    return ""


def _blocks(parts: Sequence[Any]) -> list[Any]:
    """The parts as blocks; a recording goes where its words are there."""
    blocks = [
        {**part, "type": part["content_type"]} if isinstance(part, Mapping) and "content_type" in part else part
        for part in parts
    ]
    heard = any(kind == "audio_transcription" and block.get("text") for kind, block in map(_typed, blocks))
    return [
        block
        for block, (kind, _) in zip(blocks, map(_typed, blocks), strict=True)
        if not (heard and _AUDIO.search(kind))
    ]


def _typed(block: Any) -> tuple[str, Mapping[str, Any]]:
    block = mapping(block)
    return str(block.get("type")), block


def _is_blank(content: Mapping[str, Any]) -> bool:
    """Whether it holds no more than empty text."""
    parts = content.get("parts")
    return isinstance(parts, list) and all(isinstance(part, str) and not part.strip() for part in parts)


def _attached(about: Mapping[str, Any]) -> list[str]:
    """The files that a message came with; pictures and recordings are parts of it."""
    types = [str(one.get("mime_type", one.get("mimeType"))) for one in objects(about.get("attachments"))]
    return ["file" for type in types if not type.startswith(("image/", "audio/", "video/"))]


def _result(text: str, about: Mapping[str, Any]) -> str:
    """What a tool found: where its message is empty, what stands beside it."""
    ran = mapping(about.get("aggregate_result"))
    printed = objects(ran.get("messages"))
    pictures = sum(message.get("message_type") == "image" for message in printed)
    note(MEDIA.format(kind="image"), pictures)
    if not text.strip():
        groups = objects(about.get("search_result_groups"))
        pages = [page for group in groups for page in objects(group.get("entries"))]
        text = "\n\n".join(_joined(page.get(key) for key in ("title", "url", "snippet")) for page in pages)
        text = text or _joined([*(message.get("text") for message in printed), ran.get("final_expression_output")])
    return "\n".join(filter(None, [without_marks(text), *["[image]"] * pictures]))


def _thinks(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content="", reasoning=text),) if text.strip() else ()


def _thoughts(content: Mapping[str, Any]) -> str:
    thoughts = objects(content.get("thoughts"))
    return without_marks(
        _joined([content.get("content"), *(thought.get(key) for thought in thoughts for key in ("summary", "content"))])
    )


def _arguments(text: str) -> str:
    """JSON as it is; anything else, such as code, as the one argument `input`."""
    try:
        value = parse_json(text) if text.strip() else {}
    except InputError:
        value = None
    if not isinstance(value, dict):
        return to_json({"input": text})
    clean = _clean(value)
    return text if clean == value and text.strip() else to_json(clean)


def _clean(value: Any) -> Any:
    """A value of JSON without marks in its texts, where they may be escaped."""
    if isinstance(value, str):
        return without_marks(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return {key: _clean(one) for key, one in value.items()} if isinstance(value, dict) else value


def _joined(texts: Iterable[Any]) -> str:
    return "\n".join(text for text in texts if isinstance(text, str) and text)
