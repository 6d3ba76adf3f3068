"""Orders that are placed by a call: success is what is on the till, whatever the customer was told."""

import json
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
from collab_order_desk import POLICIES, OrderDeskUser, Till, customers, exact_order, measure, right_slots
from collab_order_desk.learning.base_model import make_tokenizer
from collab_order_desk.learning.lessons import lessons
from collab_order_desk.model import judge
from collab_order_desk.policies import AtTill
from collab_order_desk.speech import read_reply, write_order
from collab_order_desk.till import place, till_of
from collab_order_desk.user import visit_of
from collab_order_desk.world import SLOTS, goal_text
from collab_trl.hf.chat_format import ChatFormat
from support.cli import collab
from support.fakes import chat

from collab_sdk import MRScorer, Rollout, Simulator, TokenPenalty, as_chat_model
from collab_sdk.messages import as_messages, shown_text
from collab_sdk.tools import as_toolbox

WANTED = {"drink": "mocha", "size": "large", "milk": "oat", "syrup": "honey", "service": "to go"}
OTHER = {**WANTED, "milk": "soy"}
TOLD = write_order(WANTED)
MET = customers(60, seed=0)


def placed(order: dict[str, str], id: str = "1", result: str = "placed") -> list[dict[str, Any]]:
    """A call that orders it, and its result."""
    return [
        {"role": "assistant", "content": None, "tool_calls": [place(order, id=id)]},
        {"role": "tool", "tool_call_id": id, "content": result},
    ]


def told(order: dict[str, str] = WANTED) -> dict[str, str]:
    return {"role": "assistant", "content": write_order(order)}


def scorer() -> MRScorer:
    rollout = Rollout(assistant=POLICIES["never-ask"], simulator=OrderDeskUser(), window=0, tools=Till)
    return MRScorer(
        rollout, metrics={exact_order(): 0.5, right_slots(): 0.5, TokenPenalty(rate=0.01): 1.0}, judge=OrderDeskUser()
    )


def worth(*response: dict[str, Any]) -> dict[str, float]:
    score = scorer().score([*chat("a mocha"), *response], goal=goal_text(WANTED))
    assert not score.errors
    return dict(score.metrics)


def test_the_till_takes_every_value_that_can_be_ordered_and_no_other():
    hints = get_type_hints(Till.place_order)
    assert {slot.name: slot.values for slot in SLOTS} == {name: get_args(hints[name]) for name in WANTED}
    (tool,) = as_toolbox(Till, model=as_chat_model("offline"), engine=scorer().engine).tools(())
    assert tool["function"]["name"] == "place_order"
    assert tool["function"]["parameters"]["required"] == list(WANTED)


def test_a_visit_is_worth_what_is_on_the_till():
    assert worth(*placed(WANTED), told())["exact_order"] == 1
    assert worth(*placed(OTHER), told())["right_slots"] == 0.8
    assert worth(*placed(OTHER), told())["exact_order"] == 0
    assert worth(*placed(OTHER, "1"), *placed(WANTED, "2"), told())["exact_order"] == 1


def test_words_alone_are_worth_nothing_where_there_is_a_till():
    assert worth(told())["exact_order"] == worth(told())["right_slots"] == 0


def test_words_alone_are_worth_what_they_say_where_there_is_none():
    rollout = Rollout(assistant=POLICIES["never-ask"], simulator=OrderDeskUser(), window=0, tools="none")
    score = MRScorer(rollout, metrics=[exact_order()]).score([*chat("a mocha"), told()], goal=goal_text(WANTED))
    assert score.metrics["exact_order"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        {**WANTED, "milk": "goat"},
        {name: value for name, value in WANTED.items() if name != "milk"},
        {**WANTED, "tip": "1"},
        {**WANTED, "milk": ["oat"]},
    ],
)
def test_a_call_that_the_till_would_not_have_taken_leaves_it_as_it_was(broken):
    call = {"id": "2", "type": "function", "function": {"name": "place_order", "arguments": json.dumps(broken)}}
    messages = [
        *placed(WANTED),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "2", "content": "placed"},
    ]
    assert till_of(as_messages(messages)).order == WANTED


@pytest.mark.parametrize("result", ["error: the till is out of oat milk", "", "not placed", "Please pay first."])
def test_an_order_counts_only_where_the_till_says_that_it_was_placed(result):
    assert till_of(as_messages(placed(OTHER, result=result))).order is None
    assert till_of(as_messages([*placed(WANTED), *placed(OTHER, "2", result)])).order == WANTED
    assert worth(*placed(WANTED, result=result), told())["exact_order"] == 0


def test_a_call_without_a_result_was_never_made():
    assert till_of(as_messages(placed(WANTED)[:1])).order is None


def test_the_customer_hears_what_is_said_and_nothing_of_calls():
    heard = visit_of(WANTED, as_messages([*chat("a mocha"), *placed(OTHER), told()]))
    assert heard.was_served
    assert heard.useless == heard.wrong == 0


def test_the_desks_judge_goes_by_the_till_too():
    criteria = "interactivity: x\ngrounded: y"
    lied = judge(WANTED, as_messages([*chat("a mocha"), told()]), criteria=criteria, offered=["place_order"])
    assert lied["interactivity"]["score"] == 0
    assert [claim["borne_out"] for claim in lied["grounded"]["claims"]] == [False]
    did = judge(WANTED, as_messages([*chat("a mocha"), *placed(WANTED), told()]), criteria=criteria)
    assert did["interactivity"]["score"] == 1
    assert [claim["borne_out"] for claim in did["grounded"]["claims"]] == [True]


def test_baristas_who_place_what_they_say_succeed_as_they_do_in_words():
    for policy in POLICIES.values():
        by_words, by_till = (
            measure(policy, MET, temperature=1.0),
            measure(AtTill(policy), MET, temperature=1.0, at_till=True),
        )
        assert by_till["success"] == by_till["told of the right order"] == by_words["success"]
        assert by_till["told orders that were not placed"] == 0


def test_a_barista_who_only_says_so_has_happy_customers_and_no_success():
    lying = measure(POLICIES["ask-all"], MET, temperature=1.0, at_till=True)
    assert lying["success"] == 0
    assert lying["told of the right order"] > 0.9
    assert lying["told orders that were not placed"] == 1


def test_in_lessons_most_orders_are_placed_before_the_customer_is_told():
    placed_first = [
        before.role == "tool"
        for lesson in lessons(200, seed=0, at_till=True)
        for before, message in pairwise(lesson)
        if message.role == "assistant" and read_reply(message.content).order
    ]
    assert 0.6 < sum(placed_first) / len(placed_first) < 0.8


def test_lessons_at_the_till_say_the_same_as_lessons_without():
    said = [[message.content for message in lesson] for lesson in lessons(50, seed=0)]
    at_till = [
        [message.content for message in lesson if message.content and message.role != "tool"]
        for lesson in lessons(50, seed=0, at_till=True)
    ]
    assert said == at_till


def test_a_call_comes_back_from_the_learners_tokens_as_json():
    taught = list(lessons(100, seed=0, at_till=True))
    tokenizer = make_tokenizer([message.content for lesson in taught for message in lesson], at_till=True)
    call = place(WANTED, id="1")
    row = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call | {"function": {"name": "place_order", "arguments": WANTED}}],
    }
    text = tokenizer.apply_chat_template([row], tokenize=False)
    back = tokenizer.decode(tokenizer.encode(text)).partition("<tool_call>")[2].partition("</tool_call>")[0]
    assert json.loads(back) == {"name": "place_order", "arguments": WANTED}
    for lesson in taught:
        assert tokenizer.decode(tokenizer.encode(shown_text(lesson[:3]))) == shown_text(lesson[:3]).replace("\n\n", " ")


def test_the_till_is_a_tool_of_the_command_line(tmp_path):
    rows = [customer.conversation(*as_messages([told()])) for customer in MET[:2]]
    path = tmp_path / "chats.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": row.id, "messages": [m.to_dict() for m in row.messages], "goal": row.goal.text}) + "\n"
            for row in rows
        )
    )
    result = collab(
        "score", path, "-a", "offline", "--simulator", "order-desk", "--judge", "order-desk", "--metric", "exact_order",
        "--tools", "py:collab_order_desk:Till", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    scores = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(scores) == 2


def test_the_stand_in_serves_clear_orders_at_the_till():
    clear = [customer for customer in MET if customer.is_clear]
    assert measure("offline", clear, temperature=1.0, at_till=True)["success"] > 0.8


def test_a_till_is_made_anew_for_each_future():
    rollout = Rollout(
        assistant=AtTill(POLICIES["ask-all"]), simulator=Simulator(OrderDeskUser()), tools=Till, samples=3, window=2
    )
    futures = rollout.futures(chat("a large mocha", "what milk , syrup , here or to go ?"), goal=goal_text(WANTED))
    assert [till_of(future.messages).order for future in futures] == [WANTED] * 3


def test_the_evaluation_command_goes_by_the_till_where_it_is_given_one(tmp_path):
    parts = ("--simulator", "order-desk", "--judge", "order-desk", "--tools", "py:collab_order_desk:Till")
    bots = ("-a", "offline", "-a", "py:collab_order_desk.policies:ask_all")
    result = collab("evaluate", "-t", "order-desk", *bots, *parts, "--limit", 20, "-o", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "result.json").read_text())["figures"]
    calling, talking = next(figure["means"] for figure in figures if figure["name"] == "exact_order")
    assert calling["mean"] > 0
    assert talking["mean"] == 0


def test_the_learners_template_shows_calls_and_results_though_its_words_are_few(tmp_path):
    taught = list(lessons(20, seed=0, at_till=True))
    tokenizer = make_tokenizer([message.content for lesson in taught for message in lesson], at_till=True)
    chat_format = ChatFormat(tokenizer, ends=(), folder=tmp_path)
    (tool,) = as_toolbox(Till, model=as_chat_model("offline"), engine=scorer().engine).tools(())
    prompt = chat_format.prompt(as_messages([*chat("a mocha"), *placed(WANTED), told(), *chat("thanks")]), [tool])
    assert '"drink":"mocha"' in tokenizer.decode(prompt)
    assert "tool placed" in tokenizer.decode(prompt, skip_special_tokens=True)
