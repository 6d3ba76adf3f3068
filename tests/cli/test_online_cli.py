"""`collab finetune` where the model plays: what it shows, and what is in the way of it, in one line."""

import json

import pytest
from support.cli import collab
from support.playing import opening, write_openings
from support.training import write_rows

from collab_sdk import Engine, Limits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

TALKING = ("--method", "grpo", "--batch-size", "8", "--candidates", "4")
PLAYING = (*TALKING, "--model", "offline")


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


def test_it_trains_and_says_what_user_and_judge_were_asked(openings, tiny_base, tmp_path):
    settings = ("--samples", "1", "--window", "1", "--epochs", "1", "--metric", "interactivity=1")
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, *settings)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
    for part in ("simulator", "judge"):
        assert part in result.stderr
    assert "Serve it:" in result.stderr


def test_a_user_and_a_judge_are_enough_as_the_bot_is_the_model_in_training(openings, tiny_base, tmp_path):
    roles = ("--simulator", "offline", "--judge", "offline:proactive")
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *TALKING, *roles, "--dry-run")
    assert result.exit_code == 0, result.output


LIMITS = {
    "--max-usd": 5.0,
    "--max-calls": 100_000,
    "--concurrency": 3,
    "--requests-per-minute": 600_000.0,
    "--tokens-per-minute": 7e8,
    "--timeout": 9.0,
}


def test_every_limit_reaches_the_engine(openings, tiny_base, tmp_path, monkeypatch):
    engines = []

    def engine(**settings):
        engines.append(Engine(**settings))
        return engines[-1]

    monkeypatch.setattr("collab_cli.setup.Engine", engine)
    limits = [part for pair in LIMITS.items() for part in pair]
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, *limits, "--dry-run")
    assert result.exit_code == 0, result.output
    assert [engine.limits for engine in engines] == [
        Limits(**{flag[2:].replace("-", "_"): value for flag, value in LIMITS.items()})
    ]


def test_a_training_ends_when_its_calls_are_spent(openings, tiny_base, tmp_path):
    result = collab("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, "--max-calls", "9")
    assert result.exit_code == 4, result.output
    assert "The limit of 9 calls is reached." in result.stderr


def test_a_run_with_another_judge_is_another_training(openings, tiny_base, tmp_path):
    settings = ("--samples", "1", "--window", "1", "--epochs", "1", "--metric", "interactivity=1")
    train = ("finetune", openings, "-m", tiny_base, "-o", tmp_path / "out", *PLAYING, *settings)
    assert collab(*train).exit_code == 0
    known = json.loads((tmp_path / "out" / "metrics.json").read_text())["run"]["play"]
    assert known["judge"]["settings"] == {"temperature": 0.0}
    line = refused(*train[1:], "--judge-option", "temperature=0.5")
    assert "holds another training (it differs in play)" in line


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
