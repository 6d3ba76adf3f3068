"""Make an existing chatbot a better collaborator: score replies by how the conversation ends, and train on it."""

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import CollabError
from collab_sdk.logs import read_conversations
from collab_sdk.messages import Message
from collab_sdk.metrics import Evidence, Metric, TokenPenalty
from collab_sdk.models.base import ChatModel, ChatReply, ChatRequest
from collab_sdk.models.resolve import as_chat_model
from collab_sdk.preferences import PreferenceExporter
from collab_sdk.rollout import Rollout
from collab_sdk.scorer import MRScorer
from collab_sdk.simulator import Simulator
from collab_sdk.spec import Limits, ModelSettings, ModelSpec, RunSpec
from collab_sdk.types import Conversation, Future, Goal, MRScore, PreferencePair, Turn
from collab_sdk.version import __version__ as __version__

__all__ = [
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "CollabError",
    "Conversation",
    "Engine",
    "Evidence",
    "Future",
    "Goal",
    "Limits",
    "MRScore",
    "MRScorer",
    "Message",
    "Metric",
    "ModelSettings",
    "ModelSpec",
    "PreferenceExporter",
    "PreferencePair",
    "Rollout",
    "RunSpec",
    "Simulator",
    "TokenPenalty",
    "Turn",
    "as_chat_model",
    "read_conversations",
]
