"""LangChain and LangGraph apps: as bots, and as sources of conversations."""

from collab_sdk.plugins import needs_extra

with needs_extra("collab_langchain"):
    from collab_langchain.handler import CollabCallbackHandler
    from collab_langchain.runnable import RunnableModel, as_chat_model

__all__ = ["CollabCallbackHandler", "RunnableModel", "as_chat_model"]
