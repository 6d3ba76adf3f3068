"""Of models and adapters from elsewhere weights are loaded and nothing is run, whatever is answered on the terminal."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import playing
from support.cli import collab, spawn, write_chats
from support.training import prepared, write_base, write_pairs
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, AutoTokenizer

from collab_sdk.training import PLAYING

pytestmark = pytest.mark.slow

PICKLE = "A pickle (.bin, .pt) can run code and is not loaded: save it again with save_pretrained(), as safetensors."
QUICK = ("--epochs", 1, "--lora-r", 2, "--eval-fraction", 0)
CODE = "which is not run: give a model that transformers has a class for, without an auto_map to another."


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with a base, pairs, and an adapter that was trained on them."""
    folder = tmp_path_factory.mktemp("shared")
    base, prefs = write_base(folder / "base"), write_pairs(folder / "prefs.jsonl", 8)
    trained = collab("finetune", prefs, "-m", base, "-o", folder / "adapter", *QUICK)
    assert trained.exit_code == 0, trained.output
    return folder


@pytest.fixture
def base(shared, tmp_path):
    return shutil.copytree(shared / "base", tmp_path / "base")


@pytest.fixture
def adapter(shared, tmp_path):
    return shutil.copytree(shared / "adapter", tmp_path / "adapter")


@pytest.fixture
def marker(tmp_path):
    """The file that code from elsewhere writes when it is run."""
    return tmp_path / "marker"


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


class Pickled:
    """Writes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "unpickled")


def pickled(weights: Path, name: str, marker: Path) -> None:
    """A pickle in place of safetensors."""
    torch.save({"weights": load_file(weights), "other": Pickled(marker)}, weights.with_name(name))
    weights.unlink()


def with_code(folder: Path, marker: Path, file: str, **values: object) -> None:
    """A repository whose `file` names modules of its own."""
    for module in ("configuration", "modeling", "tokenization"):
        (folder / f"{module}_own.py").write_text(
            f"open({str(marker)!r}, 'w').write('run')\n"
            "from transformers import LlamaConfig as OwnConfig, LlamaForCausalLM as OwnForCausalLM\n"
            "from transformers import LlamaForCausalLM, PreTrainedTokenizerFast as OwnTokenizer\n"
        )
    change(folder / file, **values)


CONFIG = {"AutoConfig": "configuration_own.OwnConfig"}
MODEL = {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
CODE_OF_ITS_OWN = {
    "architecture": ("config.json", {"model_type": "own", "auto_map": CONFIG | MODEL}),
    "model": ("config.json", {"auto_map": MODEL}),
    "model elsewhere": ("config.json", {"auto_map": {"AutoModelForCausalLM": "some/one--modeling_own.OwnForCausalLM"}}),
    "tokenizer": (
        "tokenizer_config.json",
        {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}},
    ),
    "tokenizer, old form": ("tokenizer_config.json", {"auto_map": ["tokenization_own.OwnTokenizer", None]}),
}


def finetuned(prefs: Path, base: Path, output: Path, *options: object) -> str:
    """The line that a refused training ends with."""
    return refusal(collab("finetune", prefs, "-m", base, "-o", output, *options, stdin="y\n" * 9))


def scored(bot: str, folder: Path) -> str:
    """The line that a run with a refused bot ends with."""
    chats = write_chats(folder / "chats.jsonl")
    models = ("--assistant", bot, "--simulator", "offline", "--judge", "offline")
    return refusal(collab("score", chats, *models, stdin="y\n" * 9))


def refusal(result) -> str:
    assert result.exit_code, result.output
    assert "Traceback" not in result.output
    assert "[y/N]" not in result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    return line


@pytest.mark.parametrize(("file", "values"), CODE_OF_ITS_OWN.values(), ids=CODE_OF_ITS_OWN)
def test_a_repository_that_needs_code_of_its_own_is_refused(shared, base, marker, tmp_path, file, values):
    with_code(base, marker, file, **values)
    assert finetuned(shared / "prefs.jsonl", base, tmp_path / "out").endswith(CODE)
    assert scored(f"hf:{base}", tmp_path).endswith(CODE)
    assert not marker.exists()


def test_where_transformers_has_the_class_it_takes_the_place_of_the_repositorys_code(shared, base, marker, tmp_path):
    with_code(base, marker, "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.LlamaForCausalLM"})
    trained = collab("finetune", shared / "prefs.jsonl", "-m", base, "-o", tmp_path / "out", *QUICK, stdin="y")
    assert trained.exit_code == 0, trained.output
    assert not marker.exists()


def test_attention_that_is_code_from_the_hub_is_refused(shared, base, tmp_path):
    change(base / "config.json", attn_implementation="some-one/attention")
    line = finetuned(shared / "prefs.jsonl", base, tmp_path / "out")
    assert "asks for the attention of some-one/attention" in line
    assert line == scored(f"hf:{base}", tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt"])
def test_pickled_weights_are_refused(shared, base, marker, tmp_path, name):
    pickled(base / "model.safetensors", name, marker)
    refused = f"Error: The weights of {base} cannot be read: it has no model.safetensors. {PICKLE}"
    assert finetuned(shared / "prefs.jsonl", base, tmp_path / "out") == refused
    assert scored(f"hf:{base}", tmp_path) == refused
    assert not marker.exists()


def test_a_model_of_the_hub_is_held_to_the_same(shared, marker, tmp_path):
    repository = tmp_path / "hub" / "models--some--one"
    snapshot = shutil.copytree(shared / "base", repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def end(output: str) -> str:
        options = ("-m", "some/one", "-o", tmp_path / output, "--epochs", 1, "--lora-r", 2, "--eval-fraction", 0)
        process = spawn("finetune", shared / "prefs.jsonl", *options, cwd=tmp_path, env=environment)
        return process.communicate()[1]

    assert "Adapter: " in end("trained")
    pickled(snapshot / "model.safetensors", "pytorch_model.bin", marker)
    refused = f"Error: The weights of some/one cannot be read: it has no model.safetensors. {PICKLE}"
    assert end("refused").splitlines()[-1] == refused
    assert not marker.exists()


@pytest.mark.parametrize("way", ["config", "index"])
def test_a_pickle_that_another_file_names_as_the_weights_is_refused(shared, base, marker, tmp_path, way):
    pickled(base / "model.safetensors", "adapter_model.bin", marker)
    if way == "config":
        change(base / "config.json", transformers_weights="adapter_model.bin")
    else:
        index = {"metadata": {}, "weight_map": {"lm_head.weight": "adapter_model.bin"}}
        (base / "model.safetensors.index.json").write_text(json.dumps(index))
    for line in (finetuned(shared / "prefs.jsonl", base, tmp_path / "out"), scored(f"hf:{base}", tmp_path)):
        assert line.endswith(PICKLE)
    assert not marker.exists()


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_weights_that_are_broken_off_are_refused(shared, base, tmp_path, keep):
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    for line in (finetuned(shared / "prefs.jsonl", base, tmp_path / "out"), scored(f"hf:{base}", tmp_path)):
        assert line.startswith(f"Error: The weights of {base} cannot be read: SafetensorError: ")


def test_weights_that_lack_a_layer_are_refused(shared, base, tmp_path):
    weights = load_file(base / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    for line in (finetuned(shared / "prefs.jsonl", base, tmp_path / "out"), scored(f"hf:{base}", tmp_path)):
        assert line.endswith("are incomplete: model.layers.0.mlp.up_proj.weight is missing (1 in all).")


def test_a_base_with_an_adapter_beside_it_is_refused(shared, base, tmp_path):
    shutil.copy(shared / "adapter" / "adapter_config.json", base)
    assert "holds a model and an adapter" in finetuned(shared / "prefs.jsonl", base, tmp_path / "out")


def test_a_pickled_adapter_is_neither_served_nor_merged(shared, adapter, marker, tmp_path):
    pickled(adapter / "adapter_model.safetensors", "adapter_model.bin", marker)
    refused = f"Error: The adapter in {adapter} has no adapter_model.safetensors. {PICKLE}"
    assert scored(f"hf:{adapter}", tmp_path) == refused
    assert scored(f"hf:{shared / 'base'}@{adapter}", tmp_path) == refused
    # The training is done already; what is left is the merge.
    assert finetuned(shared / "prefs.jsonl", shared / "base", adapter, *QUICK, "--merge") == refused
    assert not marker.exists()
    assert not (adapter / "merged").exists()


def test_a_tokenizer_beside_an_adapter_runs_no_code_either(shared, adapter, marker, tmp_path):
    file, values = CODE_OF_ITS_OWN["tokenizer"]
    with_code(adapter, marker, file, **values)
    assert scored(f"hf:{shared / 'base'}@{adapter}", tmp_path).endswith(CODE)
    assert not marker.exists()


@pytest.mark.parametrize("method", ["dpo", "sft", "kto", "grpo", "rloo", "online-dpo"])
def test_the_trainers_load_nothing_that_could_run_code(shared, tiny_base, tmp_path, monkeypatch, method):
    """TRL reads reference models, reward models and processors itself where it is not given them."""
    trusts = []
    for loader in (AutoConfig, AutoTokenizer, AutoProcessor, AutoModelForCausalLM):
        monkeypatch.setattr(loader, "from_pretrained", watched(loader.from_pretrained, trusts))
    if method in PLAYING:
        openings = playing.write_openings(tmp_path / "openings.jsonl")
        training = playing.prepared(method, openings, tiny_base, tmp_path / "out", epochs=1.0)
    else:
        training = prepared(shared / "prefs.jsonl", shared / "base", tmp_path / "out", method=method, merge=True)
    training.run(lambda progress: None)
    assert set(trusts) == {False}


def watched(load, trusts):
    def from_pretrained(*arguments, **settings):
        trusts.append(settings.get("trust_remote_code"))
        return load(*arguments, **settings)

    return from_pretrained


def test_an_adapter_that_lacks_weights_is_refused(shared, adapter, tmp_path):
    weights = load_file(adapter / "adapter_model.safetensors")
    del weights["base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"]
    save_file(weights, adapter / "adapter_model.safetensors")
    assert "up_proj.lora_B" in scored(f"hf:{shared / 'base'}@{adapter}", tmp_path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "some/one"}, "only LoRA adapters are loaded"),
        ({"megatron_config": {"layers": 1}, "megatron_core": "antigravity"}, "names a module to import"),
    ],
    ids=["another kind", "a module"],
)
def test_an_adapter_that_would_load_more_than_its_own_weights_is_refused(adapter, tmp_path, values, problem):
    change(adapter / "adapter_config.json", **values)
    assert problem in scored(f"hf:{adapter}", tmp_path)
