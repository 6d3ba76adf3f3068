"""--merge writes a model that keeps what the adapter has learnt, or says why it cannot."""

import json
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import playing
from support.cli import collab
from support.training import prepared, write_base, write_pairs

from collab_sdk.errors import OutputError, TrainingError, UsageError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
SETTINGS = {"epochs": 1.0, "lora_r": 4, "eval_fraction": 0.3, "patience": 0}
Found = namedtuple("Found", "total used free")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """Pairs, and a base in bfloat16, as models on the hub are."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("shared")
    write_base(folder / "base")
    AutoModelForCausalLM.from_pretrained(folder / "base").bfloat16().save_pretrained(folder / "base")
    write_pairs(folder / "prefs.jsonl", 24)
    return folder


def ready(shared: Path, output: Path, **settings):
    return prepared(shared / "prefs.jsonl", shared / "base", output, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def small_update(shared) -> Path:
    """An adapter of an update that bfloat16 has no room for."""
    ready(shared, shared / "small", learning_rate=2e-4).run(lambda progress: None)
    return shared / "small"


def copied(folder: Path, path: Path) -> Path:
    return shutil.copytree(folder, path)


def margins(model, compared) -> list[float]:
    from collab_trl.log_probabilities import log_probabilities

    sides = (log_probabilities(model, side) for side in zip(*compared.rows, strict=True))
    return [chosen - rejected for chosen, rejected in zip(*sides, strict=True)]


def dtypes(folder: Path) -> set[str]:
    from safetensors.torch import load_file

    return {str(weight.dtype) for weight in load_file(folder / "model.safetensors").values()}


def test_an_update_that_bfloat16_would_lose_is_written_in_float32_and_the_loss_is_told(shared, small_update, tmp_path):
    from collab_trl.pretrained import read_adapter, read_model

    output = copied(small_update, tmp_path / "out")
    training = ready(shared, output, learning_rate=2e-4, merge=True)
    report = training.run(lambda progress: None)
    merged = json.loads((output / "metrics.json").read_text())["merged"]
    assert merged["base_dtype"] == "bfloat16"
    assert merged["dtype"] == "float32"
    assert merged["lost"]["bfloat16"] > 0.05 > 1e-3 > merged["lost"]["float32"]
    assert dtypes(output / "merged") == {"torch.float32"}
    base = read_model(shared / "base", dtype="float32")
    before = margins(base, training.compared)
    learnt = [
        one - other for one, other in zip(margins(read_adapter(base, output), training.compared), before, strict=True)
    ]
    kept = margins(read_model(output / "merged", dtype="float32"), training.compared)
    assert [one - other for one, other in zip(kept, before, strict=True)] == pytest.approx(learnt, rel=0.02, abs=1e-4)
    [said] = report.notes
    assert said == merged["said"]
    assert said in (output / "README.md").read_text()
    assert f"margin of {len(before)} held-out pairs" in said
    assert report.serve["vLLM, merged"] == f"vllm serve {output / 'merged'} --dtype float32"
    assert f"'hf:{output / 'merged'}?dtype=float32'" in report.serve["in process, merged"]


def test_an_update_that_the_precision_of_the_base_keeps_is_written_in_it(shared, tmp_path):
    report = ready(shared, tmp_path / "out", learning_rate=5e-2, epochs=4.0, merge=True).run(lambda progress: None)
    merged = json.loads((tmp_path / "out" / "metrics.json").read_text())["merged"]
    assert merged["dtype"] == "bfloat16"
    assert merged["lost"]["bfloat16"] <= 0.05
    assert dtypes(tmp_path / "out" / "merged") == {"torch.bfloat16"}
    assert report.serve["vLLM, merged"] == f"vllm serve {tmp_path / 'out' / 'merged'}"
    assert "Merged in bfloat16, the precision of the base, which changes" in report.notes[0]


def test_what_is_merged_already_is_not_merged_again_unless_the_adapter_is_another(shared, small_update, tmp_path):
    output = copied(small_update, tmp_path / "out")
    first = ready(shared, output, learning_rate=2e-4, merge=True).run(lambda progress: None)
    made = (output / "merged" / "model.safetensors").stat().st_mtime_ns
    again = ready(shared, output, learning_rate=2e-4, merge=True).run(lambda progress: None)
    assert (output / "merged" / "model.safetensors").stat().st_mtime_ns == made
    assert (again.notes, again.serve) == (first.notes, first.serve)
    metrics = json.loads((output / "metrics.json").read_text())
    metrics["merged"]["adapter"] = "of another one"
    (output / "metrics.json").write_text(json.dumps(metrics))
    ready(shared, output, learning_rate=2e-4, merge=True).run(lambda progress: None)
    assert (output / "merged" / "model.safetensors").stat().st_mtime_ns != made


def test_with_nothing_held_out_rows_that_were_trained_on_are_compared(shared, tmp_path):
    report = ready(shared, tmp_path / "out", eval_fraction=0.0, merge=True).run(lambda progress: None)
    assert "margin of 24 pairs that were trained on" in report.notes[0]


def test_where_there_are_no_replies_the_adapter_s_own_are_compared(tiny_base, tmp_path):
    openings = playing.write_openings(tmp_path / "openings.jsonl")
    training = playing.prepared("grpo", openings, tiny_base, tmp_path / "out", epochs=1.0, merge=True)
    [said] = training.run(lambda progress: None).notes
    assert "log-probability of 10 replies of its own" in said


def test_a_disk_that_fills_up_while_merging_costs_the_merge_alone(shared, small_update, tmp_path, monkeypatch):
    from transformers import PreTrainedModel

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    output = copied(small_update, tmp_path / "out")
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(OutputError, match=r"Cannot write the merged model to .*No space left on device"):
        ready(shared, output, learning_rate=2e-4, merge=True).run(lambda progress: None)
    assert not list(output.glob("merged*"))
    assert (output / "adapter_model.safetensors").exists()


def test_memory_that_runs_out_while_merging_costs_the_merge_alone(shared, small_update, tmp_path, monkeypatch):
    def too_much(*_, **__):
        raise MemoryError

    output = copied(small_update, tmp_path / "out")
    monkeypatch.setattr("peft.PeftModel.merge_and_unload", too_much, raising=False)
    monkeypatch.setattr("peft.tuners.lora.LoraModel.merge_and_unload", too_much)
    with pytest.raises(TrainingError, match="Out of memory while merging"):
        ready(shared, output, learning_rate=2e-4, merge=True).run(lambda progress: None)
    assert (output / "adapter_model.safetensors").exists()


def refused(shared: Path, output: Path) -> str:
    """The one line with which a merge is refused before anything is trained."""
    result = collab("finetune", shared / "prefs.jsonl", "-m", shared / "base", "-o", output, "--merge")
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert not output.exists()
    return line


def test_no_room_on_the_disk_for_the_merged_model(shared, tmp_path, monkeypatch):
    monkeypatch.setattr("collab_trl.checks.shutil.disk_usage", lambda folder: Found(10**6, 10**6, 10_000))
    assert "Not enough disk" in refused(shared, tmp_path / "out")


def test_no_memory_for_merging(shared, tmp_path, monkeypatch):
    monkeypatch.setattr("collab_trl.checks.merging_bytes", lambda base: 10**15)
    monkeypatch.setattr("collab_trl.checks.check_disk", lambda options, base: None)
    monkeypatch.setattr("collab_trl.output.training.check_disk", lambda options, base: None)
    line = refused(shared, tmp_path / "out")
    assert "Not enough memory for --merge, which holds the base in float32: about 1000000.0 GB are needed" in line


def test_memory_for_merging_is_what_the_container_leaves(shared, tmp_path, monkeypatch):
    tight = SimpleNamespace(limit=2e9, used=2e9 - 1000)
    monkeypatch.setattr("collab_trl.device_memory.control_group", lambda: tight)
    monkeypatch.setattr("collab_trl.output.training.check_memory", lambda *arguments: None)
    assert "Not enough memory for --merge" in refused(shared, tmp_path / "out")


def test_a_quantised_base_cannot_take_an_adapter_in(shared, tmp_path):
    base = copied(shared / "base", tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    quantised = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": quantised}))
    with pytest.raises(UsageError, match=r"--merge: the weights of .* are quantised"):
        prepared(shared / "prefs.jsonl", base, tmp_path / "out", **SETTINGS, merge=True).run(lambda progress: None)
