"""From logged conversations to preference pairs."""

from collab_sdk.preferences.exporter import PreferenceExporter
from collab_sdk.preferences.report import ExportReport, ScoredConversation
from collab_sdk.preferences.selection import PairRule, Refusal

__all__ = ["ExportReport", "PairRule", "PreferenceExporter", "Refusal", "ScoredConversation"]
