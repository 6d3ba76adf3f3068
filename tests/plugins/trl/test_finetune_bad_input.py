"""Whatever is in the way of a training is said in one line, with the way out."""

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from support import playing
from support.cli import collab
from support.training import prepared, write_base, write_pairs, write_rows

from collab_sdk.errors import UnknownNameError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(shared_base, tmp_path) -> Path:
    return shutil.copytree(shared_base, tmp_path / "base")


@pytest.fixture
def prefs(tmp_path) -> Path:
    return write_pairs(tmp_path / "prefs.jsonl")


def refused(*arguments: object) -> str:
    """The one line that a command which cannot work ends with."""
    result = collab("finetune", *arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    return line


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("content", ["", "\n\n"], ids=["empty", "blank"])
def test_an_empty_file(base, tmp_path, content):
    (tmp_path / "empty.jsonl").write_text(content)
    assert "empty.jsonl: the file is empty" in refused(tmp_path / "empty.jsonl", "-m", base, "-o", tmp_path / "out")


def test_a_file_without_a_usable_pair(base, tmp_path):
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": [{"role": "user", "content": "a latte"}]}])
    line = refused(data, "-m", base, "-o", tmp_path / "out")
    assert "chats.jsonl: nothing to train on with dpo" in line


def test_a_file_that_is_no_json(base, tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    assert "notes.txt: not a chat log: expected JSON, JSON lines or a table" in refused(
        tmp_path / "notes.txt", "-m", base, "-o", tmp_path / "out"
    )


def test_a_folder_that_is_no_data_set(base, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "not a data set saved by Hugging Face datasets" in refused(
        tmp_path / "folder", "-m", base, "-o", tmp_path / "out"
    )


@pytest.mark.parametrize("name", ["no/such-model", "./nowhere"])
def test_an_unknown_base(prefs, tmp_path, name):
    line = refused(prefs, "-m", name, "-o", tmp_path / "out")
    assert f"The model {name!r} cannot be read: give a folder" in line


def test_an_adapter_in_place_of_a_base(prefs, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert "is an adapter, not a base model: give the model it was trained on" in refused(
        prefs, "-m", adapter, "-o", tmp_path / "out"
    )


def test_a_base_without_weights(prefs, base, tmp_path):
    (base / "model.safetensors").unlink()
    assert "The weights of" in refused(prefs, "-m", base, "-o", tmp_path / "out")


def test_a_tokenizer_without_a_pad_token(prefs, base, tmp_path):
    change(base / "tokenizer_config.json", pad_token=None)
    assert "no pad token: set pad_token in its tokenizer_config.json" in refused(
        prefs, "-m", base, "-o", tmp_path / "out"
    )


def test_a_length_that_the_base_cannot_read(prefs, base, tmp_path):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", "--max-length", 10_000)
    assert "--max-length 10000 is more than" in line
    assert "2048 tokens" in line


def test_a_tracker_that_is_not_installed(prefs, base, tmp_path):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", "--report-to", "wandb")
    assert line == "Error: --report-to wandb needs a package that is not installed: pip install wandb"


def test_four_bits_without_bitsandbytes(prefs, base, tmp_path):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", "--load-in-4bit")
    assert "--load-in-4bit needs bitsandbytes: pip install bitsandbytes" in line


@pytest.mark.parametrize(
    ("option", "name"),
    [("--method", "dop"), ("--loss", "sigmiod=1"), ("--report-to", "wadnb"), ("--dtype", "bfloat61")],
)
def test_a_name_that_nobody_knows(prefs, base, tmp_path, option, name):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", option, name)
    assert "Did you mean" in line
    assert "Known:" in line


def test_not_enough_memory(prefs, base, tmp_path, monkeypatch):
    monkeypatch.setattr("collab_trl.plan.available_bytes", lambda: 1000)
    line = refused(prefs, "-m", base, "-o", tmp_path / "out")
    assert "Not enough memory on CPU" in line
    assert "a smaller base" in line


def test_running_out_of_memory_names_the_next_setting(prefs, base, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("collab_trl.preference.stage.adapted", full)
    line = refused(prefs, "-m", base, "-o", tmp_path / "out")
    assert line == "Error: Out of memory on CPU. Next: --per-device-batch-size 4; the same command then goes on."


def test_not_enough_disk(prefs, base, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 9, 1))
    assert "Not enough disk at" in refused(prefs, "-m", base, "-o", tmp_path / "out")


def test_an_output_that_cannot_be_written(prefs, base, tmp_path):
    (tmp_path / "file").write_text("")
    assert "Cannot write" in refused(prefs, "-m", base, "-o", tmp_path / "file" / "out")


def test_more_gpus_than_processes(prefs, base, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    line = refused(prefs, "-m", base, "-o", tmp_path / "out")
    assert "accelerate launch --num_processes 4 -m collab_cli.main finetune" in line
    assert "CUDA_VISIBLE_DEVICES=0" in line


def test_without_the_extra_the_pip_command_is_named(prefs, base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    line = refused(prefs, "-m", base, "-o", tmp_path / "out")
    assert line == "Error: Fine-tuning needs trl: pip install 'collab-sdk[train]'"


def test_a_config_file_sets_options_and_flags_win(prefs, base, tmp_path):
    config = tmp_path / "finetune.yaml"
    config.write_text("lora-r: 4\nlora-alpha: 8\nloss: [sigmoid=1, sft=0.5]\nlearning-rate: 1e-5\nsft-first: yes\n")
    result = collab(
        "finetune", prefs, "-m", base, "-o", tmp_path / "out", "--config", config, "--lora-alpha", 16, "--dry-run"
    )
    assert result.exit_code == 0, result.output
    assert "LoRA, rank 4, alpha 16" in result.stdout
    assert "1 sigmoid + 0.5 sft" in result.stdout
    assert "sft, then dpo" in result.stdout


@pytest.mark.parametrize(("text", "problem"), [("lora-r: [", "not YAML"), ("lora-x: 4", "Did you mean 'lora-r'?")])
def test_a_config_file_that_is_wrong(prefs, base, tmp_path, text, problem):
    config = tmp_path / "finetune.yaml"
    config.write_text(text)
    assert problem in refused(prefs, "-m", base, "-o", tmp_path / "out", "--config", config)


@pytest.mark.parametrize(
    "option", [("--max-usd", 1), ("--limit", 5), ("--model", "offline"), ("--judge-option", "temperature=0")]
)
def test_an_option_for_playing_where_nothing_is_played(prefs, base, tmp_path, option):
    result = collab("finetune", prefs, "-m", base, "-o", tmp_path / "out", *option)
    assert result.exit_code == 2
    assert f"{option[0]} is for playing conversations, and this training plays none: give --rounds" in result.stderr
    config = tmp_path / "shared.toml"
    config.write_text('model = "offline"\nlimit = 5\n')  # for other commands too
    result = collab("finetune", prefs, "-m", base, "-o", tmp_path / "out", "--config", config, "--dry-run")
    assert result.exit_code == 0, result.output


def test_kto_one_at_a_time(prefs, base, tmp_path):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", "--method", "kto", "--batch-size", 1)
    assert "needs --batch-size 2" in line


def test_the_folder_of_the_base_as_output(prefs, base):
    before = sorted(base.iterdir())
    result = collab("finetune", prefs, "-m", base, "-o", base)
    assert result.exit_code == 2
    assert f"{base} is a folder of inputs: write to another folder." in result.stderr
    with pytest.raises(UsageError, match="the base's own folder"):
        prepared(prefs, base, base)
    assert sorted(base.iterdir()) == before


def test_a_training_that_diverges_leaves_no_adapter(prefs, base, tmp_path):
    line = refused(prefs, "-m", base, "-o", tmp_path / "out", "--learning-rate", "1e30", "--epochs", 1)
    assert "smaller --learning-rate" in line
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_a_file_of_metrics_that_is_somebody_elses_is_no_finished_training(prefs, base, tmp_path):
    (tmp_path / "out").mkdir()
    for content in ("[1]", '{"loss": 1}'):
        (tmp_path / "out" / "metrics.json").write_text(content)
        (base / "model.safetensors").unlink(missing_ok=True)
        assert "The weights of" in refused(prefs, "-m", base, "-o", tmp_path / "out")


def test_what_an_earlier_version_finished_is_not_taken_for_a_result_of_this_one(prefs, base, tmp_path):
    (tmp_path / "out").mkdir()
    earlier = {
        "run": {"method": "dpo"},
        "held_out": {"before": {"reward_margin": 0.0}, "after": {"reward_margin": 0.1}},
    }
    (tmp_path / "out" / "metrics.json").write_text(json.dumps(earlier))
    line = refused(prefs, "-m", base, "-o", tmp_path / "out")
    assert "holds a training by another version of collab-sdk" in line
    assert "give another -o DIR" in line


@pytest.mark.parametrize("content", [[], 0, {}, False], ids=repr)
def test_a_content_that_is_no_text(base, tmp_path, content):
    row = {"prompt": "a latte", "chosen": [{"role": "assistant", "content": content}], "rejected": "No."}
    line = refused(write_rows(tmp_path / "p.jsonl", [row]), "-m", base, "-o", tmp_path / "out")
    assert "content must be text" in line


@pytest.fixture(scope="module")
def small_adapter(shared_base, tmp_path_factory) -> Path:
    """Of rank 4 on every linear layer, as the trainer makes it."""
    folder = tmp_path_factory.mktemp("adapter")
    data = write_pairs(folder / "prefs.jsonl", 8)
    settings = {"epochs": 1.0, "lora_r": 4, "eval_fraction": 0.0}
    prepared(data, shared_base, folder / "adapter", **settings).run(lambda progress: None)
    return folder / "adapter"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "has --lora-r 4, not 32: give --lora-r 4 to go on with it"),
        (("--lora-r", 4, "--lora-alpha", 8), "has --lora-alpha 32, not 8: give --lora-alpha 32 to go on"),
        (("--lora-r", 4, "--method", "sft"), "--adapter goes on with dpo or kto; --method sft begins with a fresh"),
        (("--lora-r", 4, "--sft-first"), "--adapter goes on with dpo or kto; --sft-first begins with a fresh adapter"),
    ],
    ids=["rank", "alpha", "method", "sft first"],
)
def test_an_adapter_that_this_training_cannot_go_on_with(shared_base, small_adapter, prefs, tmp_path, options, said):
    line = refused(prefs, "-m", shared_base, "-o", tmp_path / "out", "--adapter", small_adapter, *options)
    assert said in line


def test_an_adapter_of_another_base_to_go_on_with(small_adapter, prefs, tmp_path):
    other = write_base(tmp_path / "other", seed=1)
    line = refused(prefs, "-m", other, "-o", tmp_path / "out", "--adapter", small_adapter, "--lora-r", 4)
    assert "was trained on" in line
    assert f"not on {other}" in line


def test_an_adapter_on_other_layers_to_go_on_with(shared_base, small_adapter, prefs, tmp_path):
    adapter = shutil.copytree(small_adapter, tmp_path / "adapter")
    change(adapter / "adapter_config.json", target_modules=["q_proj"])
    line = refused(prefs, "-m", shared_base, "-o", tmp_path / "out", "--adapter", adapter, "--lora-r", 4)
    assert "is on other layers (['q_proj'])" in line


def test_an_adapter_under_another_chat_template_to_go_on_with(shared_base, small_adapter, prefs, tmp_path):
    adapter = shutil.copytree(small_adapter, tmp_path / "adapter")
    template = (adapter / "chat_template.jinja").read_text()
    (adapter / "chat_template.jinja").write_text("{# another one #}" + template)
    settings = {"adapter": adapter, "lora_r": 4}
    with pytest.raises(UsageError, match=r"under another chat template.*: give --chat-template .* and no --layout"):
        prepared(prefs, shared_base, tmp_path / "out", **settings)
    (adapter / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="under another chat template"):
        prepared(prefs, shared_base, tmp_path / "out", **settings)
    template = str(adapter / "chat_template.jinja")
    assert prepared(prefs, shared_base, tmp_path / "out", **settings, chat_template=template)
    (adapter / "chat_template.jinja").unlink()
    assert prepared(prefs, shared_base, tmp_path / "out", **settings), "it has none of its own"


@pytest.mark.parametrize("settings", [{"method": "grpo"}, {"rounds": 1}], ids=["grpo", "rounds"])
def test_a_layer_that_the_base_does_not_have_where_the_model_plays(shared_base, prefs, tmp_path, settings):
    with pytest.raises(UnknownNameError, match="Did you mean 'q_proj'"):
        prepared(prefs, shared_base, tmp_path / "out", play=playing.play(), target_modules=("q_prj",), **settings)


def test_the_adapter_to_go_on_with_is_not_written_over(shared_base, small_adapter, prefs):
    with pytest.raises(UsageError, match="-o is the folder of --adapter, which the new one would replace"):
        prepared(prefs, shared_base, small_adapter, adapter=small_adapter, lora_r=4)
