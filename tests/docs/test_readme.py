"""The README on a package index: no link of it leads nowhere there."""

import re

from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from support.paths import ROOT

from hatch_build import for_the_index

README = (ROOT / "README.md").read_text()
TARGET = re.compile(r"\]\(([^)]*)\)")


def test_the_readme_of_the_package_has_no_link_into_the_repository():
    shown = ProjectMetadata(str(ROOT), PluginManager()).core.readme
    assert shown.startswith(README[:200])
    assert all(target.startswith("https://") for target in TARGET.findall(shown))
    assert "(`docs/quickstart.md`)" in shown


def test_with_the_address_of_the_repository_its_links_lead_there():
    shown = for_the_index(README, "https://example.org/us/it")
    assert all(target.startswith("https://") for target in TARGET.findall(shown))
    assert len(TARGET.findall(shown)) == len(TARGET.findall(README))
    assert "](https://example.org/us/it/raw/HEAD/docs/loop.svg)" in shown
    deep = for_the_index("[fine](docs/a.md#b)", "https://example.org/us/it")
    assert deep == "[fine](https://example.org/us/it/blob/HEAD/docs/a.md#b)"


def test_other_links_are_left_as_they_are():
    text = "[the paper](https://arxiv.org/abs/2502.00640)"
    assert for_the_index(text, None) == for_the_index(text, "https://example.org/us/it") == text
