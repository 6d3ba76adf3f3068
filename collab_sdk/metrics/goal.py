"""How much of the goal the conversation met: the share of its requirements, judged as a checklist."""

from functools import partial

from collab_sdk.metrics.base import CHECKLIST, read_checklist
from collab_sdk.metrics.judged import Judged

GoalCoverage = partial(Judged, name="goal", criterion="criterion_goal", form=CHECKLIST, read=read_checklist)
