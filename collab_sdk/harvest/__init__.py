"""Recording the calls that a running app makes, without slowing it, breaking it or leaking from it."""

from collab_sdk.harvest.completion import Answer, Loose, completion_answer, token_usage
from collab_sdk.harvest.context import EXPLICIT_KEY, conversation, conversation_id_in, current_conversation
from collab_sdk.harvest.exchange import ChatRequest, PartialAnswer
from collab_sdk.harvest.kept import error_text, kept_parameters
from collab_sdk.harvest.presidio import presidio_redactor
from collab_sdk.harvest.recorder import CallContext, Recorder, RecorderStats
from collab_sdk.harvest.redaction import redact_patterns
from collab_sdk.harvest.sdk_client import SdkRequest, record_client
from collab_sdk.harvest.users import salted_user
from collab_sdk.harvest.writer import CallStore
from collab_sdk.suppression import IGNORE_TAG, suppress, suppressed

__all__ = [
    "EXPLICIT_KEY",
    "IGNORE_TAG",
    "Answer",
    "CallContext",
    "CallStore",
    "ChatRequest",
    "Loose",
    "PartialAnswer",
    "Recorder",
    "RecorderStats",
    "SdkRequest",
    "completion_answer",
    "conversation",
    "conversation_id_in",
    "current_conversation",
    "error_text",
    "kept_parameters",
    "presidio_redactor",
    "record_client",
    "redact_patterns",
    "salted_user",
    "suppress",
    "suppressed",
    "token_usage",
]
