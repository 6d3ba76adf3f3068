"""What can be refused of a training by its options, the base's shape and the machine."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from collab_sdk.errors import OutputError, UnknownNameError, UsageError
from collab_sdk.secrets import one_line
from collab_sdk.training import LEARNT_ROLES, PLAYING, USER, Memory, TrainingOptions, role_of_adapter
from collab_trl.base import Base
from collab_trl.chat_template import TEMPLATE_FILE
from collab_trl.defaults import counts_replies
from collab_trl.device_memory import available_bytes, host_bytes
from collab_trl.hf.folders import check_base
from collab_trl.loading import check_4bit
from collab_trl.plan import CPU, HEADROOM, Plan, fits
from collab_trl.pretrained import ADAPTER_CONFIG, check_adapter, read_adapter_template

LOSSES = (
    "sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop sft "
    "sigmoid_norm"
).split()
SCHEDULES = "linear cosine cosine_with_restarts polynomial inverse_sqrt constant constant_with_warmup".split()
"""Those of transformers that need no number of their own."""
SORTING = {"aot", "aot_unpaired"}
"""Losses that compare the pairs of a micro-batch with each other, so that what is learnt depends on its size."""
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
"""By the names that transformers knows them by: the package each needs."""
CHECKPOINTS = 3
"""Adapters with their optimizer state that lie on disk at once."""


def check_options(options: TrainingOptions) -> None:
    """Raises UsageError for names nobody knows and for what is not installed."""
    if options.role not in LEARNT_ROLES:
        raise UnknownNameError.of("role", options.role, LEARNT_ROLES)
    if options.role == USER and (options.method != "sft" or options.rounds):
        method = "--rounds" if options.rounds else f"--method {options.method}"
        raise UsageError(f"--role user learns what users said with --method sft alone: leave {method} out.")
    for name, _ in options.loss:
        if name not in LOSSES:
            raise UnknownNameError.of("loss", name, LOSSES)
    _check_play(options)
    if options.sft_first and options.method == "sft":
        raise UsageError("--sft-first goes before dpo or kto; sft alone is --method sft.")
    if options.lr_scheduler_type not in SCHEDULES:
        raise UnknownNameError.of("lr scheduler type", options.lr_scheduler_type, SCHEDULES)
    for tracker in options.report_to:
        if tracker not in TRACKERS:
            raise UnknownNameError.of("tracker", tracker, TRACKERS)
        if find_spec(TRACKERS[tracker]) is None:
            raise UsageError(
                f"--report-to {tracker} needs a package that is not installed: pip install {TRACKERS[tracker]}"
            )
    if options.method == "kto" and options.batch_size == 1:
        raise UsageError("kto sets each reply against another one's prompt: it needs --batch-size 2 at least.")
    if Path(options.base).is_dir() and options.output.resolve() == Path(options.base).resolve():
        raise UsageError("-o is the base's own folder, where an adapter would spoil the base: give another.")
    if options.chat_template and Path(options.chat_template).resolve().parent == options.output.resolve():
        raise UsageError(
            "--chat-template is in -o, where the adapter's own template will be written: give another -o DIR."
        )
    if options.load_in_4bit:
        check_4bit()


def _check_play(options: TrainingOptions) -> None:
    plays, play = options.method in PLAYING, options.play
    if options.rounds and options.method != "dpo":
        raise UsageError(f"--rounds are rounds of dpo; {options.method} goes once through the data.")
    if not plays and not options.rounds:
        return
    if play is None:
        what = "--rounds" if options.rounds else f"--method {options.method}"
        raise UsageError(
            f"{what} lets the model talk with a simulated user: give --simulator, or --model for all parts."
        )
    if play.rule.candidates < 2:
        raise UsageError(f"{play.rule.candidates} candidates cannot be compared: give --candidates 2 or more.")
    if plays and options.sft_first:
        raise UsageError(f"--sft-first learns preferences, and {options.method} is given chats: train twice.")
    if counts_replies(options.method):
        if options.batch_size % play.rule.candidates:
            raise UsageError(
                f"--batch-size {options.batch_size} is not a multiple of --candidates {play.rule.candidates}: a step "
                "takes all replies to a history together."
            )
        if options.per_device_batch_size and options.batch_size % options.per_device_batch_size:
            raise UsageError(f"--batch-size {options.batch_size} is not a multiple of --per-device-batch-size.")
    if options.method == "ppo" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("ppo runs in one process: its value head is not shared between several.")


def compares_pairs(options: TrainingOptions) -> bool:
    """Whether the micro-batch decides what is learnt: with every other loss it does not."""
    return options.method == "dpo" and any(name in SORTING for name, _ in options.loss)


def check_targets(options: TrainingOptions, base: Base) -> None:
    """Raises UnknownNameError for a layer that the base does not have."""
    for name in options.target_modules:
        if name not in base.targets:
            raise UnknownNameError.of("target module", name, base.targets)


def check_start(options: TrainingOptions, base: Base) -> None:
    """Raises UsageError for an adapter to go on with that is of another base, shape or chat template."""
    if options.adapter is None:
        return
    if options.method not in ("dpo", "kto") or options.sft_first:
        method = "--sft-first" if options.sft_first else f"--method {options.method}"
        raise UsageError(f"--adapter goes on with dpo or kto; {method} begins with a fresh adapter.")
    if options.output.resolve() == options.adapter.resolve():
        raise UsageError("-o is the folder of --adapter, which the new one would replace: give another.")
    check_adapter(options.adapter)
    if role_of_adapter(options.adapter) == USER:
        raise UsageError(
            f"The adapter {options.adapter} is a simulated user, learnt with --role user: give one of an assistant."
        )
    check_base(options.adapter, Path(base.name), base.name)
    config = json.loads((options.adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    for name in ("lora_r", "lora_alpha", "lora_dropout"):
        own, asked = config.get("r" if name == "lora_r" else name), getattr(options, name)
        if own != asked:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"The adapter {options.adapter} has {flag} {own}, not {asked}: give {flag} {own} to go on with it."
            )
    layers, asked_layers = config.get("target_modules"), sorted(options.target_modules) or base.targets
    if not isinstance(layers, list) or sorted(layers) != asked_layers:
        raise UsageError(
            f"The adapter {options.adapter} is on other layers ({one_line(str(layers), 120)}) than those asked for "
            f"({', '.join(asked_layers)}): name its own with --target-modules to go on with it."
        )
    template = read_adapter_template(options.adapter)
    if template is not None and _lines(template) != _lines(base.tokenizer.chat_template):
        file = options.adapter / TEMPLATE_FILE
        way = (
            f"give --chat-template {file} and no --layout" if file.is_file() else "give its --chat-template or --layout"
        )
        raise UsageError(
            f"The adapter {options.adapter} was trained under another chat template than this training is: {way} to go "
            "on with it."
        )


def _lines(template: Any) -> Any:
    """A chat template as it is read again from a file; of several, each."""
    if isinstance(template, Mapping):
        return {name: _lines(text) for name, text in template.items()}
    return str(template).splitlines()


def longest_allowed(options: TrainingOptions, base: Base) -> int:
    if options.max_length is None:
        return base.context
    if options.max_length > base.context:
        raise UsageError(f"--max-length {options.max_length} is more than {base.name} can read: {base.context} tokens.")
    return options.max_length


def check_memory(options: TrainingOptions, plan: Plan, memory: Sequence[Memory]) -> None:
    """`memory` is for full training, LoRA and QLoRA. Raises UsageError where the one that is asked for will not fit."""
    _, lora, qlora = memory
    needed = qlora if options.load_in_4bit else lora
    if fits(needed, plan.available):
        return
    ways = ["a smaller --max-length with --skip-bad", "a smaller base"]
    if not options.load_in_4bit and plan.device != CPU and qlora.total < lora.total:
        ways.insert(0, f"--load-in-4bit (about {qlora.total / 1e9:.1f} GB)")
    if options.per_device_batch_size and options.per_device_batch_size > 1:
        ways.insert(0, "--per-device-batch-size 1")
    raise UsageError(
        f"Not enough memory on {plan.device}: about {needed.total / 1e9:.1f} GB are needed and "
        f"{plan.available / 1e9:.1f} GB are free. Way out: {', or '.join(ways)}."
    )


def merging_bytes(base: Base) -> int:
    """The base in float32, which is what merging holds in memory, and writes at the most."""
    return base.parameters * 4


def check_merge(options: TrainingOptions, base: Base) -> None:
    """Raises UsageError where the adapter could not be merged into the base."""
    if not options.merge:
        return
    if getattr(base.config, "quantization_config", None) is not None:
        raise UsageError(
            f"--merge: the weights of {base.name} are quantised, and would lose the adapter: give the base that they "
            "were made from, or serve the adapter as it is."
        )
    free = max(available_bytes(), host_bytes())
    if merging_bytes(base) > free * HEADROOM:
        raise UsageError(
            f"Not enough memory for --merge, which holds the base in float32: about {merging_bytes(base) / 1e9:.1f} GB "
            f"are needed and {free / 1e9:.1f} GB are free. Leave it out, and serve the adapter as it is."
        )


def check_disk(options: TrainingOptions, base: Base) -> None:
    """Raises OutputError where checkpoints and, if asked for, the merged model will not fit."""
    folder = options.output.absolute()
    while not folder.exists():
        folder = folder.parent
    needed = base.trainable(options.lora_r, options.target_modules) * 12 * CHECKPOINTS + (
        merging_bytes(base) if options.merge else 0
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"Not enough disk at {folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free. Give "
            "another -o DIR."
        )
