"""From logged conversations to preference pairs."""

from collab_sdk.preferences.exporter import Begun, PreferenceExporter, Stage
from collab_sdk.preferences.files import HoldOut
from collab_sdk.preferences.noise import Noise, Pilot
from collab_sdk.preferences.report import ExportReport, ScoredConversation
from collab_sdk.preferences.sampling import NextBatch, SamplingRule
from collab_sdk.preferences.selection import Choice, Refusal, choose_pair
from collab_sdk.preferences.split import held_out_share, is_held_out, opening_of, tells_apart, whole_of

__all__ = [
    "Begun",
    "Choice",
    "ExportReport",
    "HoldOut",
    "NextBatch",
    "Noise",
    "Pilot",
    "PreferenceExporter",
    "Refusal",
    "SamplingRule",
    "ScoredConversation",
    "Stage",
    "choose_pair",
    "held_out_share",
    "is_held_out",
    "opening_of",
    "tells_apart",
    "whole_of",
]
