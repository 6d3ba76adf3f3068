"""Many conversations at once: here, or wherever a plugin has the work done."""

from collab_sdk.runs.local import HELD_BACK, LocalRunner, over_conversations, run_here
from collab_sdk.runs.runner import Job, OpenRunner, Outcome, Runner

__all__ = [
    "HELD_BACK",
    "Job",
    "LocalRunner",
    "OpenRunner",
    "Outcome",
    "Runner",
    "over_conversations",
    "run_here",
]
