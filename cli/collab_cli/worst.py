"""The worst replies, whole: how much of the reward they earned, where they stand, and why."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import count

from collab_cli.provenance import say
from collab_cli.terminal import is_terminal, print_text, printable, shown_response
from collab_sdk import MRScore

SHOWN = 5
WORDS = ("no", "one", "two", "three", "four", "five")
LEAST_ERROR = 0.005
"""What two decimals can show."""
MOST_ON_TERMINAL = 1_000
"""Characters of a reply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What is shown of a scored reply; its futures would fill the memory."""

    conversation: str
    place: int
    """From 1."""
    text: str
    value: float
    stderr: float | None
    at_most: float | None
    metrics: Mapping[str, float]
    notes: Mapping[str, str]
    """The judge's, of its worst future."""


@dataclass(kw_only=True, slots=True)
class Worst:
    """The replies that lost most of what they could have earned, among all that are added.

    Where a metric has no highest value, nobody knows what that is, and those that earned least come first.
    """

    weights: Mapping[str, float]
    at_most: Callable[[Iterable[str]], float | None]
    n: int = 0
    _kept: list[tuple[float, int, Reply]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, score: MRScore) -> None:
        """Count a score that has a value; of equal ones the first are kept."""
        if score.value is None:
            return
        self.n += 1
        for name, value in score.metrics.items():
            self._sums[name] += value
            self._counts[name] += 1
        at_most = self.at_most(score.metrics)
        best = at_most if self.at_most(self.weights) is not None else None
        entry = ((best or 0.0) - score.value, -next(self._order), _reply(score, at_most))
        if len(self._kept) < SHOWN:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    @property
    def measured(self) -> Iterable[str]:
        """The metrics that count in some score."""
        return self._counts.keys()

    @property
    def of_most(self) -> float | None:
        """The highest reward, if that is the same for all."""
        return self.at_most(self._counts) if set(self._counts.values()) == {self.n} else None

    def show(self, per: str) -> None:
        """The worst first."""
        worst = [reply for _, _, reply in sorted(self._kept, reverse=True)]
        if not worst:
            return
        print_text(f"\nWorst {WORDS[len(worst)]} of {self.n:,}:" if self.n > len(worst) else "\nThe worst first:")
        for place, reply in enumerate(worst, 1):
            error = f" ± {reply.stderr:.2f}" if reply.stderr and reply.stderr >= LEAST_ERROR else ""
            most = "" if reply.at_most is None else f" of at most {reply.at_most:g}"
            print_text(f"{place}. MR {reply.value:.2f}{error}{most}, {per} {reply.place}")
            print_text(f"   {printable(reply.conversation)}")
            say(f"   {_bounded(reply.text) or '(an empty reply)'}", indent="   ")
            if why := self._why(reply):
                say(f"   {why}", indent="   ")

    def _why(self, reply: Reply) -> str:
        """The metric that costs it most beside the others' mean, or beside the best, with the judge's reason."""
        usual = {name: self._sums[name] / self._counts[name] for name in reply.metrics}
        lost = {name: self.weights[name] * (usual[name] - value) for name, value in reply.metrics.items()}
        is_below = max(lost.values(), default=0.0) >= LEAST_ERROR
        if not is_below:
            lost = {
                name: (self.at_most([name]) or 0.0) - self.weights[name] * value
                for name, value in reply.metrics.items()
            }
        name = max(lost, key=lambda name: lost[name], default=None)
        if name is None:
            return ""
        mean = f" (mean {usual[name]:.2f})" if is_below else ""
        reason = printable(reply.notes.get(name, ""))
        return f"{name.replace('_', ' ')} {reply.metrics[name]:.2f}{mean}{f': {reason}' if reason else ''}"


def _bounded(text: str) -> str:
    """On a terminal, what a screen has room for; whole elsewhere."""
    more = len(text) - MOST_ON_TERMINAL
    if more <= 0 or not is_terminal():
        return text
    return f"{text[:MOST_ON_TERMINAL]}… ({more:,} more characters)"


def _reply(score: MRScore, at_most: float | None) -> Reply:
    played = [future for future in score.futures if future.reward is not None]
    worst = min(played, key=lambda future: future.reward or 0.0)
    return Reply(
        conversation=score.conversation_id,
        place=(score.turn or 0) + 1,
        text=shown_response(score.response),
        value=score.value or 0.0,
        stderr=score.stderr,
        at_most=at_most,
        metrics=score.metrics,
        notes=worst.notes,
    )
