"""Readers and writers of chat-log and preference formats."""

from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.registry import FORMATS, format_of
from collab_sdk.logs.formats.sharegpt import sharegpt_message
from collab_sdk.logs.formats.tool_calls import called_function
from collab_sdk.logs.reader import LoggedConversations, count_conversations, read_conversations
from collab_sdk.logs.rows import read_rows
from collab_sdk.logs.sources import log_files
from collab_sdk.logs.store import ConversationStore, LoggedCall, Purge, StoredChat
from collab_sdk.logs.writers import WRITERS, Writer, get_writer
from collab_sdk.logs.writers.catalogue import Catalogue
from collab_sdk.logs.writers.chat_writers import CHAT_WRITERS, get_chat_writer

__all__ = [
    "CHAT_WRITERS",
    "FORMATS",
    "WRITERS",
    "CallFormat",
    "Catalogue",
    "ConversationStore",
    "LoggedCall",
    "LoggedConversations",
    "Purge",
    "StoredChat",
    "Writer",
    "called_function",
    "count_conversations",
    "format_of",
    "get_chat_writer",
    "get_writer",
    "log_files",
    "read_conversations",
    "read_rows",
    "sharegpt_message",
]
