"""LoRA fine-tuning with TRL behind `collab finetune`: on preferences, and on what the model says meanwhile."""

import os

from collab_sdk.errors import MissingExtraError
from collab_sdk.training import PLAYING, Training, TrainingOptions

__all__ = ["prepare"]


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
    from collab_trl.base import read_base
    from collab_trl.chat_template import ChatTemplate
    from collab_trl.checks import check_options, check_start, check_targets
    from collab_trl.defaults import check_method, with_defaults

    _quiet()
    check_method(options.method)
    check_options(options)
    base = read_base(options.base, ChatTemplate.named(options.chat_template, options.layout))
    if options.push_to_hub is not None:
        from collab_trl.output.hub import check_hub

        check_hub(options.push_to_hub, base.name)
    options = with_defaults(options, width=base.width)
    check_targets(options, base)
    check_start(options, base)
    if options.rounds:
        from collab_trl.online.rounds import prepare_rounds

        return prepare_rounds(options, base)
    if options.method in PLAYING:
        from collab_trl.online.preparation import prepare_playing

        return prepare_playing(options, base)
    from collab_trl.preference.preflight import prepare_examples

    return prepare_examples(options, base, begun=options.adapter)


def _quiet() -> None:
    """Silence libraries that print bars and advice for the script they think they are in."""
    import datasets
    import transformers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
