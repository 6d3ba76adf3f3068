"""What a training will need, and what is free for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from collab_trl.device_memory import available_bytes, control_group
from support.cli import collab
from support.paths import ROOT
from support.tiny import tiny_llama, tiny_tokenizer
from support.training import ASKS, GUESSES, prepared, request, write_base, write_pairs

GIGABYTE = 10**9


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_what_a_container_may_use_is_less_than_what_the_machine_has(tmp_path):
    """The second version of control groups; the group inside has no limit of its own."""
    (tmp_path / "own").write_text("0::/shop/worker\n")
    group(tmp_path / "cgroup" / "shop" / "worker", memory__max="max", memory__current=GIGABYTE)
    stat = f"anon 5\ninactive_file {GIGABYTE}\nslab 7"
    group(tmp_path / "cgroup" / "shop", memory__max=8 * GIGABYTE, memory__current=3 * GIGABYTE, memory__stat=stat)
    found = control_group(tmp_path / "cgroup", tmp_path / "own")
    assert (found.limit, found.used) == (8 * GIGABYTE, 2 * GIGABYTE)


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    (tmp_path / "own").write_text("9:name=systemd:/\n4:cpu,memory:/outside/this/container\n0::/\n")
    files = {"memory__limit_in_bytes": 4 * GIGABYTE, "memory__usage_in_bytes": GIGABYTE}
    (tmp_path / "cgroup").mkdir()
    group(tmp_path / "cgroup" / "memory", **files, memory__stat=f"total_inactive_file {GIGABYTE // 2}")
    found = control_group(tmp_path / "cgroup", tmp_path / "own")
    assert (found.limit, found.used) == (4 * GIGABYTE, GIGABYTE // 2)


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert control_group(tmp_path / "none", tmp_path / "none").limit == float("inf")


def test_training_goes_by_the_container(monkeypatch):
    tight = type("Tight", (), {"limit": 2 * GIGABYTE, "used": 2 * GIGABYTE - 10**6})
    monkeypatch.setattr("collab_trl.device_memory.control_group", lambda: tight)
    assert available_bytes() == 10**6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_bytes() <= GIGABYTE // 2


def test_a_vocabulary_of_256k_on_a_small_machine_is_refused_in_one_line(tmp_path, monkeypatch):
    tokenizer = tiny_tokenizer([request(number) for number in range(40)] + [ASKS, GUESSES] * 5)
    model = tiny_llama(tokenizer)
    model.resize_token_embeddings(262_144)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr("collab_trl.plan.held_bytes", lambda: GIGABYTE)
    monkeypatch.setattr("collab_trl.plan.available_bytes", lambda: 90 * 10**6)
    pairs = write_pairs(tmp_path / "prefs.jsonl")
    result = collab("finetune", pairs, "-m", tmp_path / "base", "-o", tmp_path / "out")
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert "Not enough memory on CPU" in line
    assert "Traceback" not in result.output
    small = prepared(pairs, write_base(tmp_path / "small"), tmp_path / "out2").preflight
    large = prepared(pairs, tmp_path / "base", tmp_path / "out2").preflight
    assert large.memory[1].training > small.memory[1].training + 20 * 10**6, "the logits, and no weights, are large"


@pytest.mark.slow
def test_the_estimate_is_within_a_quarter_of_what_is_measured(tmp_path):
    """For a vocabulary of 49,152; the page on fine-tuning has the other shapes."""
    command = [sys.executable, ROOT / "benchmarks" / "memory.py", "--shapes", "49k", "--folder", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--json", tmp_path / "table.json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    verdicts = json.loads((tmp_path / "table.json").read_text())["verdicts"]
    assert all(verdict["met"] for verdict in verdicts), verdicts
