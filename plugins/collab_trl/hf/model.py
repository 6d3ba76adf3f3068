"""`hf:PATH[@ADAPTER][?OPTIONS]`: a local model, in this process."""

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from collab_sdk.errors import MissingExtraError
from collab_sdk.models import NOTHING, ChatReply, ChatRequest
from collab_sdk.spec import Price
from collab_trl.hf.folders import Folder, LocalFiles
from collab_trl.hf.model_thread import ModelThread
from collab_trl.hf.pending import PendingReply
from collab_trl.precision import AUTO, device_and_dtype

if TYPE_CHECKING:
    from collab_trl.hf.batch import AnyWeights

VERSION = 3
"""Part of the cache key: raise it whenever the same request may come to another answer."""

_threads: WeakValueDictionary[tuple[Folder, str], ModelThread] = WeakValueDictionary()


class HFModel:
    """A transformers model, with a PEFT adapter or without, loaded at its first call.

    Models with the same base and precision share it, whatever their adapters. A reply depends on its own request alone,
    not on what was asked before or at the same time: it has its own random numbers, seeded by the messages and the
    sample. That holds as far as floating point does: in another batch, or behind a prefix that was computed in another
    one, a logit may differ in its last bits.
    """

    price = Price(prompt=0.0, completion=0.0)
    takes = frozenset({"temperature", "max_tokens"})
    overrides: Mapping[str, Any] = NOTHING
    timeout = None
    """It is never gone, only busy; the wait for a place in a batch, or for the weights to load, is no failure."""

    def __init__(self, files: LocalFiles, *, name: str) -> None:
        self._files = files
        self._name = name

    @classmethod
    def named(cls, spec: str) -> Self:
        """The model of that name, as LocalFiles reads it. Raises UsageError if there is none."""
        if missing := [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]:
            raise MissingExtraError.of(f"Local models (hf:) need {missing[0]}", "train")
        return cls(LocalFiles.named(spec), name=spec)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        adapter = self._files.adapter
        return {
            "hf": self._files.base.content,
            "adapter": adapter.content if adapter else None,
            "dtype": self._dtype,
            "version": VERSION,
            **({"chat_template": template.digest} if (template := self._files.chat_template) else {}),
        }

    async def achat(self, request: ChatRequest) -> ChatReply:
        pending = PendingReply(
            request=request,
            seed=seed_of(request),
            adapter=self._files.adapter,
            chat_template=self._files.chat_template,
        )
        return await asyncio.wrap_future(self._thread.submit(pending))

    @cached_property
    def _dtype(self) -> str:
        """The precision in use, which decides replies. Only finding out what suits the device imports PyTorch."""
        asked = self._files.dtype
        return str(device_and_dtype()[1]).removeprefix("torch.") if asked == AUTO else asked

    @cached_property
    def _thread(self) -> ModelThread:
        key = self._files.base, self._dtype
        return _threads.get(key) or _threads.setdefault(key, _thread(*key))


def _thread(folder: Folder, dtype: str) -> ModelThread:
    def load() -> "AnyWeights":
        from collab_trl.hf.weights import Weights

        return Weights(folder.path, dtype)

    return ModelThread(load, name=f"The model in {folder.path}")


def seed_of(request: ChatRequest) -> int:
    """The same for two models, so that comparing them compares like with like."""
    drawn = json.dumps([request.sample, *(message.to_dict() for message in request.messages)])
    return int.from_bytes(hashlib.sha256(drawn.encode()).digest()[:8]) >> 1  # torch's seeds are signed
