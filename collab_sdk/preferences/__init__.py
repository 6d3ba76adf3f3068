"""From logged conversations to preference pairs."""

from collab_sdk.preferences.exporter import PreferenceExporter
from collab_sdk.preferences.report import ExportReport, ScoredConversation
from collab_sdk.preferences.sampling import SamplingRule
from collab_sdk.preferences.selection import Refusal, choose_pair
from collab_sdk.preferences.split import is_held_out, opening_of, whole_of

__all__ = [
    "ExportReport",
    "PreferenceExporter",
    "Refusal",
    "SamplingRule",
    "ScoredConversation",
    "choose_pair",
    "is_held_out",
    "opening_of",
    "whole_of",
]
