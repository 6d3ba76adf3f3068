"""A base model in memory, and the adapters that were put on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collab_sdk.errors import EndpointError, UsageError
from collab_sdk.secrets import one_line
from collab_trl.chat_template import OWN, TEMPLATE_FILE, ChatTemplate
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.folders import Folder
from collab_trl.hf.sampling import Truncation
from collab_trl.precision import device_and_dtype
from collab_trl.pretrained import read_adapter, read_model, read_tokenizer


class Weights:
    """The model in `folder`, on the best device there is, and any number of adapters that share its memory.

    `dtype` is one of DTYPES. Raises EndpointError if it cannot be loaded.
    """

    is_fixed = True

    def __init__(self, folder: Path, dtype: str) -> None:
        device, precision = device_and_dtype(dtype)
        with _loading(folder):
            self._base: Any = read_model(folder, dtype=precision, device_map=device)
        self._folder = folder
        self._adapted: Any = None
        self._formats: dict[tuple[Folder | None, ChatTemplate], ChatFormat] = {}
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

    def chat_format(self, adapter: Folder | None, chat_template: ChatTemplate) -> ChatFormat:
        """By the template that was asked for, or the adapter's own one, or the base's."""
        known = adapter, chat_template
        if known not in self._formats:
            self._formats[known] = self._chat_format(adapter, chat_template)
        return self._formats[known]

    def _chat_format(self, adapter: Folder | None, chat_template: ChatTemplate) -> ChatFormat:
        folder, own = self._folder, OWN
        if adapter is not None and (adapter.path / "tokenizer_config.json").is_file():
            folder = adapter.path
        elif adapter is not None and (adapter.path / TEMPLATE_FILE).is_file():
            own = ChatTemplate.named(str(adapter.path / TEMPLATE_FILE))
        with _loading(folder):
            tokenizer = read_tokenizer(folder, own)
            chat_template.put_into(tokenizer)
        ends = self._base.generation_config.eos_token_id
        ends = [] if ends is None else [ends] if isinstance(ends, int) else ends
        return ChatFormat(tokenizer, ends=ends, folder=folder)

    def _put_on(self, adapter: Folder) -> None:
        name = adapter.content
        if self._adapted is not None and name in self._adapted.peft_config:
            return
        with _loading(adapter.path):
            # In the base's own precision, as servers have it.
            model = self._base if self._adapted is None else self._adapted
            self._adapted = read_adapter(model, adapter.path, name=name, in_float32=False).eval()


def _truncation(generation: Any) -> Truncation:
    top_k, top_p = generation.top_k, generation.top_p
    return Truncation(top_k=top_k or 0, top_p=1.0 if top_p is None else top_p)


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Whatever goes wrong ends the run, in one line."""
    try:
        yield
    except UsageError as error:
        raise EndpointError(str(error)) from error
    except Exception as error:  # such as too little memory
        reason = f"{type(error).__name__}: {one_line(str(error), 200)}"
        raise EndpointError(f"{folder} cannot be loaded: {reason}") from error
