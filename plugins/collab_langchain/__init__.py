"""LangChain and LangGraph apps as bots."""

from collab_langchain.runnable import RunnableModel, as_chat_model

__all__ = ["RunnableModel", "as_chat_model"]
