"""Processes that see only what a `pip install` line would have brought, without installing anything."""

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INSTALL = re.compile(r"^pip install (.+)$", re.MULTILINE)


def installed_by(text: str) -> frozenset[str]:
    """The requirements of all lines of a page that begin with `pip install`."""
    return frozenset(word for line in INSTALL.findall(text) for word in shlex.split(line, comments=True))


@cache
def installed_only(requirements: frozenset[str]) -> Mapping[str, str]:
    """The variables that make a Python process see no package but those that `requirements` bring.

    Raises LookupError for a requirement that is not installed here.
    """
    kept = closure(requirements)
    modules = {
        module for module, owners in packages_distributions().items() if not kept & {*map(canonicalize_name, owners)}
    }
    hidden = {"modules": sorted(modules), "distributions": sorted(_requires().keys() - kept)}
    return {
        "HIDDEN_PACKAGES": json.dumps(hidden),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
    }


def closure(requirements: Iterable[str]) -> frozenset[str]:
    """Names of all distributions that pip would install for `requirements`."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(one.name), extra) for one in map(Requirement, requirements) for extra in _extras(one)]
    while waiting:
        name, extra = pair = waiting.pop()
        if pair in seen:
            continue
        seen.add(pair)
        if name not in _requires():
            raise LookupError(f"{name} is not installed")
        for needed in _requires()[name]:
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), each) for each in _extras(needed)]
    return frozenset(name for name, _ in seen)


def _extras(requirement: Requirement) -> Iterator[str]:
    yield ""
    yield from requirement.extras


@cache
def _requires() -> Mapping[str, list[Requirement]]:
    """What each distribution that is installed here requires; of two of one name the first on the path counts."""
    found: dict[str, list[Requirement]] = {}
    for one in distributions():
        found.setdefault(canonicalize_name(one.metadata["Name"]), [Requirement(line) for line in one.requires or ()])
    return found
