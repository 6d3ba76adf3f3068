"""LangChain and LangGraph apps as bots."""
