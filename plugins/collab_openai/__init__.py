"""Records the calls of OpenAI clients: `wrap(OpenAI(), "chats.db")`."""

from collab_openai.wrap import wrap
from collab_sdk.harvest import conversation, suppress

__all__ = ["conversation", "suppress", "wrap"]
