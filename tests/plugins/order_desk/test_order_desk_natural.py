"""The order desk in natural sentences: the same users, judge and lessons as in its own few words."""

from random import Random

import pytest
from collab_order_desk import NATURAL_POLICIES, OrderDeskUser, customers, measure, user
from collab_order_desk.baristas import NATURAL
from collab_order_desk.learning.lessons import lessons
from collab_order_desk.model import judge
from collab_order_desk.policies import AtTill
from collab_order_desk.speech import read_reply
from collab_order_desk.till import till_of
from collab_order_desk.world import NAMES, read_order, said_by_user
from support.fakes import chat

from collab_sdk import as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.engine import Engine
from collab_sdk.goals import GoalReader
from collab_sdk.messages import as_messages
from collab_sdk.types import Goal

WANTED = {"drink": "mocha", "size": "large", "milk": "oat", "syrup": "honey", "service": "to go"}
GOAL = "\n".join(f"{name}: {value}" for name, value in WANTED.items())
BOTH = ("natural", "natural-unseen")


@pytest.mark.parametrize("phrasings", BOTH)
def test_openings_say_what_they_name_and_a_third_of_them_say_all(phrasings):
    met = customers(200, seed=1, phrasings=phrasings)
    for customer in met:
        said = said_by_user(customer.history)
        assert said.items() <= customer.order.items()
        assert (len(said) == len(NAMES)) == customer.is_clear
    assert 0.25 < sum(customer.is_clear for customer in met) / len(met) < 0.45
    assert len({customer.opening for customer in met}) > 190


@pytest.mark.parametrize("phrasings", BOTH)
def test_scripted_baristas_do_as_well_as_in_few_words(phrasings):
    """Guessing serves a third of those who left something open, asking for everything serves nearly all."""
    met = customers(60, seed=0, phrasings=phrasings)
    success = {
        name: measure(NATURAL_POLICIES[name], met, temperature=0.0, user=OrderDeskUser(phrasings=phrasings))
        for name in ("never-ask", "ask-one", "ask-all")
    }
    assert all(each["success, clear"] == 1 and each["malformed replies"] == 0 for each in success.values())
    assert success["never-ask"]["success, ambiguous"] < 0.45
    assert success["never-ask"]["success, ambiguous"] + 0.2 < success["ask-one"]["success, ambiguous"] < 0.95
    assert success["ask-all"]["success, ambiguous"] > 0.95


def test_at_the_till_the_order_is_what_was_placed():
    met, who = customers(20, seed=0, phrasings="natural"), OrderDeskUser(phrasings="natural")
    measured = measure(AtTill(NATURAL_POLICIES["ask-all"]), met, temperature=0.0, user=who, at_till=True)
    assert measured["success"] > 0.9
    assert measured["told orders that were not placed"] == 0


def test_the_users_of_both_sets_have_names_for_the_command_line():
    for phrasings in BOTH:
        assert as_chat_model(f"order-desk:{phrasings}").fingerprint == OrderDeskUser(phrasings=phrasings).fingerprint


def says(*texts: str) -> tuple[str, bool]:
    return user.reply(WANTED, as_messages(chat(*texts)), phrasings="natural", random=Random(1))


def test_a_natural_user_answers_corrects_and_leaves_as_the_standing_user_does():
    wrong, right = "One large mocha with soy milk and honey, to go.", "One large oat milk mocha with honey, to go."
    answer, leaves = says("A large mocha, please.", "Which milk would you like, and is that for here or to go?")
    assert said_by_user(as_messages(chat(answer))) == {"milk": "oat", "service": "to go"}
    assert not leaves
    correction, leaves = says("A large mocha, please.", wrong)
    assert said_by_user(as_messages(chat(correction))) == {"milk": "oat"}
    assert not leaves
    assert says("A large mocha, please.", right)[1] is True
    assert says("A large mocha, please.", wrong, correction, wrong)[1] is True
    assert says("A large mocha, please.", "So a large oat milk mocha with honey, to go?")[1] is True


def test_the_judge_and_the_goals_go_by_what_natural_sentences_mean():
    talk = as_messages(
        chat("Could I grab a large mocha with honey, as a takeaway?", "Sure! Which milk?", "Not soy, oat milk please.")
    )
    assert judge(WANTED, talk, criteria="clear: x\nuseful_questions: y") == {
        "clear": {"reason": "0 slots unsaid", "clear": True},
        "useful_questions": {"reason": "", "questions": [{"question": "Sure! Which milk?", "changed": True}]},
    }
    asked = talk[:2]
    goals = run_sync(GoalReader(OrderDeskUser(), engine=Engine()).apropose(asked, goal=Goal(text=GOAL), n=3))
    proposed = [read_order(goal.text) for goal in goals]
    said = said_by_user(asked)
    assert said == {"size": "large", "drink": "mocha", "syrup": "honey", "service": "to go"}
    assert len(proposed) == 3
    assert all(said.items() <= order.items() for order in proposed)


def test_in_natural_lessons_the_barista_mostly_takes_orders_at_once_and_says_nothing_that_is_not_understood():
    taught = [lesson for lesson in lessons(150, seed=0, phrasings="natural") if lesson[0].role != "system"]
    replies = [[read_reply(message.content) for message in lesson if message.role == "assistant"] for lesson in taught]
    assert 0.1 < sum(bool(first.asked) for first, *_ in replies) / len(replies) < 0.3
    assert not any(reply.is_malformed for each in replies for reply in each)


def test_in_natural_lessons_at_the_till_most_orders_are_placed_before_they_are_told():
    told = placed = 0
    for lesson in lessons(60, seed=0, phrasings="natural", at_till=True):
        for place, message in enumerate(lesson):
            order = read_reply(message.content).order if message.role == "assistant" else None
            told += order is not None
            placed += order is not None and till_of(lesson[:place]).order == order
    assert 0.5 < placed / told < 0.9


def test_baristas_have_many_ways_to_say_the_same():
    assert len({NATURAL.order(WANTED, Random(seed)) for seed in range(100)}) > 30
    assert len({NATURAL.question({"size", "milk"}, Random(seed)) for seed in range(100)}) > 15
