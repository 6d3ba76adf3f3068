"""`collab finetune` where the model plays: what it shows, and what is in the way of it, in one line."""

import pytest
from support.cli import collab
from support.playing import opening, write_openings
from support.training import write_rows

pytestmark = pytest.mark.slow

PLAYING = ("--method", "grpo", "--model", "offline", "--batch-size", "8", "--candidates", "4")


@pytest.fixture
def openings(tmp_path):
    return write_openings(tmp_path / "openings.jsonl", 4)


def refused(*arguments):
    result = collab("finetune", *arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    return line


def test_a_dry_run_shows_what_the_model_will_answer_and_what_that_takes(openings, tiny_base, tmp_path):
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "4 examples to train on, 0 held out, from 4 conversations" in result.stdout
    assert "tokens, prompt" in result.stdout
    assert "<|im_start|>user" in result.stdout
    assert "LoRA" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_trains_and_says_what_user_and_judge_were_asked(openings, tiny_base, tmp_path):
    settings = ("--samples", "1", "--window", "1", "--epochs", "1", "--metric", "interactivity=1")
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, *settings)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
    for part in ("simulator", "judge"):
        assert part in result.stderr
    assert "Serve it:" in result.stderr


@pytest.mark.parametrize("method", [("--method", "ppo"), ("--rounds", "1")], ids=["a method", "rounds"])
def test_without_a_user_to_talk_to_nothing_begins(method, openings, tiny_base, tmp_path):
    line = refused(openings, "-m", tiny_base, "-o", tmp_path / "out", *method)
    assert "lets the model talk with a simulated user: give --simulator, or --model for all parts." in line


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--method", "grpo", "--candidates", "3"), "--batch-size 16 is not a multiple of --candidates 3"),
        (("--method", "grpo", "--sft-first"), "--sft-first learns preferences, and grpo is given chats"),
        (("--method", "kto", "--rounds", "2"), "--rounds are rounds of dpo"),
        (("--method", "reinforce"), "grpo, kto, online-dpo, ppo, rloo, sft"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_played(arguments, problem, openings, tiny_base, tmp_path):
    line = refused(openings, "-m", tiny_base, "-o", tmp_path / "out", "--model", "offline", *arguments)
    assert problem in line


def test_logs_in_which_no_user_says_anything(tiny_base, tmp_path):
    data = write_rows(tmp_path / "chats.jsonl", [opening(0, messages=[{"role": "assistant", "content": "Hello?"}])])
    line = refused(data, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING)
    assert "nothing to answer: no chat in it has a user message" in line


def test_preferences_in_place_of_chats(tiny_base, tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    line = refused(tmp_path / "notes.txt", "-m", tiny_base, "-o", tmp_path / "out", *PLAYING)
    assert "not a chat log" in line
