"""What is learnt does not hang on how many examples fit into memory, and a long reply's first token learns, too."""

import json
import os
import subprocess
import sys

import pytest
from support.paths import ROOT
from support.playing import play, write_openings
from support.playing import prepared as playing
from support.training import GUESSES, pair, trained, write_base, write_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


def test_the_gradient_of_a_step_is_the_same_at_every_micro_batch(tmp_path):
    """To 1e-5, also where the last step of an epoch is not full, as the page on fine-tuning says."""
    command = [sys.executable, ROOT / "benchmarks" / "gradients.py", "--examples", "8", "--micro-batches", "4", "1"]
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, "--json", tmp_path / "table.json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert len(table["rows"]) == 12
    assert all(verdict["met"] for verdict in table["verdicts"]), table["rows"]


def losses(folder, method):
    history = json.loads((folder / "metrics.json").read_text())["history"][method]
    return [log["loss"] for log in history if "loss" in log]


@pytest.mark.parametrize("method", ["dpo", "kto", "sft"])
def test_a_whole_training_has_the_same_losses_at_every_micro_batch(method, tmp_path):
    base = write_base(tmp_path / "base")
    long = {"role": "assistant", "content": f"{GUESSES} " * 12}
    rows = [pair(number, **({"chosen": [long]} if number % 3 else {})) for number in range(13)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    found = []
    for micro_batch in (8, 2, 3):
        settings = {"method": method, "per_device_batch_size": micro_batch, "learning_rate": 1e-3, "eval_fraction": 0.0}
        trained(data, base, tmp_path / f"{micro_batch}", **settings)
        found.append(losses(tmp_path / f"{micro_batch}", method))
    assert len(set(found[0])) > 2
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0] == pytest.approx(found[2], rel=1e-4)


@pytest.mark.parametrize("length", [1, 12, 50, 200])
def test_ppo_credits_the_first_token_of_a_reply_as_it_does_the_last(length):
    import torch
    from collab_trl.online.ppo import advantages_and_returns

    rewards = torch.tensor([1.0, -0.5])
    advantages, returns = advantages_and_returns(rewards, torch.zeros(2, length), torch.ones(2, length))
    assert advantages[:, 0].tolist() == pytest.approx([1.0, -0.5])
    assert returns[:, 0].tolist() == pytest.approx([1.0, -0.5])


@pytest.mark.parametrize(
    ("method", "figures", "size", "micro_batch"),
    [
        ("ppo", ("value_loss", "grad_norm"), 20, 4),
        ("grpo", ("grad_norm",), 20, 4),
        ("rloo", ("grad_norm",), 20, 4),
        ("online-dpo", ("grad_norm", "reward"), 6, 2),  # the last of two steps has four histories
    ],
)
def test_what_is_learnt_from_own_replies_does_not_hang_on_the_micro_batch(
    method, figures, size, micro_batch, tiny_base, tmp_path
):
    openings = write_openings(tmp_path / "openings.jsonl")
    found = []
    for at_once in (size, micro_batch):
        settings = {"batch_size": size, "per_device_batch_size": at_once, "epochs": 1.0, "learning_rate": 1e-4}
        output = tmp_path / f"{at_once}"
        playing(method, openings, tiny_base, output, play=play(window=0), **settings).run(lambda progress: None)
        history = json.loads((output / "metrics.json").read_text())["history"][method]
        found.append([log[figure] for log in history for figure in figures if figure in log])
    assert any(found[0])
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-6)
