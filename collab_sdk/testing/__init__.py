"""For tests, this project's and its users': chat models that answer from a queue, and assertions about a bot."""

from typing import TYPE_CHECKING, Any

from collab_sdk.testing.bot_evaluation import BotEvaluation, aplay, play
from collab_sdk.testing.fake import Answer, FakeChatModel

if TYPE_CHECKING:
    from collab_sdk.testing.fixtures import play_bot

__all__ = ["Answer", "BotEvaluation", "FakeChatModel", "aplay", "play", "play_bot"]


def __getattr__(name: str) -> Any:
    """The fixture, which alone needs pytest."""
    if name == "play_bot":
        from collab_sdk.testing.fixtures import play_bot

        return play_bot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
