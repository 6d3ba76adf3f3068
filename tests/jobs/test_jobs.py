"""What a job says of itself, so that an outcome of it can be kept and believed."""

from dataclasses import replace

import pytest
from support.cli import write_bot
from support.specs import run_spec

from collab_sdk import Future, Goal, Message, MRScore
from collab_sdk.jobs.jobs import EvaluateJob, ExportJob, ScoreJob
from collab_sdk.preferences import ScoredConversation
from collab_sdk.preferences.candidates import Candidate
from collab_sdk.preferences.report import ScoredTurn
from collab_sdk.spec import MetricSpec
from collab_sdk.types import End, Turn

OFFLINE = run_spec()


def test_an_identity_is_the_same_for_the_same_job_and_another_for_another():
    jobs = [
        ScoreJob(spec=OFFLINE),
        ScoreJob(spec=run_spec(window=1)),
        ScoreJob(spec=run_spec(metrics="goal")),
        ScoreJob(spec=run_spec("offline:proactive")),
        ExportJob(spec=OFFLINE),
        ExportJob(spec=run_spec(candidates=2)),
    ]
    assert len({str(job.identity()) for job in jobs}) == len(jobs)
    assert ScoreJob(spec=OFFLINE).identity() == jobs[0].identity()


def test_a_bot_whose_code_is_another_is_another_job(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    identities = []
    for name, answer in (("one_bot", "What size?"), ("other_bot", "Done.")):
        bot = write_bot(tmp_path, f"return {answer!r}", name=name)
        identities.append(ScoreJob(spec=run_spec(bot)).identity())
    assert None not in identities
    assert identities[0]["made_with"]["models"] != identities[1]["made_with"]["models"]


def test_what_anybody_may_have_written_has_no_identity(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kindness.py").write_text("def kind(messages):\n    return 0.5\n\nclass Kind:\n    name = 'k'\n")
    assert EvaluateJob(spec=OFFLINE, task="order-desk").identity() is None
    for name in ("kind", "Kind"):
        with_own = replace(OFFLINE, metrics=(MetricSpec(name=f"py:kindness:{name}"),))
        assert ScoreJob(spec=with_own).identity() is None
        assert ExportJob(spec=with_own).identity() is None


def future(error: str | None = None) -> Future:
    return Future(sample=0, messages=(), end=End.WINDOW, error=error)


def score(*errors: str | None, observed: str | None = None) -> MRScore:
    futures = tuple(map(future, errors))
    return MRScore(response=(), futures=futures, value=None, stderr=None, observed=future(observed))


@pytest.mark.parametrize(
    ("lost", "scores", "whole"),
    [
        ((), [score(None, None)], True),
        (("no candidate",), [score(None)], False),
        ((), [score(None), score(None, "the judge said nothing")], False),
        ((), [score(None, observed="cut off")], False),
    ],
    ids=["whole", "a candidate", "a sample", "the logged future"],
)
def test_an_outcome_is_whole_if_nothing_in_it_is_missing(lost, scores, whole):
    turn = Turn(index=0, history=(), response=(Message(role="assistant", content="hi"),))
    candidates = tuple((Candidate(source="sampled", messages=()), each) for each in scores)
    scored = ScoredConversation(goal=Goal(text=""), turns=(ScoredTurn(turn=turn, candidates=candidates, lost=lost),))
    assert ExportJob(spec=OFFLINE).is_whole(scored) is whole
    if not lost:
        assert ScoreJob(spec=OFFLINE).is_whole(scores) is whole
