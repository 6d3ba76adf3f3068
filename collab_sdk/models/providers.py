"""Which provider a model's name means, where it is served, and which key may be sent there."""

import importlib.util
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from collab_sdk.errors import EndpointError, MissingExtraError, closest
from collab_sdk.plugins import names
from collab_sdk.secrets import check_variable, remember_secret

LIKENESS = 0.8
"""Of a slip, from 0 to 1: a letter that is missing, doubled or in the wrong place."""
OPENAI_ADDRESS = "https://api.openai.com/v1"
OPENAI_BASE, OPENAI_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
SERVER_BASE, SERVER_KEY = "HOSTED_VLLM_API_BASE", "HOSTED_VLLM_API_KEY"
"""The variables of models without a provider: servers of one's own."""
WRITTEN = re.compile(r"[a-z0-9_]+")
"""How LiteLLM writes the names of providers."""
QUOTED = re.compile(r'= "([a-z0-9_-]+)"')
PREFIXED = re.compile(r"proactive:|plain:|prompt:[^@]*@")
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


@cache
def litellm_folder() -> Path | None:
    """Where LiteLLM is installed, found without importing it."""
    spec = importlib.util.find_spec("litellm")
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


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


def provider_of(name: str) -> str | None:
    """The provider that a model name begins with, as in `anthropic/claude-opus-4-5`; None for `Qwen/Qwen3-8B`."""
    provider, slash, _ = name.partition("/")
    return provider if slash and (provider in PROVIDERS or _is_new_provider(provider)) else None


def misspelt(name: str) -> str | None:
    """The name that one of no provider, and of no server, is likely to be a slip of: `openai/x` for `opnai/x`."""
    head, slash, rest = name.partition("/")
    if slash:
        close = None if provider_of(name) else closest(head, PROVIDERS, cutoff=LIKENESS)
        # `mistralai/…` and `meta-llama/…` are right, as names of the Hugging Face hub.
        if close is not None and (abs(len(close) - len(head)) > 1 or "-" in head):
            return None
    else:
        close = closest(name, names("chat_models"), cutoff=LIKENESS)
    return None if close is None else f"{close}{slash}{rest}"


def _is_new_provider(provider: str) -> bool:
    """Whether the installed LiteLLM knows it. Its list is read as text: `google/gemma-2-9b-it` need not wait for it."""
    if WRITTEN.fullmatch(provider) is None or litellm_folder() is None:
        return False
    if "litellm" in sys.modules or (named := _names_in_litellm()) is None:
        return provider in load_litellm().provider_list
    return provider in named


@cache
def _names_in_litellm() -> frozenset[str] | None:
    """All names that LiteLLM's list of providers may hold, and others; None for a LiteLLM that keeps it elsewhere."""
    folder = litellm_folder()
    try:
        text = (folder / "types" / "utils.py").read_text(encoding="utf-8") if folder is not None else ""
    except (OSError, ValueError):
        return None
    _, found, listed = text.partition("class LlmProviders(")
    return frozenset(QUOTED.findall(listed.partition("\nclass ")[0])) if found else None


def has_own_address(name: str) -> bool:
    """Whether a name says by itself where its model is: a provider's, or a scheme such as `py:` or `hf:`.

    A bare name and `hosted_vllm/NAME` are at whatever server is given.
    """
    if (prefix := PREFIXED.match(name)) is not None:
        return has_own_address(name[prefix.end() :])
    scheme = name.partition(":")[0]
    if scheme == "py" or scheme in names("chat_models"):
        return True
    return provider_of(name) not in (None, "hosted_vllm")


def default_base(name: str) -> str | None:
    """The address of a model for which none is given; None where LiteLLM knows it."""
    if provider_of(name) == "openai":
        return os.environ.get(OPENAI_BASE) or OPENAI_ADDRESS
    return os.environ.get(SERVER_BASE) or None if provider_of(name) == "hosted_vllm" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key, and the variable in which it was looked for. A key is shown to nobody."""

    value: str | None = field(default=None, repr=False)
    variable: str | None = None
    demanded: bool = False
    """Whether the user named the variable."""
    withheld: bool = False
    """Whether the variable is not read, because it is for another address."""

    def __post_init__(self) -> None:
        if self.value is not None:
            remember_secret(self.value)

    @classmethod
    def of(cls, name: str, base: str | None, *, given: str | None, variable: str | None) -> Self:
        """The key for a model at `base`: the one given, the one in the variable that the user named, or the provider's.

        A provider's own variable is read for that provider's own address alone, so that no key ever goes to a server
        that it was not meant for.
        """
        if given is not None:
            return cls(value=given)
        if variable is not None:
            check_variable(variable, "api_key_env")
            return cls(value=os.environ.get(variable) or None, variable=variable, demanded=True)
        provider = provider_of(name)
        if provider == "openai":
            if base is not None and base.rstrip("/") not in _addresses_of_openai():
                return cls(variable=OPENAI_KEY, withheld=True)
            return cls(value=os.environ.get(OPENAI_KEY) or None, variable=OPENAI_KEY)
        if provider in (None, "hosted_vllm") and base is not None:
            return cls(value=os.environ.get(SERVER_KEY) or None, variable=SERVER_KEY)
        return cls()  # LiteLLM looks for it

    def check(self) -> None:
        """Raise EndpointError if the variable that the user named holds nothing, or a key what none can hold."""
        if self.demanded and self.value is None:
            raise EndpointError(
                f"The environment variable {self.variable}, named by --api-key-env (api_key_env=), is not set: "
                "export it with the key of the server."
            )
        if self.value is not None and not (self.value.isascii() and self.value.isprintable()):
            where = f"in the environment variable {self.variable}" if self.variable else "that was given (api_key=)"
            raise EndpointError(f"The key {where} holds a line break, or another character that cannot be in a key.")

    @property
    def state(self) -> str:
        """Where the key was looked for, and what was there."""
        if self.variable is None:
            return "its key was given (api_key=)" if self.value else "no key is sent"
        held = os.environ.get(self.variable)
        found = "set" if held else "not set" if held is None else "set to nothing"
        if self.withheld:
            return f"{self.variable}, which is {found}, is read for the provider's own address alone: no key is sent"
        return f"its key is read from {self.variable}, which is {found}{'' if held else ', so no key is sent'}"

    @property
    def advice(self) -> str:
        """What a person whose key was refused should know."""
        told = f"{self.state[0].upper()}{self.state[1:]}"
        return f"{told}. Name the variable that holds the right one with --api-key-env (api_key_env=)."


def _addresses_of_openai() -> set[str]:
    """OpenAI's own, and the one in its variable."""
    return {OPENAI_ADDRESS, os.environ.get(OPENAI_BASE, "").rstrip("/")}


NO_KEY = ApiKey()
