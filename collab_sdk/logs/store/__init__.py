"""The conversation store: calls of models inside running apps, kept as conversations in one SQLite file."""

from collab_sdk.logs.store.call import LoggedCall
from collab_sdk.logs.store.purging import Purge, Purged
from collab_sdk.logs.store.store import ConversationStore, StoredChat

__all__ = ["ConversationStore", "LoggedCall", "Purge", "Purged", "StoredChat"]
