"""Extension points: what is registered under an entry-point group, and `py:MODULE:NAME`, which needs no package."""

import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.secrets import one_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["import_named", "load", "needs_extra", "registered"]

EXTRAS = {
    "collab_langchain": "langchain",
    "collab_litellm": "litellm",
    "collab_openai": "openai",
    "collab_order_desk": "train",
    "collab_postgres": "postgres",
    "collab_ray": "ray",
    "collab_redis": "redis",
    "collab_trl": "train",
}
"""The extra that brings what each of the project's plugins imports."""


OURS = {"sdk", "cli", "langchain", "litellm", "openai", "order_desk", "postgres", "ray", "redis", "trl"}
NOT_THE_BOT = {"__main__", *(f"collab_{name}" for name in OURS)}
"""Modules that may lie beside a bot and be loaded or not, without being part of it."""
INSTALLED = {"site-packages", "dist-packages", ".venv"}


@cache
def registered(group: str) -> "Mapping[str, EntryPoint]":
    """Entry points by name; looked up once a process, since it reads the metadata of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """The object that is registered as `name`, which must be one of `registered(group)`.

    Raises MissingExtraError where the plugin imports a package that its extra would bring, and UsageError where
    somebody else's plugin cannot be imported.
    """
    point = registered(group)[name]
    plugin = point.module.partition(".")[0]
    try:
        with needs_extra(plugin):
            return point.load()
    except (ImportError, AttributeError) as error:
        if plugin == "collab_sdk" or plugin in EXTRAS:
            raise
        raise UsageError(f"{name!r} of {group} cannot be loaded from {point.value}: {error}.") from error


@contextmanager
def needs_extra(plugin: str) -> Iterator[None]:
    """Raise MissingExtraError for a package that is not installed, where `plugin` is one of the project's own."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if plugin not in EXTRAS or missing.startswith("collab_"):
            raise
        raise MissingExtraError.of(f"{plugin} needs {missing}", EXTRAS[plugin]) from None


def import_named(spec: str) -> tuple[Any, str]:
    """The object that `py:MODULE:NAME` names, and that name with a hash of its code, which changes when it does.

    Raises UsageError for what cannot be imported.
    """
    module_name, _, attribute = spec.removeprefix("py:").partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{spec!r} must read py:MODULE:NAME, such as py:my_app.bots:support_bot.")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a bot lives beside where the command is typed
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise UsageError(f"{spec!r} cannot be imported: {type(error).__name__}: {one_line(str(error))}.") from error
    return found, f"{spec}@{_code_hash(module)}"


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
