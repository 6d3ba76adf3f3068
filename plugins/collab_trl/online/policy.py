"""The model that is being trained, as a bot: it talks as it is at that moment, and remembers in which tokens."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from collab_sdk.models import ChatReply, ChatRequest, set_apart
from collab_sdk.spec import Price
from collab_trl.chat_template import ChatTemplate
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.folders import Folder
from collab_trl.hf.model import seed_of
from collab_trl.hf.model_thread import ModelThread
from collab_trl.hf.pending import PendingReply
from collab_trl.hf.sampling import Truncation


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """A reply as tokens, and the prompt that it answers."""

    prompt: Sequence[int]
    reply: Sequence[int]


class Policy:
    """Implements ChatModel. A reply that has no words or no end is no failure but the policy's own: users see it."""

    name = "the model in training"
    fingerprint = None  # another model after every step
    price = Price(prompt=0.0, completion=0.0)
    timeout = None

    def __init__(self, model: Any, chat_format: ChatFormat, *, reply_limit: int | None) -> None:
        weights = LiveWeights(model, chat_format, reply_limit=reply_limit)
        self._thread = ModelThread(lambda: weights, name=self.name)
        self._spoken: dict[str, Spoken] = {}

    async def achat(self, request: ChatRequest) -> ChatReply:
        pending = PendingReply(request=request, seed=seed_of(request), adapter=None)
        reply = await asyncio.wrap_future(self._thread.submit(pending))
        self._spoken[request.sample] = Spoken(prompt=pending.prompt, reply=pending.answer)
        return set_apart(reply)

    def take(self, draw: str) -> list[Spoken]:
        """What was said in a draw and in all that are part of it, in the order in which it was; it is told once."""
        own = [sample for sample in self._spoken if sample == draw or sample.startswith(f"{draw}/")]
        return [self._spoken.pop(sample) for sample in own]

    def forget(self) -> None:
        """What nobody asked for."""
        self._spoken.clear()


class LiveWeights:
    """A model in training, behind what generates with it. Implements AnyWeights."""

    truncation = Truncation()
    """None: what is learnt from is drawn from the policy itself."""
    is_fixed = False

    def __init__(self, model: Any, chat_format: ChatFormat, *, reply_limit: int | None) -> None:
        self._model = model
        self._chat_format = chat_format
        self.context: int = model.config.get_text_config().max_position_embeddings
        self.reply_limit = reply_limit

    @contextmanager
    def adapted(self, adapter: Folder | None) -> Iterator[Any]:
        trains = self._model.training
        self._model.eval()
        try:
            yield self._model
        finally:
            self._model.train(trains)

    def chat_format(self, adapter: Folder | None, chat_template: ChatTemplate) -> ChatFormat:
        return self._chat_format
