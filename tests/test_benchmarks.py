"""The quick benchmarks, in small: each runs to its end, and meets its targets."""

import json
import subprocess
import sys

import pytest
from support.paths import ROOT

QUICK = {
    "missing": ("--samples", "20"),
    "judge_noise": ("--turns", "4"),
    "group_judging": ("--limit", "2", "--turns", "2"),
    "token_costs": (),
    "passive_logs": ("--shops", "print shop", "--chats", "4"),
    "coverage": ("--runs", "300", "--n", "20", "--figures", "mean", "difference", "AUC"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_quick_benchmark_runs_and_meets_its_targets(tmp_path, name):
    table = tmp_path / "table.json"
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *QUICK[name], "--json", table]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(table.read_text())
    assert found["rows"]
    assert [verdict for verdict in found["verdicts"] if not verdict["met"]] == []
