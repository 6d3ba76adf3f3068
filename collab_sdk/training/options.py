"""What a trainer plugin is given."""

from dataclasses import dataclass
from pathlib import Path

from collab_sdk.scorer import MRScorer
from collab_sdk.spec import PairRule, setting
from collab_sdk.training.trained_against import users_in, users_of_adapter, users_of_pairs
from collab_sdk.training.user_chats import UserChats

TRAINING = "Training"
"""The heading of these options in `--help`."""
CANDIDATES, EXCHANGES = 8, 4
RULE = PairRule(candidates=CANDIDATES)
ASSISTANT, USER = "assistant", "user"
LEARNT_ROLES = (ASSISTANT, USER)
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
    chats: UserChats | None = None
    """Where the user is learnt, the chats in `data` with goals that were inferred; None: each row has its own."""
    role: str = setting(
        ASSISTANT,
        "Train the assistant, or the user of logged chats, for use as --simulator plain:hf:BASE@DIR.",
        group=TRAINING,
        metavar="ROLE",
    )
    method: str = setting(
        "dpo",
        "Training method: dpo, sft or kto on preferences; online-dpo, grpo, rloo or ppo on the model's own replies.",
        group=TRAINING,
        metavar="NAME",
    )
    rounds: int = setting(
        0,
        "Repeat DPO N times on the model's own conversations: play, make pairs, continue training the adapter.",
        group=TRAINING,
        at_least=0,
    )
    sft_first: bool = setting(
        False, "First train on the chosen replies with SFT, then continue with --method.", group=TRAINING
    )
    beta: float | None = setting(
        None,
        "Strength of the pull towards the base model; higher stays closer.  [default: 0.1; grpo 0.04, rloo "
        "and ppo 0.05]",
        group=TRAINING,
        metavar="BETA",
        above=0,
    )
    epochs: float | None = setting(
        None,
        "Number of passes over the data.  [default: chosen by the number of rows]",
        group=TRAINING,
        above=0,
    )
    max_steps: int | None = setting(
        None,
        "Stop after N optimizer steps; the learning rate schedule is fitted to them.  [default: all epochs]",
        group=TRAINING,
        at_least=1,
    )
    learning_rate: float | None = setting(
        None,
        "Learning rate.  [default: 3e-4, less for wide models; 1e-5 if the model plays]",
        group=TRAINING,
        metavar="RATE",
        above=0,
    )
    sft_learning_rate: float | None = setting(
        None, "Learning rate of --sft-first.  [default: --learning-rate]", group=TRAINING, metavar="RATE", above=0
    )
    lr_scheduler_type: str = setting(
        "cosine",
        "Schedule of the learning rate: linear, cosine, cosine_with_restarts, polynomial, inverse_sqrt, "
        "constant or constant_with_warmup.",
        group=TRAINING,
        metavar="NAME",
    )
    warmup_ratio: float = setting(
        0.1,
        "Share of the steps during which the learning rate rises.",
        group=TRAINING,
        metavar="SHARE",
        at_least=0,
        below=1,
    )
    weight_decay: float = setting(0.0, "Weight decay of AdamW.", group=TRAINING, metavar="DECAY", at_least=0)
    batch_size: int = setting(16, "Examples per optimizer step, over all devices.", group=TRAINING, at_least=1)
    per_device_batch_size: int | None = setting(
        None, "Examples computed at once on one device.  [default: as many as fit]", group=TRAINING, at_least=1
    )
    max_length: int | None = setting(
        None,
        "Refuse rows with more than N tokens of prompt and reply.  [default: what the base can read]",
        group=TRAINING,
        at_least=1,
    )
    chat_template: str | None = setting(
        None,
        "Chat template to train and serve with: a file, or trl:NAME for one of TRL's.  [default: the base's]",
        group=TRAINING,
        metavar="FILE",
    )
    layout: tuple[str, ...] = setting(
        (),
        "Change to the chat template: developer-as-system, system-in-first-user, text-as-parts, thinking, "
        "no-thinking or end-with-eos; repeatable.",
        group=TRAINING,
        metavar="NAME",
    )
    lora_r: int = setting(32, "Rank of the LoRA matrices.", group=TRAINING, at_least=1)
    lora_alpha: int = setting(32, "LoRA alpha: the adapter is scaled by alpha / r.", group=TRAINING, at_least=1)
    lora_dropout: float = setting(
        0.0, "Dropout before the LoRA matrices.", group=TRAINING, metavar="SHARE", at_least=0, below=1
    )
    target_modules: tuple[str, ...] = setting(
        (),
        "Name of a layer to adapt, such as q_proj; repeatable.  [default: every linear layer]",
        group=TRAINING,
        metavar="NAME",
    )
    dtype: str = setting(
        "auto",
        "Precision of the training: auto, bfloat16 or float32. auto uses bfloat16 if it is faster on the device.",
        group=TRAINING,
        metavar="NAME",
    )
    load_in_4bit: bool = setting(
        False, "Load the base in 4 bits (QLoRA). Needs bitsandbytes and a GPU.", group=TRAINING
    )
    gradient_checkpointing: bool | None = setting(
        None, "Recompute activations to save memory.  [default: if needed]", group=TRAINING
    )
    eval_fraction: float | None = setting(
        None,
        "Share of the chats to hold out for evaluation.  [default: 0.1, or more if there are only a few hundred chats]",
        group=TRAINING,
        metavar="FRACTION",
        at_least=0,
        below=1,
    )
    patience: int = setting(
        3,
        "Stop after N evaluations in a row that are clearly worse than the best one; 0 never stops early.",
        group=TRAINING,
        at_least=0,
    )
    seed: int = setting(0, "Random seed. On a CPU, the same seed gives the same adapter.", group=TRAINING, at_least=0)
    skip_bad: bool = setting(False, "Leave out rows that cannot be trained on, instead of stopping.", group=TRAINING)
    adapter: Path | None = setting(  # noqa: RUF009 - a field, as all of them
        None,
        "Continue training this LoRA adapter, with dpo or kto, instead of starting a new one.",
        group=TRAINING,
        metavar="DIR",
    )
    merge: bool = setting(
        False,
        "Also write the base model with the adapter merged into it.",
        group=TRAINING,
    )
    push_to_hub: str | None = setting(
        None,
        "After training, upload the adapter to this repository on the Hugging Face hub, if it is better than "
        "its base. Without OWNER, it is your own; a new one is private.",
        group=TRAINING,
        metavar="[OWNER/]NAME",
    )
    report_to: tuple[str, ...] = setting(
        (), "Report to a tracker: tensorboard, wandb, mlflow or trackio; repeatable.", group=TRAINING, metavar="TRACKER"
    )

    @property
    def trained_against(self) -> tuple[str, ...]:
        """The names of the users who play while the assistant is trained, or did when its pairs were made."""
        if self.role == USER:
            return ()
        earlier = () if self.adapter is None else users_of_adapter(self.adapter)
        now = users_in(self.play.scorer.made_with) if self.play else users_of_pairs(self.data)
        return tuple(dict.fromkeys((*earlier, *now)))

    @property
    def base_bot(self) -> str:
        """The base by the name that `as_chat_model` takes, with the chat template that it is trained with."""
        template = [f"chat_template={self.chat_template}"] if self.chat_template else []
        options = "&".join([*template, *(f"layout={name}" for name in self.layout)])
        return f"hf:{self.base}?{options}" if options else f"hf:{self.base}"
