"""Each option of every command can be set by flag, by environment and in a file, under one name."""

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from collab_cli.config import OWN, ROLES
from collab_cli.evaluate_requirements import LeastValue
from collab_cli.main import main
from collab_cli.params import MetricParam, ModelOption, OneOf, Weight
from support.cli import write_chats
from support.options import COMMANDS, received

from collab_sdk.metrics import metric_names


@pytest.fixture(autouse=True)
def no_cache_named(monkeypatch):
    monkeypatch.delenv("COLLAB_CACHE_DIR")


OPTIONS = [
    (path, param)
    for path, command in COMMANDS.items()
    for param in command.params
    if isinstance(param, click.Option) and param.name not in OWN
]


def long_flag(option):
    return next(name for name in option.opts if name.startswith("--"))


def texts_for(option, folder: Path, *, n: int) -> list[str]:
    """Valid values as they are typed; for an option that is repeatable n of them, otherwise one."""
    return [text_for(option, folder, number) for number in range(n if option.multiple else 1)]


def text_for(option, folder: Path, number: int) -> str:
    kind = option.type
    if isinstance(option, OneOf):
        return list(option._names())[-1]
    if isinstance(kind, MetricParam):
        return ("goal=2", "token_penalty=1,rate=0.01")[number]
    if isinstance(kind, LeastValue):
        return ("goal=0.5", "exchanges=1")[number]
    if isinstance(kind, ModelOption):
        return ("temperature=0.25", "extra_body.top_k=3")[number]
    if isinstance(kind, Weight):
        return ("sft=2", "sigmoid=0.5")[number]
    if isinstance(kind, click.Choice):
        return list(kind.choices)[-1]
    if isinstance(kind, click.IntRange):
        return str(int(least_for(option)) + 1 + number)
    if isinstance(kind, click.FloatRange):
        return "0.625" if kind.max is not None else str(least_for(option) + 1.5)
    if isinstance(kind, click.Path):
        return str(path_for(kind, folder, number))
    return f"some-text-{number}"


def least_for(option) -> float:
    default = option.default if isinstance(option.default, int | float) else 0
    return max(option.type.min or 0, default)


def path_for(kind: click.Path, folder: Path, number: int) -> Path:
    path = folder / f"given-{number}"
    if kind.exists and kind.file_okay:
        path.touch()
    elif kind.exists:
        path.mkdir(exist_ok=True)
    return path


def needed(command, but, folder: Path) -> list[str]:
    """The arguments and required options of a command, but for one option."""
    chats = write_chats(folder / "chats.jsonl", 1)
    others = folder / "others"
    others.mkdir(exist_ok=True)
    given = []
    for param in command.params:
        if param is but or not param.required:
            continue
        if isinstance(param, click.Option):
            given += [long_flag(param), text_for(param, others, 1)]
        elif isinstance(param.type, click.Path):
            given.append(str(folder / "target" if param.name == "target" else chats))
        else:
            given.append("chat-1")
    return given


def as_toml(option, texts):
    if option.is_flag:
        return "true"
    is_number = isinstance(option.type, click.IntRange | click.FloatRange)
    return json.dumps(texts) if option.multiple else texts[0] if is_number else json.dumps(texts[0])


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{' '.join(p)} {long_flag(o)}" for p, o in OPTIONS])
def test_flag_environment_and_file_are_one(path, option, tmp_path, monkeypatch):
    flag = long_flag(option)
    name = flag.removeprefix("--")
    texts = texts_for(option, tmp_path, n=2)
    rest = needed(COMMANDS[path], option, tmp_path)
    flags = [flag] if option.is_flag else [part for text in texts for part in (flag, text)]
    by_flag = received(path, [*rest, *flags], monkeypatch)

    between = os.pathsep if isinstance(option.type, click.Path) else " "
    value = "true" if option.is_flag else between.join(texts)
    variable = f"COLLAB_{name.replace('-', '_').upper()}"
    assert received(path, rest, monkeypatch, {variable: value}) == by_flag

    tables = ["", *(f"[{'.'.join(path[: depth + 1])}]\n" for depth in range(len(path)))]
    for number, table in enumerate(tables):
        file = tmp_path / f"options-{number}.toml"
        file.write_text(f"{table}{name} = {as_toml(option, texts)}\n")
        assert received(path, [*rest, "--config", file], monkeypatch) == by_flag, table

    if not option.required:
        assert received(path, rest, monkeypatch)[option.name] != by_flag[option.name]


SWITCHES = [(path, option) for path, option in OPTIONS if option.secondary_opts]


@pytest.mark.parametrize(("path", "option"), SWITCHES, ids=[long_flag(o) for _, o in SWITCHES])
def test_what_can_be_switched_off_can_be_in_all_three_ways(path, option, tmp_path, monkeypatch):
    rest = needed(COMMANDS[path], option, tmp_path)
    by_flag = received(path, [*rest, option.secondary_opts[0]], monkeypatch)
    assert by_flag[option.name] is False
    assert received(path, rest, monkeypatch, {option.envvar: "false"}) == by_flag
    file = tmp_path / "options.toml"
    file.write_text(f"{long_flag(option).removeprefix('--')} = false\n")
    assert received(path, [*rest, "--config", file], monkeypatch) == by_flag


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{' '.join(p)} {long_flag(o)}" for p, o in OPTIONS])
def test_an_option_has_one_name_everywhere(path, option):
    name = long_flag(option).removeprefix("--").replace("-", "_")
    assert option.name == name
    assert option.envvar == f"COLLAB_{name.upper()}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_there_under_both_names(path, flag):
    for depth in range(len(path) + 1):
        result = CliRunner().invoke(main, [*path[:depth], flag])
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(main, [*path, "--help"], terminal_width=80).stdout.splitlines()
    assert not [line for line in lines if len(line) > 80]


OF_THE_ORDER_DESK = {"exact_order", "right_slots"}


def test_help_names_every_metric_but_those_of_the_order_desk(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(main, ["score", "--help"], terminal_width=80).stdout
    assert {name for name in metric_names() if name not in said} == OF_THE_ORDER_DESK


WITH_MODELS = [path for path, command in COMMANDS.items() if "judge" in {param.name for param in command.params}]


@pytest.mark.parametrize("path", WITH_MODELS, ids=" ".join)
def test_a_table_of_a_role_is_the_same_as_its_flags(path, tmp_path, monkeypatch):
    rest = needed(COMMANDS[path], None, tmp_path)
    known = {param.name for param in COMMANDS[path].params}
    for role in ROLES:
        if role.replace("-", "_") not in known:
            continue
        prefix = "" if role == "model" else f"{role}-"
        flags = [f"--{role}", "m", f"--{prefix}api-base", "http://h/v1", f"--{prefix}api-key-env", "K"]
        flags += [f"--{role}-option", "temperature=0.25", f"--{role}-option", "price=0.15/0.60"]
        file = tmp_path / "options.toml"
        lines = ['name = "m"', 'api-base = ["http://h/v1"]', 'api-key-env = "K"', "temperature = 0.25"]
        file.write_text("\n".join([f"[{role}]", *lines, 'price = "0.15/0.60"']))
        by_file = received(path, [*rest, "--config", file], monkeypatch)
        assert by_file == received(path, [*rest, *flags], monkeypatch)
