"""How near the final document is to the reference, in word n-grams."""

from dataclasses import dataclass
from importlib.util import find_spec

from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.metrics.base import Evidence
from collab_sdk.types import Goal

WANTED = "the whole document in its last version, as the assistant wrote it, without remarks around it"


@dataclass(frozen=True, slots=True)
class Bleu:
    """sacrebleu's sentence BLEU of the final document against the goal's reference, over 100.

    Words, not characters, and sacrebleu's own defaults: tokenizer 13a, smoothing "exp". Without a document it is 0.
    """

    name: str = "bleu"

    def check(self, goal: Goal) -> None:
        if find_spec("sacrebleu") is None:
            raise MissingExtraError.of("BLEU needs sacrebleu", "evaluate")
        if not (goal.reference or "").strip():
            raise UsageError(
                'bleu needs a document to compare with: Goal(text=..., reference=...), or "reference" in the row.'
            )

    def artefact(self, goal: Goal) -> str:
        return WANTED

    def value(self, evidence: Evidence) -> float:
        from sacrebleu import sentence_bleu

        score = sentence_bleu(evidence.artefact or "", [evidence.goal.reference or ""]).score
        return min(float(score) / 100, 1.0)  # a perfect match is 100.00000000000004
