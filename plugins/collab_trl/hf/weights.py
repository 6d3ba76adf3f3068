"""A base model in memory, and the adapters that were put on it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collab_sdk.errors import EndpointError
from collab_sdk.secrets import one_line
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.folders import Folder
from collab_trl.hf.sampling import Truncation
from collab_trl.precision import device_and_dtype


class Weights:
    """The model in `folder`, on the best device there is, and any number of adapters that share its memory.

    `dtype` is one of DTYPES. Raises EndpointError if it cannot be loaded.
    """

    is_fixed = True

    def __init__(self, folder: Path, dtype: str) -> None:
        from transformers import AutoModelForCausalLM

        device, precision = device_and_dtype(dtype)
        with _loading(folder):
            self._base: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=precision, device_map=device, use_safetensors=True, trust_remote_code=False
            )
        self._folder = folder
        self._adapted: Any = None
        self._formats: dict[Folder | None, ChatFormat] = {}
        self.truncation = _truncation(self._base.generation_config)
        self.context: int = getattr(self._base.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self.reply_limit: int | None = self._base.generation_config.max_new_tokens

    @contextmanager
    def adapted(self, adapter: Folder | None) -> Iterator[Any]:
        """The model with that adapter, or with none. Raises EndpointError if the adapter cannot be loaded."""
        if adapter is not None:
            self._put_on(adapter)
            self._adapted.set_adapter(adapter.content)
            yield self._adapted
        elif self._adapted is not None:
            with self._adapted.disable_adapter():
                yield self._adapted
        else:
            yield self._base

    def chat_format(self, adapter: Folder | None) -> ChatFormat:
        """By the adapter's own tokenizer and template where it has them, else by the base's."""
        if adapter not in self._formats:
            from transformers import AutoTokenizer

            own = adapter is not None and (adapter.path / "tokenizer_config.json").is_file()
            folder = adapter.path if adapter is not None and own else self._folder
            with _loading(folder):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            ends = self._base.generation_config.eos_token_id
            ends = [] if ends is None else [ends] if isinstance(ends, int) else ends
            self._formats[adapter] = ChatFormat(tokenizer, ends=ends, folder=folder)
        return self._formats[adapter]

    def _put_on(self, adapter: Folder) -> None:
        from peft import PeftModel

        name = adapter.content
        with _loading(adapter.path):
            if self._adapted is None:
                # In the base's own precision: PEFT would make it float32, which servers do not.
                self._adapted = PeftModel.from_pretrained(
                    self._base, adapter.path, adapter_name=name, autocast_adapter_dtype=False
                )
                self._adapted.eval()
            elif name not in self._adapted.peft_config:
                self._adapted.load_adapter(adapter.path, adapter_name=name, autocast_adapter_dtype=False)


def _truncation(generation: Any) -> Truncation:
    top_k, top_p = generation.top_k, generation.top_p
    return Truncation(top_k=top_k or 0, top_p=1.0 if top_p is None else top_p)


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Whatever goes wrong in one line, and nothing said about what goes well: a run has progress of its own."""
    from transformers.utils import logging

    bars: Any = logging  # untyped
    shows_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # of many types
        reason = f"{type(error).__name__}: {one_line(str(error), 200)}"
        raise EndpointError(f"{folder} cannot be loaded: {reason}") from error
    finally:
        if shows_bars:
            bars.enable_progress_bar()
