"""Gemini's `{"systemInstruction", "contents": [{"role", "parts"}]}`, and chats saved by Google AI Studio."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields, to_conversation, with_system
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_MEDIA = ("inline_file", "inline_data", "drive_document", "drive_image", "drive_video", "drive_audio", "youtube_video")
_SAID = ("text", "parts", "executable_code", "code_execution_result", "error_message", *_MEDIA)


def _matches(row: Row) -> bool:
    contents, prompt = row.get("contents"), row.get("chunkedPrompt", row.get("chunked_prompt"))
    if isinstance(prompt, Mapping) and isinstance(prompt.get("chunks"), list):
        return True
    return isinstance(contents, list) and bool(contents) and isinstance(contents[0], Mapping) and "parts" in contents[0]


def _read(row: Row) -> Conversation:
    if "contents" in row:
        return to_conversation(row, gemini_messages(row))
    prompt = row.get("chunkedPrompt", row.get("chunked_prompt"))
    chunks = prompt["chunks"]
    settings = row.get("runSettings", row.get("run_settings"))
    about = text_fields(settings, "model") if isinstance(settings, Mapping) else {}
    if chunks and isinstance(chunks[-1], Mapping):
        about |= text_fields(chunks[-1], "createTime")
    return to_conversation({**about, **row}, read_messages(_turns(chunks)))


def gemini_messages(row: Row) -> tuple[Message, ...]:
    """The messages of Gemini's contents; who speaks is the user where it does not say."""
    contents = [{**one, "role": one.get("role") or "user"} if isinstance(one, dict) else one for one in row["contents"]]
    return with_system(read_messages(contents), row.get("systemInstruction", row.get("system_instruction")))


def _turns(chunks: list[Any]) -> list[Any]:
    """Chunks as messages of parts. What one side says in several, thoughts among it, is one message."""
    turns: list[Any] = []
    for chunk in chunks:
        if not isinstance(chunk, Mapping):
            turns.append(chunk)
            continue
        parts = _parts(chunk)
        if turns and isinstance(turns[-1], dict) and turns[-1]["role"] == chunk.get("role"):
            turns[-1]["content"] += parts
        elif parts or chunk.get("role"):
            turns.append({"role": chunk.get("role"), "content": parts})
    return [turn for turn in turns if not isinstance(turn, dict) or turn["content"]]


def _parts(chunk: Mapping[str, Any]) -> list[Any]:
    """The parts of a chunk: its text, or its parts, which repeat the text; a thought where it is marked as one."""
    spelled = {plain(key): value for key, value in chunk.items() if value is not None}
    is_thought = spelled.get("is_thought", spelled.get("thought")) is True
    if isinstance(spelled.get("text"), str) and spelled["text"]:
        said: list[Any] = [{"text": spelled["text"]}]
    else:
        said = spelled["parts"] if isinstance(spelled.get("parts"), list) else []
    media = [{"type": "file" if "youtube" in key else key.rpartition("_")[2]} for key in _MEDIA if key in spelled]
    if is_thought:
        return [{"type": "thinking", "thinking": part.get("text", "")} for part in said if isinstance(part, Mapping)]
    code = [{"type": key, key: spelled[key]} for key in ("executable_code", "code_execution_result") if key in spelled]
    return [*said, *code, *media]


GEMINI = ConversationFormat(
    name="gemini", priority=45, known_by="contents with parts; chunkedPrompt", matches=_matches, read=_read
)
