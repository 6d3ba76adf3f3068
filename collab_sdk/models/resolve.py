"""Whatever the user brings, converted once, at the edge."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from collab_sdk.errors import UsageError, did_you_mean
from collab_sdk.models.base import SETTINGS, ChatModel, takes_of
from collab_sdk.models.client import ClientModel
from collab_sdk.models.function import FunctionModel
from collab_sdk.models.instructed import InstructedModel, instructions_in
from collab_sdk.models.litellm import LiteLLMModel, litellm_price
from collab_sdk.models.providers import OPENAI_ADDRESS, ApiKey, default_base, has_own_address, misspelt, provider_of
from collab_sdk.models.replicated import ReplicatedModel
from collab_sdk.models.server import ServerModel
from collab_sdk.plugins import import_named, load, names
from collab_sdk.spec import ModelSettings, ModelSpec, Price


class Invocable(Protocol):
    """A LangChain Runnable or a LangGraph graph."""

    def invoke(self, input: Any) -> Any: ...


class OpenAIClient(Protocol):
    """`OpenAI()`, `AsyncOpenAI()`, or anything shaped like them."""

    @property
    def chat(self) -> Any: ...


Bot = ChatModel | Callable[..., Any] | Invocable | OpenAIClient
"""A chatbot as an object: a ChatModel, a function of messages, a Runnable, a client."""
ModelLike = str | ModelSpec | Bot
"""What is taken wherever a model is wanted: a name, a ModelSpec, or a Bot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Served:
    """How a named model is reached and asked."""

    api_base: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None


def as_chat_model(
    bot: ModelLike,
    *,
    name: str | None = None,
    model: str | None = None,
    api_base: str | Sequence[str] | None = None,
    api_key: str | None = None,
    api_key_env: str | None = None,
    temperature: float | Literal["default"] | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: Sequence[str] | None = None,
    reasoning_effort: str | None = None,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    price: Price | None = None,
) -> ChatModel:
    """A ChatModel from a model name, a ModelSpec, a function, a LangChain Runnable, or an OpenAI-like client.

    A name is `openai/NAME`, a name that the server at `api_base` knows, any other name of LiteLLM (extra `litellm`),
    `offline`, `py:MODULE:NAME`, or a plugin's scheme such as `hf:PATH`; `proactive:` or `prompt:FILE@` in front of one
    gives it instructions of its own. Several `api_base` are servers of one model that share its calls.

    `name` is for a function or Runnable: with one its replies are cached under it, so change it when the bot changes,
    best by an `@VERSION` at its end, which people are not shown. `model` is for a client.

    `api_key` never stands in a file or cache key; without it, the variable `api_key_env` or the provider's own is read.
    The settings replace those of the role that the model plays (see ROLE_DEFAULTS); None leaves them, and a temperature
    of "default" is not sent. Raises UsageError for anything else.
    """
    given: dict[str, Any] = {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "top_p": top_p,
        "seed": seed,
        "stop": stop if stop in (None, "default") else (stop,) if isinstance(stop, str) else tuple(stop or ()),
        "reasoning_effort": reasoning_effort,
        "extra_body": extra_body,
        "extra_headers": extra_headers,
    }
    settings = {each: None if value == "default" else value for each, value in given.items() if value is not None}
    ModelSettings(**settings)  # checked before it is used
    bases = (api_base,) if isinstance(api_base, str) else tuple(api_base or ())
    if isinstance(bot, ModelSpec):
        if settings or bases or api_key_env or price:
            raise UsageError("A ModelSpec says how it is reached and asked: change it with dataclasses.replace().")
        return _of_spec(bot, api_key)
    served = _Served(api_base=bases, api_key=api_key, api_key_env=api_key_env, settings=settings, price=price)
    if isinstance(bot, str):
        return _named(bot, served)
    if isinstance(bot, ChatModel):
        return _with_settings(copy(bot) if settings else bot, settings)
    if (plugin := _plugin(bot, name)) is not None:
        return _with_settings(plugin, settings)
    if hasattr(bot, "chat") and hasattr(bot.chat, "completions"):
        if model is None:
            raise UsageError("An OpenAI client serves many models: as_chat_model(client, model='gpt-4o-mini').")
        return _with_settings(ClientModel(bot, model=model, price=price), settings)
    if callable(bot):
        return _with_settings(FunctionModel(bot, name=name), settings)
    raise UsageError(
        f"{type(bot).__name__} is not a bot: expected a model name, a function of messages, a LangChain Runnable, an "
        "OpenAI-compatible client, or an object with the ChatModel protocol."
    )


def _of_spec(spec: ModelSpec, api_key: str | None) -> ChatModel:
    settings = {} if spec.settings is None else {each: getattr(spec.settings, each) for each in SETTINGS}
    served = _Served(
        api_base=spec.api_base, api_key=api_key, api_key_env=spec.api_key_env, settings=settings, price=spec.price
    )
    return _named(spec.name, served)


def _named(name: str, served: _Served) -> ChatModel:
    if not name.strip():
        raise UsageError("The model name is empty: give one such as openai/gpt-4o-mini, or 'offline'.")
    if (found := instructions_in(name)) is not None:
        prefix, instructions, inner = found
        model = _named(inner, served)
        return InstructedModel(model, instructions, name=f"{prefix}{model.name}")
    own = _plugin(name, None)
    if name.startswith("py:"):
        bot, versioned = import_named(name)
        own = as_chat_model(bot, name=versioned)
    if own is not None:
        if served.price not in (None, own.price):
            raise UsageError(f"{name} takes no price: only calls to a server are counted in tokens and money.")
        return _with_settings(own, served.settings)
    models = [_at(name, base, served) for base in served.api_base or [default_base(name)]]
    return models[0] if len(models) == 1 else ReplicatedModel(models)


def _at(name: str, base: str | None, served: _Served) -> ChatModel:
    """The model at one server. Only a provider's own address gets the key in that provider's variable."""
    if base is None and (meant := misspelt(name)) is not None:
        raise UsageError(
            f"Unknown model {name!r}.{did_you_mean(meant)} A server of your own needs its address: --api-base "
            "(api_base=)."
        )
    key = ApiKey.of(name, base, given=served.api_key, variable=served.api_key_env)
    provider = provider_of(name)
    if base is None or (has_own_address(name) and provider != "openai"):
        model = LiteLLMModel(name, api_base=base, api_key=key, price=served.price)
        return _with_settings(model, served.settings)
    bare = name.partition("/")[2] if provider in ("openai", "hosted_vllm") else name
    price = served.price or (litellm_price(name) if base == OPENAI_ADDRESS else None)
    return _with_settings(ServerModel(name, served=bare, api_base=base, api_key=key, price=price), served.settings)


def _with_settings(model: ChatModel, settings: Mapping[str, Any]) -> ChatModel:
    """The model, which will be asked so. Raises UsageError for a setting that it does not take."""
    if not settings:
        return model
    takes = takes_of(model)
    if ignored := [each for each, value in settings.items() if value is not None and each not in takes]:
        known = f"it takes {', '.join(sorted(takes))}" if takes else "it takes none"
        raise UsageError(f"{model.name} does not take the setting {ignored[0]}: {known}.")
    model.overrides = {**getattr(model, "overrides", {}), **settings}  # type: ignore[attr-defined]
    return model


def is_own_function(bot: object) -> bool:
    """Whether this is a function, or an object that is called like one, and nothing that wraps a model."""
    if isinstance(bot, ChatModel) or hasattr(bot, "chat") or not callable(bot):
        return False
    return inspect.isroutine(bot) or _taker_of(bot) is None


def _plugin(bot: Any, name: str | None) -> ChatModel | None:
    """What a plugin makes of `bot`. An entry point is named for what it takes: a scheme, or a package whose objects.

    It is called with the string alone, which is a name already, or with the object and `name=`.
    """
    known = _taker_of(bot)
    if known is None:
        return None
    convert = load("chat_models", known)
    model: ChatModel = convert(bot) if isinstance(bot, str) else convert(bot, name=name)
    return model


def _taker_of(bot: object) -> str | None:
    """The plugin that makes a model of `bot`, if there is one."""
    if isinstance(bot, str):
        takers = {bot.partition(":")[0]}
    else:
        takers = {kind.__module__.partition(".")[0] for kind in type(bot).__mro__}
    return next(iter(takers.intersection(names("chat_models"))), None)
