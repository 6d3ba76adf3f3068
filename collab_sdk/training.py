"""What a trainer plugin is given, what it says before it starts, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from collab_sdk.scorer import MRScorer
from collab_sdk.spec import PairRule, setting
from collab_sdk.stats import Estimate

__all__ = [
    "CANDIDATES",
    "EXCHANGES",
    "PLAYING",
    "TRAINING",
    "Fault",
    "HeldOut",
    "Memory",
    "Play",
    "Preflight",
    "Trainer",
    "Training",
    "TrainingOptions",
    "TrainingProgress",
    "TrainingReport",
]

TRAINING = "Training"
"""The heading of these options in `--help`."""
CANDIDATES, EXCHANGES = 8, 4
RULE = PairRule(candidates=CANDIDATES)
PLAYING = frozenset({"online-dpo", "grpo", "rloo", "ppo"})
"""Methods that let the model talk while it is trained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """How a training that lets the model talk scores what it says."""

    scorer: MRScorer
    """Whose simulated user and judge take part; the model in training takes its bot's place."""
    exchanges: int = EXCHANGES
    """Of a whole conversation, at most."""
    rule: PairRule = RULE
    """How many replies to a history are compared, and which pairs a round is trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """What to train, on what, and how. None leaves the choice to the trainer."""

    data: Path
    """A file of preferences, or a folder that Hugging Face datasets saved; where the model plays, logged chats."""
    base: str
    """A folder with the base model, or its name on the Hugging Face hub."""
    output: Path
    play: Play | None = None
    """Needed by rounds, and by methods that let the model talk."""
    loss: tuple[tuple[str, float], ...] = (("sigmoid", 1.0), ("sft", 1.0))
    """Loss terms of DPO with their weights."""
    method: str = setting(
        "dpo",
        "Training method: dpo, sft or kto on preferences; online-dpo, grpo, rloo or ppo on the model's own replies.",
        group=TRAINING,
        metavar="NAME",
    )
    rounds: int = setting(
        0, "Rounds of DPO on the model's own conversations: talk, pair, train, merge.", group=TRAINING, at_least=0
    )
    sft_first: bool = setting(False, "First learn the chosen replies with SFT, then go on from there.", group=TRAINING)
    beta: float | None = setting(
        None,
        "How close to stay to the base.  [default: 0.1; grpo 0.04]",
        group=TRAINING,
        metavar="BETA",
        above=0,
    )
    epochs: float = setting(3.0, "Number of passes over the data.", group=TRAINING, above=0)
    learning_rate: float | None = setting(
        None, "Learning rate.  [default: 1e-5; sft 1e-4]", group=TRAINING, metavar="RATE", above=0
    )
    sft_learning_rate: float = setting(1e-4, "Learning rate of --sft-first.", group=TRAINING, metavar="RATE", above=0)
    batch_size: int = setting(16, "Examples for one optimizer step, over all devices.", group=TRAINING, at_least=1)
    per_device_batch_size: int | None = setting(
        None, "Examples at once on one device.  [default: what fits]", group=TRAINING, at_least=1
    )
    max_length: int | None = setting(
        None, "Most tokens of prompt and reply.  [default: what the base can read]", group=TRAINING, at_least=1
    )
    lora_r: int = setting(32, "Rank of the LoRA matrices.", group=TRAINING, at_least=1)
    lora_alpha: int = setting(16, "LoRA scaling: the adapter counts alpha / r.", group=TRAINING, at_least=1)
    dtype: str = setting(
        "auto",
        "Precision to train in: auto, bfloat16 or float32. auto takes bfloat16 where the device multiplies it faster.",
        group=TRAINING,
        metavar="NAME",
    )
    load_in_4bit: bool = setting(
        False, "Keep the base in 4 bits (QLoRA; needs bitsandbytes and a GPU).", group=TRAINING
    )
    gradient_checkpointing: bool | None = setting(
        None, "Recompute activations to save memory.  [default: if needed]", group=TRAINING
    )
    eval_fraction: float = setting(
        0.1, "Share of the chats to hold out.", group=TRAINING, metavar="FRACTION", at_least=0, below=1
    )
    patience: int = setting(
        3, "Evaluations without improvement before stopping; 0 disables.", group=TRAINING, at_least=0
    )
    seed: int = setting(0, "Random seed: on a CPU, the same seed gives the same adapter.", group=TRAINING, at_least=0)
    skip_bad: bool = setting(False, "Leave out the rows that the preflight check refuses.", group=TRAINING)
    merge: bool = setting(False, "Also write the base with the adapter merged in.", group=TRAINING)
    report_to: tuple[str, ...] = setting(
        (), "Tracker: tensorboard, wandb, mlflow or trackio; repeatable.", group=TRAINING, metavar="TRACKER"
    )


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
    trained_on: frozenset[str]
    """The ids of the conversations whose examples are not held out; of those without one, their openings."""
    openings: frozenset[str]
    """Hashes of how those conversations begin, as the same chat may come again under another id."""
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
class HeldOut:
    """Figures on held-out examples that did not choose the checkpoint."""

    before: Mapping[str, Estimate]
    """Of the model before training; rewards are measured against it, so it has none."""
    after: Mapping[str, Estimate]
    examples: int
    conversations: int
    checkpoints: int
    """Among which others chose the one that was kept; 1 where the last was kept anyway."""

    @property
    def said(self) -> str:
        """On what, and of which model, the figures are."""
        kept = f"the best of {self.checkpoints} checkpoints" if self.checkpoints > 1 else "the last step"
        chosen = ", by other held-out examples" if self.checkpoints > 1 else ""
        return f"{self.examples:,} examples of {self.conversations:,} conversations; {kept}{chosen}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        sides = {"before": self.before, "after": self.after}
        figures = {side: {name: each.to_dict() for name, each in known.items()} for side, known in sides.items()}
        return {**asdict(replace(self, before={}, after={})), **figures}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        sides = {
            side: {name: Estimate.from_dict(figure) for name, figure in row[side].items()}
            for side in ("before", "after")
        }
        return cls(**{**row, **sides})


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
    held_out: HeldOut | None
    """None where no example was held out, or too few to choose the checkpoint by some and report on others."""
    warnings: tuple[str, ...]
    serve: Mapping[str, str]
    """Commands that serve the result, one a line, by server."""


class Training(Protocol):
    """A training that is ready to start."""

    @property
    def preflight(self) -> Preflight: ...

    def run(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingReport:
        """Train, or go on where a killed run stopped. Raises CollabError."""
        ...


Trainer = Callable[[TrainingOptions], Training]
"""What an entry point of the group `collab_sdk.trainers` names; its name is a method. Raises CollabError."""
