"""Whether the assistant kept to its system prompt."""

from functools import partial

from collab_sdk.metrics.base import SCORE, read_score
from collab_sdk.metrics.judged import Judged

Policy = partial(Judged, name="policy", criterion="criterion_policy", form=SCORE, read=read_score)
"""1 less the share of the rules of the system prompt that came into play and were broken; 1 where none did."""
