"""What a run was and what it cost, beside the file that it wrote."""

from typing import Any

from collab_sdk.scorer import MRScorer

RUN_SCHEMA = "collab/run/v1"


def run_row(scorer: MRScorer, **details: Any) -> dict[str, Any]:
    """Models, settings and `details`, and the calls and money of this run by role.

    A file of its own: what is answered from the cache costs nothing, so a run that goes on writes the same scores, and
    another price.
    """
    usage = scorer.engine.ledger.to_dict()
    return {"schema": RUN_SCHEMA, "made_with": scorer.made_with, **details, "usage": usage}
