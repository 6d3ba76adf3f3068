"""Whatever answers: models by name, servers, clients, functions, behind one narrow interface."""

from collab_sdk.models.base import (
    NOTHING,
    SERVERS_OWN,
    SETTINGS,
    CallRole,
    ChatModel,
    ChatReply,
    ChatRequest,
    keys_of,
    settings_for,
    spec_of,
)
from collab_sdk.models.bot_replies import bot_reply
from collab_sdk.models.dialect import Dialect, ReplyFormat
from collab_sdk.models.form import Anything, Flag, Form, Items, Note, Number, Record, Text
from collab_sdk.models.function import NamedBot
from collab_sdk.models.instructed import InstructedModel, files_of
from collab_sdk.models.litellm import LiteLLMModel, litellm_price
from collab_sdk.models.openai_shape import from_environment, request_arguments, translated
from collab_sdk.models.providers import ApiKey, has_own_address, load_litellm
from collab_sdk.models.reading import read_reply
from collab_sdk.models.reasoning import (
    conversation_without_reasoning,
    marks_reasoning,
    reasoning_marks,
    set_apart,
    split_reasoning,
    without_reasoning,
)
from collab_sdk.models.replicated import ReplicatedModel
from collab_sdk.models.resolve import Bot, ModelLike, as_chat_model
from collab_sdk.models.server import ServerModel
from collab_sdk.spec import Price
from collab_sdk.tool_calls import tool_calls_in

__all__ = [
    "NOTHING",
    "SERVERS_OWN",
    "SETTINGS",
    "Anything",
    "ApiKey",
    "Bot",
    "CallRole",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Dialect",
    "Flag",
    "Form",
    "InstructedModel",
    "Items",
    "LiteLLMModel",
    "ModelLike",
    "NamedBot",
    "Note",
    "Number",
    "Price",
    "Record",
    "ReplicatedModel",
    "ReplyFormat",
    "ServerModel",
    "Text",
    "as_chat_model",
    "bot_reply",
    "conversation_without_reasoning",
    "files_of",
    "from_environment",
    "has_own_address",
    "keys_of",
    "litellm_price",
    "load_litellm",
    "marks_reasoning",
    "read_reply",
    "reasoning_marks",
    "request_arguments",
    "set_apart",
    "settings_for",
    "spec_of",
    "split_reasoning",
    "tool_calls_in",
    "translated",
    "without_reasoning",
]
