"""Records the calls of Anthropic clients: `wrap(Anthropic(), "chats.db")`."""

from collab_sdk.harvest import conversation, suppress
from collab_sdk.plugins import needs_extra

with needs_extra("collab_anthropic"):
    from collab_anthropic.wrap import wrap

__all__ = ["conversation", "suppress", "wrap"]
