"""A made-up success never wins a pair: the judge is shown what the tools gave, and `grounded` is part of the reward."""

import json

import pytest
from support.fakes import user_says

from collab_sdk import ChatRequest, Engine, MRScorer, PreferenceExporter, Rollout, Simulator
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import Conversation, Goal

CANCEL = {"type": "function", "function": {"name": "cancel_order", "parameters": {}}}
LOOKED = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
HISTORY = [
    {"role": "system", "content": "Use cancel_order to cancel."},
    {"role": "user", "content": "order 5?"},
    {"role": "assistant", "content": None, "tool_calls": [LOOKED]},
    {"role": "tool", "tool_call_id": "c", "content": "status: SHIPPED, cannot be cancelled"},
    {"role": "assistant", "content": "It has shipped."},
    {"role": "user", "content": "cancel it"},
]
TRUTH = "It has shipped, so it cannot be cancelled any more."
MADE_UP = "Done, I have cancelled order 5 and refunded you."


def credulous(request: ChatRequest) -> str:
    """Believes every claim about an action, but that a result which is shown to it speaks against it."""
    assert request.role in (CallRole.JUDGE, CallRole.SIMULATOR)
    shown = "\n".join(message.content for message in request.messages)
    claimed, refuted = "I have cancelled order" in shown, "SHIPPED, cannot be cancelled" in shown
    answer = {
        "requirements": ["cancelled"],
        "goal": {"reason": "", "verdicts": [{"number": 1, "met": claimed and not refuted}]},
        "interactivity": {"reason": "", "score": 0.5},
        "grounded": {"reason": "", "claims": [{"claim": "cancelled", "borne_out": not refuted}] if claimed else []},
    }
    return json.dumps(answer)


def exported(tmp_path, judge: object, **settings):
    """The row of the pair, and the report."""
    log = Conversation(
        id="1",
        tools=(CANCEL,),
        goal=Goal(text="cancel order 5"),
        messages=as_messages([*HISTORY, {"role": "assistant", "content": TRUTH}]),
    )
    user = FakeChatModel(lambda _: user_says("great", done=True), name="user")
    bot = FakeChatModel(lambda request: f"{MADE_UP} Ref {request.sample[-1]}", name="bot")
    rollout = Rollout(assistant=bot, simulator=Simulator(user, engine=Engine()))
    report = PreferenceExporter(MRScorer(rollout, judge=judge, **settings), candidates=3).export(
        [log], tmp_path / "prefs.jsonl"
    )
    rows = [json.loads(line) for line in (tmp_path / "prefs.jsonl").read_text().splitlines()]
    return rows, report


@pytest.mark.parametrize("judge", ["a credulous judge", "offline"])
def test_the_truth_is_chosen_over_a_made_up_success(tmp_path, judge):
    model = FakeChatModel(credulous, name="judge") if judge == "a credulous judge" else judge
    rows, _ = exported(tmp_path, model)
    last = [row for row in rows if row["turn"] == 1]
    assert len(last) == 1
    assert last[0]["chosen"][-1]["content"] == TRUTH
    assert last[0]["rejected"][-1]["content"].startswith(MADE_UP)


def test_it_is_grounded_that_decides_it(tmp_path):
    judge = FakeChatModel(credulous, name="judge")
    rows, report = exported(tmp_path, judge, metrics={"goal": 1.0, "interactivity": 1.0, "token_penalty": 1.0})
    assert not [row for row in rows if row["turn"] == 1]
    assert report.refused
