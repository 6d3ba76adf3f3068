"""Which folders make a local model, what is refused, and what identifies it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.cli import collab, write_chats
from support.local import asked, replies

from collab_sdk import as_chat_model
from collab_sdk.errors import EndpointError, UsageError
from collab_sdk.models import files_of

pytestmark = pytest.mark.slow


@pytest.fixture
def base(tiny_base, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(tiny_base, tmp_path / "base")


@pytest.fixture
def adapter(tiny_adapter, tmp_path):
    return shutil.copytree(tiny_adapter, tmp_path / "adapter")


def edit(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def retrain(path):
    weights = load_file(path)
    save_file({name: weight + 1e-3 for name, weight in weights.items()}, path)


def test_an_adapter_alone_brings_its_base(tiny_base, tiny_adapter):
    alone, named = (as_chat_model(f"hf:{path}") for path in (tiny_adapter, f"{tiny_base}@{tiny_adapter}"))
    assert alone.fingerprint == named.fingerprint


def test_a_folder_may_have_an_at_sign_in_its_name(tiny_base, tiny_adapter, tmp_path):
    base = shutil.copytree(tiny_base, tmp_path / "me@home" / "base")
    adapter = shutil.copytree(tiny_adapter, tmp_path / "v@2")
    plain, tuned = (as_chat_model(f"hf:{path}") for path in (base, f"{base}@{adapter}"))
    assert plain.fingerprint["adapter"] is None
    assert tuned.fingerprint == as_chat_model(f"hf:{tiny_base}@{tiny_adapter}").fingerprint


def test_an_adapter_trained_on_another_base_is_refused(base, tiny_adapter):
    retrain(base / "model.safetensors")
    with pytest.raises(UsageError, match=r"was trained on .*, not on .*base_model_name_or_path"):
        as_chat_model(f"hf:{base}@{tiny_adapter}")


def test_a_base_that_was_copied_is_still_the_base(base, tiny_adapter):
    assert as_chat_model(f"hf:{base}@{tiny_adapter}")


def test_a_model_that_was_trained_again_is_another_model(base, adapter):
    def identity():
        return as_chat_model(f"hf:{base}@{adapter}").fingerprint

    first = identity()
    (adapter / "README.md").write_text("# notes")
    (adapter / "metrics.json").write_text("{}")
    assert identity() == first
    retrain(adapter / "adapter_model.safetensors")
    second = identity()
    assert second != first
    retrain(base / "model.safetensors")
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(base))
    assert identity()["hf"] != second["hf"]


def test_a_large_model_is_identified_without_reading_it_whole(tmp_path, monkeypatch):
    from collab_trl.hf import folders

    monkeypatch.setattr(folders, "WHOLE", 1_000_000)
    folder = tmp_path / "large"
    folder.mkdir()
    weights = {"a": torch.rand(2_000_000), "b": torch.rand(500)}
    save_file(weights, folder / "model.safetensors")
    first = folders.content_hash(folder)
    assert folders.content_hash(folder) == first
    save_file({name: weight + 1e-3 for name, weight in weights.items()}, folder / "model.safetensors")
    assert folders.content_hash(folder) != first


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("hf:", "names no model"),
        ("hf:{tmp}/nowhere", "There is no folder"),
        ("hf:{tmp}", "has no config.json"),
        ("hf:{base}@{tmp}/nowhere", "There is no adapter at"),
        ("hf:{base}@{tmp}", "is not an adapter"),
    ],
)
def test_a_model_that_is_not_there_is_refused_before_any_call(spec, problem, base, tmp_path):
    with pytest.raises(UsageError, match=problem):
        as_chat_model(spec.format(base=base, tmp=tmp_path))


def test_an_adapter_in_a_format_that_can_run_code_is_not_loaded(base, adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UsageError, match=r"has no adapter_model\.safetensors"):
        as_chat_model(f"hf:{base}@{adapter}")


def test_a_tokenizer_without_chat_template_is_refused_with_the_fix(base):
    (base / "chat_template.jinja").unlink()
    with pytest.raises(EndpointError, match=r"no chat template.*chat_template\.jinja"):
        replies(as_chat_model(f"hf:{base}"), [asked()])


def test_a_tokenizer_needs_no_pad_token(base, tiny_base):
    edit(base / "tokenizer_config.json", pad_token=None)
    requests = [asked("a mocha please " * n, temperature=0.0) for n in (1, 5)]
    assert replies(as_chat_model(f"hf:{base}"), requests) == replies(as_chat_model(f"hf:{tiny_base}"), requests)


def test_weights_that_are_broken_off_end_the_run_in_one_line(base):
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EndpointError, match=r"cannot be read: \w+: .*") as caught:
        replies(as_chat_model(f"hf:{base}"), [asked()])
    assert "\n" not in str(caught.value)


def test_score_runs_with_a_local_model_and_its_adapter(tiny_base, tiny_adapter, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl")
    done = collab(
        "score", logs, "--assistant", f"hf:{tiny_base}@{tiny_adapter}", "--simulator", "offline", "--judge", "offline"
    )
    assert done.exit_code == 0, done.stderr
    assert "12 of 12 samples succeeded" in " ".join(done.stdout.split())
    assert "$0.00" in done.stderr


def test_score_says_in_one_line_that_an_adapter_is_in_the_wrong_place(tiny_adapter, base, tmp_path):
    retrain(base / "model.safetensors")
    logs = write_chats(tmp_path / "chats.jsonl")
    done = collab("score", logs, "-a", f"hf:{base}@{tiny_adapter}", "--simulator", "offline")
    assert done.exit_code in (1, 2)
    assert "was trained on" in done.stderr
    assert "Traceback" not in done.output


def test_the_precision_is_part_of_the_name_and_decides_which_replies_are_found(tiny_base, tiny_adapter):
    named = f"hf:{tiny_base}@{tiny_adapter}?dtype=float16"
    half, whole, own = (as_chat_model(each) for each in (named, f"hf:{tiny_base}?dtype=float32", f"hf:{tiny_base}"))
    assert half.name == named
    assert half.fingerprint["adapter"] is not None
    assert half.fingerprint["dtype"] == "float16"
    assert whole.fingerprint["dtype"] == "float32"
    assert own.fingerprint == as_chat_model(f"hf:{tiny_base}?dtype=auto").fingerprint


@pytest.mark.parametrize(("fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_that_multiplies_bfloat16_runs_models_in_it(fast, dtype, tiny_base, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert as_chat_model(f"hf:{tiny_base}").fingerprint["dtype"] == dtype


def test_a_model_runs_in_the_precision_of_its_name(tiny_base, monkeypatch):
    from transformers import LlamaForCausalLM

    seen, forward = set(), LlamaForCausalLM.forward

    def watched(self, **options):
        seen.add(self.dtype)
        return forward(self, **options)

    monkeypatch.setattr(LlamaForCausalLM, "forward", watched)
    for dtype in ("float32", "bfloat16"):
        replies(as_chat_model(f"hf:{tiny_base}?dtype={dtype}"), [asked()])
    assert seen == {torch.float32, torch.bfloat16}


def test_a_folder_may_have_a_question_mark_in_its_name(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "what?dtype=x")
    assert as_chat_model(f"hf:{folder}").fingerprint == as_chat_model(f"hf:{tiny_base}").fingerprint
    assert as_chat_model(f"hf:{folder}?dtype=float32").fingerprint["dtype"] == "float32"


@pytest.mark.parametrize("option", ["dtype=int8", "dtype", "bits=4", ""])
def test_an_unknown_option_of_a_name_is_refused_with_the_known_ones(option, tiny_base):
    with pytest.raises(UsageError, match=r"unknown option: write \?dtype= and one of auto, float32, bfloat16"):
        as_chat_model(f"hf:{tiny_base}?{option}")


def test_the_folders_of_a_name_with_a_precision_are_its_inputs(tiny_base, tiny_adapter):
    assert files_of(f"hf:{tiny_base}@{tiny_adapter}?dtype=float32") == [tiny_base, tiny_adapter]


def test_an_adapter_that_fails_to_load_leaves_its_base_as_it_was(base, adapter):
    question = [asked(temperature=0.0, max_tokens=8)]
    plain = as_chat_model(f"hf:{base}?dtype=float32")
    before = replies(plain, question)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[:-1]), adapter / "adapter_model.safetensors")
    broken = as_chat_model(f"hf:{base}@{adapter}?dtype=float32")
    for _ in range(2):
        with pytest.raises(EndpointError, match="adapter"):
            replies(broken, question)
        assert replies(plain, [asked(temperature=0.0, max_tokens=8, sample="again")]) == before


@pytest.mark.parametrize("way", ["a tensor", "bias", "layer_replication"])
def test_an_adapter_that_changes_its_base_is_refused(base, adapter, way):
    if way == "a tensor":
        weights = load_file(adapter / "adapter_model.safetensors")
        own = {"base_model.model.model.embed_tokens.weight": torch.zeros(2, 2)}
        save_file({**weights, **own}, adapter / "adapter_model.safetensors")
    else:
        edit(adapter / "adapter_config.json", **{way: "all" if way == "bias" else [[0, 1]]})
    with pytest.raises((EndpointError, UsageError), match="changes weights of its base"):
        replies(as_chat_model(f"hf:{base}@{adapter}"), [asked()])


def test_a_tokenizer_that_panics_ends_the_run_and_does_not_hang_it(base):
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EndpointError, match="cannot be read"):
        replies(as_chat_model(f"hf:{base}"), [asked()])
