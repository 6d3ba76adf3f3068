"""Extension points: what is registered under an entry-point group, and `py:MODULE:NAME`, which needs no package."""

import hashlib
import importlib
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tokenize import TokenError
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from collab_sdk.errors import MissingExtraError, UnknownNameError, UsageError, closest, did_you_mean
from collab_sdk.secrets import one_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "Kind",
    "code_hash",
    "extensions",
    "function_code",
    "import_named",
    "load",
    "loaded_from",
    "module_code",
    "names",
    "needs_extra",
    "source_file",
]

EXTRAS = {
    "collab_anthropic": "anthropic",
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


OURS = {"sdk", "cli", "anthropic", "langchain", "litellm", "openai", "order_desk", "postgres", "ray", "redis", "trl"}
NOT_THE_BOT = {"__main__", *(f"collab_{name}" for name in OURS)}
"""Modules that may lie beside a bot and be loaded or not, without being part of it."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Of an object, in its repr: another one in every process."""
INSTALLED = {"site-packages", "dist-packages", ".venv"}


Kind = Literal[
    "caches",
    "chat_models",
    "demos",
    "log_databases",
    "log_formats",
    "metrics",
    "preference_formats",
    "runners",
    "tasks",
    "trainers",
]
"""What can be registered: the entry-point group is `collab_sdk.KIND`."""
WORDS: Mapping[Kind, str] = {
    "caches": "kind of cache",
    "chat_models": "bot",
    "demos": "demo",
    "log_databases": "log database",
    "log_formats": "log format",
    "metrics": "metric",
    "preference_formats": "preference format",
    "runners": "runner",
    "tasks": "task",
    "trainers": "method",
}
"""What a plugin of each kind is called in an error."""


def names(kind: Kind) -> list[str]:
    """What is registered; none of it is loaded."""
    return sorted(_registered(kind))


def load(kind: Kind, name: str, *, also: Iterable[str] = ()) -> Any:
    """The object that is registered as `name`.

    Raises UnknownNameError, listing the known names and `also` the valid ones that need no plugin, MissingExtraError
    where the plugin imports a package that its extra would bring, and UsageError where somebody else's plugin cannot be
    imported.
    """
    point = _registered(kind).get(name)
    if point is None:
        raise UnknownNameError.of(WORDS[kind], name, [*also, *names(kind)])
    plugin = point.module.partition(".")[0]
    try:
        with needs_extra(plugin):
            return point.load()
    except Exception as error:  # a module may raise anything
        if plugin == "collab_sdk" or plugin in EXTRAS:
            raise
        raise UsageError(f"The {WORDS[kind]} {name!r} cannot be loaded from {point.value}: {error}.") from error


@cache
def _registered(kind: Kind) -> "Mapping[str, EntryPoint]":
    """Entry points by name; looked up once a process, since it reads the metadata of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"collab_sdk.{kind}")}


@cache
def extensions() -> frozenset[str]:
    """The packages of all that is registered, this project's own among them; none of it is loaded."""
    from importlib.metadata import distributions

    groups = {f"collab_sdk.{kind}" for kind in WORDS}
    points = (point for installed in distributions() for point in installed.entry_points if point.group in groups)
    return frozenset(point.module.partition(".")[0] for point in points)


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
        known = vars(sys.modules[module_name]) if module_name in sys.modules else ()
        close = closest(attribute, known)
        hint = did_you_mean(None if close is None else f"py:{module_name}:{close}")
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            hint = f" Run the command in the folder of {error.name}, or add that folder to PYTHONPATH."
        raise UsageError(
            f"{spec!r} cannot be imported: {type(error).__name__}: {one_line(str(error))}.{hint}"
        ) from error
    return found, f"{spec}@{code_hash(module)}"


def source_file(spec: str) -> Path | None:
    """Where the module of `py:MODULE:NAME` lies beside where the command is typed. Nothing is imported."""
    path = Path(*spec.removeprefix("py:").partition(":")[0].split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def code_hash(module: ModuleType) -> str:
    """Of a module of the user's and of all that is loaded from its package, or else from its folder."""
    digest = hashlib.sha256()
    for file, name in sorted((file, name) for name, file in _code_files(module).items()):
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def function_code(function: Callable[..., Any]) -> str:
    """A hash of all that decides a function's values: its module, source, what it closes over, what is bound to it.

    Of a class, its source and its module.
    """
    parts = []
    while isinstance(function, partial):
        parts.append(repr((function.args, sorted(function.keywords.items()))))
        function = function.func
    of_code = function if hasattr(function, "__code__") or isinstance(function, type) else type(function)
    try:
        parts.append(inspect.getsource(of_code))
    except (OSError, TypeError, SyntaxError, TokenError):  # typed at a prompt, or on a page that is not all Python
        parts.append(of_code.__qualname__)
    if (code := getattr(function, "__code__", None)) is not None:  # of two lambdas in one line
        parts.append(repr((code.co_code, code.co_consts, code.co_names)))
    parts += [repr(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    if of_code is type(function):
        parts.append(repr(sorted(getattr(function, "__dict__", {}).items())))
    parts.append(module_code(of_code.__module__))
    text = ADDRESS.sub("", "\0".join(parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def module_code(name: str) -> str:
    """`code_hash` of the module of that name; empty for one without a file."""
    module = sys.modules.get(name)
    return code_hash(module) if module is not None and getattr(module, "__file__", None) else ""


def _code_files(module: ModuleType) -> dict[str, Path]:
    """A module's file, and those of all that is loaded from its package, or else from its folder, by module name."""
    if not module.__file__:
        return {}
    own = Path(module.__file__).resolve()
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    folder = Path(next(iter(top.__path__))).resolve() if hasattr(top, "__path__") else own.parent
    beside = loaded_from(folder)
    files = {**{name: file for name, file in beside.items() if not _is_of_pytest(name)}, module.__name__: own}
    return {name: file for name, file in files.items() if file.is_file()}


def _is_of_pytest(name: str) -> bool:
    """Whether pytest loaded the module as a test or for tests: what lies beside it is the same without it."""
    loader = getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None)
    return type(loader).__name__ == "AssertionRewritingHook"


def loaded_from(folder: Path) -> dict[str, Path]:
    """The files below a resolved folder that modules are loaded from, by module name.

    What is installed there, the standard library and this package are left out.
    """
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    files: dict[str, Path] = {}
    within = f"{folder}{os.sep}"
    for name, loaded in list(sys.modules.items()):
        source = getattr(loaded, "__dict__", {}).get("__file__")  # as an attribute, torch's lazy modules raise
        if not isinstance(source, str) or name.partition(".")[0] in NOT_THE_BOT:
            continue
        file = _real_file(source)
        if not str(file).startswith(within):
            continue
        if not file.is_relative_to(stdlib) and not INSTALLED.intersection(file.relative_to(folder.parent).parts):
            files[name] = file
    return files


@cache
def _real_file(source: str) -> Path:
    """Where a module was loaded from, without links. A training has thousands of modules, in hundreds of folders."""
    parent, _, name = source.rpartition(os.sep)
    file = Path(_real_folder(parent), name)
    return file.resolve() if file.is_symlink() else file


_real_folder = cache(os.path.realpath)
