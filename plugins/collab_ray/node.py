"""What every node of a run must have like the command: package, models, code, the key and the place of the cache."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import collab_sdk
from collab_sdk.cache import URL, is_local, key_check_value
from collab_sdk.jobs import code_digest, roles_of
from collab_sdk.plugins import extensions, loaded_from
from collab_sdk.secrets import Address, is_secret, without_credentials
from collab_sdk.spec import RunSpec, difference

PACKAGES = ("litellm", "openai", "tiktoken")
"""Those that ask models and count tokens: other versions of them may give other results."""
SENT = "collab_sent_code"
"""The folder of the command's code, on machines that it is sent to."""
SENT_PATH = "path.json"
"""Beside that code: the folders of it that modules are imported from, relative, in the order of `sys.path`."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host_name() -> str:
    return os.uname().nodename


def claims_of(spec: RunSpec, cache: str) -> dict[str, Any]:
    """What this process makes of a spec and of where replies are kept, as JSON values. Holds no secret."""
    roles = roles_of(spec)
    models = {"assistant": roles.assistant, "judge": roles.judge, "tools": roles.tools}
    known = {role: model.fingerprint for role, model in models.items()} | roles.simulator.fingerprints
    return {
        "version": collab_sdk.__version__,
        "code": code_digest(),
        "models": {role: None if made is None else dict(made) for role, made in known.items()},
        "modules": {name: _digest(file) for name, file in _own_modules(spec)},
        "loaded": {name: _digest(file) for name, file in sorted(_loaded_code(spec).items())},
        "packages": {name: found for name in PACKAGES if (found := _installed(name)) is not None},
        "key": key_check_value(os.environ) if URL.match(cache) else None,
        "directory": None if URL.match(cache) else _identity(Path(cache)),
        "machine": _machine() if _is_on_each(cache) else None,
    }


def why_unfit(node: Mapping[str, Any], command: Mapping[str, Any], cache: str) -> str | None:
    """What a node claims other than the command, and the way out; None where they are alike."""
    ours = command["version"]
    if node["version"] != ours:
        return (
            f"it has collab-sdk {node['version']}, and the command is {ours}: "
            f"pip install 'collab-sdk[ray]=={ours}' on every node."
        )
    if node["code"] != command["code"]:
        return f"its collab-sdk {ours} has other code or prompts than the command's: install the same on every node."
    if node["key"] != command["key"]:
        return "its COLLAB_CACHE_HMAC_KEY is not the command's: set the same wherever the cache is used."
    if node["directory"] != command["directory"]:
        return (
            f"the directory {cache} there is not the command's: give a cache that all nodes can share, such as "
            "--cache redis://HOST."
        )
    if node["machine"] != command["machine"]:
        return (
            f"{without_credentials(cache)} is another server there than here: give the cache by a name that all nodes "
            "know it by, such as --cache redis://HOST."
        )
    if (other := difference(command["modules"], node["modules"])) is not None:
        return f"it has another module {other.partition(' is ')[0]} than the command: install the same on every node."
    for name in sorted(command["loaded"].keys() & node["loaded"].keys()):
        if command["loaded"][name] != node["loaded"][name]:
            return f"it has another module {name} than the command: install the same on every node."
    for name in sorted(command["packages"].keys() & node["packages"].keys()):
        here, there = command["packages"][name], node["packages"][name]
        if here != there:
            return f"it has {name} {there}, and the command {here}: pip install '{name}=={here}' there."
    if (other := difference(command["models"], node["models"], "models")) is not None:
        return f"{other}. Set the variables of endpoints, such as OPENAI_BASE_URL, alike on every node."
    return None


def runtime_env(folder: Path) -> dict[str, Any]:
    """What processes on other machines are given: the code beside the command, and where endpoints are.

    Code is what is loaded from below the folder where the command is typed: these files alone are copied to `folder`,
    from where Ray takes them when it connects, and nothing that lies beside them. Each lies there as it does here,
    since a bot's code is all that is loaded from its folder. Ray keeps both in its session folder, so no key goes with
    them: a node has its keys in its own environment.
    """
    here, sent = Path.cwd().resolve(), folder / SENT
    code = loaded_from(here)
    roots = {name: _import_root(name, here) for name in code}
    for name, file in code.items():
        _copy(name, file, sent / roots[name].relative_to(here))
    if code:
        on_path = [Path(entry).resolve() for entry in sys.path]
        used = [root for root in dict.fromkeys([*on_path, *roots.values()]) if root in roots.values()]
        (sent / SENT_PATH).write_text(json.dumps([root.relative_to(here).as_posix() for root in used]))
    variables = {
        name: value
        for name, value in os.environ.items()
        if value and name.endswith(("_API_BASE", "_BASE_URL")) and not _may_hold_key(value)
    }
    return {
        **({"py_modules": [str(folder / SENT)]} if code else {}),
        **({"env_vars": variables} if variables else {}),
    }


def sent_address(cache: str) -> str:
    """Where replies are kept, as other machines are told: without the passwords of a server's URL."""
    if URL.match(cache) is None:
        return cache
    parts, secrets = urlsplit(cache), Address(cache).secrets
    credentials, _, hosts = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    query = [part for part in parts.query.split("&") if part.partition("=")[2] not in secrets]
    return urlunsplit(parts._replace(netloc=f"{user}@{hosts}" if user else hosts, query="&".join(query)))


def own_address(cache: str, environ: Mapping[str, str]) -> str:
    """The address that this node's COLLAB_CACHE holds, if it is the one that was sent but for passwords."""
    own = environ.get("COLLAB_CACHE", "")
    return own if URL.match(own) and sent_address(own) == sent_address(cache) else cache


def _may_hold_key(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return bool(parts.username or parts.password or parts.query or parts.fragment or is_secret(url))


def find_sent_code() -> None:
    """On a machine that was sent the command's code, let it be imported, before anything that is installed there."""
    sent = find_spec(SENT)
    for folder in map(Path, (sent and sent.submodule_search_locations) or ()):
        roots = [str(folder / root) for root in json.loads((folder / SENT_PATH).read_text())]
        sys.path[:0] = [root for root in roots if root not in sys.path]


def _import_root(name: str, here: Path) -> Path:
    """The folder that a loaded module was found in by its name, or `here` if that folder is not below it."""
    file, parts = Path(sys.modules[name].__dict__["__file__"]), tuple(name.split("."))
    module = file.parent if file.stem == "__init__" else file.with_name(file.name.partition(".")[0])
    if module.parts[-len(parts) :] != parts:  # some importer of its own has named it
        return here
    root = module.parents[len(parts) - 1].resolve()
    return root if root.is_relative_to(here) else here


def _copy(name: str, file: Path, folder: Path) -> None:
    """A module's file, to where `folder` has a module of that name."""
    is_package = file.stem == "__init__"
    target = folder.joinpath(*name.split("."))
    target = target / file.name if is_package else target.with_name(f"{target.name}{file.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _identity(directory: Path) -> list[str | int] | None:
    """Host, its kernel, and what that knows the directory by; None where there is no such directory."""
    try:
        found = directory.stat()
    except OSError:
        return None
    return [*_machine(), found.st_dev, found.st_ino]


def _machine() -> list[str]:
    """Host and its kernel."""
    return [host_name(), BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""]


def _is_on_each(cache: str) -> bool:
    """Whether a server's address means another one on each machine, as localhost does, or a socket."""
    if URL.match(cache) is None:
        return False
    parts = urlsplit(cache)
    named = dict(parse_qsl(parts.query)).get("host") or parts.netloc.rpartition("@")[2]
    if not named and parts.scheme.startswith("postgres"):
        named = os.environ.get("PGHOST", "")
    return any(is_local(urlsplit(f"//{host}").hostname or "") for host in named.split(","))


def _own_modules(spec: RunSpec) -> Iterator[tuple[str, Path]]:
    """The loaded modules that `py:` names of a spec stand for, with their files."""
    for name in sorted(set(_module_names(spec.to_dict()))):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            yield name, Path(file)


def _loaded_code(spec: RunSpec) -> dict[str, Path]:
    """The loaded modules of the packages that `py:` names of a spec and entry points stand for, by name.

    By name alone, since a node may have them elsewhere; wherever they are installed, since other versions may be there.
    """
    packages, files = set(extensions()) - {"collab_sdk"}, {}
    for name, file in _own_modules(spec):
        packages.add(name.partition(".")[0])
        if "." not in name and file.stem != "__init__":  # it has no package: what lies beside it is its own
            files.update(loaded_from(file.resolve().parent))
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__dict__", {}).get("__file__")  # as an attribute, torch's lazy modules raise
        if isinstance(source, str) and source.endswith(".py") and name.partition(".")[0] in packages:
            files[name] = Path(source)
    return {name: file for name, file in files.items() if file.is_file()}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _installed(package: str) -> str | None:
    """Its version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _module_names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        _, found, named = value.rpartition("py:")
        if found:
            yield named.partition(":")[0]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _module_names(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _module_names(item)
