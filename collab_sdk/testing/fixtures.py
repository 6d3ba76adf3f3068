"""The pytest fixture. It is there for those who import it, and for nobody else."""

from collections.abc import Callable

import pytest

from collab_sdk.testing.figures import BotFigures, play


@pytest.fixture
def play_bot() -> Callable[..., BotFigures]:
    """Plays a bot's conversations, as `collab_sdk.testing.play` does, and gives its figures."""
    return play
