"""Training behind `collab finetune`: what a trainer plugin is given, what it says before, and what it gives back."""

from collab_sdk.training.options import CANDIDATES, EXCHANGES, PLAYING, TRAINING, Play, TrainingOptions
from collab_sdk.training.report import (
    Fault,
    HeldOut,
    Memory,
    Preflight,
    RepliesCompared,
    Trainer,
    Training,
    TrainingProgress,
    TrainingReport,
    Verdict,
)

__all__ = [
    "CANDIDATES",
    "EXCHANGES",
    "PLAYING",
    "TRAINING",
    "Fault",
    "HeldOut",
    "Memory",
    "Play",
    "Preflight",
    "RepliesCompared",
    "Trainer",
    "Training",
    "TrainingOptions",
    "TrainingProgress",
    "TrainingReport",
    "Verdict",
]
