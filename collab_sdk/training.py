"""What a trainer plugin is given, what it says before it starts, and what it gives back."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from collab_sdk.preferences.selection import PairRule
from collab_sdk.scorer import MRScorer

__all__ = [
    "CANDIDATES",
    "EXCHANGES",
    "PLAYING",
    "PLUGIN_GROUP",
    "Fault",
    "Memory",
    "Play",
    "Preflight",
    "Trainer",
    "Training",
    "TrainingOptions",
    "TrainingProgress",
    "TrainingReport",
    "opening",
]

PLUGIN_GROUP = "collab_sdk.trainers"
CANDIDATES, EXCHANGES = 8, 4
PLAYING = frozenset({"online-dpo", "grpo", "rloo", "ppo"})
"""Methods that let the model talk while it is trained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """How a training that lets the model talk scores what it says."""

    scorer: MRScorer
    """Whose simulated user and judge take part; the model in training takes its bot's place."""
    candidates: int = CANDIDATES
    """Replies to a history that are compared."""
    exchanges: int = EXCHANGES
    """Of a whole conversation, at most."""
    rule: PairRule = field(default_factory=PairRule)
    """Which pairs a round is trained on."""
    adaptive: bool = True
    """Whether futures are spent where they matter, as PreferenceExporter does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """What to train, on what, and how. None leaves the choice to the trainer."""

    data: Path
    """A file of preferences, or a folder that Hugging Face datasets saved; where the model plays, logged chats."""
    base: str
    """A folder with the base model, or its name on the Hugging Face hub."""
    output: Path
    method: str = "dpo"
    rounds: int = 0
    """Of DPO on the model's own conversations; 0: the data are preferences."""
    play: Play | None = None
    """Needed by rounds, and by methods that let the model talk."""
    sft_first: bool = False
    loss: tuple[tuple[str, float], ...] = (("sigmoid", 1.0), ("sft", 1.0))
    """Loss terms of DPO with their weights."""
    beta: float | None = None
    """How close to stay to the base."""
    epochs: float = 3.0
    learning_rate: float | None = None
    sft_learning_rate: float = 1e-4
    batch_size: int = 16
    """Pairs, or examples, for one step of the optimizer, over all devices."""
    micro_batch: int | None = None
    """Of these, how many at once on one device."""
    max_length: int | None = None
    rank: int = 32
    alpha: int = 16
    load_in_4bit: bool = False
    checkpointing: bool | None = None
    eval_fraction: float = 0.1
    patience: int = 3
    seed: int = 0
    skip_bad: bool = False
    merge: bool = False
    report_to: tuple[str, ...] = ()


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
    conversations: int
    trained_on: frozenset[str]
    """The ids of the conversations whose examples are not held out; of those without one, their openings."""
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    lengths: tuple[int, ...]
    """Tokens of each example, with the model's own chat template."""
    completion_lengths: tuple[int, ...]
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
    plan: Mapping[str, str] = field(default_factory=dict)
    """How it will be trained, in words, by setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProgress:
    """How far a training is. `metrics` are the trainer's own latest, by its names."""

    stage: str
    step: int
    steps: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """What a training gave."""

    bot: str
    """The trained model by the name that `as_chat_model` takes."""
    output: Path
    steps: int
    kept_step: int
    """The step whose adapter was kept, by its held-out figure."""
    seconds: float
    resumed: bool
    held_out: Mapping[str, Mapping[str, float]]
    """Figures on held-out examples, `before` and `after`."""
    warnings: tuple[str, ...]
    serve: Mapping[str, str]
    """Commands that serve the result, by server."""


class Training(Protocol):
    """A training that is ready to start."""

    @property
    def preflight(self) -> Preflight: ...

    def run(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingReport:
        """Train, or go on where a killed run stopped. Raises CollabError."""
        ...


Trainer = Callable[[TrainingOptions], Training]
"""What an entry point of the group `collab_sdk.trainers` names; its name is a method. Raises CollabError."""


def opening(messages: Iterable[Mapping[str, Any]]) -> str:
    """What a conversation without an id goes by: a hash of all up to its first user message."""
    said = []
    for message in messages:
        said.append([message["role"], message["content"]])
        if message["role"] == "user":
            break
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
