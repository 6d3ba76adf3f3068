"""How often a reviewer finds the order of a pair right, and whether more often where its margin is large."""

from dataclasses import dataclass, field

from collab_sdk.report.decisions import PairAction
from collab_sdk.report.overview import MR, Remark, Table, capitalised, percent
from collab_sdk.stats import BRACKETS, Estimate, estimate_order, order_by_size

LEAST_DECISIONS = 20
"""Pairs kept or flipped from which it is said how often the score agrees; fewer say next to nothing."""
ON_ORDER = (PairAction.KEEP, PairAction.FLIP)
CHANCE = 0.5


@dataclass(kw_only=True, slots=True)
class ReviewAgreement:
    """Gathers reviewed pairs. A dropped pair says nothing of its order, and is not among them."""

    _margins: dict[str, list[float]] = field(default_factory=dict)
    """By conversation: the margin for the side that the reviewer prefers."""

    def add(self, conversation: str, action: str, margin: float | None) -> None:
        """Count a decision, with the pair's margin as it stands after it: below 0 where it was flipped."""
        if action in ON_ORDER and margin is not None:
            self._margins.setdefault(conversation, []).append(margin)

    @property
    def n(self) -> int:
        return sum(map(len, self._margins.values()))

    @property
    def missing(self) -> int:
        """Decisions that there must be more of before anything is said."""
        return max(0, LEAST_DECISIONS - self.n)

    def estimate(self) -> Estimate | None:
        """The share of pairs in which the score's order is the reviewer's; None where the decisions are too few."""
        return None if self.missing else estimate_order(list(self._margins.values()))

    def sentence(self, score: str) -> str:
        """One line, with the score by its name; empty where nothing was decided on an order."""
        if not self.n:
            return ""
        found, name = self.estimate(), score if score == MR else f"the {score}"
        if found is None:
            more = f"{self.missing} more to see how often {name} agrees with the reviewer"
            return f"{self.n} {'decision' if self.n == 1 else 'decisions'} to keep or flip; {more}."
        order = f"{capitalised(name)}'s order"
        if found.low is None:
            agreed = f"{found.mean * self.n:.0f} of {self.n:,} pairs kept or flipped"
            return f"{order} is the reviewer's in {agreed}, from too few conversations for an interval."
        return f"{order} is the reviewer's in {percent(found)} of {self.n:,} pairs kept or flipped."

    def remarks(self, score: str) -> list[Remark]:
        found, sentence = self.estimate(), self.sentence(score)
        if found is None:
            return [Remark(text=sentence)] if self.n else []
        if found.low is not None and found.low > CHANCE:
            return [Remark(text=sentence, mood="good")]
        is_against = found.high is not None and found.high < CHANCE
        doubt = "The reviewer prefers the other side more often." if is_against else "That may be chance."
        return [Remark(text=f"{sentence} {doubt}", mood="look")]

    def table(self, score: str) -> Table:
        """By the size of the margin; without rows where the decisions are too few."""
        found = self.estimate()
        cells = [] if found is None else [("all", percent(found), f"{self.n:,}")]
        if found is not None:
            cells += [
                (f"{third.size} (to {third.largest:.2f})", percent(third.agreed), f"{third.agreed.n:,}")
                for third in order_by_size(list(self._margins.values()))
            ]
        note = (
            "Of the pairs that were kept or flipped, in thirds of their margin. The reviewer saw which side was "
            f"chosen, and may have leaned towards it. {BRACKETS}"
        )
        head = ("margin", f"{score} and reviewer agree", "pairs")
        return Table(title=f"{capitalised(score)} beside the reviewer", head=head, rows=tuple(cells), note=note)
