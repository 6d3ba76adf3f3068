"""Histories as LangChain messages."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, convert_to_messages

from collab_sdk.errors import BotError
from collab_sdk.messages import Message


def langchain_messages(history: Sequence[Message]) -> list[BaseMessage]:
    """Raises BotError for what LangChain cannot represent, such as tool calls whose arguments are no JSON."""
    try:
        return convert_to_messages([message.to_dict() for message in history])
    except (ValueError, KeyError, TypeError) as error:
        raise BotError(f"LangChain cannot take this history: {error}") from error


def before_and_last(history: Sequence[Message]) -> tuple[Sequence[Message], str]:
    """What led to the user's last message, and its text.

    Tool steps after it are left out: a bot that takes the user's text takes those steps itself.
    """
    for position in range(len(history) - 1, -1, -1):
        if history[position].role == "user":
            return history[:position], history[position].content
    raise BotError("The bot takes the user's text, and there is no user message in this history.")
