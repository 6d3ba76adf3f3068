"""Other responses that were logged to a history become candidates, without a call."""

from collections import Counter
from dataclasses import replace

import pytest
from support.calls import assistant, call, user
from support.cli import collab
from support.fakes import judged, says, scorer_of
from support.specs import estimate

from collab_sdk import Conversation, Goal, PreferenceExporter
from collab_sdk.logs import ConversationStore
from collab_sdk.messages import as_messages
from collab_sdk.preferences import Refusal
from collab_sdk.types import PARTIAL_TURNS

LOGGED = Conversation(
    id="c1",
    messages=as_messages([user("a coffee"), assistant("Here.")]),
    goal=Goal(text="mocha"),
    alternatives={0: (says("Which one?"), says("Here. "), says("No."))},
)


def export(tmp_path, conversation, *, candidates, judge=None):
    scorer = scorer_of(assistant=lambda request: f"Sampled, {request.sample}", judge=judge, metrics={"goal": 1.0})
    exporter = PreferenceExporter(scorer, candidates=candidates)
    scored = []
    ascore = exporter.ascore_conversation

    async def watched(*known):
        scored.append(await ascore(*known))
        return scored[-1]

    exporter.ascore_conversation = watched
    report = exporter.export([conversation], tmp_path / "prefs.jsonl")
    draws = [request.sample for request in scorer.rollout.assistant.requests if "candidate" in request.sample]
    [turn] = scored[-1].turns
    return report, turn, draws


@pytest.mark.parametrize(
    ("candidates", "sources", "draws"),
    [
        (2, {"logged": 1, "alternative": 1}, 0),
        (3, {"logged": 1, "alternative": 2}, 0),
        (5, {"logged": 1, "alternative": 2, "proactive": 2}, 2),
        (7, {"logged": 1, "alternative": 2, "sampled": 1, "proactive": 3}, 4),
    ],
)
def test_alternatives_come_before_samples_and_enough_of_them_cost_no_call(tmp_path, candidates, sources, draws):
    _, turn, drawn = export(tmp_path, LOGGED, candidates=candidates)
    assert Counter(str(candidate.source) for candidate, _ in turn.candidates) == sources
    assert len(drawn) == draws


def test_a_regeneration_becomes_a_pair_without_resampling(tmp_path):
    def judge(request):
        return judged(0.9 if "Which one?" in request.messages[-1].content else 0.2)

    _, turn, drawn = export(tmp_path, LOGGED, candidates=3, judge=judge)
    assert turn.pair.chosen.text == "Which one?"
    assert not drawn


def test_the_estimate_knows_that_alternatives_cost_no_call():
    def assistant_calls(conversation, window):
        ledger = estimate([conversation], prices={}, candidates=3, samples=2, window=window)
        return sum(usage.calls for role, usage in ledger.by_role().items() if role == "assistant")

    plain = replace(LOGGED, alternatives={})
    assert [assistant_calls(chat, 1) for chat in (plain, LOGGED)] == [2 + 6, 6]


def test_a_response_that_was_broken_off_is_nothing_to_train_on(tmp_path):
    report, turn, drawn = export(tmp_path, replace(LOGGED, metadata={PARTIAL_TURNS: [0]}), candidates=3)
    assert turn.refusal is Refusal.BROKEN_OFF
    assert not drawn
    assert report.pairs == 0


def test_a_store_of_regenerations_is_exported_from_the_command_line_with_no_call_to_the_bot(tmp_path):
    with ConversationStore(tmp_path / "chats.db") as store:
        asked = user("plan a hike for Sunday")
        replies = [assistant("Sure, done."), assistant("Which region do you want to hike in, and how far?")]
        store.record([call("1", asked, replies=replies, conversation_id="hike")])
    options = ("--model", "offline", "--candidates", 2, "--window", 0, "--min-confidence", 0)
    result = collab("export-prefs", tmp_path / "chats.db", *options, "-o", tmp_path / "prefs.jsonl")
    assert result.exit_code == 0, result.output
    assert "assistant" not in result.stderr
    assert "1 conversation" in result.stderr


@pytest.mark.parametrize("noted", [5, "0", {"0": 1}, [[0]], ["0"]])
def test_metadata_that_names_no_turns_breaks_nothing_off(tmp_path, noted):
    report, *_ = export(tmp_path, replace(LOGGED, metadata={PARTIAL_TURNS: noted}), candidates=3)
    assert report.refused[Refusal.BROKEN_OFF] == 0
    assert not report.failed
