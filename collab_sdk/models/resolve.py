"""Whatever the user brings, converted once, at the edge."""

import hashlib
import importlib
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.models.base import ChatModel
from collab_sdk.models.client import ClientModel
from collab_sdk.models.function import FunctionModel
from collab_sdk.models.litellm import LiteLLMModel, load_litellm
from collab_sdk.models.replicated import ReplicatedModel
from collab_sdk.models.server import ServerModel
from collab_sdk.plugins import registered
from collab_sdk.secrets import one_line

OPENAI_COMPATIBLE = ("openai", "hosted_vllm")
PROVIDER = re.compile(r"[a-z0-9_]+")
"""How LiteLLM writes the names of providers."""
PLUGIN_GROUP = "collab_sdk.chat_models"
OURS = {"sdk", "cli", "langchain", "litellm", "openai", "postgres", "ray", "redis", "trl"}
NOT_THE_BOT = {"__main__", *(f"collab_{name}" for name in OURS)}
"""Modules that may lie beside a bot and be loaded or not, without being part of it."""
INSTALLED = {"site-packages", "dist-packages", ".venv"}


def as_chat_model(
    bot: Any, *, name: str | None = None, model: str | None = None, api_base: str | Sequence[str] | None = None
) -> ChatModel:
    """A ChatModel from a model name, a function, a LangChain Runnable or LangGraph graph, or an OpenAI-like client.

    A name is any LiteLLM name, `offline`, `py:MODULE:FUNCTION`, or a plugin's scheme such as `hf:PATH`. `name` is for a
    function or Runnable: with one its replies are cached under it, so change it when the bot changes, best by an
    `@VERSION` at its end, which people are not shown. `model` is for a client, `api_base` for a model name; several
    servers of one model share its calls, and its name in cache keys has the first.

    Raises UsageError for anything else.
    """
    if isinstance(bot, ChatModel):
        return bot
    if (plugin := _plugin(bot, name)) is not None:
        return plugin
    if isinstance(bot, str):
        return _served(bot, api_base)
    if hasattr(bot, "chat") and hasattr(bot.chat, "completions"):
        if model is None:
            raise UsageError("An OpenAI client serves many models: as_chat_model(client, model='gpt-4o-mini').")
        return ClientModel(bot, model=model)
    if callable(bot):
        return FunctionModel(bot, name=name)
    raise UsageError(
        f"{type(bot).__name__} is no bot: expected a model name, a function of messages, a LangChain Runnable, an "
        "OpenAI-compatible client, or an object with the ChatModel protocol."
    )


def _served(spec: str, api_base: str | Sequence[str] | None) -> ChatModel:
    bases: list[str | None] = [api_base] if api_base is None or isinstance(api_base, str) else [*api_base]
    models = [_named(spec, base) for base in bases or [None]]
    return models[0] if len(models) == 1 or spec.startswith("py:") else ReplicatedModel(models)


def _named(spec: str, api_base: str | None) -> ChatModel:
    if not spec.strip():
        raise UsageError("The model name is empty: give a LiteLLM name such as openai/gpt-4o-mini, or 'offline'.")
    if spec.startswith("py:"):
        return _imported(spec)
    if api_base is not None and (served := _served_name(spec)) is not None:
        key = os.environ.get("OPENAI_API_KEY" if spec.startswith("openai/") else "HOSTED_VLLM_API_KEY")
        return ServerModel(spec, served=served, api_base=api_base, api_key=key)
    return LiteLLMModel(spec, api_base=api_base)


def _served_name(spec: str) -> str | None:
    """The name by which an OpenAI-compatible server knows the model; None if LiteLLM must speak another API to it."""
    provider, _, rest = spec.partition("/")
    if not rest:
        return spec
    if provider in OPENAI_COMPATIBLE:
        return rest
    # LiteLLM takes seconds to import, and `Qwen/Qwen3-8B` need not wait for it.
    may_be_provider = PROVIDER.fullmatch(provider) is not None
    return None if may_be_provider and provider in load_litellm().provider_list else spec


def _imported(spec: str) -> ChatModel:
    """`py:MODULE:FUNCTION`. Its replies are cached under that name and a hash of its code."""
    module_name, _, attribute = spec.removeprefix("py:").partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{spec!r} must read py:MODULE:FUNCTION, such as py:my_app.bots:support_bot.")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a bot lives beside where the command is typed
    try:
        module = importlib.import_module(module_name)
        bot = getattr(module, attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise UsageError(f"{spec!r} cannot be imported: {type(error).__name__}: {one_line(str(error))}.") from error
    return as_chat_model(bot, name=f"{spec}@{_code_hash(module)}")


def _code_hash(module: ModuleType) -> str:
    """Of the bot's module and of all that is loaded from its package, or else from its folder."""
    digest = hashlib.sha256()
    for file, name in sorted((file, name) for name, file in _code_files(module).items()):
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _code_files(module: ModuleType) -> dict[str, Path]:
    """By module name. What is installed there, and the standard library, are left out."""
    if not module.__file__:
        return {}
    own = Path(module.__file__).resolve()
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    folder = Path(next(iter(top.__path__))).resolve() if hasattr(top, "__path__") else own.parent
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    files = {module.__name__: own}
    for name, loaded in list(sys.modules.items()):
        source = getattr(loaded, "__dict__", {}).get("__file__")  # as an attribute, torch's lazy modules raise
        if not isinstance(source, str) or name.partition(".")[0] in NOT_THE_BOT:
            continue
        file = Path(source).resolve()
        if not file.is_relative_to(folder) or file.is_relative_to(stdlib):
            continue
        if not INSTALLED.intersection(file.relative_to(folder.parent).parts):
            files[name] = file
    return {name: file for name, file in files.items() if file.is_file()}


def _plugin(bot: Any, name: str | None) -> ChatModel | None:
    """What a plugin makes of `bot`. An entry point is named for what it takes: a scheme, or a package whose objects.

    It is called with the string alone, which is a name already, or with the object and `name=`.
    """
    if isinstance(bot, str):
        names = {bot.partition(":")[0]}
    else:
        names = {kind.__module__.partition(".")[0] for kind in type(bot).__mro__}
    for known in names & registered(PLUGIN_GROUP).keys():
        convert = registered(PLUGIN_GROUP)[known].load()
        model: ChatModel = convert(bot) if isinstance(bot, str) else convert(bot, name=name)
        return model
    return None
