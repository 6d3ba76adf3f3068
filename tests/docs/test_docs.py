"""Every Python and console block of the docs runs as it stands, page by page, with what the page tells to install."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from support.cli_page import page
from support.installed import installed_by, installed_only
from support.paths import ROOT, TESTS
from support.server import LoopbackServer

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNER = TESTS / "support" / "doc_page.py"
ASKS_NOBODY = {"reproduce.md"}
"""Pages that show what a provider would cost, whose prices are not those of a server on loopback."""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run_with_what_the_page_installs(page, tmp_path):
    requirements = installed_by(page.read_text()) or {"collab-sdk"}
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    with LoopbackServer() as server:
        endpoint = {"OPENAI_BASE_URL": server.api_base, "OPENAI_API_KEY": "sk-test"}
        if page.name in ASKS_NOBODY:
            endpoint = {}
        environment = {**os.environ, **installed_only(frozenset(requirements)), **endpoint}
        run = [sys.executable, RUNNER, page]
        done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


NAMED_TEST = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_are_there(page):
    for name, test in NAMED_TEST.findall(page.read_text()):
        [file] = TESTS.rglob(name)
        assert not test or f"def {test}(" in file.read_text(), f"{page.name}: {name}::{test}"


@pytest.mark.slow
def test_the_sample_output_in_the_readme_is_what_the_demo_prints(tmp_path):
    [sample] = re.findall(
        r"^```text\n\$ collab demo\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    environment = {**os.environ, "COLUMNS": "98"}
    run = [sys.executable, "-m", "collab_cli.main", "demo"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert sample in done.stdout


def test_the_page_of_the_command_line_says_what_help_says():
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "python tests/support/cli_page.py > docs/cli.md"
