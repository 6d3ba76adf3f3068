"""The precision in which a training computes: which one is taken, and that it changes nothing else."""

import pytest
from safetensors.torch import load_file
from support import playing
from support.training import ASKS, GUESSES, log_probability, prepared, trained, write_base, write_pairs

from collab_sdk.errors import OutputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dtype")
    write_base(folder / "base")
    write_pairs(folder / "prefs.jsonl")
    return folder


@pytest.fixture(scope="module")
def in_bfloat16(folder):
    output = folder / "bfloat16"
    trained(folder / "prefs.jsonl", folder / "base", output, dtype="bfloat16", merge=True)
    return output


def adapter(output):
    return (output / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("asked", "faster", "taken", "size"),
    [
        ("auto", True, "bfloat16", 2),
        ("auto", False, "float32", 4),
        ("float32", True, "float32", 4),
        ("bfloat16", False, "bfloat16", 2),
    ],
)
def test_bfloat16_is_taken_where_the_cpu_multiplies_it_or_it_is_asked_for(
    folder, tmp_path, monkeypatch, asked, faster, taken, size
):
    monkeypatch.setattr("collab_trl.defaults.cpu_multiplies_bf16", lambda: faster)
    preflight = prepared(folder / "prefs.jsonl", folder / "base", tmp_path / "out", dtype=asked).preflight
    _, lora, _ = preflight.memory
    assert preflight.plan["precision"] == taken
    assert lora.weights == size * preflight.parameters


def test_an_adapter_that_was_trained_in_bfloat16_has_learnt_and_is_float32(folder, in_bfloat16, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def preference(model_folder):
        model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
        said = [log_probability(model, tokenizer, 0, reply) for reply in (ASKS, GUESSES)]
        return said[0] - said[1]

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    assert preference(in_bfloat16 / "merged") > preference(folder / "base") + 1
    for weights in (in_bfloat16 / "adapter_model.safetensors", in_bfloat16 / "merged" / "model.safetensors"):
        assert {str(weight.dtype) for weight in load_file(weights).values()} == {"torch.float32"}
    trained(folder / "prefs.jsonl", folder / "base", tmp_path / "float32")
    assert adapter(in_bfloat16) != adapter(tmp_path / "float32")
    assert "| precision | bfloat16 |" in (in_bfloat16 / "README.md").read_text()


class StoppedError(Exception):
    """Raised in the middle of a training."""


def test_stopped_in_bfloat16_it_ends_where_an_undisturbed_run_ends(folder, in_bfloat16, tmp_path):
    def stop(progress):
        if progress.step == 5:
            raise StoppedError

    settings = {"dtype": "bfloat16"}
    with pytest.raises(StoppedError):
        prepared(folder / "prefs.jsonl", folder / "base", tmp_path / "out", **settings).run(stop)
    assert trained(folder / "prefs.jsonl", folder / "base", tmp_path / "out", **settings).resumed
    assert adapter(tmp_path / "out") == adapter(in_bfloat16)


def test_a_training_does_not_go_on_in_another_precision(folder, in_bfloat16):
    with pytest.raises(OutputError, match=r"holds another training \(it differs in dtype\)"):
        trained(folder / "prefs.jsonl", folder / "base", in_bfloat16, dtype="float32", merge=True)


@pytest.mark.parametrize("method", ["sft", "kto"])
def test_other_methods_learn_in_bfloat16(folder, tmp_path, method):
    settings = {"method": method, "dtype": "bfloat16"}
    report = trained(folder / "prefs.jsonl", folder / "base", tmp_path / "out", **settings)
    metric, sign = ("loss", -1) if method == "sft" else ("margin", 1)
    assert sign * report.held_out.difference[metric].mean > 0


@pytest.mark.parametrize("method", ["grpo", "rloo", "online-dpo", "ppo"])
def test_methods_that_play_talk_and_learn_in_bfloat16(tiny_base, tmp_path, method):
    openings = playing.write_openings(tmp_path / "openings.jsonl")
    training = playing.prepared(method, openings, tiny_base, tmp_path / "out", dtype="bfloat16", epochs=1.0)
    logs = []
    assert training.run(lambda progress: logs.append(progress.metrics)).steps > 0
    assert any(log.get("reward", log.get("rewards", 0)) for log in logs), "some replies were the wanted one"
