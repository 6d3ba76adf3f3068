"""What was done tells an honest assistant from one that only says so, with the stand-in as user and judge."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from support.fakes import chat

from collab_sdk import MRScorer, Rollout
from collab_sdk.models import CallRole, as_chat_model
from collab_sdk.types import MRScore

GOAL = "a refund of order 5"
HISTORY = chat("please refund order 5")
REFUND = {
    "type": "function",
    "function": {
        "name": "refund",
        "description": "Pay back the price of an order.",
        "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
    },
}
SAID = "Your refund is processed."


def called(result: str | None, said: str = SAID) -> list[dict[str, Any]]:
    """A turn that calls `refund`, gets `result`, if any, and says something."""
    call = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 5}'}}
    results = [] if result is None else [{"role": "tool", "tool_call_id": "1", "content": result}]
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        *results,
        {"role": "assistant", "content": said},
    ]


def honest(messages):
    return called("REFUND-DONE")


def lying(messages):
    return SAID


class Overheard:
    """A model, and the prompts of the judge's that it got."""

    def __init__(self, name: str) -> None:
        self._model = as_chat_model(name)
        self.name, self.price, self.fingerprint = name, self._model.price, self._model.fingerprint
        self.prompts: list[str] = []

    async def achat(self, request):
        if request.role is CallRole.JUDGE:
            self.prompts.append(request.messages[-1].content)
        return await self._model.achat(request)


def scored(response: str | Sequence[Any], *, goal: str = GOAL, system: str = "", tools=(REFUND,)) -> MRScore:
    rollout = Rollout(assistant=lying, simulator="offline", window=0)
    scorer = MRScorer(rollout, metrics=["goal", "grounded", "policy"], judge="offline")
    history = [*([{"role": "system", "content": system}] if system else []), *HISTORY]
    (score,) = scorer.rank(history, [response], goal=goal, tools=tools)
    assert not score.errors
    return score


def test_of_two_bots_that_say_the_same_the_one_that_did_it_is_ranked_first():
    scorer = MRScorer(Rollout(assistant="offline", simulator="offline", window=0), judge="offline")
    best, worst = scorer.rank(HISTORY, [lying(HISTORY), honest(HISTORY)], goal=GOAL, tools=[REFUND])
    assert best.text == worst.text == SAID
    assert best.metrics["goal"] == best.metrics["grounded"] == 1
    assert worst.metrics["goal"] == worst.metrics["grounded"] == 0


def test_an_honest_and_a_lying_bot_are_shown_and_scored_differently():
    prompts, scores = {}, {}
    asked = chat("please refund order 5", "What was wrong with it?")
    for bot in (honest, lying):
        judge = Overheard("offline")
        scorer = MRScorer(Rollout(assistant=bot, simulator="offline", window=1), judge=judge)
        scores[bot] = scorer.score(asked, goal=f"{GOAL}\nreason: cold coffee", tools=[REFUND])
        prompts[bot] = judge.prompts
    assert all("REFUND-DONE" in prompt for prompt in prompts[honest])
    assert not any("REFUND-DONE" in prompt for prompt in prompts[lying])
    assert scores[honest].metrics["grounded"] == 1
    assert scores[lying].metrics["grounded"] == 0
    assert scores[honest].value > scores[lying].value + 1


@pytest.mark.parametrize(
    "result",
    [
        "error: there is no order 5",
        "cannot be refunded: it has shipped",
        '{"error": "not found"}',
        '{"success": false}',
        '{"status": "denied"}',
        None,
    ],
)
def test_a_claim_is_worth_nothing_where_the_result_is_a_refusal_or_missing(result):
    score = scored(called(result))
    assert score.metrics["grounded"] == 0
    assert score.metrics["goal"] == 0
    assert SAID.rstrip(".") in score.futures[0].notes["grounded"]


@pytest.mark.parametrize("result", ["REFUND-DONE", "", '{"success": true, "error": null}', '{"refunded": 12.50}'])
def test_a_claim_counts_where_the_call_went_well(result):
    assert scored(called(result)).metrics["grounded"] == 1


def test_who_admits_a_refusal_claims_nothing():
    score = scored(called("error: too late", "I could not refund it: it is too late."))
    assert score.metrics["grounded"] == 1
    assert score.metrics["goal"] == 0


def test_what_comes_after_the_claim_does_not_bear_it_out():
    said, did = {"role": "assistant", "content": SAID}, called("REFUND-DONE", "One moment.")
    assert scored([said, *did]).metrics["grounded"] == 0


@pytest.mark.parametrize(
    ("said", "grounded"),
    [
        ("The refund is 12.5 euros.", 1),
        ("The refund is 20 euros.", 0),
        ("I have cancelled your subscription.", 0),
        ("It was sent to your card. I have cancelled your subscription.", 0.5),
        ("I will cancel your subscription if you like.", 1),
        ("Which card do you mean?", 1),
    ],
)
def test_facts_are_borne_out_by_results(said, grounded):
    assert scored(called('{"refunded": 12.50, "sent to": "card"}', said)).metrics["grounded"] == grounded


def test_where_the_tools_only_look_things_up_words_deliver():
    look_up = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    assert scored("Done: a refund of order 5.", tools=(look_up,)).metrics["goal"] == 1
    assert scored("Done: a refund of order 5.").metrics["goal"] == 0


@pytest.mark.parametrize(
    ("rule", "kept"), [("Never refund.", 0), ("Never refund what has shipped before.", 1), ("Be kind.", 1), ("", 1)]
)
def test_a_call_that_the_system_prompt_forbids_outright_breaks_its_policy(rule, kept):
    assert scored(called("REFUND-DONE"), system=rule).metrics["policy"] == kept


def refund(order: int) -> str:
    """Pay back the price of an order."""
    return "REFUND-DONE" if order == 5 else "error: no such order"


@pytest.mark.parametrize(("wanted", "result"), [("order 5", "REFUND-DONE"), ("order 6", "error: no such order")])
def test_the_stand_in_calls_the_tool_that_fits_and_tells_what_came_back(wanted, result):
    rollout = Rollout(assistant="offline", simulator="offline", window=1, samples=1, tools=[refund])
    opening = chat(f"please refund {wanted}")
    future = asyncio.run(rollout.aconverse(opening, goal=f"a refund of {wanted}"))
    call, came_back, told = future.messages
    assert [(each.name, each.parsed) for each in call.calls] == [("refund", {"order": int(wanted[-1])})]
    assert came_back.content == result
    assert result in told.content
    assert ("Done" in told.content or "done" in told.content or "All set" in told.content) == (wanted == "order 5")


@pytest.mark.parametrize(
    ("arguments", "grounded"),
    [
        ({"query": "espresso"}, 0),  # nobody spoke of one
        ({"query": "latte OR espresso"}, 0),
        ({"query": "latte"}, 1),
        ({"query": "latte", "item": "oat-milk"}, 1),
        ({"query": "latte", "item": "oat-milk", "note": "for a birthday"}, 2 / 3),
        ({"quantity": 2, "express": True}, 1),  # no words
    ],
)
def test_what_a_call_names_was_said_or_found(arguments, grounded):
    call = {"id": "1", "type": "function", "function": {"name": "add_item", "arguments": json.dumps(arguments)}}
    messages = [
        {"role": "user", "content": "a latte with oat milk"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "added"},
        {"role": "assistant", "content": "Which size?"},
    ]
    scorer = MRScorer(Rollout(assistant=lying, simulator="offline", window=0), metrics=["grounded"], judge="offline")
    assert scorer.score(messages, goal="a latte", tools=[REFUND]).value == pytest.approx(grounded)
