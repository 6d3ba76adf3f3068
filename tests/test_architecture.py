"""The house stands as it was planned: import direction, top-level names, light imports."""

import ast
import importlib
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.imports import circles, imported_names, imports_of, package_files
from support.paths import ROOT

import collab_sdk
import collab_sdk.errors

HEAVY = set(
    """
    anthropic jinja2 langchain langchain_core langgraph litellm matplotlib openai rich tiktoken torch transformers
    """.split()
)

LAYERS = [
    {"errors", "farewells", "suppression", "tokens", "version", "words"},
    {"files", "secrets"},
    {"plugins", "tool_calls", "values"},
    {"messages"},
    {"types"},
    {"personas"},
    {"prompts"},
    {"spec", "concurrency", "stats", "sandbox", "demos"},
    {"models"},
    {"cache", "offline"},
    {"engine"},
    {"logs", "runs", "score_rows", "tools"},
    {"harvest", "goals", "simulator"},
    {"rollout"},
    {"metrics"},
    {"calibration", "scorer"},
    {"preferences", "training", "tasks"},
    {"cost"},
    {"evaluation", "fidelity"},
    {"jobs", "report"},
    {"judging", "schemas", "testing"},
]
"""From the ground up: a module may import from its own layer and those below."""


def modules(folder: str) -> list[Path]:
    found = (ROOT / folder).rglob("*.py")
    # A benchmark's virtual environment is no code of ours.
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def imported_modules(path: Path) -> set[str]:
    return {module for module, _ in imported_names(path)}


def layer_of(part: str) -> int:
    for level, layer in enumerate(LAYERS):
        if part in layer:
            return level
    raise AssertionError(f"collab_sdk.{part} has no place in LAYERS")


@pytest.mark.parametrize("path", modules("collab_sdk"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    part = path.relative_to(ROOT / "collab_sdk").parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imported_modules(path):
        package, _, rest = name.partition(".")
        assert not package.startswith("collab_") or package == "collab_sdk", f"the core imports {name}"
        if package == "collab_sdk":
            assert layer_of(rest.partition(".")[0]) <= layer_of(part), f"{part} imports {name}"


def test_no_files_import_each_other():
    assert circles(imports_of(package_files(ROOT))) == []


def test_every_module_is_in_a_layer():
    parts = {path.relative_to(ROOT / "collab_sdk").parts[0].removesuffix(".py") for path in modules("collab_sdk")}
    assert parts - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("path", modules("cli"), ids=lambda path: path.name)
def test_the_cli_reaches_plugins_only_through_entry_points(path):
    packages = {name.partition(".")[0] for name in imported_modules(path)}
    assert not {name for name in packages if name.startswith("collab_")} - {"collab_sdk", "collab_cli"}


PLUGINS = sorted(path.name for path in (ROOT / "plugins").glob("collab_*"))
"""Held to the doors of the core, beside the CLI."""


@pytest.mark.parametrize("folder", ["cli/collab_cli", *(f"plugins/{plugin}" for plugin in PLUGINS)])
def test_plugins_and_the_cli_import_from_the_doors_of_the_core_and_nothing_deeper(folder):
    deep = {
        f"{path.name}: {module}.{name}"
        for path in modules(folder)
        for module, name in imported_names(path)
        if module.partition(".")[0] == "collab_sdk" and not is_public(module, name)
    }
    assert not deep


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_reaches_into_no_other_plugin(plugin):
    found = {name for path in modules(f"plugins/{plugin}") for name in imported_modules(path)}
    assert not {name for name in found if name.partition(".")[0] in set(PLUGINS) - {plugin} and "." in name}


def is_public(module: str, name: str) -> bool:
    """Whether the name is in the `__all__` of the core itself, or of a module or package right below it."""
    if module.count(".") > 1:
        return False
    public = getattr(importlib.import_module(module), "__all__", ())
    return name in public or (module, name) == ("collab_sdk", "__version__") or not name


@pytest.mark.parametrize("part", sorted(set().union(*LAYERS)))
def test_every_room_says_what_is_public_in_it_and_has_it(part):
    room = importlib.import_module(f"collab_sdk.{part}")
    assert len(room.__all__) == len(set(room.__all__))
    assert all(hasattr(room, name) for name in room.__all__)


def test_every_error_is_public():
    errors = collab_sdk.errors
    of_its_own = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert of_its_own == set(errors.__all__)


def test_the_front_door_is_small_and_complete():
    assert len(collab_sdk.__all__) <= 25
    assert all(hasattr(collab_sdk, name) for name in collab_sdk.__all__)


@pytest.mark.parametrize(
    "code", ["import collab_sdk", "from collab_cli.main import main; main(['--help'])"], ids=["import", "help"]
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    script = (
        f"import sys, json, contextlib, io\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    {code}\n"
        f"print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert not loaded & HEAVY


def test_importing_touches_neither_disk_nor_environment(tmp_path):
    script = "import os; before = dict(os.environ); import collab_sdk; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", script], check=True, env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_installs_the_planned_packages_and_nothing_else(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    packages = {Path(name).parts[0] for name in names if ".dist-info" not in name}
    planned = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert packages == {Path(package).name for package in planned["packages"]}
    assert not packages & {"plugins", "cli", "tests"}
    assert "collab_sdk/prompts/simulator.txt" in names
    assert "collab_sdk/offline/samples/chats.jsonl" in names
    assert "collab_sdk/py.typed" in names
    assert "collab_sdk/tokens/cl100k_base.txt.gz" in names
    assert "collab_sdk/tokens/LICENSE.tiktoken" in names
    assert "collab_sdk/report/page/page.html.jinja" in names
    assert "collab_sdk/report/page/page.css" in names
    assert "collab_sdk/report/page/js/main.js" in names


def test_plugins_and_cli_have_no_package_at_their_top():
    assert not (ROOT / "plugins" / "__init__.py").exists()
    assert not (ROOT / "cli" / "__init__.py").exists()


def test_no_module_can_unpickle():
    for folder in ("collab_sdk", "plugins", "cli"):
        for path in modules(folder):
            assert not imported_modules(path) & {"pickle", "marshal", "shelve"}, path


LOADERS = {"from_pretrained", "from_config", "load_adapter"}
"""Methods of transformers and PEFT that load, or ask whether to run, what somebody else has written."""


def test_models_are_loaded_in_one_place_which_runs_no_foreign_code():
    where = {
        str(path.relative_to(ROOT)): node.lineno
        for folder in ("collab_sdk", "plugins", "cli", "benchmarks")
        for path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if loads(node)
    }
    assert set(where) == {"plugins/collab_trl/pretrained.py"}, where


def loads(node: ast.AST) -> bool:
    """Whether a piece of code names one of LOADERS, or PyTorch's own, which unpickles."""
    if not isinstance(node, ast.Attribute):
        return False
    return node.attr in LOADERS or ast.unparse(node) == "torch.load"
