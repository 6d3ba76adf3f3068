"""Any model that LiteLLM can reach."""

import os
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from collab_sdk.errors import EndpointError
from collab_sdk.models.base import ChatReply, ChatRequest, Price
from collab_sdk.models.openai_shape import reply_of, request_arguments, translated
from collab_sdk.secrets import without_credentials

PRICED_EVERYWHERE = {"azure", "azure_ai"}
"""Providers without an address of their own: a base is how they are used, and says nothing of the price."""


@cache
def load_litellm() -> Any:
    """LiteLLM, imported on first use: it takes seconds."""
    # Read at import: without them LiteLLM fetches a price list and loads a .env file.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


class LiteLLMModel:
    """`model` is a LiteLLM name; `api_base` is where its provider's API is served, if not at its own address."""

    def __init__(self, model: str, *, api_base: str | None = None) -> None:
        self._model = model
        self._api_base = api_base

    @property
    def name(self) -> str:
        return self._model

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"model": self._model, "api_base": without_credentials(self._base)}

    @cached_property
    def price(self) -> Price | None:
        litellm = load_litellm()
        try:
            prompt, completion = litellm.cost_per_token(self._model, prompt_tokens=1, completion_tokens=1)
        except Exception:  # LiteLLM has a type for this, and others come through
            return None
        known = (self._base is None or self._provider in PRICED_EVERYWHERE) and (prompt or completion)
        return Price(prompt=prompt, completion=completion) if known else None

    @cached_property
    def _provider(self) -> str:
        provider, _, rest = self._model.partition("/")
        if rest:
            return provider
        try:
            return str(load_litellm().get_llm_provider(self._model)[1])
        except Exception:  # of several types: LiteLLM knows no provider for this name
            return ""

    @cached_property
    def _base(self) -> str | None:
        """Where the calls go, if not to the provider's own address: LiteLLM reads that from the environment too."""
        bases = {name: base for name, base in os.environ.items() if base and name.endswith(("_API_BASE", "_BASE_URL"))}
        if self._api_base is not None or not bases:  # without one, the provider need not be known
            return self._api_base
        provider = self._provider.upper()
        # `ollama_chat` reads OLLAMA_API_BASE, and `vertex_ai` VERTEXAI_API_BASE.
        stems = dict.fromkeys([provider, provider.removesuffix("_CHAT"), provider.replace("_", "")])
        suffixes = ["BASE_URL", "API_BASE"] if provider == "OPENAI" else ["API_BASE", "BASE_URL"]
        names = [f"{stem}_{suffix}" for stem in stems for suffix in suffixes]
        return next((bases[name] for name in names if name in bases), None)

    async def achat(self, request: ChatRequest) -> ChatReply:
        try:
            # Retries are the engine's, and a parameter that a provider does not know is left out.
            completion = await load_litellm().acompletion(
                model=self._model,
                api_base=self._api_base,
                **request_arguments(request),
                max_retries=0,
                num_retries=0,
                drop_params=True,
            )
        except Exception as error:
            if "LLM Provider NOT provided" in str(error):
                raise EndpointError(
                    f"{self.name!r} is no model LiteLLM knows: write PROVIDER/MODEL, such as openai/gpt-4o-mini, "
                    "or give --api-base (api_base=) for a server of your own."
                ) from error
            raise translated(self.name, error) from error
        return reply_of(self.name, completion, self.price)
