"""From logged conversations to preference pairs."""

from collab_sdk.preferences.exporter import PreferenceExporter
from collab_sdk.preferences.files import beside, is_held_out
from collab_sdk.preferences.report import ExportReport, ScoredConversation
from collab_sdk.preferences.sampling import SamplingRule
from collab_sdk.preferences.selection import PairRule, Refusal

__all__ = [
    "ExportReport",
    "PairRule",
    "PreferenceExporter",
    "Refusal",
    "SamplingRule",
    "ScoredConversation",
    "beside",
    "is_held_out",
]
