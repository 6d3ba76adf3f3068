"""The embedded stand-in: assistant, user, judge and goal reader by rules, with no key and no network.

These are rules, not a language model. They read word by word, know a handful of topics, and take every answer to
deliver whatever the user has said so far. They show that the pipeline works and which way it points; no number they
produce says anything about a real chatbot.
"""

from importlib.resources import files
from pathlib import Path

from collab_sdk.offline.model import OfflineModel

__all__ = ["OfflineModel", "sample_chats_path"]


def sample_chats_path() -> Path:
    """Twelve short logged chats with their goals, as `collab/conversation/v1` lines."""
    return Path(str(files(__name__).joinpath("samples", "chats.jsonl")))
