"""The quick benchmarks, in small: each runs to its end, and meets its targets."""

import json
import subprocess
import sys
from functools import partial

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


@pytest.mark.slow
def test_the_pieces_for_a_gpu_run_in_small_and_leave_their_results_as_they_come(tmp_path):
    results = tmp_path / "gpu.jsonl"
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--small", "--results", results]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    machine, *rows = map(json.loads, results.read_text().splitlines())
    assert machine["torch"]
    assert {(row["piece"], row["arm"]) for row in rows if "arm" in row} == {
        ("finetune tiny", "plain"),
        ("finetune tiny", "ours"),
        ("generate tiny", "transformers"),
        ("generate tiny", "hf:"),
    }
    assert all(row["tokens/s"] > 0 for row in rows if "arm" in row)
    [curve] = [row for row in rows if "loss curve" in row.get("figure", "")]
    assert curve["met"], curve


@pytest.mark.slow
def test_a_piece_that_does_not_fit_or_fails_or_takes_too_long_on_a_gpu_is_one_line(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (8 * 10**9, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    job = gpu.Job(folder=tmp_path, peak_tflops=989.0, small=False)

    def failing(error):
        def run(job):
            yield {"tokens/s": 1.0}
            raise error

        return run

    def endless(job):
        while True:
            yield from ()

    def lines(run, seconds=60.0):
        return list(gpu.tried(gpu.Piece(name="piece", seconds=1, run=run), job, seconds=seconds))

    large = partial(gpu.generate, shape="8b", calls=1, history=1, reply=1)
    assert lines(large) == [{"error": "its weights take 16.1 GB; the GPU has 8.0 GB free"}]
    first = {"tokens/s": 1.0}
    assert lines(failing(torch.OutOfMemoryError("CUDA out of memory"))) == [
        first,
        {"error": "does not fit into memory"},
    ]
    assert lines(failing(ValueError("no\nsecond line"))) == [first, {"error": "ValueError: no"}]
    assert lines(endless, seconds=0.01) == [{"error": "not finished within its 0 seconds"}]
