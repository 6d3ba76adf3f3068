"""Kinds of server by what they refuse and how they answer: wherever the model answers, every sample is readable."""

import warnings
from itertools import islice

import pytest
from support.paths import ROOT
from support.server import LoopbackServer
from support.server_kinds import SERVER_KINDS, ServerKind, brain_of, table

from collab_sdk import Engine, MRScorer, Rollout, Simulator, as_chat_model, read_conversations
from collab_sdk.errors import EndpointError
from collab_sdk.offline import sample_chats_path
from collab_sdk.types import MRScore

PLAIN, *OTHERS = SERVER_KINDS


async def no_wait(seconds: float) -> None:
    """A sleep that takes no time."""


def scored(kind: ServerKind) -> tuple[list[MRScore], list[str], Engine]:
    """The scores of two chats by models at such a server, the warnings, and the engine."""
    engine = Engine(sleep=no_wait)
    with (
        LoopbackServer(brain_of(kind), faults=kind.refuses) as server,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        model = as_chat_model("m", api_base=server.api_base, max_tokens=900, seed=5, stop=["<END>"])
        scorer = MRScorer(Rollout(assistant=model, simulator=Simulator(model, engine=engine), samples=2))
        chats = islice(read_conversations([sample_chats_path()]), 2)
        scores = [score for chat in chats for score in scorer.score_conversation(chat)]
    return scores, [str(warning.message) for warning in told], engine


@pytest.fixture(scope="module")
def values() -> list[float | None]:
    """What a server that takes everything leads to."""
    return [score.value for score in scored(PLAIN)[0]]


@pytest.mark.parametrize("kind", [kind for kind in SERVER_KINDS if kind.answers], ids=lambda kind: kind.name)
def test_every_sample_is_readable_wherever_the_model_answers(kind, values):
    scores, told, engine = scored(kind)
    assert sum(score.n_ok for score in scores) == sum(score.n for score in scores) > 0
    assert [score.value for score in scores] == values
    assert sorted(told) == sorted(f"m {line}" for line in kind.says)  # which comes first, timing says
    assert engine.ledger.total.failures == engine.ledger.missing == 0
    assert all(score.observed is None or score.observed.error is None for score in scores)


@pytest.mark.parametrize("kind", [kind for kind in SERVER_KINDS if not kind.answers], ids=lambda kind: kind.name)
def test_a_server_that_never_answers_ends_the_run_with_a_line(kind):
    with pytest.raises(EndpointError) as error:
        scored(kind)
    line = str(error.value)
    [said] = kind.says
    for part in said.split("http://HOST"):
        assert part in line
    assert "\n" not in line


def test_the_page_of_servers_says_what_happens_here():
    page = (ROOT / "docs" / "servers.md").read_text()
    assert table() in page, "python tests/support/server_kinds.py, into docs/servers.md"
