"""Training behind `collab finetune`: what a trainer plugin is given, what it says before, and what it gives back."""

from collab_sdk.training.options import (
    ASSISTANT,
    CANDIDATES,
    EXCHANGES,
    LEARNT_ROLES,
    PLAYING,
    TRAINING,
    USER,
    Play,
    TrainingOptions,
)
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
from collab_sdk.training.user_chats import UserChats, read_user_chats

__all__ = [
    "ASSISTANT",
    "CANDIDATES",
    "EXCHANGES",
    "LEARNT_ROLES",
    "PLAYING",
    "TRAINING",
    "USER",
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
    "UserChats",
    "Verdict",
    "read_user_chats",
]
