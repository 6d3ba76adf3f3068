"""Records the calls that LiteLLM makes: `litellm.callbacks = [CollabLogger("chats.db")]`."""

from collab_sdk.harvest import conversation, suppress
from collab_sdk.plugins import needs_extra

with needs_extra("collab_litellm"):
    from collab_litellm.logger import CollabLogger

__all__ = ["CollabLogger", "conversation", "suppress"]
