"""What logs say of simulated MR, as a line that a scorer can use."""

import json
import random
import statistics
from dataclasses import replace

import pytest
from support.fakes import chat, scorer_of

from collab_sdk import TokenPenalty
from collab_sdk.calibration import Calibration, RewardPair, fit_calibration
from collab_sdk.errors import InputError, NotEnoughSamplesError, UsageError
from collab_sdk.score_rows import score_row
from collab_sdk.testing import FakeChatModel


def pairs(values):
    return [
        RewardPair(conversation_id=str(n), turn=0, simulated=x, stderr=0.01, samples=3, observed=y)
        for n, (x, y) in enumerate(values)
    ]


def fit(values, **settings):
    """A calibration for a scorer with these settings."""
    return fit_calibration(pairs(values), made_with=scorer_of(**{"metrics": {"goal": 1.0}, **settings}).made_with)


def noisy(n=10):
    return [(x / n, 0.1 + 0.5 * x / n + (0.05 if x % 2 else -0.05)) for x in range(n)]


def test_a_calibration_is_the_least_squares_line_without_the_noise_of_mr():
    values = noisy()
    mean_x, mean_y = (sum(column) / 10 for column in zip(*values, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in values) - 9 * 0.01**2
    slope = sum((x - mean_x) * (y - mean_y) for x, y in values) / spread
    calibration = fit(values)
    assert calibration.slope == pytest.approx(slope)
    assert calibration.slope_low < slope < calibration.slope_high
    assert calibration.intercept == pytest.approx(mean_y - slope * mean_x)
    assert calibration.expected(0.5) == pytest.approx(mean_y + slope * (0.5 - mean_x))
    assert calibration.n == 10


def world(turns, *, samples=3, slope=1.0, between=0.25, within=0.3, seed=0, each=1):
    """Logged turns and futures of users who are as simulated ones, where the slope is 1; `each` turns are a chat."""
    rng = random.Random(seed)
    made = []
    for turn in range(turns):
        worth = rng.gauss(1, between)
        futures = [rng.gauss(worth, within) for _ in range(samples)]
        made.append(
            RewardPair(
                conversation_id=str(turn // each),
                turn=turn % each,
                simulated=statistics.fmean(futures),
                stderr=statistics.stdev(futures) / samples**0.5 if samples > 1 else None,
                samples=samples,
                observed=rng.gauss(1 + slope * (worth - 1), within),
            )
        )
    return made


@pytest.mark.parametrize("samples", [2, 3, 9, 50])
def test_a_perfect_simulator_has_the_slope_1_however_few_futures_are_played(samples):
    calibration = fit_calibration(world(2000, samples=samples, each=4), made_with={})
    assert calibration.slope == pytest.approx(1.0, abs=0.15)
    assert calibration.slope_low < 1 < calibration.slope_high


def test_one_future_a_turn_does_not_tell_how_noisy_mr_is():
    with pytest.raises(NotEnoughSamplesError, match="more samples"):
        fit_calibration(world(200, samples=1), made_with={})


def test_a_perfect_simulator_is_never_called_useless_for_want_of_turns():
    for seed in range(100):
        try:
            fit_calibration(world(30, between=0.15, seed=seed), made_with={})
        except NotEnoughSamplesError as error:
            assert "Try another simulator" not in str(error)
            assert "Take more" in str(error)


def test_a_simulator_whose_mr_says_nothing_is_called_so_once_the_turns_tell():
    with pytest.raises(NotEnoughSamplesError, match=r"hardly rises.*Try another simulator"):
        fit_calibration(world(600, slope=0.0, seed=4), made_with={})


def test_turns_of_fewer_than_ten_chats_give_no_line():
    with pytest.raises(NotEnoughSamplesError, match="54 turns of 9 chats are too few to tell"):
        fit_calibration(world(54, each=6), made_with={})


def test_turns_whose_end_is_not_known_are_in_no_line():
    known = world(200)
    unknown = [replace(pair, observed=None, conversation_id=f"x{n}") for n, pair in enumerate(world(50, seed=1))]
    assert fit_calibration([*known, *unknown], made_with={}) == fit_calibration(known, made_with={})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (noisy()[:9], "9 turns"),
        ([(0.5, y) for _, y in noisy()], "the same at every turn"),
        ([(x, -y) for x, y in noisy()], "does not rise.*Try another simulator"),
    ],
)
def test_where_there_is_nothing_to_correct_by_there_is_no_calibration(values, problem):
    with pytest.raises(NotEnoughSamplesError, match=problem):
        fit(values)


def test_what_is_written_is_read_again(tmp_path):
    calibration = fit(noisy())
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(calibration.to_dict()))
    assert Calibration.read(path) == calibration
    assert json.loads(path.read_text())["n"] == 10


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "collab/calibration/v1"}', "null", "\x00", "[" * 10_000],
)
def test_a_file_that_is_no_calibration_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"calibration\.json: it is not a calibration"):
        Calibration.read(path)


@pytest.mark.parametrize("change", [{"slope": -1}, {"slope_low": 0}, {"intercept": float("nan")}, {"data": [{"x": 1}]}])
def test_a_line_that_would_turn_scores_round_is_refused(tmp_path, change):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fit(noisy()).to_dict() | change))
    with pytest.raises(InputError, match="not a calibration"):
        Calibration.read(path)


def test_a_scorer_puts_the_calibrated_value_beside_its_own():
    plain = scorer_of(metrics={"goal": 1.0})
    found = fit(noisy())
    calibrated = scorer_of(metrics={"goal": 1.0}, calibration=found)
    message = chat("a mocha", "Done.")
    before, after = (scorer.score(message, goal="drink: mocha") for scorer in (plain, calibrated))
    assert after.value == before.value == 1.0
    assert before.calibrated is None
    assert after.calibrated == pytest.approx(found.intercept + found.slope)
    assert "mr_calibrated" not in score_row(before)
    assert score_row(after)["mr_calibrated"] == after.calibrated


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"metrics": {"goal": 2.0}}, r"metrics\.goal\.weight is 2\.0, not 1\.0"),
        ({"metrics": {"goal": 1.0, TokenPenalty(rate=1e-2): 1.0}}, r"metrics\.token_penalty"),
        ({"window": 1}, "window is 1, not 2"),
        ({"samples": 5}, "samples is 5, not 3"),
        ({"judge": FakeChatModel(lambda _: "", name="another")}, r"judge"),
    ],
)
def test_a_calibration_of_other_scores_is_refused(change, where):
    with pytest.raises(UsageError, match=f"The calibration is of other scores: its {where}"):
        scorer_of(metrics={"goal": 1.0}, calibration=fit(noisy(), **change))
