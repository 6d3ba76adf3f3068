"""A model behind an OpenAI-compatible client."""

import inspect
from collections.abc import Mapping
from typing import Any

from collab_sdk.concurrency import in_thread
from collab_sdk.models.base import NOTHING, SETTINGS, ChatReply, ChatRequest
from collab_sdk.models.openai_shape import reply_of, request_arguments, translated
from collab_sdk.secrets import remember_address, without_credentials
from collab_sdk.spec import Price


class ClientModel:
    """`client` is an `OpenAI()`, an `AsyncOpenAI()`, or anything shaped like them.

    It reads replies and follows redirects as it was made to: OpenAI's do follow them, with the chat, unless they get an
    `http_client` that does not (`httpx.AsyncClient()`).
    """

    takes = SETTINGS
    overrides: Mapping[str, Any] = NOTHING

    def __init__(self, client: Any, *, model: str, price: Price | None = None) -> None:
        # Retries are the engine's; the client's own would multiply them.
        self._client = client.with_options(max_retries=0) if hasattr(client, "with_options") else client
        self._model = model
        remember_address(str(getattr(client, "base_url", "")))
        self.price = price

    @property
    def name(self) -> str:
        return self._model

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {
            "client": without_credentials(str(getattr(self._client, "base_url", type(self._client).__name__))),
            "model": self._model,
        }

    async def achat(self, request: ChatRequest) -> ChatReply:
        create = self._client.chat.completions.create
        arguments = request_arguments(request) | {"model": self._model}
        try:
            if inspect.iscoroutinefunction(inspect.unwrap(create)):  # AsyncOpenAI's is behind a decorator
                completion = await create(**arguments)
            else:
                completion = await in_thread(lambda: create(**arguments))
                if inspect.isawaitable(completion):
                    completion = await completion
        except Exception as error:
            raise translated(self.name, error, request=request) from error
        return reply_of(self.name, completion, self.price)
