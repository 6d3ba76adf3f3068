"""Speed and time left: by the tokens that go through the model, evaluations apart, after a resume too."""

import pytest
from support.training import pair as make_pair
from support.training import prepared, write_base, write_pairs, write_rows

pytestmark = pytest.mark.slow


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def run(pace, clock, seconds, *, first=0, evaluations=None):
    """Steps that take so many seconds each, and evaluations after some of them."""
    for step, took in enumerate(seconds, first + 1):
        pace.begin(step - 1)
        clock.now += took
        pace.end_step(step)
        if step in (evaluations or {}):
            clock.now += evaluations[step]
            pace.end_evaluation()


@pytest.fixture
def clock():
    return Clock()


def make_pace(work, clock):
    from collab_trl.pace import Pace

    return Pace(work, clock)


def test_time_left_goes_by_tokens_and_not_by_steps(clock):
    pace = make_pace([0, 100, 200, 300, 1300], clock)
    run(pace, clock, [1, 1, 1])
    assert pace.speed == 100
    assert pace.seconds_left(3, evaluations=0) == 10, "the last step has ten times the tokens"


def test_evaluations_slow_no_step_down_and_those_to_come_are_counted(clock):
    pace = make_pace([0, 100, 200, 300, 400], clock)
    pace.watch()
    clock.now += 30  # before the first step
    pace.end_evaluation()
    run(pace, clock, [1, 1], evaluations={2: 50})
    assert pace.speed == 100
    assert pace.seconds_left(2, evaluations=2) == 2 + 2 * 40


def test_after_a_resume_the_steps_before_take_no_part(clock):
    pace = make_pace([0, 1000, 2000, 2100, 2200, 2300], clock)
    clock.now = 500.0
    pace.watch()
    run(pace, clock, [2], first=2)
    assert pace.speed == 50
    assert pace.seconds_left(3, evaluations=0) == 4


def test_the_speed_is_that_of_late(clock):
    pace = make_pace(range(0, 6100, 100), clock)
    run(pace, clock, [100] + [1] * 40)
    assert pace.speed == 100, "the first step, which warms up, is forgotten"


def test_before_any_step_nothing_is_foretold(clock):
    pace = make_pace([0, 1], clock)
    assert pace.speed is None and pace.seconds_left(0, evaluations=3) is None


def test_a_training_tells_tokens_and_time_left(tmp_path):
    base = write_base(tmp_path / "base")
    rows = [make_pair(number) for number in range(24)]
    for number, row in enumerate(rows):
        row["prompt"][0]["content"] += " please" * (number % 5) * 4
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    told = []
    training = prepared(data, base, tmp_path / "out", epochs=1.0, eval_fraction=0.0)
    training.run(told.append)
    assert told[0].step == 0 and told[0].steps == told[-1].steps, "what comes is known before the model is loaded"
    logged = [progress for progress in told if "loss" in progress.metrics]
    assert [progress.step for progress in logged] == [1, 2, 3]
    assert all(progress.tokens_per_second > 0 and progress.peak_memory > 1e6 for progress in logged)
    assert logged[0].seconds_left > 0
    assert logged[-1].seconds_left == 0
    assert all("learning_rate" in progress.metrics for progress in logged)


def test_all_tokens_are_counted_without_padding(tmp_path):
    from collab_trl.pace import tokens_by_step

    tokens = [5, 100, 7, 9, 50, 1]
    whole = tokens_by_step(tokens, tokens, batch=2, seed=0, steps=3)
    assert (whole[0], whole[-1]) == (0, sum(tokens))
    assert len(tokens_by_step(tokens, tokens, batch=4, seed=0, steps=5)) == 6
    assert tokens_by_step(tokens, tokens, batch=4, seed=0, steps=4)[-1] == 2 * sum(tokens), "a short step an epoch"
    assert tokens_by_step(tokens, None, batch=3, seed=0, steps=2) == [0, 86, 172]


@pytest.mark.parametrize("method", ["sft", "kto"])
def test_every_method_on_examples_tells_its_speed(tmp_path, method):
    told = []
    data = write_pairs(tmp_path / "prefs.jsonl", 8)
    prepared(data, write_base(tmp_path / "base"), tmp_path / "out", method=method, epochs=1.0, eval_fraction=0.0).run(
        told.append
    )
    assert any(progress.tokens_per_second for progress in told)
