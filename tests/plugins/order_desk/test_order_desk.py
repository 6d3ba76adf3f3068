"""The order desk: who comes, how they speak, what a visit is worth, and that there is something to learn."""

import asyncio
import json
from random import Random

import pytest
from collab_order_desk import POLICIES, OrderDeskUser, customers, exact_order, measure, right_slots, user
from collab_order_desk.model import judge, manner_of
from collab_order_desk.phrasings import ACCEPTANCES, FAREWELLS, PHRASINGS, TRAINED, UNSEEN, VAGUE, WHAT
from collab_order_desk.speech import read_reply, write_order, write_question
from collab_order_desk.world import (
    NAMES,
    SLOTS,
    consistent_orders,
    goal_text,
    is_held_out,
    named_in,
    read_order,
    said_by_user,
)
from collab_order_desk.world import (
    orders as orders_of,
)
from hypothesis import given
from hypothesis import strategies as st
from support.cli import collab
from support.fakes import chat

from collab_sdk import (
    Conversation,
    Engine,
    Goal,
    MRScorer,
    Rollout,
    Simulator,
    TokenPenalty,
    as_chat_model,
)
from collab_sdk.errors import ModelCallError, UnknownNameError, UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.jobs import build_scorer
from collab_sdk.messages import as_messages
from collab_sdk.metrics import as_metric
from collab_sdk.tasks import get_task, load_task
from collab_sdk.tools import Scene

WANTED = {"drink": "mocha", "size": "large", "milk": "oat", "syrup": "honey", "service": "to go"}
GOAL = goal_text(WANTED)
POLICIES_MODULE = "collab_order_desk.policies"
orders = st.fixed_dictionaries({slot.name: st.sampled_from(slot.values) for slot in SLOTS})


def says(*texts: str, order=WANTED, seed=1, phrasings="plain", manner=user.STANDING) -> tuple[str, bool]:
    return user.reply(order, as_messages(chat(*texts)), phrasings=phrasings, random=Random(seed), manner=manner)


def often(*texts: str, manner=user.STANDING) -> set[str]:
    return {says(*texts, seed=seed, manner=manner)[0] for seed in range(60)}


@given(orders)
def test_an_order_survives_being_written_and_read(order):
    assert read_order(goal_text(order)) == order
    assert read_reply(write_order(order)).order == order


@given(st.sets(st.sampled_from(NAMES), min_size=1))
def test_a_question_survives_being_written_and_read(slots):
    assert read_reply(write_question(slots)).asked == slots


@pytest.mark.parametrize(
    "text", ["", "hello", "okay , a mocha .", "what ?", f"{write_order(WANTED)} with soy", "mocha " * 5, "?" * 1000]
)
def test_what_is_neither_an_order_nor_a_question_is_malformed(text):
    assert read_reply(text).is_malformed


def test_held_out_orders_are_a_fifth_and_of_values_that_all_are_trained_on():
    trained, held_out = orders_of("train"), orders_of("held-out")
    assert 0.15 < len(held_out) / (len(held_out) + len(trained)) < 0.25
    assert all(map(is_held_out, held_out))
    assert not any(map(is_held_out, trained))
    for slot in SLOTS:
        assert {order[slot.name] for order in trained} == set(slot.values)


def test_customers_are_the_same_every_time_and_training_never_meets_a_held_out_order():
    assert customers(50, seed=3) == customers(50, seed=3) != customers(50, seed=4)
    assert not any(is_held_out(customer.order) for customer in customers(200, seed=0))
    assert all(is_held_out(customer.order) for customer in customers(200, seed=0, split="held-out"))


@pytest.mark.parametrize("phrasings", PHRASINGS)
def test_an_opening_says_what_it_names_and_nothing_else(phrasings):
    for customer in customers(300, seed=1, phrasings=phrasings):
        said = said_by_user(customer.history)
        assert said.items() <= customer.order.items()
        assert (len(said) == len(NAMES)) == customer.is_clear
        assert said


def test_about_a_third_of_the_openings_are_clear():
    assert 0.3 < sum(customer.is_clear for customer in customers(1000, seed=0)) / 1000 < 0.4


def test_the_user_says_what_is_asked_for():
    assert says("a large mocha", "what milk ?") in {("oat milk please", False), ("oat milk", False)}


def test_the_user_says_several_things_asked_for_at_once_and_is_vague_now_and_then():
    answers = often("a large mocha", "what milk , syrup ?")
    assert {"oat milk , honey please", "oat milk , honey"} <= answers
    assert answers & {"oat milk", "honey", "oat milk please", "honey please"}


def test_the_user_corrects_one_thing_at_a_time_first_what_was_said_already():
    wrong = write_order(WANTED | {"size": "small", "milk": "soy"})
    corrections = often("a large mocha", wrong)
    assert any("large" in text for text in corrections)
    assert not any("oat" in text for text in corrections)
    assert corrections & set(VAGUE)


def test_the_user_leaves_with_the_order_they_wanted():
    assert says("a large mocha", write_order(WANTED)) == ("thanks", True)


def test_the_user_leaves_at_the_second_wrong_order_and_at_the_second_useless_message():
    wrong = write_order(WANTED | {"milk": "soy"})
    assert says("a mocha", wrong)[1] is False
    assert says("a mocha", wrong, "no , oat milk", wrong) in {(text, True) for text in FAREWELLS}
    assert says("a mocha", "what drink ?")[1] is False
    assert says("a mocha", "what drink ?", "i said mocha", "hm .")[1] is True
    assert says("a mocha", wrong, "no , oat milk", "what drink ?")[1] is False


def manner(name: str) -> user.Manner:
    _, found = user.HIDDEN[name]
    return found


def test_a_terse_user_says_one_thing_and_nothing_when_asked_for_many():
    answers = often("a mocha", "what size , milk ?", manner=manner("terse"))
    assert {"large", "large please"} <= answers
    assert all(len(named_in(answer)) == 1 for answer in answers)
    assert often("a mocha", "what size , milk , syrup ?", manner=manner("terse")) == set(WHAT)
    assert says("a mocha", "what size , milk , syrup ?", manner=manner("terse"))[1] is False


def test_an_impatient_user_leaves_at_a_long_question_and_at_the_first_wrong_order():
    impatient = manner("impatient")
    assert says("a mocha", "what size , milk ?", manner=impatient)[1] is False
    assert says("a mocha", "what size , milk , syrup ?", manner=impatient)[1] is True
    assert says("a mocha", write_order(WANTED | {"milk": "soy"}), manner=impatient)[1] is True
    assert says("a mocha", "hm .", manner=impatient)[1] is True


def test_a_vague_user_often_leaves_out_one_of_the_things_asked_for():
    full = {"large , oat milk", "large , oat milk please"}
    draws = [says("a mocha", "what size , milk ?", seed=seed, manner=manner("vague"))[0] for seed in range(200)]
    assert 0.35 < sum(text not in full for text in draws) / 200 < 0.65


def test_a_late_user_accepts_a_wrong_order_and_corrects_it_when_they_hear_of_it_again():
    wrong, late = write_order(WANTED | {"milk": "soy"}), manner("late")
    assert says("a mocha", wrong, manner=late) in {(text, False) for text in ACCEPTANCES}
    texts = often("a mocha", wrong, "okay", wrong, manner=late)
    assert any("oat" in text for text in texts)
    assert not texts & {*ACCEPTANCES, *FAREWELLS}
    assert says("a mocha", wrong, "okay", write_order(WANTED), manner=late) == ("thanks", True)


def test_in_the_hidden_population_each_user_keeps_their_manner_and_all_manners_occur_in_their_shares():
    found = [manner_of(customer.order, customer.history) for customer in customers(2000, seed=0)]
    assert found == [manner_of(customer.order, customer.history) for customer in customers(2000, seed=0)]
    for share, each in user.HIDDEN.values():
        assert abs(found.count(each) / 2000 - share) < 0.04
    assert sum(share for share, _ in user.HIDDEN.values()) == pytest.approx(1)
    first = customers(1, seed=0)[0]
    replied = as_messages([*(message.to_dict() for message in first.history), *chat("", "what size ?")[1:]])
    assert manner_of(first.order, replied) == found[0]


def test_the_hidden_population_says_nothing_in_words_that_others_do_not_use():
    known = {word for text in VAGUE for word in text.split()}
    known |= {word for way in TRAINED.values() for text in (*way.requests, *way.answers) for word in text.split()}
    known |= set(write_order(WANTED).split())
    assert {word for text in ACCEPTANCES for word in text.split()} <= known


def test_the_hidden_population_has_a_name_and_is_another_user_in_the_records():
    hidden = as_chat_model("order-desk:hidden")
    assert hidden.name == OrderDeskUser(hidden=True).name == "order-desk:hidden"
    assert hidden.fingerprint == OrderDeskUser(hidden=True).fingerprint != OrderDeskUser().fingerprint
    scorer = MRScorer(Rollout(assistant="offline", simulator=hidden), metrics={"interactivity": 1.0})
    assert build_scorer(scorer.spec, Engine()).made_with == scorer.made_with


def simulated(*texts, sample="s", goal=GOAL):
    return Simulator(OrderDeskUser(), engine=Engine()).reply(chat(*texts), goal=goal, sample=sample)


def test_the_same_draw_gets_the_same_words_and_another_draw_often_others():
    history = ("a mocha", "what size , milk , syrup ?")
    assert simulated(*history) == simulated(*history)
    assert len({simulated(*history, sample=str(i)).message for i in range(20)}) > 1


def test_a_goal_that_is_no_order_is_refused():
    with pytest.raises(ModelCallError, match="plays users of the order desk only"):
        simulated("a mocha", "what milk ?", goal="an essay")
    scorer = MRScorer(
        Rollout(assistant="offline", simulator=Simulator(OrderDeskUser(), engine=Engine())), metrics={exact_order(): 1}
    )
    with pytest.raises(UsageError, match="goals of the order desk only"):
        scorer.score(chat("a mocha", "what milk ?"), goal="an essay")
    with pytest.raises(UnknownNameError, match="Known: chatty, curt, hidden, natural, natural-unseen, plain"):
        as_chat_model("order-desk:rude")


def test_the_held_out_phrasings_are_none_that_are_trained_on():
    assert not set(UNSEEN) & set(TRAINED)
    trained = {request for way in TRAINED.values() for request in way.requests}
    assert not any(request in trained for way in UNSEEN.values() for request in way.requests)


@given(orders, st.sets(st.sampled_from(NAMES)), st.integers(1, 8))
def test_redrawn_orders_keep_what_was_said_and_are_never_held_out_or_refused(order, named, n):
    said = {name: order[name] for name in named}
    drawn = consistent_orders(said, refused=[order], n=n, random=Random(0))
    assert len(drawn) <= n
    for other in drawn:
        assert said.items() <= other.items()
        assert other != order
        assert not is_held_out(other)


def proposed(*texts: str, n=4) -> list[dict[str, str]]:
    reader = GoalReader(OrderDeskUser(), engine=Engine())
    goals = asyncio.run(reader.apropose(as_messages(chat(*texts)), goal=Goal(text=GOAL), n=n))
    return [read_order(goal.text) for goal in goals]


def test_the_desk_proposes_goals_that_fit_what_the_user_has_said():
    first, *others = proposed("a large mocha please", "what milk ?", "oat milk")
    assert first == WANTED
    assert len(others) == 3
    assert all(other.items() >= {"drink": "mocha", "size": "large", "milk": "oat"}.items() for other in others)


def test_a_clear_order_leaves_no_other_goal():
    assert proposed("a large mocha with oat milk and honey to go") == [WANTED]


def test_an_order_that_the_user_did_not_take_is_no_goal_of_theirs():
    taken = {goal_text(order) for order in proposed("mocha , oat milk , honey , to go", "what size ?", "hm", n=9)}
    for size in ("small", "medium"):
        refused = write_order(WANTED | {"size": size})
        left = proposed("mocha , oat milk , honey , to go", refused, "not quite", n=9)
        assert {goal_text(order) for order in left} == taken - {goal_text(WANTED | {"size": size})}


def worth(*texts: str) -> dict[str, float]:
    rollout = Rollout(assistant="offline", simulator=Simulator(OrderDeskUser(), engine=Engine()), window=0)
    metrics = {exact_order(): 0.5, right_slots(): 0.5, TokenPenalty(rate=0.01): 1.0}
    return dict(MRScorer(rollout, metrics=metrics).score(chat(*texts), goal=GOAL).metrics)


def test_a_visit_is_worth_its_last_order():
    nearly = write_order(WANTED | {"milk": "soy"})
    assert worth("a mocha", "what milk ?")["right_slots"] == 0
    assert worth("a mocha", nearly)["right_slots"] == 0.8
    assert worth("a mocha", nearly)["exact_order"] == 0
    assert worth("a mocha", nearly, "no , oat milk", write_order(WANTED))["exact_order"] == 1


def test_the_metrics_and_the_user_have_names_for_the_command_line():
    assert as_metric("exact_order").name == "exact_order"
    assert as_metric("right_slots").name == "right_slots"
    assert as_chat_model("order-desk:chatty").name == "order-desk:chatty"


def test_the_task_is_held_out_customers_and_says_which_openings_are_ambiguous():
    rows = list(load_task(get_task("order-desk"), on_error=pytest.fail))
    assert len(rows) == 500
    assert all(is_held_out(read_order(row.goal.text)) for row in rows)
    assert 0.6 < sum(row.metadata["ambiguous"] for row in rows) / 500 < 0.7


async def _served(policy, n: int) -> list[tuple[bool, bool]]:
    rollout = Rollout(
        assistant=policy, simulator=Simulator(OrderDeskUser(), engine=Engine()), window=3, samples=1, temperature=1.0
    )
    outcomes = []
    for customer in customers(n, seed=0):
        start = [*customer.history, *await rollout.arespond(customer.history, sample=customer.id)]
        future = await rollout.aplay(start, goal=customer.goal, scene=Scene(conversation_id=customer.id))
        served = user.visit_of(customer.order, [*start, *future.messages]).was_served
        outcomes.append((customer.is_clear, served))
    return outcomes


def test_there_is_something_to_learn():
    """Guessing serves a third of those who left something open, asking for everything serves nearly all."""
    success = {}
    for name, policy in POLICIES.items():
        outcomes = asyncio.run(_served(policy, 200))
        clear = [served for is_clear, served in outcomes if is_clear]
        open_ = [served for is_clear, served in outcomes if not is_clear]
        assert all(clear)
        success[name] = sum(open_) / len(open_)
    assert success["never-ask"] < 0.4
    assert success["never-ask"] + 0.3 < success["ask-one"] < success["ask-all"]
    assert success["ask-all"] > 0.95


def test_how_to_ask_depends_on_who_is_asked():
    """The standing user is served by one long question; of the hidden population a third leaves or says nothing."""
    met = customers(300, seed=1)
    success = {
        (who.name, name): measure(POLICIES[name], met, temperature=0.0, user=who)["success, ambiguous"]
        for who in (OrderDeskUser(), OrderDeskUser(hidden=True))
        for name in ("never-ask", "ask-two", "ask-all")
    }
    assert success["order-desk", "ask-all"] > 0.95
    assert success["order-desk:hidden", "never-ask"] + 0.2 < success["order-desk:hidden", "ask-all"] < 0.7
    assert success["order-desk:hidden", "ask-two"] > success["order-desk:hidden", "ask-all"] + 0.2


MANNERS = [user.STANDING, *(each for _, each in user.HIDDEN.values())]


@given(
    st.lists(st.text(max_size=60), min_size=2, max_size=6),
    st.sampled_from(sorted(PHRASINGS)),
    st.sampled_from(MANNERS),
)
def test_whatever_is_said_the_user_has_an_answer(texts, phrasings, manner):
    texts = texts[: len(texts) // 2 * 2]
    message, done = user.reply(WANTED, as_messages(chat(*texts)), phrasings=phrasings, random=Random(0), manner=manner)
    assert message
    assert isinstance(done, bool)


def test_verdicts_on_a_visit_are_rules_too():
    asked = chat("a large mocha with honey to go", "what milk ?", "oat milk", write_order(WANTED), "thanks")
    verdicts = judge(WANTED, as_messages(asked), criteria="interactivity: x\nuseful_questions: y\nclear: z\nother: w")
    assert verdicts["interactivity"]["score"] == 1
    assert [each["changed"] for each in verdicts["useful_questions"]["questions"]] == [True]
    assert verdicts["clear"]["clear"] is True
    assert "other" not in verdicts
    assert json.dumps(verdicts)
    assert judge(WANTED, as_messages(asked[:2]), criteria="asks: x")["asks"]["asks"] is True


def test_conversations_know_their_goal():
    customer = customers(1, seed=0)[0]
    assert isinstance(customer.conversation(), Conversation)
    assert customer.conversation().goal == customer.goal


def test_a_scorer_with_the_desks_user_is_rebuilt_from_its_spec():
    rollout = Rollout(assistant="offline", simulator=OrderDeskUser(phrasings="chatty"))
    scorer = MRScorer(rollout, metrics={"interactivity": 1.0})
    assert build_scorer(scorer.spec, Engine()).made_with == scorer.made_with


def test_the_evaluation_command_has_the_desk_as_a_task():
    parts = ("--simulator", "order-desk", "--judge", "order-desk")
    bots = [part for name in ("never_ask", "ask_all") for part in ("-a", f"py:{POLICIES_MODULE}:{name}")]
    result = collab("evaluate", "-t", "order-desk", *bots, *parts, "--limit", 30)
    assert result.exit_code == 0, result.output
    for figure in ("asks when ambiguous", "over-asking", "exact_order", "interactivity", "useful questions"):
        assert figure in result.stdout
    assert "30 of 30" in result.stdout
