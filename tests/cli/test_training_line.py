"""What a person sees of a training: on a terminal of 80 columns, and where there is none."""

import pytest
from collab_cli.finetune_progress import TrainingLine, training_shown
from collab_cli.progress import BAR_WIDTH

from collab_sdk.training import TrainingProgress

FIGURES = {"loss": 0.6931, "learning_rate": 1.2e-4, "eval_rewards/accuracies": 0.61, "eval_rewards/margins": 0.42}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def progress(step, *, steps=2_000, **fields):
    told = {"tokens_per_second": 12_345.6, "seconds_left": 3_725.0, "peak_memory": 23_400_000_000, "metrics": FIGURES}
    return TrainingProgress(stage="dpo", step=step, steps=steps, **told | fields)


def test_what_matters_most_fits_a_terminal_of_80_columns():
    line = TrainingLine(Clock())
    line.update(progress(1_200))
    first, second = line.line().splitlines()
    assert first == "dpo 1,200/2,000 · 1:02:05 h left · 12,346 tokens/s · 23.4 GB peak"
    assert second == "rate 1.2e-04 · loss 0.693 · held-out accuracy 0.610 · held-out margin 0.420"
    room = 80 - BAR_WIDTH - 1
    assert len("dpo 1,200/2,000 · 1:02:05 h left · 12,346 tokens/s") <= room


def test_the_time_left_runs_down_between_two_steps():
    clock = Clock()
    line = TrainingLine(clock)
    line.update(progress(10, seconds_left=100.0))
    clock.now += 40
    assert "1:00 min left" in line.line()
    clock.now += 80
    assert "left" not in line.line(), "nobody knows how much later"


def test_before_the_first_step_it_says_what_is_going_on():
    line = TrainingLine(Clock())
    assert line.line() == "loading the base"
    line.update(TrainingProgress(stage="dpo", step=0, steps=27, metrics={}))
    assert line.line() == "dpo 0/27 · loading, and what is computed ahead"


def test_a_training_that_goes_on_says_from_which_step_while_it_loads():
    line = TrainingLine(Clock())
    line.update(TrainingProgress(stage="dpo", step=18, steps=27, metrics={}))
    assert line.line() == "dpo 18/27 · loading, and what is computed ahead"


def test_what_conversations_are_like_is_shown_where_no_steps_are_counted():
    line = TrainingLine(Clock())
    line.update(TrainingProgress(stage="round-1", step=0, steps=0, metrics={"reward": 0.25, "ask_rate": 0.5}))
    assert line.line() == "round-1\nreward 0.250 · asks 0.500"


@pytest.mark.parametrize("steps", [27, 3_000])
def test_without_a_terminal_there_are_a_few_lines(capsys, steps):
    with training_shown() as on_progress:
        for step in range(1, steps + 1):
            on_progress(progress(step, steps=steps))
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 11
    assert lines[-1].startswith("dpo ") and " · rate 1.2e-04 · loss 0.693" in lines[-1]


def test_without_a_terminal_a_slow_training_tells_every_ten_minutes(capsys):
    clock = Clock()
    with training_shown(clock) as on_progress:
        for step in range(1, 9):
            clock.now += 400
            on_progress(progress(step, steps=1_000))
    assert len(capsys.readouterr().err.splitlines()) == 4
