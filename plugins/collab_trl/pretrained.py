"""The one place where configs, tokenizers, models and adapters are read: no foreign code is run, no pickle is opened.

What it refuses, it refuses in one line that says what to do. `name` is a folder, or a name on the Hugging Face hub.
"""

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.secrets import one_line
from collab_trl.chat_template import OWN, TEMPLATE_FILE, ChatTemplate

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
SAFE = {"trust_remote_code": False}
"""Where this is left out, transformers asks on the terminal whether to run a repository's code, and does on `y`."""
MODEL = "give a folder with config.json and a tokenizer, or a name on the Hugging Face hub."
NO_PICKLES = "A pickle (.bin, .pt) can run code and is not loaded: save it again with save_pretrained(), as safetensors"


def read_config(name: str | Path) -> Any:
    """Raises UsageError for what is no model, and for one that needs code of its own."""
    from transformers import AutoConfig, PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    with _reading(f"The model {str(name)!r}", MODEL):
        declared, _ = PreTrainedConfig.get_config_dict(str(name))
        auto_map, kind = declared.get("auto_map"), declared.get("model_type")
        _refuse_code(name, _references(auto_map, "AutoConfig"), {CONFIG_MAPPING_NAMES.get(kind)})
        own = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
        _refuse_code(name, _references(auto_map, "AutoModelForCausalLM"), {own})
        config = AutoConfig.from_pretrained(str(name), **SAFE)
    for part in (config, config.get_text_config()):
        if "/" in str(part._attn_implementation):
            raise UsageError(
                f"The config.json of {name} asks for the attention of {part._attn_implementation}, which is code from "
                "the hub and is not run: remove attn_implementation there."
            )
    return config


def read_tokenizer(name: str | Path, chat_template: ChatTemplate = OWN) -> Any:
    """The tokenizer, with its own chat template or the one that was asked for.

    Raises UsageError for what cannot be read, and for a tokenizer that needs code of its own.
    """
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name

    with _reading(f"The model {str(name)!r}", MODEL):
        references = _references(get_tokenizer_config(str(name)).get("auto_map"), "AutoTokenizer")
        _refuse_code(name, references, {each for each in map(_class, references) if tokenizer_class_from_name(each)})
        tokenizer = AutoTokenizer.from_pretrained(str(name), **SAFE)
    chat_template.put_into(tokenizer)
    return tokenizer


def read_adapter_template(folder: Path) -> Any | None:
    """The chat template in an adapter's folder, by which it is asked; None where it has none of its own."""
    if (folder / "tokenizer_config.json").is_file():
        return read_tokenizer(folder).chat_template
    if (folder / TEMPLATE_FILE).is_file():
        return ChatTemplate.named(str(folder / TEMPLATE_FILE)).text
    return None


def read_generation_config(name: str | Path) -> Any | None:
    """None where the model has none."""
    from transformers import GenerationConfig

    with _reading(f"The generation_config.json of {name}"):
        if _file(name, "generation_config.json") is None:
            return None
        return GenerationConfig.from_pretrained(str(name))


def empty_model(config: Any, name: str | Path) -> Any:
    """The model without storage. Raises UsageError for one that is not a causal language model."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, **SAFE)
    except ValueError as error:
        raise UsageError(f"{name} is not a causal language model: {one_line(str(error), 200)}") from None


def read_model(name: str | Path, **settings: Any) -> Any:
    """The model with its weights; `settings` are from_pretrained's, such as dtype and device_map.

    Raises UsageError for weights that are missing, broken, or no safetensors.
    """
    from transformers import AutoModelForCausalLM

    config = read_config(name)
    with _reading(f"The weights of {name}"):
        _check_weights(name, config)
        model, found = AutoModelForCausalLM.from_pretrained(
            str(name), use_safetensors=True, output_loading_info=True, **SAFE, **settings
        )
    if missing := sorted(found["missing_keys"]):  # transformers fills them with random numbers
        raise UsageError(f"The weights of {name} are incomplete: {missing[0]} is missing ({len(missing)} in all).")
    return model


def _check_weights(name: str | Path, config: Any) -> None:
    """Raises UsageError unless all weights of the model are safetensors, and no adapter lies among them."""
    if _file(name, ADAPTER_CONFIG) is not None:
        raise UsageError(
            f"{name} holds a model and an adapter, which would be loaded with it: move {ADAPTER_CONFIG} and the "
            "adapter's weights into a folder of their own."
        )
    chosen = getattr(config, "transformers_weights", None)
    files = ("model.safetensors", "model.safetensors.index.json") if chosen is None else (str(chosen),)
    found = next((path for file in files if (path := _file(name, file)) is not None), None)
    pieces = [] if found is None else [found.name]
    if found is not None and found.suffix == ".json":
        pieces = sorted(set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values()))
    if not pieces or not all(piece.endswith(".safetensors") for piece in pieces):
        raise UsageError(f"The weights of {name} cannot be read: it has no model.safetensors. {NO_PICKLES}.")


def read_adapter(
    model: Any, folder: str | Path, *, name: str = "default", trainable: bool = False, in_float32: bool = True
) -> Any:
    """The model with a LoRA adapter on it, beside those that it has, or in place of the one called `name`.

    The adapter gets the precision of the model, or float32, in which it is trained. Raises UsageError for one that is
    broken, no safetensors, or for another model.
    """
    from peft import PeftModel

    check_adapter(folder)
    settings: dict[str, Any] = {
        "adapter_name": name,
        "is_trainable": trainable,
        "autocast_adapter_dtype": in_float32,
    }
    with _reading(f"The adapter in {folder}"):
        if not isinstance(model, PeftModel):
            warnings.filterwarnings("error", message=".*Found missing adapter keys")
            return PeftModel.from_pretrained(model, str(folder), **settings)
        missing = model.load_adapter(str(folder), **settings).missing_keys
    if missing:
        raise UsageError(f"The adapter in {folder} is incomplete: {missing[0]} is missing ({len(missing)} in all).")
    return model


def check_adapter(folder: str | Path) -> None:
    """Raises UsageError for an adapter that is not LoRA's, no safetensors, or has code to import."""
    with _reading(f"The adapter in {folder}"):
        config: Any = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
    if kind != "LORA":  # others read further files, or other models' tokenizers
        raise UsageError(
            f"The adapter in {folder} is one of the kind {kind}; only LoRA adapters are loaded: merge it into its base "
            "with PEFT's merge_and_unload(), and give the merged model."
        )
    if config.get("megatron_config"):
        raise UsageError(
            f"The adapter in {folder} names a module to import: remove megatron_config from its {ADAPTER_CONFIG}."
        )
    if not (Path(folder) / ADAPTER_WEIGHTS).is_file():
        raise UsageError(f"The adapter in {folder} has no {ADAPTER_WEIGHTS}. {NO_PICKLES}.")
    with _reading(f"The adapter in {folder}"):
        whole = _weights_of_the_base(Path(folder) / ADAPTER_WEIGHTS, config.get("modules_to_save") or ())
    if whole is None and config.get("bias", "none") != "none":
        whole = f"bias={config['bias']}"
    if whole is None and config.get("layer_replication"):
        whole = "layer_replication"
    if whole is not None:  # the base is shared by all of its adapters
        raise UsageError(
            f"The adapter in {folder} changes weights of its base ({whole}): merge it with PEFT's merge_and_unload(), "
            "and give the merged model."
        )


def _weights_of_the_base(weights: Path, own_modules: Iterable[str]) -> str | None:
    """The first tensor that is no matrix of LoRA's and in no module that the adapter has for itself."""
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as tensors:
        names = list(tensors.keys())
    own = {*own_modules}
    return next((name for name in names if "lora_" not in name and not own.intersection(name.split("."))), None)


@contextmanager
def _reading(what: str, remedy: str = "") -> Iterator[None]:
    """Whatever goes wrong in one line, and nothing said about what goes well: a run has progress of its own."""
    from transformers.utils import logging

    from collab_trl.device_memory import ran_out_of_memory

    bars: Any = logging  # untyped
    shows_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UsageError:
        raise
    except BaseException as error:  # transformers, PEFT, the hub and the files' parsers raise what they like
        is_panic = type(error).__name__ == "PanicException"  # of Rust's, in a tokenizer: no Exception
        if not (isinstance(error, Exception) or is_panic) or ran_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {one_line(str(error), 200)}"
        raise UsageError(
            f"{what} cannot be read: {remedy} ({reason})" if remedy else f"{what} cannot be read: {reason}"
        ) from error
    finally:
        if shows_bars:
            bars.enable_progress_bar()


def _file(name: str | Path, file: str) -> Path | None:
    """A file of a folder, or of a repository on the hub; None where it has none of that name."""
    from transformers.utils import cached_file

    found = cached_file(str(name), file, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def _references(auto_map: Any, auto_class: str) -> list[str]:
    """What an auto_map names for a class of transformers: `module.Class`, for tokenizers two of them."""
    named = auto_map.get(auto_class) if isinstance(auto_map, dict) else auto_map
    return [str(each) for each in (named if isinstance(named, list) else [named]) if each is not None]


def _class(reference: str) -> str:
    return reference.rpartition(".")[2]


def _refuse_code(name: str | Path, references: Iterable[str], own: set[str | None]) -> None:
    """Raises UsageError unless transformers has a class of its own for every reference to a repository's code."""
    for reference in references:
        if _class(reference) not in own:
            raise UsageError(
                f"{name} needs code of its own ({one_line(reference, 80)}), which is not run: give a model that "
                "transformers has a class for, without an auto_map to another."
            )
