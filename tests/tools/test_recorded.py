"""Recorded results: the same call gives the same again, as long as nothing else was written since."""

import pytest
from support.agents import called, doing, log_of, play, reply, results, returned, said

from collab_sdk.errors import ToolError
from collab_sdk.testing import FakeChatModel

ASK = said("order 5?", "user")
CHANGED = [
    ASK,
    called("get_order", "a", order=5),
    returned("status: OPEN", "a"),
    said("It is open."),
    said("cancel it", "user"),
    called("cancel", "b", order=5),
    returned("ok", "b"),
    called("get_order", "c", order=5),
    returned("status: CANCELLED", "c"),
    said("Done."),
]
STOP_MESSAGE = called("cancel", "w", order=5)
GET, STOP = ("get_order", {"order": 5}), ("cancel", {"order": 5})


def run(*steps, history=CHANGED[:1], messages=CHANGED, tools=("recorded",), **options):
    """What the calls of a turn give, made one after another, in a conversation that was logged as `messages`."""
    turn = play(doing(*(reply(step) for step in steps)), tools=tools, history=history, log=log_of(*messages), **options)
    return results(turn)


def player(request):
    return '{"reason": "", "result": "simulated"}'


def simulated(*steps, **options):
    return run(*steps, tools="recorded,simulated", player=FakeChatModel(player, name="player"), **options)


def test_the_same_call_gives_what_it_gave_then():
    assert run(GET) == ["status: OPEN"]


@pytest.mark.parametrize("arguments", ['{"b": 1.0, "a": [{"y": 2, "x": 1}]}', '{"a":[{"x":1.0,"y":2e0}],"b":1}'])
def test_the_order_of_arguments_and_the_form_of_numbers_make_no_other_call(arguments):
    messages = [ASK, called("get_order", a=[{"x": 1, "y": 2}], b=1), returned("found"), said("Yes.")]
    assert run(("get_order", arguments), messages=messages) == ["found"]


@pytest.mark.parametrize("arguments", ['{"order": "5"}', '{"order": true}', '{"order": 5, "all": null}', "{}"])
def test_other_arguments_are_another_call(arguments):
    assert simulated(("get_order", arguments), messages=CHANGED[:4]) == ["simulated"]


def test_a_recorded_write_leads_on_to_what_was_read_after_it():
    assert run(GET, STOP, GET) == ["status: OPEN", "ok", "status: CANCELLED"]


def test_of_several_results_each_repeat_of_the_call_gets_the_next_and_the_last_one_for_ever_after():
    polled = [
        ASK,
        called("get_order", "a", order=5),
        returned("first", "a"),
        said("Wait."),
        said("and now?", "user"),
        called("get_order", "b", order=5),
        returned("second", "b"),
        said("Still."),
    ]
    assert run(GET, GET, GET, messages=polled) == ["first", "second", "second"]
    assert run(GET, GET, messages=polled, history=polled[:5]) == ["second", "second"]
    assert run(GET, messages=polled, history=[*polled, said("?", "user")]) == ["second"]


def test_a_write_that_is_not_on_record_ends_what_the_log_knows():
    assert simulated(("cancel", {"order": 6}), GET, STOP) == ["simulated"] * 3


def test_a_write_that_the_log_made_in_the_meantime_and_this_future_did_not_leaves_its_results_stale():
    history = CHANGED[:4]
    later = [*history, said("cancel it", "user"), said("I will not."), said("order 5?", "user")]
    assert run(GET, history=later) == ["status: OPEN"]
    messages = [ASK, STOP_MESSAGE, returned("ok", "w"), called("get_order", "r", order=5), returned("gone", "r")]
    assert simulated(GET, messages=[*messages, said("Gone.")]) == ["simulated"]


def test_the_same_write_a_second_time_is_not_answered_by_its_first_result():
    assert simulated(STOP, STOP) == ["ok", "simulated"]


def test_a_write_that_failed_changed_nothing():
    refused = [ASK, called("cancel", "w", order=5), returned("Error: it has shipped", "w"), *CHANGED[1:4]]
    assert run(GET, messages=refused) == ["status: OPEN"]
    assert run(STOP, GET, messages=refused) == ["Error: it has shipped", "status: OPEN"]


@pytest.mark.parametrize("name", ["get_or_create", "checkout", "reorder", "think_and_book", "", "列出"])
def test_a_name_that_does_not_say_that_it_only_reads_may_have_written(name):
    messages = [ASK, called(name, "w"), returned("x", "w"), *CHANGED[1:4]]
    assert simulated(GET, messages=messages) == ["simulated"]


@pytest.mark.parametrize(
    "name", ["find_theaters", "listOrders", "SearchFlights", "lookup", "orders.get", "crm__fetch_user", "think"]
)
def test_reading_changes_nothing(name):
    messages = [ASK, called(name, "w"), returned("x", "w"), *CHANGED[1:4]]
    assert run(GET, messages=messages) == ["status: OPEN"]


def test_parallel_calls_count_in_their_own_order_however_their_results_are_logged():
    both = called("get_order", "r", order=5)
    both["tool_calls"] += called("cancel", "w", order=5)["tool_calls"]
    messages = [ASK, both, returned("ok", "w"), returned("status: OPEN", "r"), said("Done.")]
    turn = play(doing(reply(GET, STOP)), tools="recorded", history=[ASK], log=log_of(*messages))
    assert results(turn) == ["status: OPEN", "ok"]


def test_a_call_without_a_result_and_a_result_without_a_call_are_no_record():
    messages = [ASK, returned("stray", "z"), said("Hm."), said("?", "user"), called("get_order", "a", order=5)]
    assert simulated(GET, messages=messages) == ["simulated"]


def test_ids_that_are_used_again_belong_to_the_call_before_them():
    messages = [
        ASK,
        called("get_order", "same", order=5),
        returned("five", "same"),
        called("get_order", "same", order=6),
        returned("six", "same"),
        said("Done."),
    ]
    assert run(GET, ("get_order", {"order": 6}), messages=messages) == ["five", "six"]


def test_what_nobody_has_on_record_is_missing_and_says_what_helps():
    with pytest.raises(ToolError, match=r"Nothing can run the call of get_order: give the tools, with --tools"):
        run(("get_order", {"order": 9}))
