"""Make an existing chatbot a better collaborator: score replies by how the conversation ends, and train on it."""

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import CollabError
from collab_sdk.goals import GoalReader
from collab_sdk.logs import read_conversations
from collab_sdk.metrics import Evidence, Judgement, Metric, Rubric, TokenPenalty
from collab_sdk.models.base import ChatModel, ChatReply, ChatRequest
from collab_sdk.models.resolve import as_chat_model
from collab_sdk.preferences import ExportReport, PreferenceExporter
from collab_sdk.rollout import Rollout
from collab_sdk.scorer import MRScorer
from collab_sdk.simulator import Simulator
from collab_sdk.types import Conversation, Future, Goal, Message, MRScore, PreferencePair, Turn

__version__ = "0.1.0"

__all__ = [
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "CollabError",
    "Conversation",
    "Engine",
    "Evidence",
    "ExportReport",
    "Future",
    "Goal",
    "GoalReader",
    "Judgement",
    "MRScore",
    "MRScorer",
    "Message",
    "Metric",
    "PreferenceExporter",
    "PreferencePair",
    "Rollout",
    "Rubric",
    "Simulator",
    "TokenPenalty",
    "Turn",
    "as_chat_model",
    "read_conversations",
]
