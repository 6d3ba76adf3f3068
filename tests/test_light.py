"""What `pip install collab-sdk` alone can do, and what is said where an extra is missing.

Processes here see no package but those that the plain install brings.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest
from support.cli import write_chats
from support.installed import closure, installed_only
from support.paths import ROOT
from support.server import LoopbackServer

from collab_sdk import as_chat_model
from collab_sdk.errors import MissingExtraError, UnknownNameError, UsageError
from collab_sdk.models.litellm import litellm_price
from collab_sdk.models.providers import PROVIDERS, load_litellm, provider_of
from collab_sdk.models.server import ServerModel
from collab_sdk.plugins import EXTRAS, WORDS, load, names

pytestmark = pytest.mark.slow

PLAIN = frozenset({"collab-sdk"})
PIP = re.compile(r"pip install 'collab-sdk\[(\w+)\]'")
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
KINDS = [group.removeprefix("collab_sdk.") for group in GROUPS]

HARVEST = """
from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore, LoggedCall
said = ({"role": "user", "content": "a mocha please"},)
with ConversationStore("chats.db") as store:
    recorder = Recorder(store, salt="salt")
    recorder.record(LoggedCall(run_id="1", messages=said, replies=({"role": "assistant", "content": "Which size?"},)))
    assert recorder.flush()
    recorder.close()
"""

LOAD_ALL = """
import json, sys
from collab_sdk.errors import MissingExtraError
from collab_sdk.plugins import load, names
for kind in json.loads(sys.argv[1]):
    for name in names(kind):
        try:
            load(kind, name)
        except MissingExtraError as error:
            print(kind, name, error)
"""


def plain(*arguments, cwd, **environment):
    """A Python process with the plain install."""
    variables = {**os.environ, **installed_only(PLAIN), **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def collab(*arguments, cwd, **environment):
    return plain("-m", "collab_cli.main", *arguments, cwd=cwd, **environment)


def test_the_plain_install_is_small():
    assert len(closure(PLAIN)) <= 25
    assert not closure(PLAIN) & {"litellm", "openai", "langchain-core", "torch", "jinja2", "matplotlib"}


def test_it_scores_by_rules(tmp_path):
    done = collab("score", write_chats(tmp_path / "chats.jsonl", 1), "--model", "offline", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["n"] == 3


@pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "mistralai/Mistral-7B", "hosted_vllm/tiny", "openai/tiny", "tiny"])
def test_it_scores_by_a_server_whatever_the_model_is_called(model, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer() as server:
        done = collab("score", logs, "--model", model, "--api-base", server.api_base, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert server.count > 0
    assert json.loads(done.stdout.splitlines()[0])["n"] == 3


def test_it_records_chats_and_looks_after_them(tmp_path):
    recorded = plain("-c", HARVEST, cwd=tmp_path)
    assert recorded.returncode == 0, recorded.stderr
    for arguments in (
        ["logs", "list", "--store", "chats.db"],
        ["logs", "export", "chats.db", "-o", "chats.jsonl"],
    ):
        done = collab(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    [row] = (tmp_path / "chats.jsonl").read_text().splitlines()
    assert json.loads(row)["messages"][0]["content"] == "a mocha please"
    done = collab("score", "chats.db", "--model", "offline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_entry_point_loads_or_names_its_extra(tmp_path):
    done = plain("-c", LOAD_ALL, json.dumps(KINDS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    missing = {tuple(line.split()[:2]): PIP.search(line)[1] for line in done.stdout.splitlines()}
    assert missing == {("chat_models", "langchain_core"): "langchain"}


@pytest.mark.parametrize("package", EXTRAS)
def test_a_plugin_is_imported_or_names_its_extra(package, tmp_path):
    done = plain("-c", f"import {package}", cwd=tmp_path)
    last = done.stderr.splitlines()[-1:]
    assert done.returncode == 0 or last[0].startswith("collab_sdk.errors.MissingExtraError: "), done.stderr
    if last:
        assert PIP.search(last[0])[1] == EXTRAS[package]


KEY = {"COLLAB_CACHE_HMAC_KEY": "0" * 64}
OFFLINE = ["--model", "offline"]
EVALUATE = ["evaluate", "-a", "offline", *OFFLINE, "-t"]
LACKING = {
    "demo --train": (["demo", "--train"], "train"),
    "report": (["report", "prefs.jsonl"], "report"),
    "evaluate": ([*EVALUATE, "math-chat"], "evaluate"),
    "evaluate --plot": ([*EVALUATE, "logs", "--data", "chats.jsonl", "--plot", "x.png"], "report"),
    "check-sim": (["check-sim", "chats.jsonl", *OFFLINE], "evaluate"),
    "finetune": (["finetune", "prefs.jsonl", "-m", "base", "-o", "adapter"], "train"),
    "hf:": (["score", "chats.jsonl", "--model", "hf:base"], "train"),
    "ray": (["score", "chats.jsonl", *OFFLINE, "--runner", "ray"], "ray"),
    "redis": (["score", "chats.jsonl", *OFFLINE, "--cache", "redis://127.0.0.1:1"], "redis"),
    "postgres": (["score", "chats.jsonl", *OFFLINE, "--cache", "postgresql://127.0.0.1:1/x"], "postgres"),
    "a provider": (["score", "chats.jsonl", "--model", "anthropic/claude-opus-4-5"], "litellm"),
    "its API elsewhere": (["score", "chats.jsonl", "--model", "gemini/x", "--api-base", "http://x/v1"], "litellm"),
    "a bare name": (["score", "chats.jsonl", "--model", "claude-opus-4-5"], "litellm"),
    "a judge": (["score", "chats.jsonl", *OFFLINE, "--judge", "bedrock/x"], "litellm"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_command_names_the_extra_that_it_lacks_in_one_line(case, tmp_path):
    arguments, extra = LACKING[case]
    write_chats(tmp_path / "chats.jsonl", 1)
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    (tmp_path / "prefs.jsonl").write_text(json.dumps(pair) + "\n")
    done = collab(*arguments, cwd=tmp_path, **KEY)
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("offline: ")]
    assert done.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert PIP.search(lines[0])[1] == extra


def test_every_plugin_has_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()} == set(EXTRAS)
    assert set(EXTRAS.values()) <= set(extras)
    [everything] = extras["all"]
    assert set(EXTRAS.values()) < set(re.findall(r"\w+", everything))


def test_somebody_elses_plugin_that_cannot_be_imported_is_one_line(monkeypatch):
    group = "collab_sdk.metrics"
    [point] = entry_points(group=group, name="goal")
    points = {"theirs": type(point)(name="theirs", value="no_such_plugin.metric:Theirs", group=group)}
    monkeypatch.setattr("collab_sdk.plugins._registered", lambda kind: points)
    with pytest.raises(UsageError, match=r"^The metric 'theirs' cannot be loaded .*No module named"):
        load("metrics", "theirs")
    assert names("metrics") == ["theirs"]


def test_every_kind_of_plugin_has_a_word_and_a_name_that_nobody_registered_lists_the_known_ones():
    assert set(KINDS) <= set(WORDS)
    for kind, word in WORDS.items():
        with pytest.raises(UnknownNameError, match=rf"^Unknown {word} 'nobody'\. Known: .*theirs"):
            load(kind, "nobody", also=["theirs"])


def test_a_missing_extra_is_an_import_error_too():
    with pytest.raises(ImportError):
        raise MissingExtraError.of("This needs that", "all")


def test_a_name_begins_with_a_provider_or_not():
    assert provider_of("anthropic/claude-opus-4-5") == "anthropic"
    assert [provider_of(name) for name in ("Qwen/Qwen3-8B", "google/gemma-3-4b", "anthropic", "a/b", "")] == [None] * 5
    assert set(map(str, PROVIDERS)) <= {str(getattr(one, "value", one)) for one in load_litellm().provider_list}


def test_a_model_of_a_server_needs_no_litellm_to_be_known_as_one():
    assert isinstance(as_chat_model("Qwen/Qwen3-8B", api_base="http://127.0.0.1:1/v1"), ServerModel)


@pytest.mark.filterwarnings("ignore")  # LiteLLM's own
@pytest.mark.parametrize(
    "name",
    """openai/gpt-4o-mini gpt-4o-mini openai/gpt-4.1 gpt-4.1-nano openai/o3-mini anthropic/claude-sonnet-4-5
    claude-haiku-4-5 gemini/gemini-2.5-flash vertex_ai/gemini-2.5-pro groq/llama-3.3-70b-versatile
    mistral/mistral-large-latest deepseek/deepseek-chat azure/gpt-4o-mini openrouter/openai/gpt-4o-mini
    bedrock/anthropic.claude-3-haiku-20240307-v1:0 xai/grok-4 dashscope/qwen-flash hosted_vllm/x ollama/llama3
    openai/no-such-model no-such-model openai/claude-haiku-4-5""".split(),
)
def test_a_price_is_the_one_that_litellm_reckons_with(name):
    litellm = load_litellm()
    try:
        expected = litellm.cost_per_token(name, prompt_tokens=1, completion_tokens=1)
    except Exception:
        expected = (0, 0)
    price = litellm_price(name)
    assert (price is None and not any(expected)) or (price.prompt, price.completion) == expected


def test_a_price_is_read_without_importing_litellm():
    script = """
import sys
from collab_sdk.models.litellm import litellm_price
assert litellm_price("openai/gpt-4o-mini").prompt == 0.15e-6
assert "litellm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_litellm_no_price_is_known(tmp_path):
    script = "from collab_sdk.models.litellm import litellm_price; assert litellm_price('gpt-4o-mini') is None"
    done = plain("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
