"""What a trainer plugin says before it starts, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from collab_sdk.stats import Estimate
from collab_sdk.training.options import ASSISTANT, TrainingOptions

SIDES = ("before", "after", "difference", "real")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Rows that cannot be trained on, and why."""

    problem: str
    places: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What a way to train needs, in bytes; an estimate."""

    way: str
    weights: int
    training: int
    """Gradients, optimizer and activations."""

    @property
    def total(self) -> int:
        return self.weights + self.training


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """What can be known before any weight is loaded."""

    examples: int
    held_out: int
    reported: int
    """Of those held out, how many do not choose the checkpoint, so that they can say how good it is."""
    repeated: int
    """Rows that are left out because another one is the same, word for word."""
    conversations: int
    """By what is said in them: one that is logged under several ids counts once."""
    trained_on: frozenset[str]
    """The ids of the conversations whose examples are not held out; of those without one, their openings."""
    openings: frozenset[str]
    """`whole_of` the user messages that those conversations begin with, as a chat may come again under another id."""
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    lengths: tuple[int, ...]
    """Tokens of each example, with the model's own chat template."""
    completion_lengths: tuple[int, ...]
    reply_tokens: int
    """How long a reply may be where base and adapter are compared."""
    margins: tuple[float, ...]
    """Score of chosen minus score of rejected, of the pairs that say so."""
    max_length: int
    rendered: tuple[tuple[str, bool], ...]
    """One example as the model sees it: pieces of text, and whether the loss counts them."""
    parameters: int
    trainable: int
    memory: tuple[Memory, ...]
    available: int | None
    """Bytes of memory on the device; None where that cannot be found out."""
    device: str
    pairs: Mapping[str, Estimate] = field(default_factory=dict)
    """Shares of the pairs that are learnt from, in words: of how many the chosen reply is the longer one, or asks."""
    plan: Mapping[str, str] = field(default_factory=dict)
    """How it will be trained, in words, by setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProgress:
    """How far a training is. `metrics` are the trainer's own latest, by its names."""

    stage: str
    step: int
    steps: int
    metrics: Mapping[str, float]
    tokens_per_second: float | None = None
    """Through the model, without padding, over the latest steps; None before any, and where a method cannot tell."""
    seconds_left: float | None = None
    """Of this stage, with its evaluations."""
    peak_memory: int | None = None
    """Bytes: on the GPU, or else of the process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Figures on held-out examples that did not choose the checkpoint: before training, after it, and the difference.

    `margin` is how much likelier the better replies are than the worse ones and `chosen_logp`, `rejected_logp` are
    those of whole replies, in nats; `accuracy` is the share of pairs whose better reply is the likelier. SFT has `loss`
    in nats a token. `reply_tokens`, `asks` and `ends` are of what the models say themselves when asked greedily; `ends`
    is the share of replies that end before their limit. `ordinary_logp`, in nats a token, is of replies that have
    nothing to do with what was trained. Of a user who is learnt, `loss` is that of their turns and `end_logp` how
    likely they are to leave where they did, in nats; they are asked at temperature 1, as when they play, and `leaves`
    is the share of their turns with which they do.
    """

    before: Mapping[str, Estimate]
    after: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    examples: int
    conversations: int
    steps: int
    """Of the training."""
    kept: int
    """The step whose adapter was kept."""
    looks: int
    """How many checkpoints others of the held-out examples could choose from; 0 where the last step was kept anyway."""
    update: float | None
    """Size of what the adapter adds to the layers it is on, relative to them (Frobenius norms); None if not known."""
    against: str = "its base"
    """What the adapter is compared with, in words: its base, or the adapter it began with."""
    replies: tuple["RepliesCompared", ...] = ()
    real: Mapping[str, Estimate] = field(default_factory=dict)
    """Of a user who is learnt, what the real ones did in the places where the models were asked."""

    @property
    def before_is(self) -> str:
        """What to call the side before training, in a word."""
        return "base" if self.against == "its base" else "before"

    @property
    def said(self) -> str:
        """On what, and of which model, the figures are."""
        kept = "the last step" if self.kept == self.steps else f"step {self.kept:,}"
        chosen = f", chosen from {self.looks} by other held-out examples" if self.looks else ""
        return f"{self.examples:,} examples of {self.conversations:,} conversations; {kept}{chosen}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        sides = {side: {name: each.to_dict() for name, each in getattr(self, side).items()} for side in SIDES}
        return {**asdict(replace(self, before={}, after={}, difference={}, real={})), **sides}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        sides = {side: {name: Estimate.from_dict(each) for name, each in row[side].items()} for side in SIDES}
        return cls(**{**row, **sides, "replies": tuple(RepliesCompared(**each) for each in row["replies"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class RepliesCompared:
    """What is said to the same held-out prompt before training and after it."""

    asked: str
    """The last message of the prompt."""
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether an adapter is better than its base, by what was held out."""

    found: Literal["better", "no different", "worse", "not known", "not judged"]
    """`not known` where too little was held out to tell; `not judged` where nothing was to be."""
    said: str
    """One sentence: by which figure, and where it is not better, why that may be and what to try."""

    @property
    def is_good(self) -> bool:
        """Whether the adapter may be served, as far as anybody asked."""
        return self.found in ("better", "not judged")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """What a training gave."""

    bot: str
    """The trained model by the name that `as_chat_model` takes."""
    output: Path
    steps: int
    kept_step: int
    """The step whose adapter was kept: the last one, unless an earlier one was clearly better on held-out examples."""
    seconds: float
    resumed: bool
    held_out: HeldOut | None
    """None where no example was held out."""
    verdict: Verdict
    warnings: tuple[str, ...]
    serve: Mapping[str, str]
    """Commands that serve the result, one a line, by server."""
    role: str = ASSISTANT
    """Who was learnt."""
    notes: tuple[str, ...] = ()
    """What else is to be known of it, such as what merging lost."""
    pushed: str | None = None
    """Where on the hub it is, or why it was kept from it; None where that was not asked for, or failed."""
    push_failure: str | None = None
    """Why the hub did not take it."""


class Training(Protocol):
    """A training that is ready to start."""

    @property
    def preflight(self) -> Preflight: ...

    def run(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingReport:
        """Train, or go on where a killed run stopped. Raises CollabError."""
        ...


Trainer = Callable[[TrainingOptions], Training]
"""What an entry point of the group `collab_sdk.trainers` names; its name is a method. Raises CollabError."""
