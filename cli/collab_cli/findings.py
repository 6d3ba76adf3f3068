"""What `collab doctor` looks at, apart from models; nothing heavy is imported to find out."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from collab_cli.setup import open_chosen_cache
from collab_cli.units import size
from collab_sdk.errors import CollabError
from collab_sdk.metrics import metric_names
from collab_sdk.plugins import names
from collab_sdk.sandbox import ISOLATIONS, works
from collab_sdk.tasks import task_names

DISTRIBUTION = "collab-sdk"
REQUIREMENT = re.compile(r"(?P<package>[\w.-]+)[^;]*(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?")
COLLECTIONS = ("all", "dev")
"""Extras that only repeat others."""
KEY = re.compile(r"\w+_(?:API_KEY|API_TOKEN|ACCESS_KEY|ACCESS_KEY_ID)|HF_TOKEN|GOOGLE_APPLICATION_CREDENTIALS")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A line of the report."""

    what: str
    text: str
    status: Literal["ok", "-", "BROKEN"] = "ok"


def installation() -> Iterator[Finding]:
    """Python, the packages that are needed, and those of each extra."""
    python = f"{platform.python_version()}, {sys.executable}, {platform.system()} {platform.machine()}"
    yield Finding(what="python", text=python)
    yield Finding(what=DISTRIBUTION, text=version(DISTRIBUTION))
    for extra, packages in _requirements().items():
        found = {package: _version(package) for package in packages}
        missing = ", ".join(package for package, installed in found.items() if installed is None)
        have = ", ".join(f"{package} {installed}" for package, installed in found.items() if installed)
        what = f"[{extra}]" if extra else "packages"
        if not missing:
            yield Finding(what=what, text=have)
        elif extra:
            yield Finding(what=what, text=f"not installed: pip install '{DISTRIBUTION}[{extra}]'", status="-")
        else:
            yield Finding(what=what, text=f"missing {missing}: pip install {DISTRIBUTION}", status="BROKEN")


def _requirements() -> Mapping[str, list[str]]:
    """Package names by extra, the needed ones under an empty name."""
    by_extra: dict[str, list[str]] = {"": []}
    for requirement in requires(DISTRIBUTION) or ():
        if match := REQUIREMENT.match(requirement):
            by_extra.setdefault(match["extra"] or "", []).append(match["package"])
    return {extra: packages for extra, packages in by_extra.items() if extra not in COLLECTIONS}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cache(chosen: str | None) -> Finding:
    try:
        replies = open_chosen_cache(chosen)
    except CollabError as error:
        return Finding(what="cache", text=str(error), status="BROKEN")
    stats = replies.stats()
    replies.close()
    return Finding(what="cache", text=f"{stats.where}, writable, {stats.records:,} replies, {size(stats.bytes)}")


def keys(environ: Mapping[str, str]) -> Finding:
    """Names only: a report is made to be passed on."""
    names = sorted(name for name, value in environ.items() if value and KEY.fullmatch(name))
    return Finding(what="keys", text=", ".join(names) or "none in the environment")


def plugins() -> Iterator[Finding]:
    """What is registered; none of it is loaded."""
    models = ", ".join(names("chat_models"))
    yield Finding(what="metrics", text=", ".join(metric_names()))
    yield Finding(what="bots", text=f"OpenAI-compatible servers, LiteLLM names, py:MODULE:FUNCTION; plugins: {models}")
    yield Finding(what="tasks", text=", ".join(task_names()))


def sandbox() -> Finding:
    """What models' code would run in; found out by running a line in it."""
    found = next((name for name, isolation in ISOLATIONS.items() if works(isolation)), None)
    if found is None:
        return Finding(what="sandbox", text="none: apt-get install bubblewrap, for pass_rate", status="-")
    return Finding(what="sandbox", text=found)
