"""What stands beside the code for those who come to it: agents, who cite it, who report a hole, who release it."""

import re
import shlex
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from support.cli import collab
from support.options import COMMANDS
from support.paths import ROOT

import collab_sdk
from collab_sdk.offline import sample_chats_path

SKILL = ROOT / "skills" / "collab-sdk" / "SKILL.md"
PAGES = [SKILL, *(ROOT / name for name in ("AGENTS.md", "CONTRIBUTING.md", "SECURITY.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_what_the_skill_tells_an_agent_to_do_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("chats.jsonl").write_text("".join(sample_chats_path().read_text().splitlines(keepends=True)[:2]))
    said = [line.removeprefix("$ collab ") for block in blocks(SKILL, "console") for line in block.splitlines()]
    assert len(said) > 5
    for command in said:
        result = collab(*shlex.split(command))
        assert result.exit_code == 0, f"{command}\n{result.output}"
    for block in blocks(SKILL, "python"):
        exec(compile(block, SKILL.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_has_its_options(page):
    for said in re.findall(r"`collab ([^`]+)`", page.read_text()):
        words = said.split()
        if said.startswith("--"):
            continue
        path = next((each for each in COMMANDS if tuple(words[: len(each)]) == each), None)
        assert path is not None, f"{page.name}: collab {said}"
        known = {option for each in COMMANDS[path].params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= known, f"{page.name}: collab {said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_an_agent_finds_the_skill_by_its_front_matter():
    _, head, body = SKILL.read_text().split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["name"] == SKILL.parent.name
    assert 100 < len(told["description"]) < 1024
    assert body.startswith("\n# ")


def test_the_targets_of_make_that_agents_are_told_of_are_there():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", "".join(blocks(ROOT / "AGENTS.md", "bash")))) <= targets


def test_the_version_comes_from_one_place():
    assert PROJECT["dynamic"] == ["version", "readme"]
    assert collab("--version").output.split()[-1] == collab_sdk.__version__
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_a_citation_names_software_and_paper():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (told["title"], told["license"]) == (PROJECT["name"], PROJECT["license"])
    assert all(author.keys() == {"family-names", "given-names"} for author in told["preferred-citation"]["authors"])


def test_the_workflow_runs_what_ci_runs():
    [job] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    pythons = [f"Programming Language :: Python :: {version}" for version in job["strategy"]["matrix"]["python"]]
    assert set(pythons) <= set(PROJECT["classifiers"])


@pytest.mark.parametrize(
    "package", ["accelerate", "anthropic", "diskcache", "litellm", "openai", "transformers", "trl"]
)
def test_a_package_whose_private_parts_are_used_has_an_upper_bound(package):
    required = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    [said] = {each for each in required if re.match(rf"{package}[>=<!]", each)}
    assert "<" in said
