"""Every Python and console block of the docs runs as it stands, page by page, in a directory of its own."""

import re
import shlex
import subprocess
import sys

import pytest
from support.cli_page import page
from support.litellm_state import forget_litellm
from support.paths import ROOT
from support.server import LoopbackServer

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "collab", f"only collab is run from the docs, not {program}"
    collab = [sys.executable, "-m", "collab_cli.main"]
    return subprocess.run([*collab, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def model_server(monkeypatch):
    """What `OPENAI_BASE_URL` leads to."""
    with LoopbackServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.api_base)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield
    forget_litellm()


# LangChain's own message histories are deprecated, and in many apps.
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@pytest.mark.usefixtures("model_server")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    for language, block in BLOCK.findall(page.read_text()):
        if language == "python":
            exec(compile(block, str(page), "exec"), names)
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                done = run(line.removeprefix("$ "))
                assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_the_command_line_says_what_help_says():
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "python tests/support/cli_page.py > docs/cli.md"
