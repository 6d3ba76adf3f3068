"""The site of docs/ builds strictly; its links lead somewhere, it needs no network, and it has every public name."""

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support.llms_page import DOCS, SITE, files, page
from support.paths import ROOT

import collab_sdk

PLUGINS = sorted((ROOT / "plugins").glob("collab_*/__init__.py"))
TARGET = re.compile(r"""<(\w+)[^>]*?\s(?:href|src)=(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")
LOADED = {"img", "script", "source"}
"""Elements whose target a browser fetches unasked; a link to another site is there to be followed."""


def test_every_page_is_in_the_navigation_once():
    named = [name for section in SITE["nav"] for name in files(section)]
    assert sorted(named) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_page_for_language_models_says_what_the_navigation_says():
    assert (DOCS / "llms.txt").read_text() == page(), "python tests/support/llms_page.py > docs/llms.txt"


@pytest.mark.slow
def test_the_site_builds_and_is_whole(tmp_path):
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    for name in ("collab_sdk", "plugins", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    texts = {path: path.read_text() for path in site.rglob("*.html")}
    ids = {path: set(re.findall(r'\sid="?([^\s">]+)', text)) for path, text in texts.items()}
    assert len(texts) > len(list(DOCS.rglob("*.md")))
    assert broken(texts, ids) == []
    shown = set().union(*ids.values())
    # A function may stand below the module that has its name: `collab_openai.wrap.wrap`.
    assert [name for name in public_names() if not {name, f"{name}.{name.rpartition('.')[2]}"} & shown] == []


def broken(texts: dict[Path, str], ids: dict[Path, set[str]]) -> list[str]:
    """Targets that are not there, and what would be fetched from elsewhere."""
    wrong = []
    for path, text in texts.items():
        for element, *targets in TARGET.findall(text):
            target = "".join(targets)
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                is_fetched = element in LOADED or (element == "link" and parts.scheme != "data")
                wrong += [f"{path.name} fetches {target}"] if is_fetched and parts.scheme != "data" else []
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchored = file.suffix != ".html" or not parts.fragment or unquote(parts.fragment) in ids.get(file, ())
            if path.name != "404.html" and not (file.exists() and anchored):
                wrong.append(f"{path.name} leads to {target}")
    return wrong


def public_names() -> list[str]:
    """Those of the front door, of each part of the package, and of the plugins, which are read and not imported.

    Without constants: those that are assigned several in one line are not told apart where the pages are made.
    """
    parts = [module.name for module in pkgutil.iter_modules(collab_sdk.__path__)]
    doors = ["collab_sdk", *(f"collab_sdk.{part}" for part in parts)]
    names = [f"{door}.{name}" for door in doors for name in getattr(importlib.import_module(door), "__all__", ())]
    names += [f"{path.parent.name}.{name}" for path in PLUGINS for name in exported(path)]
    return [name for name in names if not name.rpartition(".")[2].isupper()]


def exported(path: Path) -> list[str]:
    """The `__all__` of a module."""
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    [names] = [node.value for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
    return ast.literal_eval(names)
