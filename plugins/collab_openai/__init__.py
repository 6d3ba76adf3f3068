"""Records the calls of OpenAI clients: `wrap(OpenAI(), "chats.db")`."""

from collab_sdk.harvest import conversation, suppress
from collab_sdk.plugins import needs_extra

with needs_extra("collab_openai"):
    from collab_openai.wrap import wrap

__all__ = ["conversation", "suppress", "wrap"]
