"""`--push-to-hub`, with the hub's own client and a hub on this machine."""

import json

import pytest
from support.cli import collab
from support.hub import TOKEN, loopback_hub
from support.training import write_base, write_pairs

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

    return push(folder, name, verdict)


def check(name, base=BASE, **options):
    from collab_trl.output.hub import check_hub

    check_hub(name, base, **options)


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
    assert said == "Not pushed to coffee, as it is not known to be better than its base."
    assert not hub.requests


def test_what_was_not_judged_is_pushed_and_that_is_said(hub, adapter):
    assert push(adapter, "coffee", Verdict(found="not judged", said=".")).endswith("(private; it was not judged).")


def test_a_file_with_a_path_of_this_machine_is_not_uploaded(hub, adapter):
    (adapter / "tokenizer_config.json").write_text(json.dumps({"name_or_path": str(adapter)}))
    with pytest.raises(OutputError, match=r"tokenizer_config\.json has a path of this machine"):
        push(adapter, "coffee")
    assert not hub.repos


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
    with pytest.raises(UsageError, match="--rounds end with a merged model"):
        check("coffee", merges=True)
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
