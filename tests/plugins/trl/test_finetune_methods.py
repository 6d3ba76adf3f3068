"""Every method trains a tiny model, and what it leaves behind is what was trained."""

import gc
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import TESTS
from support.training import (
    ASKS,
    GUESSES,
    log_probability,
    pair,
    prepared,
    trained,
    write_base,
    write_pairs,
    write_rows,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
"""What PEFT's present release asks of transformers' when these tests load an adapter."""

RELOAD = """
import json, sys
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
from support.training import ASKS, GUESSES, log_probability
folder = sys.argv[1]
model, tokenizer = AutoPeftModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
print(json.dumps([log_probability(model, tokenizer, number, reply) for number in (0, 1) for reply in (ASKS, GUESSES)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_base(folder / "base")
    write_pairs(folder / "prefs.jsonl")
    return folder


@pytest.fixture(scope="module")
def dpo(folder):
    return trained(folder / "prefs.jsonl", folder / "base", folder / "dpo", merge=True)


def loaded(folder: Path, adapter: Path | None = None):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def preference(model, tokenizer, number: int = 0) -> float:
    return log_probability(model, tokenizer, number, ASKS) - log_probability(model, tokenizer, number, GUESSES)


def test_dpo_prefers_what_was_chosen_in_conversations_it_never_saw(folder, dpo):
    assert dpo.held_out.after["accuracy"].mean > 0.9 > dpo.held_out.before["accuracy"].mean
    assert dpo.held_out.difference["margin"].low > 0
    assert preference(*loaded(folder / "base", folder / "dpo")) > preference(*loaded(folder / "base")) + 1


def test_held_out_figures_say_on_how_many_examples_and_of_which_checkpoint_they_are(folder, dpo):
    metrics = json.loads((folder / "dpo" / "metrics.json").read_text())
    assert len([log for log in metrics["history"]["dpo"] if "eval_rewards/accuracies" in log]) > 1
    assert dpo.held_out.looks == 0, "so few that all report, and none chooses"
    assert dpo.held_out.after["accuracy"].n == dpo.held_out.examples >= 8
    card = (folder / "dpo" / "README.md").read_text()
    said = f"On {dpo.held_out.examples} examples of {dpo.held_out.conversations} conversations; the last step. In"
    assert said in card
    assert "| chosen logp |" in card, "as in the terminal"
    assert "[1.0000, 1.0000]" not in card


def test_dpo_keeps_the_chosen_replies_likely(folder, dpo):
    assert dpo.held_out.after["chosen_logp"].mean > dpo.held_out.before["chosen_logp"].mean
    assert not dpo.warnings


def test_a_fall_of_the_chosen_replies_is_warned_about(folder):
    # apo_down is the loss that pushes both replies down, the rejected one further.
    settings = {"loss": (("apo_down", 1.0),), "learning_rate": 5e-2, "epochs": 4.0}
    report = trained(folder / "prefs.jsonl", folder / "base", folder / "falls", **settings)
    assert any("Chosen replies became less likely" in warning for warning in report.warnings)
    assert "became less likely" in (folder / "falls" / "README.md").read_text()


def test_sft_learns_the_chosen_replies_alone(folder):
    report = trained(folder / "prefs.jsonl", folder / "base", folder / "sft", method="sft")
    assert report.held_out.after["loss"].mean < report.held_out.before["loss"].mean
    model, tokenizer = loaded(folder / "base", folder / "sft")
    assert log_probability(model, tokenizer, 0, ASKS) > log_probability(*loaded(folder / "base"), 0, ASKS) + 5


def test_kto_learns_from_replies_that_are_no_pairs(folder):
    rows = []
    for number in range(40):
        reply, label = (ASKS, True) if number % 2 else (GUESSES, False)
        prompt = pair(number)["prompt"]
        completion = [{"role": "assistant", "content": reply}]
        rows.append({"prompt": prompt, "completion": completion, "label": label, "conversation_id": f"chat-{number}"})
    report = trained(write_rows(folder / "kto.jsonl", rows), folder / "base", folder / "kto", method="kto")
    assert report.held_out.difference["margin"].low > 0
    assert preference(*loaded(folder / "base", folder / "kto")) > preference(*loaded(folder / "base"))


@pytest.mark.parametrize("loss", ["hinge", "ipo", "apo_zero", "exo_pair", "sigmoid_norm"])
def test_other_losses_of_trl_run(folder, loss):
    report = trained(folder / "prefs.jsonl", folder / "base", folder / loss, loss=((loss, 1.0),), epochs=0.5)
    assert report.steps > 0


def test_the_adapter_gives_the_trained_logits_in_a_fresh_process_elsewhere(folder, dpo, tmp_path):
    model, tokenizer = loaded(folder / "base", folder / "dpo")
    here = [log_probability(model, tokenizer, number, reply) for number in (0, 1) for reply in (ASKS, GUESSES)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", RELOAD, str(folder / "dpo")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == pytest.approx(here, abs=1e-3)


def test_merged_equals_unmerged(folder, dpo):
    merged, unmerged = loaded(folder / "dpo" / "merged"), loaded(folder / "base", folder / "dpo")
    for reply in (ASKS, GUESSES):
        assert log_probability(*merged, 0, reply) == pytest.approx(log_probability(*unmerged, 0, reply), abs=1e-3)


def test_sft_first_keeps_what_sft_taught(folder):
    """The known fault: DPO on a merged SFT model saves an adapter that names the base, where SFT is lost on reload."""
    settings = {"sft_first": True, "learning_rate": 1e-4}
    report = trained(folder / "prefs.jsonl", folder / "base", folder / "both", **settings)
    taught = log_probability(*loaded(folder / "base", folder / "both"), 0, ASKS)
    assert taught > log_probability(*loaded(folder / "base"), 0, ASKS) + 5
    assert report.held_out.difference["chosen_logp"].low > 5, "what is before is the base, and not what SFT left"
    history = json.loads((folder / "both" / "metrics.json").read_text())["history"]
    first = next(log for log in history["dpo"] if "rewards/margins" in log)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-4), "the reference is the model that SFT left"


def test_the_base_has_left_memory_when_the_training_is_done(folder):
    from transformers import LlamaForCausalLM

    bases = []

    def look(progress):
        if progress.step:
            bases.append(sum(type(each) is LlamaForCausalLM for each in gc.get_objects()))

    gc.collect()
    gc.disable()
    try:
        prepared(folder / "prefs.jsonl", folder / "base", folder / "one", sft_first=True, epochs=0.5).run(look)
    finally:
        gc.enable()
    assert max(bases) == min(bases), "one at a time"
    assert sum(type(each) is LlamaForCausalLM for each in gc.get_objects()) < bases[0]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(folder, dpo):
    digests = []
    for name, seed in (("again", 0), ("other", 1)):
        trained(folder / "prefs.jsonl", folder / "base", folder / name, seed=seed)
        digests.append(digest(folder / name))
    assert digests[0] == digest(folder / "dpo")
    assert digests[1] != digests[0]


def digest(folder: Path) -> list[str]:
    files = ("adapter_model.safetensors", "adapter_config.json")
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files]


def test_a_finished_training_is_not_done_again(folder, dpo):
    before = digest(folder / "dpo")
    seen = []
    report = prepared(folder / "prefs.jsonl", folder / "base", folder / "dpo", merge=True).run(seen.append)
    assert (report.steps, report.resumed, seen) == (dpo.steps, True, [])
    assert digest(folder / "dpo") == before


def test_a_finished_training_can_still_be_merged(folder, dpo):
    trained(folder / "prefs.jsonl", folder / "base", folder / "later", epochs=0.5)
    assert not (folder / "later" / "merged").exists()
    report = trained(folder / "prefs.jsonl", folder / "base", folder / "later", epochs=0.5, merge=True)
    assert report.serve["vLLM, merged"] == f"vllm serve {folder / 'later' / 'merged'} --dtype float32"
    merged, unmerged = loaded(folder / "later" / "merged"), loaded(folder / "base", folder / "later")
    assert log_probability(*merged, 0, ASKS) == pytest.approx(log_probability(*unmerged, 0, ASKS), abs=1e-3)
