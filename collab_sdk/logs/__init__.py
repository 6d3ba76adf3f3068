"""Readers and writers of chat-log and preference formats."""

from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, to_conversation, with_alternatives
from collab_sdk.logs.formats.databases import DatabaseFormat
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.logs.formats.logged_messages import is_untrained, message_of, read_messages
from collab_sdk.logs.formats.preference_rows import EARLIER, earlier_messages, margin_of, repeated_prompt
from collab_sdk.logs.formats.registry import LogFormat, format_of, get_log_format, log_format_names
from collab_sdk.logs.formats.tool_calls import arguments_object, called_function, tools_of
from collab_sdk.logs.log_rows import read_rows
from collab_sdk.logs.notes import note
from collab_sdk.logs.reader import LoggedConversations, count_conversations, read_conversations
from collab_sdk.logs.sources import log_files
from collab_sdk.logs.store import ConversationStore, LoggedCall, Purge, StoredChat
from collab_sdk.logs.writers import get_preference_format, preference_format_names
from collab_sdk.logs.writers.base import PreferenceFormat, in_order_of_calls
from collab_sdk.logs.writers.catalogue import Catalogue
from collab_sdk.logs.writers.chat_writers import CHAT_WRITERS, get_chat_writer

__all__ = [
    "CHAT_WRITERS",
    "EARLIER",
    "CallFormat",
    "Catalogue",
    "ConversationFormat",
    "ConversationStore",
    "DatabaseFormat",
    "EventFormat",
    "LogFormat",
    "LoggedCall",
    "LoggedConversations",
    "PreferenceFormat",
    "Purge",
    "StoredChat",
    "arguments_object",
    "called_function",
    "count_conversations",
    "earlier_messages",
    "format_of",
    "get_chat_writer",
    "get_log_format",
    "get_preference_format",
    "in_order_of_calls",
    "is_untrained",
    "log_files",
    "log_format_names",
    "margin_of",
    "message_of",
    "note",
    "preference_format_names",
    "read_conversations",
    "read_messages",
    "read_rows",
    "repeated_prompt",
    "to_conversation",
    "tools_of",
    "with_alternatives",
]
