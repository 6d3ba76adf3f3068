"""What a logged conversation gave: its turns with candidates, scores and pairs, and the counts of many."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from collab_sdk.errors import CollabError
from collab_sdk.preferences.candidates import Candidate
from collab_sdk.preferences.noise import Pilot
from collab_sdk.preferences.selection import Refusal
from collab_sdk.runs.runner import Outcome
from collab_sdk.simulator import UserTotals
from collab_sdk.types import Goal, MRScore, PreferencePair, Turn

REASONS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredTurn:
    """A turn with its candidates, their scores, and the pair or why there is none."""

    turn: Turn
    goals: tuple[Goal, ...] = ()
    """Of the samples, in turn; the conversation's own first."""
    candidates: tuple[tuple[Candidate, MRScore], ...] = ()
    lost: tuple[str, ...] = ()
    """Why candidates are missing."""
    pair: PreferencePair | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredConversation:
    """What a logged conversation gave."""

    goal: Goal
    turns: tuple[ScoredTurn, ...]

    def __repr__(self) -> str:
        pairs = sum(turn.pair is not None for turn in self.turns)
        return f"ScoredConversation({len(self.turns)} turns, {pairs} pairs)"


@dataclass(kw_only=True, slots=True)
class ExportReport:
    """What an export did so far: counts, the reasons of refused turns, the errors of failed conversations."""

    begun: int = 0
    """Conversations of the pilot that are played."""
    pilot: Pilot | None = None
    conversations: int = 0
    turns: int = 0
    pairs: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Pairs that are in no row of the file, by what they have that its format cannot hold."""
    repeated: int = 0
    """Pairs that are in no row of the file, because an earlier one is the same, word for word."""
    incomplete: Counter[str] = field(default_factory=Counter)
    """Pairs that are in the file, by what its format does not say of them."""
    refused: Counter[Refusal] = field(default_factory=Counter)
    failed: dict[str, CollabError] = field(default_factory=dict)
    scores: int = 0
    samples: int = 0
    samples_ok: int = 0
    mr_sum: float = 0.0
    measured: Counter[str] = field(default_factory=Counter)
    """Scores that each metric counts in."""
    candidates_lost: int = 0
    """Candidates that could not be drawn."""
    lost: Counter[str] = field(default_factory=Counter)
    """Why candidates and samples are missing; the first `REASONS` different reasons."""
    users: UserTotals = field(default_factory=UserTotals)
    """Who played the futures."""

    @property
    def written(self) -> int:
        """Pairs that are in the files of pairs."""
        return self.pairs - self.left_out.total() - self.repeated

    @property
    def mean_mr(self) -> float | None:
        """Of all candidates that have a score; None before there is one."""
        return self.mr_sum / self.scores if self.scores else None

    def count(self, outcome: Outcome[ScoredConversation]) -> None:
        """Add what one conversation gave."""
        self.conversations += 1
        if outcome.error is not None:
            self.failed[outcome.conversation.id] = outcome.error
        for scored in outcome.value.turns if outcome.value else ():
            self.turns += 1
            self.pairs += scored.pair is not None
            if scored.refusal is not None:
                self.refused[scored.refusal] += 1
            self.candidates_lost += len(scored.lost)
            self._note(scored.lost)
            for _, score in scored.candidates:
                self.samples += score.n
                self.samples_ok += score.n_ok
                self._note(score.errors)
                self.users.add(score.futures)
                if score.value is not None:
                    self.scores += 1
                    self.mr_sum += score.value
                    self.measured.update(score.metrics.keys())

    def _note(self, reasons: Iterable[str]) -> None:
        self.lost.update(reason for reason in reasons if reason in self.lost or len(self.lost) < REASONS)
