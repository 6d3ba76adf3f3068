"""`--push-to-hub`, with the hub's own client and a hub on this machine."""

import json
import shutil

import pytest
from support import playing
from support.cli import collab
from support.hub import TOKEN, loopback_hub
from support.training import pair, trained, write_base, write_pairs, write_rows

from collab_sdk.errors import OutputError, UsageError
from collab_sdk.training import Verdict

pytestmark = pytest.mark.slow
BASE = "someone/a-base"
BETTER = Verdict(found="better", said="Better than its base.")
HELD_BACK = ("no different", "worse", "not known")


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    with loopback_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def adapter(tmp_path):
    """A folder as a training leaves it, with what must stay here."""
    folder = tmp_path / "my adapter"
    (folder / "checkpoints").mkdir(parents=True)
    files = {
        "adapter_model.safetensors": "weights",
        "adapter_config.json": json.dumps({"base_model_name_or_path": BASE}),
        "tokenizer.json": "{}",
        "tokenizer_config.json": "{}",
        "chat_template.jinja": "{{ messages }}",
        "README.md": f"# my adapter\n\n![curves](curves.png)\n\n## Serve it\n\n```bash\nvllm serve '{folder}'\n```\n",
        "metrics.json": "{}",
        "curves.png": "picture",
        "comparison.jsonl": "{}",
        "checkpoints/run.json": "{}",
        "prefs.jsonl": "{}",
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def push(folder, name, verdict=BETTER):
    from collab_trl.output.hub import push

    return push(folder, name, verdict, (folder / "README.md").read_text())


def check(name, base=BASE):
    from collab_trl.output.hub import check_hub

    check_hub(name, base)


@pytest.fixture
def named_base(tmp_path, monkeypatch):
    """A folder that the checks take for a name on the hub."""
    monkeypatch.setattr("collab_trl.output.hub.check_hub", lambda name, base: None)
    return write_base(tmp_path / "base")


def test_the_adapter_its_tokenizer_and_its_card_are_uploaded_and_nothing_else(hub, adapter):
    assert push(adapter, "coffee") == f"Pushed to {hub.endpoint}/someone/coffee (private)."
    assert hub.public == set()
    uploaded = hub.repos["someone/coffee"]
    assert set(uploaded) == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "README.md",
    }
    assert uploaded["adapter_model.safetensors"] == b"weights"
    card = uploaded["README.md"].decode()
    assert "hf download someone/coffee --local-dir 'my adapter'" in card
    assert "vllm serve 'my adapter'" in card, "what is said of this machine's folder is said of the download"
    assert str(adapter.parent) not in card and "curves" not in card
    assert str(adapter) in (adapter / "README.md").read_text(), "the card that stays is not touched"


def test_a_repository_that_is_there_is_taken_as_it_is(hub, adapter):
    hub.repos["team/coffee"] = {"NOTES.md": b"ours"}
    hub.public.add("team/coffee")
    check("team/coffee")
    assert push(adapter, "team/coffee").endswith("/team/coffee (public, as the repository was before).")
    assert hub.repos["team/coffee"]["NOTES.md"] == b"ours"


@pytest.mark.parametrize("found", HELD_BACK)
def test_what_is_not_better_stays_here(hub, adapter, found):
    said = push(adapter, "coffee", Verdict(found=found, said="."))
    assert said == "Not pushed to coffee, as it is not known to be better than what it began with."
    assert not hub.requests


def test_what_was_not_judged_is_pushed_and_that_is_said(hub, adapter):
    assert push(adapter, "coffee", Verdict(found="not judged", said=".")).endswith("(private; it was not judged).")


def test_a_file_with_a_path_of_this_machine_is_not_uploaded(hub, adapter):
    (adapter / "tokenizer_config.json").write_text(json.dumps({"name_or_path": str(adapter)}))
    with pytest.raises(OutputError, match=r"tokenizer_config\.json has a path of this machine"):
        push(adapter, "coffee")
    assert not hub.repos


def test_a_vocabulary_may_have_the_path_of_a_home_among_its_words(hub, adapter, monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    (adapter / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"/root": 7}}}))
    (adapter / "README.md").write_text("# my adapter\n\nof /roots and square/root\n")
    assert push(adapter, "coffee").startswith("Pushed to")
    (adapter / "README.md").write_text("Held out is what is in /root/prefs.eval.jsonl.")
    with pytest.raises(OutputError, match=r"README\.md has a path of this machine \(/root\)"):
        push(adapter, "coffee")


def test_what_a_card_would_tell_of_this_machine_is_refused_before_training(adapter):
    from collab_trl.output.hub import check_card

    check_card(["Held out is what is in prefs.eval.jsonl.", "file: prefs.jsonl"], adapter)
    with pytest.raises(UsageError, match="--push-to-hub: the card would have a path of this machine"):
        check_card(["file: prefs.jsonl", f"left out: no such file {adapter}/x.png"], adapter)


def test_held_out_file_and_template_are_called_by_their_names(hub, named_base, tmp_path):
    folder = tmp_path / "clients"
    folder.mkdir()
    write_rows(folder / "prefs.jsonl", [pair(number) for number in range(20)])
    write_rows(folder / "prefs.eval.jsonl", [pair(number) for number in range(20, 40)])
    shutil.copyfile(named_base / "chat_template.jinja", folder / "t.jinja")
    options = {"chat_template": str(folder / "t.jinja"), "push_to_hub": "coffee", "merge": True}
    report = trained(folder / "prefs.jsonl", named_base, tmp_path / "out", **options)
    assert report.pushed == f"Pushed to {hub.endpoint}/someone/coffee (private).", report.push_failure
    card = hub.repos["someone/coffee"]["README.md"].decode()
    assert "Held out is what is in prefs.eval.jsonl." in card
    assert "| chat template | t.jinja |" in card
    assert str(folder) not in card
    assert "erged" not in card and "erged" in (tmp_path / "out" / "README.md").read_text(), "that model stays here"
    assert "| asked |" not in card and "| asked |" in (tmp_path / "out" / "README.md").read_text(), "users' words stay"
    assert "| margin |" in card


def test_a_push_that_fails_comes_behind_all_that_was_found_out(hub, named_base, tmp_path):
    prefs, output = write_pairs(tmp_path / "prefs.jsonl", 16), tmp_path / "out"
    command = ("finetune", prefs, "-m", named_base, "-o", output, "--epochs", 1, "--eval-fraction", 0)
    command = (*command, "--push-to-hub", "coffee")
    hub.refuses.add("someone/coffee")
    result = collab(*command)
    assert result.exit_code == 1
    assert f"Adapter: {output}" in result.stderr
    assert "vllm serve" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: The Hugging Face hub refuses the token (403)")
    hub.refuses.clear()
    again = collab(*command)
    assert again.exit_code == 0, again.output
    assert "gone on with" in again.stderr and "Pushed to" in again.stderr


def test_rounds_push_the_adapter_of_the_last_one(hub, monkeypatch, tiny_base, tmp_path):
    monkeypatch.setattr("collab_trl.output.hub.check_hub", lambda name, base: None)
    openings = playing.write_openings(tmp_path / "openings.jsonl")
    settings = {"rounds": 2, "push_to_hub": "coffee", "epochs": 1.0, "eval_fraction": 0.0}
    training = playing.prepared("dpo", openings, tiny_base, tmp_path / "out", **settings)
    report = training.run(lambda progress: None)
    assert report.pushed.startswith("Pushed to")
    assert sum("/commit/" in request for request in hub.requests) == 1
    uploaded = hub.repos["someone/coffee"]
    assert uploaded["adapter_model.safetensors"] == (report.output / "adapter_model.safetensors").read_bytes()


def test_before_training_the_name_the_token_and_the_repository_are_checked(hub, monkeypatch):
    check("coffee")
    assert hub.requests == ["GET /api/whoami-v2", "GET /api/models/someone/coffee/auth-check/write"]
    assert not hub.repos, "it is created when there is something to upload"
    for name in ("a/b/c", "coffee beans", "coffee.git", "-coffee"):
        with pytest.raises(UsageError, match="--push-to-hub"):
            check(name)
    hub.refuses.add("team/coffee")
    with pytest.raises(UsageError, match=r"refuses the token \(403\)"):
        check("team/coffee")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UsageError, match=r"refuses the token \(401\)"):
        check("coffee")


def test_without_a_hub_or_a_token_one_line_says_so(hub, adapter, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        check("coffee")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(adapter / "none"))
    with pytest.raises(UsageError, match="needs a token that may write: set HF_TOKEN"):
        check("coffee")
    with pytest.raises(UsageError, match="needs a token that may write: set HF_TOKEN"):
        check("team/coffee")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OutputError, match="the same command tries again"):
        push(adapter, "coffee")


def test_an_adapter_of_a_folder_is_refused_before_training(tmp_path):
    base, prefs = write_base(tmp_path / "base"), write_pairs(tmp_path / "prefs.jsonl")
    result = collab("finetune", prefs, "-m", base, "-o", tmp_path / "out", "--push-to-hub", "coffee")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: --push-to-hub: the base is the folder {base}, which nobody has")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
