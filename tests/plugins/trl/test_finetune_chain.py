"""From logged chats to the score of the bot that was trained on them, with nobody looking."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import Result
from support.cli import chat_row, collab
from support.local import save_tiny_model

from collab_sdk.preferences import is_held_out, opening_of
from collab_sdk.stats import Estimate

pytestmark = pytest.mark.slow
SHARE = 0.1
"""Of the chats, held out."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Chats, the pairs that were made of them, and an adapter that was trained on those, by their commands."""
    folder = tmp_path_factory.mktemp("chain")
    save_tiny_model(folder / "base")
    write_chats(folder / "chats.jsonl", 8)
    prefs = folder / "prefs.jsonl"
    done("export-prefs", folder / "chats.jsonl", "--model", "offline", "-o", prefs, "--cache-dir", folder / "cache")
    train = (
        "finetune",
        prefs,
        "-m",
        folder / "base",
        "-o",
        folder / "adapter",
        "--learning-rate",
        "1e-3",
        "--epochs",
        1,
        "--eval-fraction",
        SHARE,
    )
    assert collab(*train).exit_code == 3, "so few chats do not show whether it is better than its base"
    return folder


def done(*arguments: object) -> Result:
    result = collab(*arguments)
    assert result.exit_code == 0, result.output
    return result


def test_the_command_that_is_printed_scores_the_bot_that_was_trained(folder):
    metrics = json.loads((folder / "adapter" / "metrics.json").read_text())
    bot = shlex.split(metrics["serve"]["in process"])[4]
    assert bot == f"hf:{folder / 'base'}@{folder / 'adapter'}"
    sampling = ("--limit", 1, "--samples", 1, "--window", 1)
    scored = done("score", folder / "chats.jsonl", "-a", bot, "--model", "offline", *sampling, "--json")
    assert json.loads(scored.stdout.splitlines()[0])["conversation_id"] == "chat-0"


def test_the_folder_says_what_the_adapter_is(folder):
    adapter = folder / "adapter"
    card = (adapter / "README.md").read_text()
    for said in (
        str(folder / "base"),
        "prefs.jsonl",
        "chosen is the longer reply",
        "1 sigmoid + 1 sft",
        "curves.png",
        "convert_lora_to_gguf.py",
    ):
        assert said in card
    assert f"vllm serve {folder / 'base'} --enable-lora --max-lora-rank 32 --lora-modules adapter={adapter}" in card
    assert (adapter / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folder / "base")
    assert config["target_modules"] == sorted(config["target_modules"])
    assert (adapter / "chat_template.jinja").read_bytes() == (folder / "base" / "chat_template.jinja").read_bytes()
    metrics = json.loads((adapter / "metrics.json").read_text())
    assert metrics["history"]["dpo"]
    assert list(metrics["serve"]) == ["vLLM", "SGLang", "llama.cpp", "in process"], (
        "a second call tells it in this order"
    )
    assert list(metrics["data"])[:3] == ["file", "examples", "held out"]
    for name, share in metrics["pairs"].items():
        assert f"| {name} | {Estimate.from_dict(share):.0%} |" in card
    assert {"chosen is the longer reply", "chosen asks", "rejected asks"} <= metrics["pairs"].keys()
    assert all(f"- {note}" in card for note in metrics["notes"])
    assert not (adapter / "checkpoints").exists()


def test_the_gain_is_measured_on_chats_that_were_not_trained_on(folder):
    more = write_chats(folder / "more.jsonl", 14)  # the first eight are those that were trained or held out
    pairs = [json.loads(line) for line in (folder / "prefs.jsonl").read_text().splitlines()]
    trained = {pair["conversation_id"]: pair["prompt"][0]["content"] for pair in pairs}
    again = (
        "finetune",
        folder / "prefs.jsonl",
        "-m",
        folder / "base",
        "-o",
        folder / "adapter",
        "--eval-fraction",
        SHARE,
    )
    result = collab(*again, "--learning-rate", "1e-3", "--epochs", 1, "--evaluate", more, "--model", "offline")
    assert result.exit_code == 3, result.output
    rows = map(json.loads, (folder / "adapter" / "comparison.jsonl").read_text().splitlines())
    figures = {row["name"]: row for row in rows}
    asks = figures["asks when open"]
    assert asks["before_bot"] == f"hf:{folder / 'base'}"
    assert asks["after_bot"] == f"hf:{folder / 'base'}@{folder / 'adapter'}"
    assert asks["difference"]["low"] is None, "so few chats give no interval of a difference"
    assert asks["difference"]["note"].endswith(f"of {asks['before']['n']}")
    by_share = sum(is_held_out(opening_of([opening]), SHARE) for opening in trained.values())
    held_out = 14 - len(trained) + max(1, by_share)
    assert asks["before"]["n"] == 2 * held_out  # turns
    assert "asks when open" in result.stdout
    turns = asks["before"]["n"]
    said = f"base and adapter then answer {turns} turns of {held_out} chats: up to {turns * 7} replies each, of "
    assert said in result.stderr, "before the training, what comes after it"
    assert f"{turns}/{turns} · " in result.stderr, "how far the comparison is"
    [asked] = re.findall(r"assistant +([\d,]+) +[\d,]+ +[\d,]+ +([\d,]+)", result.stderr)
    calls, tokens = (int(number.replace(",", "")) for number in asked)
    assert 0 < tokens <= calls * 64, "a model that never ends a reply is stopped"


def write_chats(path: Path, n: int) -> Path:
    """Of which no two begin alike."""
    rows = [chat_row(number) for number in range(n)]
    for number, row in enumerate(rows):
        row["messages"][0]["content"] += f", I am guest number {number}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_chat_that_was_trained_on_is_known_under_another_id(folder):
    chats = [json.loads(line) for line in (folder / "chats.jsonl").read_text().splitlines()]
    renamed = [chat | {"id": f"again-{number}"} for number, chat in enumerate(chats)]
    again = folder / "again.jsonl"
    again.write_text("".join(json.dumps(row) + "\n" for row in renamed))
    train = ("finetune", folder / "prefs.jsonl", "-m", folder / "base", "-o", folder / "all", "--epochs", 1)
    result = collab(*train, "--eval-fraction", 0, "--evaluate", again, "--model", "offline")
    assert "every chat was trained on" in result.stderr


def test_chats_that_all_begin_alike_are_told_apart_by_what_follows(folder):
    chats = [chat_row(number) for number in range(8)]
    for number, chat in enumerate(chats):
        chat["messages"][0]["content"] = "Hello, I have got a question about an order of mine."
        chat["messages"][2]["content"] = f"It is the one with number {number}."
    pairs = [
        {
            "prompt": chat["messages"][:3],
            "chosen": "Which size?",
            "rejected": "Done.",
            "conversation_id": f"log-{number}",
        }
        for number, chat in enumerate(chats)
    ]
    for name, rows in (("alike", chats), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = ("finetune", folder / "pairs.jsonl", "-m", folder / "base", "-o", folder / "alike", "--epochs", 1)
    result = collab(*train, "--eval-fraction", 0.4, "--evaluate", folder / "alike.jsonl", "--model", "offline")
    assert result.exit_code == 3, "so few chats do not show whether it is better than its base"
    held_out = json.loads((folder / "alike" / "metrics.json").read_text())["data"]["held out"]
    assert 0 < held_out < 8
    assert f"{8 - held_out} x chats that were trained on, or begin as one that was, left out" in result.stderr


def test_without_a_user_nothing_is_trained(folder):
    result = collab(
        "finetune",
        folder / "prefs.jsonl",
        "-m",
        folder / "base",
        "-o",
        folder / "never",
        "--evaluate",
        folder / "chats.jsonl",
    )
    assert result.exit_code == 1
    assert "give --simulator" in result.stderr
    assert not (folder / "never").exists()


def test_chats_that_were_trained_on_are_known_by_how_they_begin_where_pairs_have_no_ids(folder):
    prefs, chats = folder / "openai.jsonl", folder / "chats.jsonl"
    cache = ("--cache-dir", folder / "cache")
    done("export-prefs", chats, "--model", "offline", "-o", prefs, "--format", "openai", *cache)
    train = ("finetune", prefs, "-m", folder / "base", "-o", folder / "openai", "--epochs", 1, "--eval-fraction", 0)
    result = collab(*train, "--evaluate", chats, "--model", "offline")
    assert result.exit_code == 1
    assert (
        result.stderr.splitlines()[-1]
        == f"Error: {chats}: every chat was trained on, or begins as one that was; give others to --evaluate"
    )
    assert not (folder / "openai").exists(), "it is known before hours of training"
