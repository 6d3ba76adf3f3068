"""The main job over 300 real chats, and its file in the hands of those who train on it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import DATA
from support.tiny import tiny_llama, tiny_tokenizer

from collab_sdk import read_conversations
from collab_sdk.prompts import load_prompt

CHATS = DATA / "coffee_chats.jsonl"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHATS.exists(), reason=f"the real chats are not at {CHATS}")]


def export(folder: Path, name: str) -> tuple[Path, str]:
    path = folder / name
    command = [sys.executable, "-m", "collab_cli.main", "export-prefs", str(CHATS), "--model", "offline"]
    done = subprocess.run(
        [*command, "-o", str(path), "--cache-dir", str(folder / "cache")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return path, done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("real"), "prefs.jsonl")[0]


@pytest.fixture(scope="module")
def rows(exported) -> list[dict]:
    return [json.loads(line) for line in exported.read_text().splitlines()]


def test_every_row_is_a_pair_to_train_on(rows):
    assert len(rows) > 100
    for row in rows:
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"] != row["rejected"]
        assert [message["role"] for message in row["chosen"] + row["rejected"]] == ["assistant", "assistant"]
        assert 0.02 <= row["margin"] < row["score_chosen"] - row["score_rejected"]
        assert 0.9 <= row["confidence"] < 1


def test_no_goal_text_proactive_prompt_or_stand_in_marker_leaks_into_a_row(rows):
    goals = {chat.id: chat.goal.text for chat in read_conversations([CHATS])}
    sentences = [line for line in load_prompt("proactive").text.split(". ") if len(line) > 20]
    for row in rows:
        texts = [message["content"] for part in ("prompt", "chosen", "rejected") for message in row[part]]
        said = "\n".join(texts).lower()
        assert not any(line.lower() in said for line in goals[row["conversation_id"]].splitlines())
        assert not any(sentence.lower() in said for sentence in sentences)
        assert not any(word in json.dumps(row).lower() for word in ("offline", "stand-in", "simulated", "proactive"))


def test_a_second_run_makes_no_call_and_writes_the_same_bytes(exported):
    again, said = export(exported.parent, "again.jsonl")
    assert again.read_bytes() == exported.read_bytes()
    assert re.search(r"^total +0 ", said, re.MULTILINE), said


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")  # transformers, of its own settings
def test_trl_trains_on_the_file_as_it_is(exported, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    dataset = load_dataset("json", data_files=str(exported), split="train", cache_dir=str(tmp_path / "hf"))
    assert len(dataset) == len(rows)
    tokenizer = tiny_tokenizer(message["content"] for row in rows for message in row["prompt"] + row["chosen"])
    settings = DPOConfig(
        output_dir=str(tmp_path / "run"),
        max_steps=1,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
    )
    trainer = DPOTrainer(
        tiny_llama(tokenizer),
        args=settings,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    assert trainer.train().training_loss == pytest.approx(0.6931, abs=1e-3)
    assert len(trainer.train_dataset) == len(rows)
