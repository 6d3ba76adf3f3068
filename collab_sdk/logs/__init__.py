"""Readers and writers of chat-log and preference formats."""

from collab_sdk.logs.files import JsonlWriter
from collab_sdk.logs.reader import count_conversations, read_conversations
from collab_sdk.logs.writers import WRITERS, Writer, get_writer

__all__ = [
    "WRITERS",
    "JsonlWriter",
    "Writer",
    "count_conversations",
    "get_writer",
    "read_conversations",
]
