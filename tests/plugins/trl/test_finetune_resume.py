"""A training that is killed goes on where it was, and ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import TESTS
from support.training import pair, prepared, trained, write_base, write_pairs, write_rows

from collab_sdk.errors import OutputError, TrainingError

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
from pathlib import Path
from support.training import prepared

data, base, output, stage, step = sys.argv[1:]
def kill(progress):
    if progress.stage == stage and progress.step >= int(step):
        os.kill(os.getpid(), signal.SIGKILL)
prepared(Path(data), Path(base), Path(output), sft_first=True).run(kill)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_base(folder / "base")
    write_pairs(folder / "prefs.jsonl")
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder):
    return trained(folder / "prefs.jsonl", folder / "base", folder / "undisturbed", sft_first=True)


@pytest.fixture(scope="module")
def killed(folder, undisturbed) -> Path:
    """What a kill in the second epoch of the last stage left behind."""
    output = folder / "killed"
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    arguments = [folder / "prefs.jsonl", folder / "base", output, "dpo", undisturbed.steps - 2]
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (output / "adapter_model.safetensors").exists()
    return output


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def history(folder: Path, stage: str) -> list[tuple[int, float]]:
    metrics = json.loads((folder / "metrics.json").read_text())
    return [(log["step"], log["loss"]) for log in metrics["history"][stage] if "loss" in log]


def test_killed_in_the_second_epoch_it_ends_where_an_undisturbed_run_ends(folder, undisturbed, killed, tmp_path):
    output = shutil.copytree(killed, tmp_path / "out")
    seen = []
    report = prepared(folder / "prefs.jsonl", folder / "base", output, sft_first=True).run(seen.append)
    assert report.resumed
    assert {progress.stage for progress in seen} == {"dpo"}, "the SFT stage was done"
    first = next(progress.step for progress in seen if progress.metrics)
    assert first > undisturbed.steps / 2, "it goes on from the last checkpoint"
    assert weights(output) == weights(folder / "undisturbed")
    assert history(output, "dpo") == history(folder / "undisturbed", "dpo"), "each step once"
    assert report.held_out == undisturbed.held_out
    assert not (output / "checkpoints").exists()


def test_a_checkpoint_that_was_half_written_is_passed_over(folder, undisturbed, killed, tmp_path):
    output = shutil.copytree(killed, tmp_path / "out")
    checkpoints = (output / "checkpoints" / "dpo").glob("checkpoint-*")
    latest = max(checkpoints, key=lambda path: int(path.name.partition("-")[2]))
    (latest / "trainer_state.json").unlink()
    trained(folder / "prefs.jsonl", folder / "base", output, sft_first=True)
    assert weights(output) == weights(folder / "undisturbed")


def test_another_training_does_not_go_on_in_its_place(folder, undisturbed):
    with pytest.raises(OutputError, match=r"holds another training \(it differs in epochs, seed\)"):
        trained(folder / "prefs.jsonl", folder / "base", folder / "undisturbed", sft_first=True, seed=3, epochs=1.0)


def test_an_adapter_of_another_base_is_not_gone_on_with(folder, undisturbed):
    base = write_base(folder / "other-base", seed=1)
    with pytest.raises(OutputError, match=r"it differs in base"):
        trained(folder / "prefs.jsonl", base, folder / "undisturbed", sft_first=True)


def test_killed_and_resumed_at_a_smaller_micro_batch_it_goes_through_the_same_steps(
    folder, undisturbed, killed, tmp_path
):
    """Twice with the same bytes, though one of them was stopped again; of the run at the first micro-batch to rounding.

    Sums of floats depend on their order, and that on how many examples are computed at once.
    """

    class StoppedAgainError(Exception):
        pass

    def stop(progress):
        if progress.step >= undisturbed.steps - 1:
            raise StoppedAgainError

    outputs = [shutil.copytree(killed, tmp_path / name) for name in ("straight", "stopped")]
    smaller = {"sft_first": True, "per_device_batch_size": 3}
    with pytest.raises(StoppedAgainError):
        prepared(folder / "prefs.jsonl", folder / "base", outputs[1], **smaller).run(stop)
    reports = [trained(folder / "prefs.jsonl", folder / "base", output, **smaller) for output in outputs]
    assert weights(outputs[0]) == weights(outputs[1])
    assert reports[0].steps == undisturbed.steps
    steps = [dict(history(output, "dpo")) for output in (outputs[0], folder / "undisturbed")]
    assert list(steps[0]) == list(steps[1])
    assert steps[0] == pytest.approx(steps[1], rel=1e-4)


def test_kto_with_dropout_ends_with_the_same_bytes_where_it_was_stopped_after_a_look(folder, tmp_path):
    """Its KL is computed before a step has begun, and must be the same whatever was done before that."""

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step >= 6:
            raise StoppedError

    settings = {"method": "kto", "lora_dropout": 0.3, "patience": 0}
    data, base = folder / "prefs.jsonl", folder / "base"
    trained(data, base, tmp_path / "whole", **settings)
    with pytest.raises(StoppedError):
        prepared(data, base, tmp_path / "stopped", **settings).run(stop)
    assert trained(data, base, tmp_path / "stopped", **settings).resumed
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_what_is_trained_is_kept_where_judging_it_fails_and_judged_the_next_time(
    folder, undisturbed, tmp_path, monkeypatch
):
    def too_much(*_):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("collab_trl.preference.stage.log_probabilities_of", too_much)
        with pytest.raises(TrainingError, match="It is trained and kept: once more memory is free, the same command"):
            trained(folder / "prefs.jsonl", folder / "base", tmp_path / "out", sft_first=True)
    seen = []
    report = prepared(folder / "prefs.jsonl", folder / "base", tmp_path / "out", sft_first=True).run(seen.append)
    assert not seen, "nothing is trained again"
    assert report.held_out == undisturbed.held_out
    assert weights(tmp_path / "out") == weights(folder / "undisturbed")


def test_other_rows_held_out_are_another_training(folder, killed, tmp_path):
    """Even where the rows are the same ones in the same order, and only the border between them has moved."""
    output = shutil.copytree(killed, tmp_path / "out")
    settings = {"sft_first": True, "eval_fraction": 0.4}
    known = prepared(folder / "prefs.jsonl", folder / "base", tmp_path / "none", **settings).rows
    held_out = [row for row in known if row[0] == "held out"]
    assert 0 < len(held_out) < len(known)
    rows = [pair(number) for number in range(40)]
    by_request = {row["prompt"][0]["content"]: row for row in rows}
    in_order = [by_request[row[2][-1]["content"]] for row in known]
    border = len(known) - len(held_out) - 1
    write_rows(tmp_path / "prefs.jsonl", in_order[:border])
    write_rows(tmp_path / "prefs.eval.jsonl", in_order[border:])
    with pytest.raises(OutputError, match=r"it differs in data\)"):
        trained(tmp_path / "prefs.jsonl", folder / "base", output, **settings)


def test_a_base_of_the_same_name_with_other_weights_is_another_base(folder, killed, tmp_path):
    output = shutil.copytree(killed, tmp_path / "out")
    mine = folder / "base"
    kept = shutil.copytree(mine, tmp_path / "kept")
    shutil.copytree(write_base(tmp_path / "other", seed=1), mine, dirs_exist_ok=True)
    try:
        with pytest.raises(OutputError, match=r"it differs in files of the base\)"):
            trained(folder / "prefs.jsonl", mine, output, sft_first=True)
    finally:
        shutil.copytree(kept, mine, dirs_exist_ok=True)


def test_other_versions_do_not_go_on_with_a_training_but_know_a_finished_one(
    folder, undisturbed, killed, tmp_path, monkeypatch
):
    output = shutil.copytree(killed, tmp_path / "out")
    monkeypatch.setattr("collab_trl.output.workplace.version", lambda package: f"{package} 99")
    with pytest.raises(OutputError, match="it differs in version of peft, version of torch, version of transformers"):
        trained(folder / "prefs.jsonl", folder / "base", output, sft_first=True)
    assert trained(folder / "prefs.jsonl", folder / "base", folder / "undisturbed", sft_first=True).resumed


def test_leaving_bad_rows_out_is_no_other_training_where_there_are_none(folder, undisturbed):
    again = trained(folder / "prefs.jsonl", folder / "base", folder / "undisturbed", sft_first=True, skip_bad=True)
    assert again.resumed
    assert again.steps == undisturbed.steps
