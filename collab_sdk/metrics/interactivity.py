"""How well the assistant worked with the user, from 0 to 1 (R_LLM in section 3 of the paper)."""

from functools import partial

from collab_sdk.metrics.base import SCORE, read_score
from collab_sdk.metrics.judged import Judged

Interactivity = partial(Judged, name="interactivity", criterion="criterion_interactivity", form=SCORE, read=read_score)
