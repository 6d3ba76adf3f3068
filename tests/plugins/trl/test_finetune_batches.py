"""A step of the optimizer has the batch that was asked for, whatever fits into memory and however many processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from collab_trl.whole_steps import Steps
from support.paths import TESTS
from support.playing import play, write_openings
from support.playing import prepared as playing
from support.training import GUESSES, pair, prepared, write_base, write_pairs, write_rows

from collab_sdk.errors import UsageError

BATCHES = (3, 6, 7, 12, 20, 48)
KILOBYTE, MEGABYTE, GIGABYTE = 10**3, 10**6, 10**9


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("batches")
    write_base(folder / "base")
    messages = [{"role": "user", "content": f"a latte, number {number}"} for number in range(60)]
    write_rows(folder / "prefs.jsonl", [pair(number, prompt=[message]) for number, message in enumerate(messages)])
    return folder


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch", BATCHES)
def test_every_step_has_the_examples_of_its_batch_once(batch, processes):
    order = [place * 7 % 50 for place in range(50)]
    for at_once in (1, 2, 5, 8):
        shares = [
            list(Steps(order, batch=batch, at_once=at_once, process=process, processes=processes))
            for process in range(processes)
        ]
        assert {len(share) for share in shares} == {-(-50 // batch)}
        for number, step in enumerate(zip(*shares, strict=True)):
            counted = [place for parts in step for part in parts if part.counts for place in part.places]
            assert sorted(counted) == sorted(order[number * batch : (number + 1) * batch])
            sizes = [[len(part.places) for part in parts] for parts in step]
            assert all(size == sizes[0] for size in sizes), "processes wait for each other after each part"
            assert max(sizes[0]) <= at_once


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_plan_has_the_batch_that_was_asked_for_at_every_size_of_memory(
    batch, processes, method, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr("collab_trl.plan.held_bytes", lambda: GIGABYTE)
    said = []
    for free in (KILOBYTE, 7 * MEGABYTE, 64 * GIGABYTE):
        monkeypatch.setattr("collab_trl.plan.available_bytes", lambda free=free: free)
        settings = {"batch_size": batch, "eval_fraction": 0.0, "method": method}
        said.append(prepared(folder / "prefs.jsonl", folder / "base", tmp_path, **settings).preflight.plan["batch"])
    assert all(plan.startswith(f"{batch} = {processes} x ") for plan in said), said
    assert all("asked for" not in plan for plan in said)
    assert len(set(said)) > 1 or batch // processes == 1, "more memory computes more at once"


def test_micro_batches_are_about_equal(folder, tmp_path):
    for batch, said in (
        (9, "9 = 1 x 5 at once x 1 accumulated + 1 x 4 at once"),
        (16, "16 = 1 x 8 at once x 2 accumulated"),
    ):
        training = prepared(folder / "prefs.jsonl", folder / "base", tmp_path, batch_size=batch)
        assert training.preflight.plan["batch"] == said


def test_a_micro_batch_that_was_asked_for_is_kept_and_the_last_is_smaller(folder, tmp_path):
    settings = {"batch_size": 7, "per_device_batch_size": 3}
    plan = prepared(folder / "prefs.jsonl", folder / "base", tmp_path, **settings).preflight.plan
    assert plan["batch"] == "7 = 1 x 3 at once x 2 accumulated + 1 x 1 at once"


def test_with_fewer_examples_than_the_batch_the_plan_says_so(folder, tmp_path):
    data = write_pairs(tmp_path / "few.jsonl", 5)
    plan = prepared(data, folder / "base", tmp_path / "out", batch_size=48, eval_fraction=0.0).preflight.plan
    assert plan["batch"] == "5 = 1 x 5 at once x 1 accumulated; 48 were asked for"


def test_groups_of_replies_that_processes_cannot_share_are_refused_with_the_nearest_batches(monkeypatch):
    from collab_trl.plan import _in_groups

    assert _in_groups(16, 16, together=4, processes=2) == 16
    assert _in_groups(16, 12, together=4, processes=2) == 8
    with pytest.raises(UsageError, match=r"--batch-size 20 cannot .* to 3 processes in groups of 4 .*: take 12 or 24"):
        _in_groups(20, 20, together=4, processes=3)
    with pytest.raises(UsageError, match="fewer than the 3 processes"):
        _in_groups(24, 8, together=4, processes=3)


def test_histories_that_fill_no_batch_of_groups_are_said_to_be_left_out(tiny_base, tmp_path):
    openings = write_openings(tmp_path / "openings.jsonl", 5)
    settings = {"play": play(candidates=4), "batch_size": 8, "per_device_batch_size": 8}
    plan = playing("grpo", openings, tiny_base, tmp_path / "out", **settings).preflight.plan
    assert plan["batch"] == "8 = 1 x 8 at once x 1 accumulated"
    assert plan["left out"] == "1 of the histories in each epoch, as they fill no batch"
    settings["batch_size"] = settings["per_device_batch_size"] = 20
    assert "left out" not in playing("grpo", openings, tiny_base, tmp_path / "out", **settings).preflight.plan


TRAIN = """
import sys
from pathlib import Path
from support.training import trained

data, base, output, at_once = sys.argv[1:]
settings = {"batch_size": 7, "per_device_batch_size": int(at_once), "eval_fraction": 0.0}
trained(Path(data), Path(base), Path(output), learning_rate=1e-3, epochs=1.0, max_steps=3, **settings)
"""


def train(data: Path, base: Path, output: Path, *, processes: int, at_once: int) -> list[dict[str, float]]:
    """What a training by so many processes logs at each step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
        if processes > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
            environment |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", TRAIN, *map(str, (data, base, output, at_once))]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate()[1] for process in started]
    assert not any(process.returncode for process in started), errors
    history = json.loads((output / "metrics.json").read_text())["history"]["dpo"]
    return [log for log in history if "loss" in log]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_though_neither_batch_nor_last_step_divides_by_two(folder, tmp_path):
    """Of 17 examples, 7 and 7 and 3: each of them counts once, in its own step."""
    long = {"role": "assistant", "content": f"{GUESSES} " * 12}
    rows = [pair(number, **({"chosen": [long]} if number % 3 else {})) for number in range(17)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    alone = train(data, folder / "base", tmp_path / "alone", processes=1, at_once=7)
    shared = train(data, folder / "base", tmp_path / "shared", processes=2, at_once=2)
    assert len(alone) == 3
    for name in ("loss", "logps/chosen", "logps/rejected", "rewards/margins", "rewards/chosen"):
        values = [[log[name] for log in logs] for logs in (shared, alone)]
        assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-7), name
