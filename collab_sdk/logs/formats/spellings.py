"""What speakers, and the blocks of a content, are called in logs, by whatever provider, framework or app."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from collab_sdk.errors import InputError

_ROLE_NAMES = {
    "system": "system developer instructions system_prompt",
    "user": """user human customer client prompter visitor guest end_user enduser usr person consumer caller
        requester""",
    "assistant": """assistant ai gpt model bot agent chatbot chatgpt claude bing bard gemini llm copilot function_call
        tool_call tool_calls ai_assistant ai_agent virtual_assistant virtual_agent support_agent representative""",
    "tool": "tool function observation tool_result tool_response function_response ipython",
}
ROLES = {name: role for role, names in _ROLE_NAMES.items() for name in names.split()}
"""The roles of messages by the names that they have in logs, in the spelling of `plain`."""
TEXTS = ("text", "voice_note", "plain_text", "markdown", "refusal", "audio_transcription")
REASONINGS = (
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_text",
    "summary_text",
    "reasoning_content",
    "thought",
    "think",
)
CALLS = (
    *("tool_use", "tool_call", "function_call", "tool_invocation", "dynamic_tool"),
    *("server_tool_use", "mcp_tool_use", "custom_tool_call", "local_shell_call", "server_tool_call", "executable_code"),
)
HOSTED = ("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call")
"""Calls of tools that the provider runs itself; the result is in the call, or is not logged."""
OUTPUTS = ("_call_output", "_search_output")
RESULTS = ("tool_result", "tool_response", "function_response", "tool_call_response", "server_tool_call_response")
HARMLESS = (
    "step_start",
    "agent_update",
    "mcp_list_tools",
    "cache_point",
    "cache_control",
    "source_url",
    "source_document",
    "token_budget",
    "citations",
)
"""Blocks that say nothing of what was said or done."""
MEDIA_KINDS = ("image", "audio", "video", "file", "document", "attachment")
BARE = {
    "executableCode": "executable_code",
    "executable_code": "executable_code",
    "codeExecutionResult": "function_response",
    "code_execution_result": "function_response",
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_response",
    "function_response": "function_response",
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "reasoningContent": "reasoning",
    "inlineData": "file",
    "inline_data": "file",
    "fileData": "file",
    "file_data": "file",
    "image": "image",
    "document": "document",
    "video": "video",
    "cachePoint": "cache_point",
}
"""What a block without a type holds, by its only key: Gemini's and Bedrock's spelling."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_AFFIX = re.compile(r"^(?:input|output)_|_url$")


def plain(name: Any) -> str:
    """A name in the spelling of the tables: `toolCallId`, `tool-call-id` and `TOOL_CALL_ID` are `tool_call_id`."""
    if not isinstance(name, str):
        return ""
    return _plain_key(name) if len(name) <= _LONGEST_KEY else _spelled_plainly(name)


def _spelled_plainly(name: str) -> str:
    return _CAMEL.sub("_", name.strip()).replace("-", "_").replace(" ", "_").lower()


_LONGEST_KEY = 64
_plain_key = lru_cache(maxsize=4096)(_spelled_plainly)
"""The keys of a log are few, and each is asked for in every row."""


def role_of(name: Any) -> str:
    """The role that a log's name for it means. Raises InputError for one that is unknown."""
    spelled = plain(name).removesuffix("_chunk").removesuffix("_message")
    try:
        return ROLES[spelled]
    except KeyError:
        raise InputError(
            f"unknown role {_shown(name)}; expected system, user, assistant, tool or a common name for one of them"
        ) from None


def kind_of(block: Mapping[str, Any]) -> str:
    given = block.get("type", block.get("kind"))
    if isinstance(given, str):
        return _AFFIX.sub("", plain(given))
    bare = next((kind for key, kind in BARE.items() if block.get(key) is not None), None)
    if bare:
        return bare
    return "text" if isinstance(block.get("text"), str) else "json" if "json" in block else ""


def is_block(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = kind_of(value)
    known = kind in ("json", *TEXTS, *REASONINGS, *CALLS, *RESULTS) or bool(medium_of(value, kind))
    return known and ("type" in value or len(value) == 1)


def is_result(value: Any) -> bool:
    return isinstance(value, Mapping) and (kind_of(value) in RESULTS or is_output(value))


def is_item(value: Any) -> bool:
    """Whether it is an item of the Responses API that is no message: a call, a result, reasoning."""
    if not isinstance(value, Mapping) or "role" in value or not isinstance(value.get("type"), str):
        return False
    kind = kind_of(value)
    if kind == "function_call" and "name" not in value:
        return False
    return kind == "reasoning" or (kind != "tool_call" and kind in CALLS) or is_output(value) or is_provider_call(kind)


def is_output(value: Mapping[str, Any]) -> bool:
    return kind_of(value).endswith(OUTPUTS)


def is_provider_call(kind: str) -> bool:
    """Whether it is a call of a tool that the provider runs itself, such as `web_search_call`."""
    return kind.endswith("_call") and kind not in ("tool_call", "function_call")


def medium_of(block: Mapping[str, Any], kind: str) -> str | None:
    """The medium of a block that is one, by its type, its modality or its MIME type."""
    inner = next((block[key] for key in ("inlineData", "inline_data", "fileData", "file_data") if key in block), block)
    about = (
        kind,
        first_of(block, "modality"),
        first_of(inner if isinstance(inner, Mapping) else block, "mimeType", "mime_type", "mediaType"),
    )
    words = [plain(one).partition("/")[0] for one in about if isinstance(one, str)]
    if not any(medium in words[0] for medium in (*MEDIA_KINDS, "blob", "uri", "media")):
        return None
    return next((medium for word in reversed(words) for medium in MEDIA_KINDS if medium in word), "file")


def first_of(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def type_of(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _shown(value: Any) -> str:
    return repr(value[:40]) if isinstance(value, str) else type_of(value)
