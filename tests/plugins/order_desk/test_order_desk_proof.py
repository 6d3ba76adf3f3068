"""The proof in small: every arm of docs/proof.md is made and measured, whatever it comes to."""

import json
import subprocess
import sys

import pytest
from collab_order_desk import customers
from collab_order_desk.world import NAMES, named_in
from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks" / "order_desk"
BY_PART = {
    "main": ["base", "proactive prompt", "SFT on best", "offline DPO", "2-round DPO", "online DPO", "GRPO", "PPO"],
    "deeds": [
        "base",
        "rewarded for words, one round",
        "rewarded for words, two rounds",
        "rewarded for deeds, one round",
        "rewarded for deeds, two rounds",
    ],
}


def run(benchmark, *arguments):
    command = [sys.executable, BENCHMARKS / benchmark, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", BY_PART)
def test_the_smoke_version_makes_and_measures_every_arm(tmp_path, part):
    settings = ("--work", tmp_path, "--seeds", 0, "--parts", part)
    first = run("proof.py", *settings, "--smoke", "--customers", 10, "--evaluated", 8)
    assert [line.partition(", ")[2].partition(":")[0] for line in first.splitlines()] == BY_PART[part]
    again = run("proof.py", *settings, "--smoke", "--customers", 10, "--evaluated", 8)
    assert again == ""  # what is done is not done again
    tables = run("proof.py", *settings, "--report")
    for arm in BY_PART[part]:
        assert tables.count(f"| {arm} | 1 |") == tables.count("| arm |"), arm
    assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_smoke_version_learns_a_user_from_logs_and_trains_bots_against_each_user(tmp_path):
    settings = ("--work", tmp_path, "--seeds", 0, "--smoke", "--logged", 16, "--paired", 6, "--evaluated", 6)
    first = run("hidden.py", *settings)
    steps = [line.partition(", ")[2].partition(":")[0] for line in first.splitlines() if line.startswith("seed 0")]
    taught = ["bot taught", "user taught", "visits logged", "user learnt", "users compared"]
    assert steps == [*taught, "arm base", "arm standing", "arm learnt", "arm hidden"]
    again = run("hidden.py", *settings, "--report")
    assert first.endswith(again)  # what is done is not done again
    for arm in ("base", "standing", "learnt", "hidden"):
        assert again.count(f"| {arm} | 1 |") == 3
    assert again.count("| hidden population, greedy | success, ambiguous |") == 2
    logged = [json.loads(line) for line in (tmp_path / "seed-0" / "logs.jsonl").read_text().splitlines()]
    assert len(logged) == 16
    assert all(row["goal"] for row in logged)
    user = json.loads((tmp_path / "seed-0" / "user" / "metrics.json").read_text())
    assert user["data"]["conversations"] == 16


@pytest.mark.parametrize("slot", NAMES)
def test_a_slot_that_is_always_or_never_named_is_so_in_every_opening(slot):
    value_of = [
        (customer.order[slot], named_in(customer.opening)) for customer in customers(60, seed=3, always=(slot,))
    ]
    assert all(value in named for value, named in value_of)
    unnamed = customers(60, seed=3, never=(slot,))
    assert not any(customer.order[slot] in named_in(customer.opening) for customer in unnamed)
    assert not any(customer.is_clear for customer in unnamed)
