"""From logged conversations to preference pairs."""

from collab_sdk.preferences.exporter import PreferenceExporter
from collab_sdk.preferences.files import is_held_out
from collab_sdk.preferences.report import ExportReport, ScoredConversation
from collab_sdk.preferences.sampling import SamplingRule
from collab_sdk.preferences.selection import Refusal, choose_pair

__all__ = [
    "ExportReport",
    "PreferenceExporter",
    "Refusal",
    "SamplingRule",
    "ScoredConversation",
    "choose_pair",
    "is_held_out",
]
