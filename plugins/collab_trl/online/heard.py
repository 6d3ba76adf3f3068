"""A model's replies as users get them."""

from dataclasses import replace

from collab_sdk.models import ChatReply, set_apart

SILENCE = "…"
"""What a user sees of a reply without words."""


def as_heard(reply: ChatReply) -> ChatReply:
    """The reply as users get it, who cannot tell one without words or end from one that was meant so."""
    reply = set_apart(reply)
    silence = "" if reply.tool_calls else SILENCE
    return replace(reply, content=reply.content or silence, finish_reason="stop")
