"""Records the calls that LiteLLM makes: `litellm.callbacks = [CollabLogger("chats.db")]`."""

from collab_litellm.logger import CollabLogger
from collab_sdk.harvest import conversation, suppress

__all__ = ["CollabLogger", "conversation", "suppress"]
