"""For tests, this project's and its users': chat models that answer from a queue, and a bot's figures as assertions."""

from typing import TYPE_CHECKING, Any

from collab_sdk.testing.fake import Answer, FakeChatModel
from collab_sdk.testing.figures import BotFigures, play

if TYPE_CHECKING:
    from collab_sdk.testing.fixtures import play_bot

__all__ = ["Answer", "BotFigures", "FakeChatModel", "play", "play_bot"]


def __getattr__(name: str) -> Any:
    """The fixture, which alone needs pytest."""
    if name == "play_bot":
        from collab_sdk.testing.fixtures import play_bot

        return play_bot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
