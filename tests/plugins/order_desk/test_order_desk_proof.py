"""The proof in small: every arm of docs/proof.md is made and measured, whatever it comes to."""

import subprocess
import sys

import pytest
from collab_order_desk import customers
from collab_order_desk.world import NAMES, named_in
from support.paths import ROOT

PROOF = ROOT / "benchmarks" / "order_desk" / "proof.py"
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


def proof(*arguments):
    done = subprocess.run([sys.executable, PROOF, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", BY_PART)
def test_the_smoke_version_makes_and_measures_every_arm(tmp_path, part):
    settings = ("--work", tmp_path, "--seeds", 0, "--parts", part)
    first = proof(*settings, "--smoke", "--customers", 10, "--evaluated", 8)
    assert [line.partition(", ")[2].partition(":")[0] for line in first.splitlines()] == BY_PART[part]
    assert proof(*settings, "--smoke", "--customers", 10, "--evaluated", 8) == ""  # what is done is not done again
    tables = proof(*settings, "--report")
    for arm in BY_PART[part]:
        assert tables.count(f"| {arm} | 1 |") == tables.count("| arm |"), arm
    assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("slot", NAMES)
def test_a_slot_that_is_always_or_never_named_is_so_in_every_opening(slot):
    value_of = [
        (customer.order[slot], named_in(customer.opening)) for customer in customers(60, seed=3, always=(slot,))
    ]
    assert all(value in named for value, named in value_of)
    unnamed = customers(60, seed=3, never=(slot,))
    assert not any(customer.order[slot] in named_in(customer.opening) for customer in unnamed)
    assert not any(customer.is_clear for customer in unnamed)
