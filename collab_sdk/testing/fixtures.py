"""The pytest fixture. It is there for those who import it, and for nobody else."""

from collections.abc import Callable

import pytest

from collab_sdk.testing.bot_evaluation import BotEvaluation, play


@pytest.fixture
def play_bot() -> Callable[..., BotEvaluation]:
    """Plays a bot's conversations, as `collab_sdk.testing.play` does, and gives their statistics."""
    return play
