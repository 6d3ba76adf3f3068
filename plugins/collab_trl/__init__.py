"""LoRA fine-tuning with TRL behind `collab finetune`: on preferences, and on what the model says meanwhile."""

import os

from collab_sdk.errors import MissingExtraError
from collab_sdk.training import Training, TrainingOptions
from collab_trl.online.heard import as_heard

__all__ = ["as_heard", "prepare"]


def prepare(options: TrainingOptions) -> Training:
    """Read and check all that training needs, but no weights. Raises CollabError.

    The entry points of all methods lead here, as `options` names the method.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read once, when the hub's client is imported
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # that some of it may change is not the user's concern
    try:
        import accelerate
        import datasets
        import peft
        import torch
        import trl
    except ImportError as error:
        raise MissingExtraError.of(f"Fine-tuning needs {error.name}", "train") from None
    del accelerate, datasets, peft, torch, trl
    from collab_trl.preparing import prepare

    return prepare(options)
