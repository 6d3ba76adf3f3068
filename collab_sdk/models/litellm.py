"""Any model that LiteLLM can reach. LiteLLM is an extra: it is large, and takes seconds to import."""

import json
import os
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from collab_sdk.errors import EndpointError, MissingExtraError
from collab_sdk.models.base import NOTHING, SETTINGS, ChatReply, ChatRequest
from collab_sdk.models.dialect import PLAIN, Dialect, ReplyFormat
from collab_sdk.models.openai_shape import reply_of, request_arguments, tools_refused, translated
from collab_sdk.models.providers import NO_KEY, ApiKey, litellm_folder, load_litellm
from collab_sdk.secrets import remember_address, without_credentials
from collab_sdk.spec import Price

PRICED_EVERYWHERE = {"azure", "azure_ai"}
"""Providers without an address of their own: a base is how they are used, and says nothing of the price."""

NOTHING_SENT = "none"
"""Sent in place of a key to a server that is to get none: LiteLLM refuses to send nothing."""
KEY_VARIABLES = {
    "bedrock": "AWS_ACCESS_KEY_ID",
    "huggingface": "HUGGINGFACE_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "sagemaker": "AWS_ACCESS_KEY_ID",
    "sagemaker_chat": "AWS_ACCESS_KEY_ID",
    "together_ai": "TOGETHERAI_API_KEY",
    "vertex_ai": "GOOGLE_APPLICATION_CREDENTIALS",
}
"""Where LiteLLM reads a provider's key, if not in `PROVIDER_API_KEY`."""
PRICE_KEYS = ("alias_of", "input_cost_per_token", "litellm_provider", "output_cost_per_token", "tiered_pricing")
PRICES_FILE = "model_prices_and_context_window_backup.json"


@cache
def litellm_price(name: str) -> Price | None:
    """What LiteLLM's table says of a model, read without importing LiteLLM; None where either is missing.

    Of prices that grow with the length of the prompt it is the first, of those that change with the hour the highest.
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


class LiteLLMModel:
    """`model` is a LiteLLM name; `api_base` is where its provider's API is served, if not at its own address.

    LiteLLM reads replies whole and follows redirects; what comes back is checked as every reply is.

    Raises MissingExtraError where LiteLLM is not installed.
    """

    takes = SETTINGS
    overrides: Mapping[str, Any] = NOTHING

    def __init__(
        self, model: str, *, api_base: str | None = None, api_key: ApiKey = NO_KEY, price: Price | None = None
    ) -> None:
        if litellm_folder() is None:
            raise MissingExtraError.of(_why_litellm(model, api_base), "litellm")
        self._model = model
        self._api_base = api_base
        self._given_key = api_key
        self._price = price

    @property
    def name(self) -> str:
        return self._model

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"model": self._model, "api_base": without_credentials(self._base)}

    @cached_property
    def api_key(self) -> ApiKey:
        """Where the key comes from: what was given, or the variable that LiteLLM reads."""
        given = self._given_key
        if given.value or given.demanded or not self._provider:
            return given
        variable = KEY_VARIABLES.get(self._provider, f"{self._provider.upper()}_API_KEY")
        return ApiKey(variable=variable, withheld=self._is_elsewhere)

    @property
    def _sent_key(self) -> str | None:
        # LiteLLM would send the key in the provider's own variable to whatever address it is given.
        return self._given_key.value or (NOTHING_SENT if self._is_elsewhere else None)

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the address is one that the provider's own key is not meant for."""
        return self._api_base not in (None, self._own_base)

    dialect_takes_time = True  # LiteLLM is imported for it

    @cached_property
    def dialect(self) -> Dialect:
        """What LiteLLM knows of the provider: which parameters it takes, and how it is asked for JSON."""
        litellm = load_litellm()
        taken = self._taken
        try:
            holds_schema = bool(litellm.supports_response_schema(model=self._model))
            is_listed = _priced(self._model) is not None
        except Exception:  # of several types: LiteLLM does not know this name
            return PLAIN
        if not taken:
            return PLAIN
        reply_format = ReplyFormat.SCHEMA
        if "response_format" not in taken:
            reply_format = ReplyFormat.PROMPT
        elif is_listed and not holds_schema:
            reply_format = ReplyFormat.OBJECT
        left_out = (name for name in ("reasoning_effort", "seed", "stop", "temperature", "top_p") if name not in taken)
        return Dialect(reply_format=reply_format, left_out=tuple(left_out))

    @cached_property
    def _taken(self) -> list[str]:
        """The parameters that LiteLLM sends to the provider; empty where it does not know the name."""
        try:
            return list(load_litellm().get_supported_openai_params(model=self._model) or ())
        except Exception:  # of several types
            return []

    @property
    def _takes_tools(self) -> bool:
        return not self._taken or "tools" in self._taken

    @cached_property
    def price(self) -> Price | None:
        known = self._base is None or self._provider in PRICED_EVERYWHERE
        return self._price or (litellm_price(self._model) if known else None)

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
        """Where the calls go, if not to the provider's own address."""
        return self._api_base if self._api_base is not None else self._own_base

    @cached_property
    def _own_base(self) -> str | None:
        """The address in the provider's variable, which LiteLLM reads."""
        bases = {name: base for name, base in os.environ.items() if base and name.endswith(("_API_BASE", "_BASE_URL"))}
        if not bases:  # without one, the provider need not be known
            return None
        provider = self._provider.upper()
        # `ollama_chat` reads OLLAMA_API_BASE, and `vertex_ai` VERTEXAI_API_BASE.
        stems = dict.fromkeys([provider, provider.removesuffix("_CHAT"), provider.replace("_", "")])
        suffixes = ["BASE_URL", "API_BASE"] if provider == "OPENAI" else ["API_BASE", "BASE_URL"]
        names = [f"{stem}_{suffix}" for stem in stems for suffix in suffixes]
        return next((bases[name] for name in names if name in bases), None)

    async def achat(self, request: ChatRequest) -> ChatReply:
        self._given_key.check()
        remember_address(self._base)
        if request.tools and not self._takes_tools:  # else LiteLLM would leave them out, and say nothing
            raise tools_refused(self.name, "LiteLLM knows no way to offer them")
        try:
            # Retries are the engine's, and a parameter that a provider does not know is left out.
            completion = await load_litellm().acompletion(
                model=self._model,
                api_base=self._api_base,
                api_key=self._sent_key,
                **request_arguments(request),
                max_retries=0,
                num_retries=0,
                drop_params=True,
            )
        except Exception as error:
            if "LLM Provider NOT provided" in str(error):
                raise EndpointError(
                    f"{self.name!r} is not a model that LiteLLM knows: write PROVIDER/MODEL, such as "
                    "openai/gpt-4o-mini, or give --api-base (api_base=) for a server of your own."
                ) from error
            advice = self.api_key.advice if getattr(error, "status_code", None) == 401 else ""
            raise translated(self.name, error, request=request, advice=advice) from error
        return reply_of(self.name, completion, self.price)


def _why_litellm(model: str, api_base: str | None) -> str:
    provider, slash, _ = model.partition("/")
    if not slash:
        return (
            f"{model!r} names no provider: write openai/{model} for OpenAI's own, give --api-base (api_base=) for a "
            "server that speaks its API, or install LiteLLM"
        )
    if api_base is None:
        return f"{model!r} needs LiteLLM, which speaks the API of {provider}"
    return (
        f"{model!r} needs LiteLLM, which speaks the API of {provider} (hosted_vllm/{model} is a model of "
        "that name on a server that speaks OpenAI's)"
    )
