"""Any model that LiteLLM can reach. LiteLLM is an extra: it is large, and takes seconds to import."""

import importlib.util
import json
import os
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from collab_sdk.errors import EndpointError, MissingExtraError
from collab_sdk.models.base import ChatReply, ChatRequest, Price
from collab_sdk.models.openai_shape import reply_of, request_arguments, translated
from collab_sdk.secrets import without_credentials

PRICED_EVERYWHERE = {"azure", "azure_ai"}
"""Providers without an address of their own: a base is how they are used, and says nothing of the price."""

PROVIDERS = frozenset(
    """
    abliteration ai21 ai21_chat aiand aiohttp_openai amazon_nova anthropic azure azure_ai azure_text baseten
    bedrock bedrock_mantle bigmodel cerebras chatgpt clarifai clf_ai_gateway cloudflare codestral cognition
    cohere cohere_chat coralbricks custom custom_openai darkbloom dashscope databricks datarobot deepinfra
    deepseek docker_model_runner empiriolabs fal_ai featherless_ai fireworks_ai friendliai gemini gigachat
    github_copilot gradient_ai groq heroku hosted_vllm hostinger_router huggingface hyperbolic inception
    inferenceapis infinity kyma lambda_ai langflow langgraph lemonade libertai litellm_proxy llamafile lm_studio
    meta meta_llama microsoft_365_copilot minimax mistral moonshot morph nebius nlp_cloud novita nscale oci
    ollama ollama_chat openai openai_like opencode_go openinfer openrouter ovhcloud perplexity petals pinstripes
    predibase prism publicai qwen_ai_platform qwencloud refuseless replicate sagemaker sagemaker_chat sail
    sambanova scaledown scaleway snowflake streamlake tencent tensormesh together_ai topaz triton v0
    vercel_ai_gateway vertex_ai vllm volcengine wally wandb watsonx xai xiaomi_mimo xinference zai zerogpu
    """.split()
)
"""LiteLLM's names of the providers of chat models, known without LiteLLM."""
PRICE_KEYS = ("alias_of", "input_cost_per_token", "litellm_provider", "output_cost_per_token", "tiered_pricing")
PRICES_FILE = "model_prices_and_context_window_backup.json"


def provider_of(name: str) -> str | None:
    """The provider that a model name begins with, as in `anthropic/claude-opus-4-5`; None for `Qwen/Qwen3-8B`."""
    provider, slash, _ = name.partition("/")
    return provider if slash and provider in PROVIDERS else None


@cache
def litellm_folder() -> Path | None:
    """Where LiteLLM is installed, found without importing it."""
    spec = importlib.util.find_spec("litellm")
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


@cache
def litellm_price(name: str) -> Price | None:
    """What LiteLLM's table says of a model, read without importing LiteLLM; None where either is missing.

    Where prices grow with the length of the prompt, it is the first of them; where they fall at night, that of the day.
    """
    provider, slash, rest = name.partition("/")
    entry = _priced(name)
    if entry is None and slash and (found := _priced(rest)) is not None:
        entry = found if str(found.get("litellm_provider", "")).startswith(provider) else None
    if entry is None:
        return None
    if "input_cost_per_token" not in entry:
        entry = next(iter(entry.get("tiered_pricing") or ()), entry)
    price = Price(prompt=entry.get("input_cost_per_token") or 0.0, completion=entry.get("output_cost_per_token") or 0.0)
    return price if price.prompt or price.completion else None


def _priced(name: str) -> Mapping[str, Any] | None:
    """The entry of a name, or of the name that it stands for."""
    entry = _price_table().get(name)
    return entry if entry is None or "alias_of" not in entry else _price_table().get(entry["alias_of"])


@cache
def _price_table() -> Mapping[str, Mapping[str, Any]]:
    folder = litellm_folder()
    if folder is None:
        return {}
    try:
        table: dict[str, dict[str, Any]] = json.loads((folder / PRICES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a LiteLLM that keeps its prices elsewhere
        return {}
    return {name: {key: entry[key] for key in PRICE_KEYS if key in entry} for name, entry in table.items()}


@cache
def load_litellm() -> Any:
    """LiteLLM, imported on first use: it takes seconds. Raises MissingExtraError where it is not installed."""
    if litellm_folder() is None:
        raise MissingExtraError.of("This needs LiteLLM", "litellm")
    # Read at import: without them LiteLLM fetches a price list and loads a .env file.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


class LiteLLMModel:
    """`model` is a LiteLLM name; `api_base` is where its provider's API is served, if not at its own address.

    Raises MissingExtraError where LiteLLM is not installed.
    """

    def __init__(self, model: str, *, api_base: str | None = None) -> None:
        if litellm_folder() is None:
            raise MissingExtraError.of(_why_litellm(model, api_base), "litellm")
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
        known = self._base is None or self._provider in PRICED_EVERYWHERE
        return litellm_price(self._model) if known else None

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


def _why_litellm(model: str, api_base: str | None) -> str:
    provider = provider_of(model)
    if provider is None:
        return f"{model!r} needs LiteLLM, or --api-base (api_base=) for a server that speaks OpenAI's API"
    if api_base is None:
        return f"{model!r} needs LiteLLM, which speaks the API of {provider}"
    return (
        f"{model!r} needs LiteLLM, which speaks the API of {provider} (on a server that speaks OpenAI's, such a "
        f"model is hosted_vllm/{model})"
    )
