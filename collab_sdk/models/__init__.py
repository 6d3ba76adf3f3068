"""Whatever answers: models by name, servers, clients, functions, behind one narrow interface."""

from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest, Price
from collab_sdk.models.instructed import InstructedModel, as_bot
from collab_sdk.models.litellm import LiteLLMModel, load_litellm
from collab_sdk.models.openai_shape import request_arguments, translated
from collab_sdk.models.reading import json_object
from collab_sdk.models.replicated import ReplicatedModel
from collab_sdk.models.replies import reply_text
from collab_sdk.models.resolve import PLUGIN_GROUP, as_chat_model
from collab_sdk.models.server import ServerModel

__all__ = [
    "PLUGIN_GROUP",
    "CallRole",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "InstructedModel",
    "LiteLLMModel",
    "Price",
    "ReplicatedModel",
    "ServerModel",
    "as_bot",
    "as_chat_model",
    "json_object",
    "load_litellm",
    "reply_text",
    "request_arguments",
    "translated",
]
