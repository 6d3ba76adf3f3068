"""Options of a training by the names that TRL and PEFT have for them: one line says what they are called here."""

import pytest
from collab_cli.other_names import INSTEAD, OURS
from support.cli import collab
from support.options import COMMANDS

FINETUNE = {name.removeprefix("--") for param in COMMANDS[("finetune",)].params for name in param.opts}
OTHERS = [
    ("lora-rank", "here it is --lora-r"),
    ("per-device-train-batch-size", "here it is --per-device-batch-size"),
    ("num-train-epochs", "here it is --epochs"),
    ("lr", "here it is --learning-rate"),
    ("model-name-or-path", "here it is --base"),
    ("lr-scheduler", "here it is --lr-scheduler-type"),
    ("gradient-accumulation-steps", "it follows from --batch-size and --per-device-batch-size"),
    ("bf16", "the precision is --dtype bfloat16 or --dtype float32"),
    ("label-smoothing", "labels are taken as they are, without smoothing"),
    ("warmup-steps", "the warm-up is a share of the steps, --warmup-ratio"),
]


@pytest.fixture
def prefs(tmp_path):
    path = tmp_path / "prefs.jsonl"
    path.write_text("{}")
    return path


def said(result):
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


@pytest.mark.parametrize(("name", "meant"), OTHERS)
def test_a_flag_by_another_name(prefs, tmp_path, name, meant):
    for written in (f"--{name}", f"--{name.replace('-', '_')}"):
        result = collab("finetune", prefs, "-m", "base", "-o", tmp_path / "out", written, 4)
        assert result.exit_code == 2
        assert said(result) == f"Error: No such option '{written}': {meant}."


@pytest.mark.parametrize(("name", "meant"), OTHERS)
@pytest.mark.parametrize("text", ["{key} = 4", "[finetune]\n{key} = 4", "finetune:\n  {key}: 4"])
def test_a_key_of_a_file_by_another_name(prefs, tmp_path, name, meant, text):
    path = tmp_path / ("recipe.yaml" if ":" in text else "recipe.toml")
    path.write_text(text.format(key=name.replace("-", "_")))
    place = str(path) if text.startswith("{") else f"{path} in [finetune]"
    result = collab("finetune", prefs, "-m", "base", "-o", tmp_path / "out", "--config", path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {place}: no option {name!r}: {meant}.\n"


def test_our_own_name_with_underscores(prefs, tmp_path):
    result = collab("finetune", prefs, "-m", "base", "-o", tmp_path / "out", "--learning_rate", "1e-4")
    assert said(result) == "Error: No such option '--learning_rate': here it is --learning-rate."


def test_other_commands_know_nothing_of_training(prefs):
    for flag in ("--lora-rank", "--bf16"):
        result = collab("score", prefs, "--model", "offline", flag, 4)
        assert result.exit_code == 2
        assert said(result).startswith(f"Error: No such option '{flag}'")
        assert "here it is" not in result.stderr and "--dtype" not in result.stderr


def test_the_table_names_options_that_there_are():
    assert set(OURS.values()) <= FINETUNE
    assert FINETUNE.isdisjoint([*OURS, *INSTEAD])
    for text in INSTEAD.values():
        flags = {word.strip(",;.()").removeprefix("--") for word in text.split() if word.strip("(").startswith("--")}
        assert flags - {"config_file", "revision"} <= FINETUNE, text
