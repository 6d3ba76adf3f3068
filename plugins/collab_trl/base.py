"""What is known of a base model without its weights: its tokenizer, its shape, where it is."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_sdk.errors import UsageError
from collab_trl.chat_template import OWN, ChatTemplate
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.pretrained import ADAPTER_CONFIG, empty_model, read_config, read_generation_config, read_tokenizer

UNLIMITED = 10**9
"""Some tokenizers say 10^30 for `no limit`."""
SHORTEST_BOUND, LONGEST_BOUND = 64, 2048
"""Of replies that are compared; the latter is where replies of `hf:` models end, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A base model, `name` as it must be written wherever it is referred to: an absolute path, or a name on the hub."""

    name: str
    config: Any
    tokenizer: Any
    parameters: int
    linear: tuple[tuple[str, int, int], ...]
    """Every linear layer but the language model head: its last name, features in, features out."""
    context: int
    chat_template: ChatTemplate = OWN
    """What was asked for in place of its own."""

    @property
    def targets(self) -> list[str]:
        """The linear layers' names, as LoraConfig wants them; sorted, so that every run saves the same."""
        return sorted({name for name, _, _ in self.linear})

    @property
    def width(self) -> int:
        """Features of a token."""
        return int(self.config.get_text_config().hidden_size)

    def trainable(self, rank: int, targets: Collection[str] = ()) -> int:
        """Parameters of an adapter on the layers `targets`; on all where none is named."""
        return sum(rank * (inputs + outputs) for name, inputs, outputs in self.linear if not targets or name in targets)

    @property
    def reply_limit(self) -> int | None:
        """The longest reply by the base's own generation config, if it says."""
        config = read_generation_config(self.name)
        return None if config is None else config.max_new_tokens

    def reply_bound(self, longest: int) -> int:
        """Tokens that a reply may have, given those of the longest one known: a model that never ends has to be cut."""
        return self.reply_limit or min(max(2 * longest, SHORTEST_BOUND), LONGEST_BOUND)

    def chat_format(self) -> ChatFormat:
        """How chats are laid out, and at which tokens replies end. Raises EndpointError for a template that fails."""
        config = read_generation_config(self.name)
        ends = config.eos_token_id if config is not None else None
        stops = [] if ends is None else [ends] if isinstance(ends, int) else ends
        return ChatFormat(self.tokenizer, ends=stops, folder=Path(self.name))


def read_base(name: str, chat_template: ChatTemplate = OWN) -> Base:
    """Raises UsageError for an unknown model, an adapter, and a tokenizer that cannot lay out a chat."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        name = str(folder.resolve())
    config, tokenizer = read_config(name), read_tokenizer(name, chat_template)
    _check_tokenizer(tokenizer, name)
    parameters, linear = _shape(config, name)
    limits = (getattr(config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length)
    context = min(int(limit) for limit in limits if limit)
    return Base(
        name=name,
        config=config,
        tokenizer=tokenizer,
        parameters=parameters,
        linear=linear,
        context=context,
        chat_template=chat_template,
    )


def _check_folder(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).exists() and not (folder / "config.json").exists():
        raise UsageError(
            f"{folder} is an adapter, not a base model: give the model it was trained on, which {ADAPTER_CONFIG} names."
        )


def _check_tokenizer(tokenizer: Any, name: str) -> None:
    if not tokenizer.chat_template:
        raise UsageError(
            f"The tokenizer of {name} has no chat template, so a chat cannot be laid out as the model will see it: "
            "take the instruct variant, or give the template that will be served with --chat-template."
        )
    if tokenizer.eos_token_id is None:
        raise UsageError(f"The tokenizer of {name} has no EOS token, so the model could never learn to stop.")
    if tokenizer.pad_token_id is None:
        raise UsageError(
            f"The tokenizer of {name} has no pad token: set pad_token in its tokenizer_config.json to a token that no "
            f"text uses, or to {tokenizer.eos_token!r}."
        )


def _shape(config: Any, name: str) -> tuple[int, tuple[tuple[str, int, int], ...]]:
    """Parameters, and the linear layers that an adapter can be put on, from a model without storage."""
    import torch
    from transformers.pytorch_utils import Conv1D

    model = empty_model(config, name)
    head = model.get_output_embeddings()
    linear = [
        (path.rpartition(".")[2], *_features(module))
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    ]
    return sum(parameter.numel() for parameter in model.parameters()), tuple(linear)


def _features(module: Any) -> tuple[int, int]:
    rows, columns = module.weight.shape
    return (columns, rows) if hasattr(module, "in_features") else (rows, columns)
