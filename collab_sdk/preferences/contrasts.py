"""What the futures of one turn's candidates tell of how they differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum, log, sqrt

from collab_sdk.types import LARGEST_VALUE

Rewards = Sequence[Sequence[float | None]]
"""Of one turn: by candidate, in the order of the sample indices; None for a future that failed. Of `goals` goals, each
sample has the next in turn."""
FIRST = 2
"""Futures of each candidate in a pilot: with one, nothing would be known of how much they vary."""


@dataclass(frozen=True, kw_only=True)
class Contrasts:
    """What the samples of one turn that two or more candidates have tell of their differences.

    `matrix` A and `vector` b are the normal equations of theta with the samples' means projected out.
    """

    places: tuple[int, ...]
    """The candidates' places among all of the turn."""
    matrix: list[list[float]]
    vector: list[float]
    residual: float
    """Sum of squares that neither the samples nor the candidates account for, goal by goal."""
    freedom: int
    repeats: int
    further: int
    """Futures beyond those that a pilot has."""

    @classmethod
    def of(cls, rewards: Rewards, goals: int) -> "Contrasts | None":
        found = cls._of(rewards)
        if found is None or goals == 1:
            return found
        parts = [cls._of([tried[goal::goals] for tried in rewards]) for goal in range(goals)]
        known = [part for part in parts if part is not None]
        return replace(
            found,
            residual=fsum(part.residual for part in known),
            freedom=sum(part.freedom for part in known),
            repeats=sum(part.repeats for part in known),
            further=sum(part.further for part in known),
        )

    @classmethod
    def _of(cls, rewards: Rewards) -> "Contrasts | None":
        samples = [
            [(place, reward) for place, tried in enumerate(rewards) if n < len(tried) if _is_known(reward := tried[n])]
            for n in range(max(map(len, rewards), default=0))
        ]
        common = [[(place, float(reward or 0.0)) for place, reward in each] for each in samples if len(each) > 1]
        places = _connected({place for place, _ in each} for each in common)
        common = [each for each in common if each[0][0] in places]
        if not common:
            return None
        index = {place: n for n, place in enumerate(places)}
        size = len(places)
        matrix = [[0.0] * size for _ in places]
        vector = [0.0] * size
        total = 0.0
        for each in common:
            mean = fsum(reward for _, reward in each) / len(each)
            for place, reward in each:
                row = index[place]
                vector[row] += reward - mean
                matrix[row][row] += 1.0
                total += (reward - mean) ** 2
                for other, _ in each:
                    matrix[row][index[other]] -= 1 / len(each)
        counts = [sum(_is_known(reward) for reward in rewards[place]) for place in places]
        return cls(
            places=places,
            matrix=matrix,
            vector=vector,
            residual=max(0.0, total - _explained(matrix, vector)),
            freedom=sum(len(each) - 1 for each in common) - (size - 1),
            repeats=sum(count - 1 for count in counts),
            further=sum(max(0, count - FIRST) for count in counts),
        )

    @property
    def size(self) -> int:
        return len(self.places)

    @property
    def information(self) -> float:
        return fsum(self.matrix[n][n] for n in range(self.size))

    @property
    def explained(self) -> float:
        return _explained(self.matrix, self.vector)

    def fit(self, variance: float, within: float) -> "Fit":
        """The candidates' differences, if they are normal with this variance, and futures with the one within."""
        ridge = within / variance
        lower = _cholesky(
            [
                [value + ridge * (row == column) for column, value in enumerate(values)]
                for row, values in enumerate(self.matrix)
            ]
        )
        means = _solve(lower, self.vector)
        fitted = fsum(x * y for x, y in zip(self.vector, means, strict=True))
        determinant = 2 * fsum(log(lower[n][n]) for n in range(self.size)) - self.size * log(ridge)
        return Fit(lower=lower, means=means, within=within, likelihood=fitted / (2 * within) - determinant / 2)

    def likelihood(self, within: float) -> float:
        """The logarithm of it, but for a constant, if the candidates are equally good."""
        return -((self.freedom + self.size - 1) * log(within) + (self.residual + self.explained) / within) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What a turn's candidates are, if they and their futures differ by one pair of variances."""

    lower: list[list[float]]
    """The Cholesky factor of the posterior precision, times `within`."""
    means: list[float]
    within: float
    likelihood: float
    """The logarithm of it, over that of candidates that are equally good."""

    def covariance(self) -> list[list[float]]:
        size = len(self.means)
        columns = (_solve(self.lower, [float(n == row) for n in range(size)]) for row in range(size))
        return [[self.within * value for value in column] for column in columns]


def _connected(samples: Iterable[set[int]]) -> tuple[int, ...]:
    """The most candidates of which each can be compared with every other, through common samples."""
    groups: list[set[int]] = []
    for sample in samples:
        apart = [group for group in groups if not group & sample]
        groups = [*apart, sample.union(*(group for group in groups if group & sample))]
    largest = max(groups, key=len, default=set[int]())
    return tuple(sorted(largest))


def _explained(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> float:
    """Of the sum of squares about the samples' means, what the candidates' differences account for."""
    lower = _cholesky([[value + 1.0 for value in row] for row in matrix])
    return fsum(x * y for x, y in zip(vector, _solve(lower, vector), strict=True))


def _is_known(reward: float | None) -> bool:
    return reward is not None and abs(reward) <= LARGEST_VALUE


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row][column] - fsum(lower[row][n] * lower[column][n] for n in range(column))
            lower[row][column] = sqrt(max(rest, 1e-300)) if row == column else rest / lower[column][column]
    return lower


def _solve(lower: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    size = len(lower)
    middle = [0.0] * size
    for row in range(size):
        middle[row] = (vector[row] - fsum(lower[row][n] * middle[n] for n in range(row))) / lower[row][row]
    result = [0.0] * size
    for row in reversed(range(size)):
        result[row] = (middle[row] - fsum(lower[n][row] * result[n] for n in range(row + 1, size))) / lower[row][row]
    return result
