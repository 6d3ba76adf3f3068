"""What the conversation cost the user to read and write."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

from collab_sdk.errors import UsageError
from collab_sdk.metrics.base import Evidence


@dataclass(frozen=True, slots=True)
class TokenPenalty:
    """-min(rate x tokens, 1) over the response and its future (R_int in section 3 of the paper).

    `rate` is the paper's lambda, per token: 1e-4 for documents, 5e-4 for code and maths. The tokens of `roles` count,
    about as many in every script as the text would have in English. The default, 5e-4, is for short chats: three
    replies of 350 words cost more than half a point, and beyond 2,000 tokens all futures cost the same.
    """

    rate: float = 5e-4
    roles: tuple[str, ...] = ("user", "assistant")
    name: str = "token_penalty"
    highest: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate < math.inf:
            raise UsageError(f"token_penalty: rate is {self.rate}; it must be 0 or more.")

    def value(self, evidence: Evidence) -> float:
        """In [-1, 0]; warns where a future costs more than the cap."""
        cost = self.rate * sum(evidence.tokens.get(role, 0) for role in self.roles)
        if cost > 1:
            warnings.warn(
                f"token_penalty is at its cap: at {self.rate:g} a token, futures over {1 / self.rate:.0f} tokens all "
                f"cost the same, so that shorter answers earn nothing. Lower the rate, to {self.rate / 5:g} for "
                f"example: --metric token_penalty=1,rate={self.rate / 5:g}, or TokenPenalty(rate={self.rate / 5:g}).",
                stacklevel=2,
            )
        return -min(cost, 1.0)
