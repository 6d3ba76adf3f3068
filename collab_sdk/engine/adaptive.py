"""How many calls an endpoint bears at a time, found out from its answers."""

from collections.abc import Callable

FIRST_ROUND = 16
"""Calls let through once the first has succeeded; from there the limit doubles a round trip until a first refusal."""
FINDING = 0.3
"""What a success adds between the first refusals and the next."""
CUT = 0.85
"""The share of the limit that a later refusal leaves."""
PROBING, AT_MOST = 8, 40
"""After a cut, the limit is back where it was refused after so many successes for each of its calls, or so many in all
(but never in less than two round trips)."""
SPREAD = 1.3
"""Calls in flight at the limit over calls in flight on average, where starts are spread out."""
WEIGHT = 0.05
"""Of a new latency in the average."""


class AdaptiveLimit:
    """A number of calls, up to `ceiling`, and the time between two starts.

    It starts at one: until a first call has succeeded, a wrong key or a dead server costs one call, not `ceiling`. Each
    success then adds one, until rate limits are met (429): every refusal of that first crowd takes one, so that what
    was let in is left. Later a refusal cuts by a share, once an episode (a call's latency: what was sent before the cut
    took effect says nothing new), and successes win it back slowly at first, then ever faster: near what the endpoint
    bears it probes gently, far below it it does not stay. Other trouble (5xx, timeouts) pauses the growth for a round
    trip.

    Once an endpoint has refused, calls start evenly, at the rate the limit amounts to: a burst empties the server's
    bucket, and is refused at half the rate that it would bear.
    """

    def __init__(self, ceiling: int, clock: Callable[[], float]) -> None:
        self.value = 1.0
        self._ceiling = ceiling
        self._clock = clock
        self._cuts = 0
        self._left = 1.0
        """What the last cut left."""
        self._last_cut = 0.0
        self._successes = 0
        """Since the last cut."""
        self._paused_successes = 0
        self._seconds = 0.0
        """A call's latency, averaged."""

    @property
    def spacing(self) -> float:
        """Seconds from the start of a call to the next."""
        bounded_here = self.value >= self._ceiling  # and so not by what the endpoint bears
        return 0.0 if self._cuts == 0 or bounded_here else SPREAD * self._seconds / self.value

    def succeeded(self, seconds: float | None = None) -> None:
        """A call was answered, in `seconds` if that is known."""
        if seconds is not None:
            self._seconds += (seconds - self._seconds) * (WEIGHT if self._seconds else 1.0)
        if self._paused_successes > 0:
            self._paused_successes -= 1
            return
        self._successes += 1
        if self._cuts == 0:
            grown = max(self.value + 1, FIRST_ROUND)
        elif self._cuts == 1:
            grown = self.value + FINDING
        else:
            lost = max(1.0, self._left / CUT - self._left)
            won_back = max(min(PROBING * self._left, AT_MOST), 2 * self._left)
            grown = self._left + lost * (self._successes / won_back) ** 2
        self.value = min(grown, self._ceiling)

    def refused(self, started: float) -> None:
        """A call that began at `started` met a rate limit."""
        if self._cuts == 0 or started >= self._last_cut + self._seconds:
            cut = self.value * CUT if self._cuts else self.value - 1
            self._cuts += 1
            self._last_cut = self._clock()
        elif self._cuts == 1:
            cut = self.value - 1
        else:
            return
        self.value = self._left = max(1.0, cut)
        self._successes = 0

    def troubled(self) -> None:
        """A call failed for another reason that may pass."""
        self._paused_successes = int(self.value)
