"""What options are called elsewhere, such as in TRL, PEFT and transformers, and what they are called here."""

from collections.abc import Collection

OURS = {
    "activation-checkpointing": "gradient-checkpointing",
    "alpha": "lora-alpha",
    "base-model": "base",
    "base-model-name-or-path": "base",
    "chat-template-path": "chat-template",
    "cutoff-len": "max-length",
    "dropout": "lora-dropout",
    "early-stopping-patience": "patience",
    "eval-size": "eval-fraction",
    "hub-model-id": "push-to-hub",
    "lora-rank": "lora-r",
    "lora-target-modules": "target-modules",
    "lr": "learning-rate",
    "lr-scheduler": "lr-scheduler-type",
    "max-seq-len": "max-length",
    "max-seq-length": "max-length",
    "micro-batch-size": "per-device-batch-size",
    "model-name": "base",
    "model-name-or-path": "base",
    "num-epochs": "epochs",
    "num-generations": "candidates",
    "num-train-epochs": "epochs",
    "output-dir": "output",
    "per-device-eval-batch-size": "per-device-batch-size",
    "per-device-train-batch-size": "per-device-batch-size",
    "r": "lora-r",
    "rank": "lora-r",
    "scheduler": "lr-scheduler-type",
    "test-size": "eval-fraction",
    "train-batch-size": "batch-size",
    "val-set-size": "eval-fraction",
    "validation-split": "eval-fraction",
}
"""Options of the same meaning."""
_ADAM = "the optimizer is AdamW as transformers sets it up, with --weight-decay"
_BEST = (
    "the last step is kept, unless an earlier one was clearly better on held-out examples; --patience 0 keeps the last"
)
_BITS = "--load-in-4bit takes NF4 with double quantization"
_DATA = "the data are the argument PREFS, a file or a folder that datasets saved"
_LOOKS = "a run is evaluated, logged and saved at fixed shares of its steps"
_LORA = "what is trained is always a plain LoRA adapter, which every server takes"
_PRECISION = "the precision is --dtype bfloat16 or --dtype float32"
_REFERENCE = (
    "the reference is the model before the training: the base, the adapter of --adapter, or what --sft-first made of it"
)
_REPLIES = "the loss counts what the assistant writes, and nothing else"
_REVISION = "download the revision (hf download --revision) and give its folder as --base"
_SEVERAL = "start it with accelerate launch --config_file FILE"
_SORTED = "rows of about one length are trained on together"
_TOKENIZER = "set it in the files of the base's tokenizer"
_WEIGHTS = "write --loss NAME=WEIGHT, such as --loss sigmoid=1"
_WHOLE = "no row is ever cut; those longer than --max-length are refused, or left out with --skip-bad"
INSTEAD = {
    "adam-beta1": _ADAM,
    "adam-beta2": _ADAM,
    "adam-epsilon": _ADAM,
    "assistant-only-loss": _REPLIES,
    "bf16": _PRECISION,
    "bias": _LORA,
    "bnb-4bit-compute-dtype": _BITS,
    "bnb-4bit-quant-type": _BITS,
    "completion-only-loss": _REPLIES,
    "dataset": _DATA,
    "dataset-name": _DATA,
    "dataset-path": _DATA,
    "deepspeed": _SEVERAL,
    "do-eval": "what --eval-fraction holds out is evaluated",
    "eos-token": _TOKENIZER,
    "eval-on-start": _LOOKS,
    "eval-steps": _LOOKS,
    "eval-strategy": _LOOKS,
    "evaluation-strategy": _LOOKS,
    "fp16": _PRECISION,
    "fsdp": _SEVERAL,
    "fsdp-config": _SEVERAL,
    "gradient-accumulation-steps": "it follows from --batch-size and --per-device-batch-size",
    "greater-is-better": _BEST,
    "group-by-length": _SORTED,
    "hub-private-repo": "--push-to-hub makes a private repository",
    "hub-strategy": "--push-to-hub uploads the finished adapter, once",
    "hub-token": "--push-to-hub takes the token of HF_TOKEN or of hf auth login",
    "label-smoothing": "labels are taken as they are, without smoothing",
    "load-best-model-at-end": _BEST,
    "load-in-8bit": "the base is kept in 4 bits (--load-in-4bit) or in the precision of --dtype",
    "logging-first-step": _LOOKS,
    "logging-steps": _LOOKS,
    "logging-strategy": _LOOKS,
    "lora-bias": _LORA,
    "lora-modules-to-save": _LORA,
    "loss-type": _WEIGHTS,
    "loss-weights": _WEIGHTS,
    "max-completion-length": _WHOLE,
    "max-grad-norm": "gradients are clipped at transformers' 1.0",
    "max-prompt-length": _WHOLE,
    "metric-for-best-model": _BEST,
    "model-revision": _REVISION,
    "modules-to-save": _LORA,
    "num-processes": _SEVERAL,
    "optim": _ADAM,
    "overwrite-output-dir": "nothing is overwritten: give another -o DIR",
    "packing": _SORTED,
    "pad-token": _TOKENIZER,
    "padding-free": _SORTED,
    "peft-type": _LORA,
    "precompute-ref-log-probs": "it is done ahead wherever it saves work",
    "ref-model": _REFERENCE,
    "reference-free": _REFERENCE,
    "resume": "the same command goes on where it was stopped",
    "resume-from-checkpoint": "the same command goes on where it was stopped",
    "revision": _REVISION,
    "rpo-alpha": "write --loss sigmoid=1 --loss sft=WEIGHT",
    "save-steps": _LOOKS,
    "save-strategy": _LOOKS,
    "save-total-limit": _LOOKS,
    "sync-ref-model": _REFERENCE,
    "task-type": _LORA,
    "torch-dtype": _PRECISION,
    "train-file": _DATA,
    "train-sampling-strategy": _SORTED,
    "truncation-mode": _WHOLE,
    "trust-remote-code": "code of a model's repository is never run",
    "use-dora": _LORA,
    "use-peft": _LORA,
    "use-rslora": "set --lora-alpha, which is divided by --lora-r",
    "use-vllm": "replies are drawn in this process",
    "warmup-steps": "the warm-up is a share of the steps, --warmup-ratio",
}
"""Options that have no counterpart of the same meaning, and what there is in their place."""
SETTINGS = frozenset({"temperature", "max-tokens", "top-p", "seed", "stop", "reasoning-effort"})
"""Settings of a model, which are values of one option."""


def known_elsewhere(name: str, flags: Collection[str]) -> str | None:
    """What to say to somebody who gives an option its name elsewhere; `name` and `flags` are long flags."""
    name = name.removeprefix("--").replace("_", "-").lower()
    ours = name if name in flags else OURS.get(name)
    if ours in flags:
        return f"here it is --{ours}"
    if name in SETTINGS and "model-option" in flags:
        return f"write --model-option {name.replace('-', '_')}=VALUE"
    return INSTEAD.get(name) if "lora-r" in flags else None
