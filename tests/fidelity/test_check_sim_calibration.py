"""What logs say of simulated MR, as a line that a scorer can use."""

import json

import pytest
from support.fakes import chat, scorer_of

from collab_sdk import TokenPenalty
from collab_sdk.calibration import Calibration, RewardPair, fit_calibration
from collab_sdk.errors import InputError, NotEnoughSamplesError, UsageError
from collab_sdk.score_rows import score_row


def pairs(values):
    return [RewardPair(conversation_id=str(n), turn=0, simulated=x, observed=y) for n, (x, y) in enumerate(values)]


def fit(values, **settings):
    """A calibration for a scorer with these settings."""
    return fit_calibration(pairs(values), made_with=scorer_of(**{"metrics": {"goal": 1.0}, **settings}).made_with)


def noisy(n=10):
    return [(x / n, 0.1 + 0.5 * x / n + (0.05 if x % 2 else -0.05)) for x in range(n)]


def test_a_calibration_is_the_least_squares_line():
    values = noisy()
    mean_x, mean_y = (sum(column) / 10 for column in zip(*values, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in values) / sum((x - mean_x) ** 2 for x, _ in values)
    calibration = fit(values)
    assert calibration.slope == pytest.approx(slope)
    assert calibration.intercept == pytest.approx(mean_y - slope * mean_x)
    assert calibration.expected(0.5) == pytest.approx(mean_y + slope * (0.5 - mean_x))
    assert calibration.n == 10


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (noisy()[:9], "9 turns"),
        ([(0.5, y) for _, y in noisy()], "the same at every turn"),
        ([(x, -y) for x, y in noisy()], "does not rise"),
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
    with pytest.raises(InputError, match=r"calibration\.json: it is no calibration"):
        Calibration.read(path)


@pytest.mark.parametrize("change", [{"slope": -1}, {"slope": 0}, {"intercept": float("nan")}, {"data": [{"x": 1}]}])
def test_a_line_that_would_turn_scores_round_is_refused(tmp_path, change):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fit(noisy()).to_dict() | change))
    with pytest.raises(InputError, match="no calibration"):
        Calibration.read(path)


def test_a_scorer_puts_the_calibrated_value_beside_its_own():
    plain = scorer_of(metrics={"goal": 1.0})
    calibrated = scorer_of(metrics={"goal": 1.0}, calibration=fit([(x / 10, 0.2 + 0.5 * x / 10) for x in range(10)]))
    message = chat("a mocha", "Done.")
    before, after = (scorer.score(message, goal="drink: mocha") for scorer in (plain, calibrated))
    assert after.value == before.value == 1.0
    assert before.calibrated is None
    assert after.calibrated == pytest.approx(0.7)
    assert "mr_calibrated" not in score_row(before)
    assert score_row(after)["mr_calibrated"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"metrics": {"goal": 2.0}}, r"metrics\.goal\.weight is 2\.0, not 1\.0"),
        ({"metrics": {"goal": 1.0, TokenPenalty(rate=1e-2): 1.0}}, r"metrics\.token_penalty"),
        ({"window": 1}, "window is 1, not 2"),
    ],
)
def test_a_calibration_of_other_scores_is_refused(change, where):
    with pytest.raises(UsageError, match=f"The calibration is of other scores: its {where}"):
        scorer_of(metrics={"goal": 1.0}, calibration=fit(noisy(), **change))
