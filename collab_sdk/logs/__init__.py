"""Readers and writers of chat-log and preference formats."""

from collab_sdk.logs.formats.registry import FORMATS
from collab_sdk.logs.reader import LoggedConversations, count_conversations, read_conversations
from collab_sdk.logs.store import ConversationStore, LoggedCall
from collab_sdk.logs.writers import WRITERS, Writer, get_writer
from collab_sdk.logs.writers.catalogue import Catalogue
from collab_sdk.logs.writers.chat_writers import CHAT_WRITERS, get_chat_writer

__all__ = [
    "CHAT_WRITERS",
    "FORMATS",
    "WRITERS",
    "Catalogue",
    "ConversationStore",
    "LoggedCall",
    "LoggedConversations",
    "Writer",
    "count_conversations",
    "get_chat_writer",
    "get_writer",
    "read_conversations",
]
