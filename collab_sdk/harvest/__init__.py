"""Recording the calls that a running app makes, without slowing it, breaking it or leaking from it."""

from collab_sdk.harvest.answer import Answer, PartialAnswer, loosened, token_usage
from collab_sdk.harvest.completion import PartialCompletion, completion_answer
from collab_sdk.harvest.context import EXPLICIT_KEY, conversation, conversation_id_in, current_conversation
from collab_sdk.harvest.exchange import NOT_UNDERSTOOD, ChatRequest
from collab_sdk.harvest.kept import error_text, kept_parameters
from collab_sdk.harvest.message import (
    PartialMessage,
    block_messages,
    block_tools,
    message_answer,
    prefill_in,
    system_messages,
)
from collab_sdk.harvest.presidio import presidio_redactor
from collab_sdk.harvest.recorder import CallContext, Recorder, RecorderStats
from collab_sdk.harvest.redaction import redact_patterns
from collab_sdk.harvest.response import (
    RESPONSE_IS_OVER,
    PartialResponse,
    item_messages,
    item_tools,
    response_answer,
)
from collab_sdk.harvest.sdk_client import SdkRequest, record_client
from collab_sdk.harvest.users import salted_user
from collab_sdk.harvest.writer import CallStore
from collab_sdk.suppression import IGNORE_TAG, suppress, suppressed

__all__ = [
    "EXPLICIT_KEY",
    "IGNORE_TAG",
    "NOT_UNDERSTOOD",
    "RESPONSE_IS_OVER",
    "Answer",
    "CallContext",
    "CallStore",
    "ChatRequest",
    "PartialAnswer",
    "PartialCompletion",
    "PartialMessage",
    "PartialResponse",
    "Recorder",
    "RecorderStats",
    "SdkRequest",
    "block_messages",
    "block_tools",
    "completion_answer",
    "conversation",
    "conversation_id_in",
    "current_conversation",
    "error_text",
    "item_messages",
    "item_tools",
    "kept_parameters",
    "loosened",
    "message_answer",
    "prefill_in",
    "presidio_redactor",
    "record_client",
    "redact_patterns",
    "response_answer",
    "salted_user",
    "suppress",
    "suppressed",
    "system_messages",
    "token_usage",
]
