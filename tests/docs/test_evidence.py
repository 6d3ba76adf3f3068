"""The table of claims is whole, and each of its commands can be given."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest
from collab_cli.main import main
from support.paths import ROOT

EVIDENCE = ROOT / "docs" / "evidence.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROWS = re.findall(r"^\| (?!claim |---)(.+) \| (.+) \| (.+) \| (.+) \|$", EVIDENCE.read_text(), re.MULTILINE)
COMMANDS = [command for row in ROWS for command in re.findall(r"`([^`]+)`", row[2])]


@cache
def options_of(script: Path) -> frozenset[str]:
    """What the script's parser is given, as it is written there: to start each one would take minutes."""
    calls = (node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call))
    added = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument")
    return frozenset(word.value for call in added for word in call.args if isinstance(word, ast.Constant))


def test_every_row_says_what_keeps_it_true():
    assert len(ROWS) > 40
    for _, _, _, kept in ROWS:
        assert kept.startswith(("the tests", "a run by hand", "nothing yet: ")), kept


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python benchmarks/")])
def test_a_benchmark_that_is_named_exists_and_takes_these_options(command):
    _, script, *words = shlex.split(command)
    unknown = {word for word in words if word.startswith("--")} - options_of(ROOT / script)
    assert not unknown


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("collab ")])
def test_a_command_that_is_named_takes_these_options(command):
    _, name, *words = shlex.split(command)
    found = main.get_command(click.Context(main), name)
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python -m pytest ")])
def test_tests_that_are_named_exist(command):
    assert (ROOT / command.removeprefix("python -m pytest ")).exists()


def test_every_benchmark_that_a_page_names_stands_in_the_table():
    named = {script for page in PAGES for script in re.findall(r"benchmarks/[a-z_/]+\.py", page.read_text())}
    assert named <= set(re.findall(r"benchmarks/[a-z_/]+\.py", EVIDENCE.read_text()))
