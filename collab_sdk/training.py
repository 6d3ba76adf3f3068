"""What a trainer plugin is given, what it says before it starts, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

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
    "RepliesCompared",
    "Trainer",
    "Training",
    "TrainingOptions",
    "TrainingProgress",
    "TrainingReport",
    "Verdict",
]

TRAINING = "Training"
"""The heading of these options in `--help`."""
CANDIDATES, EXCHANGES = 8, 4
RULE = PairRule(candidates=CANDIDATES)
SIDES = ("before", "after", "difference")
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
        0,
        "Rounds of DPO on the model's own conversations: talk, pair, train the same adapter on.",
        group=TRAINING,
        at_least=0,
    )
    sft_first: bool = setting(False, "First learn the chosen replies with SFT, then go on from there.", group=TRAINING)
    beta: float | None = setting(
        None,
        "How close to stay to the base.  [default: 0.1; grpo 0.04, rloo and ppo 0.05]",
        group=TRAINING,
        metavar="BETA",
        above=0,
    )
    epochs: float | None = setting(
        None,
        "Number of passes over the data.  [default: as many as a training needs, by the number of rows]",
        group=TRAINING,
        above=0,
    )
    max_steps: int | None = setting(
        None, "Most optimizer steps; the schedule is for so many.  [default: all epochs]", group=TRAINING, at_least=1
    )
    learning_rate: float | None = setting(
        None,
        "Learning rate.  [default: 3e-4, less for wide models; 1e-5 where the model plays]",
        group=TRAINING,
        metavar="RATE",
        above=0,
    )
    sft_learning_rate: float | None = setting(
        None, "Learning rate of --sft-first.  [default: as the other]", group=TRAINING, metavar="RATE", above=0
    )
    lr_scheduler_type: str = setting(
        "cosine",
        "How the learning rate falls: linear, cosine, cosine_with_restarts, polynomial, inverse_sqrt, constant or "
        "constant_with_warmup.",
        group=TRAINING,
        metavar="NAME",
    )
    warmup_ratio: float = setting(
        0.1,
        "Share of the steps in which the learning rate rises.",
        group=TRAINING,
        metavar="SHARE",
        at_least=0,
        below=1,
    )
    weight_decay: float = setting(0.0, "Weight decay of AdamW.", group=TRAINING, metavar="DECAY", at_least=0)
    batch_size: int = setting(16, "Examples for one optimizer step, over all devices.", group=TRAINING, at_least=1)
    per_device_batch_size: int | None = setting(
        None, "Examples at once on one device.  [default: what fits]", group=TRAINING, at_least=1
    )
    max_length: int | None = setting(
        None, "Most tokens of prompt and reply.  [default: what the base can read]", group=TRAINING, at_least=1
    )
    chat_template: str | None = setting(
        None,
        "Chat template to train and serve with: a file, or trl:NAME for one of TRL's.  [default: the base's own]",
        group=TRAINING,
        metavar="FILE",
    )
    layout: tuple[str, ...] = setting(
        (),
        "A change to the chat template: developer-as-system, system-in-first-user, text-as-parts, thinking, "
        "no-thinking or end-with-eos; repeatable.",
        group=TRAINING,
        metavar="NAME",
    )
    lora_r: int = setting(32, "Rank of the LoRA matrices.", group=TRAINING, at_least=1)
    lora_alpha: int = setting(32, "LoRA scaling: the adapter counts alpha / r.", group=TRAINING, at_least=1)
    lora_dropout: float = setting(
        0.0, "Dropout before the LoRA matrices.", group=TRAINING, metavar="SHARE", at_least=0, below=1
    )
    target_modules: tuple[str, ...] = setting(
        (),
        "Layer that gets an adapter, by the last part of its name; repeatable.  [default: every linear layer]",
        group=TRAINING,
        metavar="NAME",
    )
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
    eval_fraction: float | None = setting(
        None,
        "Share of the chats to hold out.  [default: 0.1, or more of a few hundred, so that there are enough to tell]",
        group=TRAINING,
        metavar="FRACTION",
        at_least=0,
        below=1,
    )
    patience: int = setting(
        3,
        "Evaluations in a row that are clearly worse than the best before stopping; 0 disables.",
        group=TRAINING,
        at_least=0,
    )
    seed: int = setting(0, "Random seed: on a CPU, the same seed gives the same adapter.", group=TRAINING, at_least=0)
    skip_bad: bool = setting(False, "Leave out the rows that the preflight check refuses.", group=TRAINING)
    adapter: Path | None = setting(  # noqa: RUF009 - a field, as all of them
        None,
        "LoRA adapter of this base to go on training with dpo or kto, instead of a fresh one.",
        group=TRAINING,
        metavar="DIR",
    )
    merge: bool = setting(
        False,
        "Also write the base with the adapter merged in, in a precision that keeps what was learnt.",
        group=TRAINING,
    )
    push_to_hub: str | None = setting(
        None,
        "Then upload the adapter to this private repository on the Hugging Face hub, unless it is no better than its "
        "base; a name without an owner is one of your own.",
        group=TRAINING,
        metavar="[OWNER/]NAME",
    )
    report_to: tuple[str, ...] = setting(
        (), "Tracker: tensorboard, wandb, mlflow or trackio; repeatable.", group=TRAINING, metavar="TRACKER"
    )

    @property
    def base_bot(self) -> str:
        """The base by the name that `as_chat_model` takes, with the chat template that it is trained with."""
        template = [f"chat_template={self.chat_template}"] if self.chat_template else []
        options = "&".join([*template, *(f"layout={name}" for name in self.layout)])
        return f"hf:{self.base}?{options}" if options else f"hf:{self.base}"


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
    nothing to do with what was trained.
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
        return {**asdict(replace(self, before={}, after={}, difference={})), **sides}

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
