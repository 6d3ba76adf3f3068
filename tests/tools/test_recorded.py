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


@pytest.mark.parametrize("failed", ["Error: it has shipped", "error", '{"error": "it has shipped"}'])
def test_a_write_that_failed_changed_nothing(failed):
    refused = [ASK, called("cancel", "w", order=5), returned(failed, "w"), *CHANGED[1:4]]
    assert run(GET, messages=refused) == ["status: OPEN"]
    assert run(STOP, GET, messages=refused) == [failed, "status: OPEN"]


@pytest.mark.parametrize(
    "result", ["Error code 0 (success)", "Errors: none.", "errorlog cleared", '{"error": null}', "{broken", "[1]"]
)
def test_a_result_that_only_mentions_errors_is_none(result):
    messages = [ASK, called("cancel", "w", order=5), returned(result, "w"), *CHANGED[1:4]]
    assert simulated(GET, messages=messages) == ["simulated"]


@pytest.mark.parametrize(
    "name",
    [
        "get_or_create",
        "checkout",
        "reorder",
        "think_and_book",
        "",
        "列出",
        "check_in",
        "checkIn",
        "check_out_guest",
        "check_guest_out",
        "load_funds",
        "convert_lead",
        "validate_coupon",
        "list_item_for_sale",
        "verify_payment",
    ],
)
def test_a_name_that_does_not_say_that_it_only_reads_may_have_written(name):
    messages = [ASK, called(name, "w"), returned("x", "w"), *CHANGED[1:4]]
    assert simulated(GET, messages=messages) == ["simulated"]


@pytest.mark.parametrize(
    "name",
    [
        "find_theaters",
        "listOrders",
        "SearchFlights",
        "lookup",
        "look_up_order",
        "search_in_files",
        "check_status",
        "orders.get",
        "crm__fetch_user",
        "think",
    ],
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


def test_a_bot_that_does_what_the_log_did_waits_as_long():
    polls = [
        each
        for n, result in enumerate(["PENDING", "PENDING", "PENDING", "READY"])
        for each in (called("check_status", f"p{n}", job=1), returned(result, f"p{n}"))
    ]
    messages, poll = [ASK, *polls, said("It is ready.")], ("check_status", {"job": 1})
    assert run(*[poll] * 5, messages=messages) == ["PENDING", "PENDING", "PENDING", "READY", "READY"]
    turn = play(doing(*[reply(poll)] * 4), tools="recorded", history=messages[:4], log=log_of(*messages))
    assert results(turn) == ["PENDING", "PENDING", "READY"]


def test_calls_that_have_no_result_in_the_log_take_no_result_away():
    messages = [ASK, called("get_order", "a", order=5), said("Hm."), said("?", "user"), *CHANGED[1:4]]
    assert run(GET, messages=messages, history=messages[:4]) == ["status: OPEN"]


def test_another_system_prompt_does_not_make_results_stale():
    asked_twice = [*CHANGED[:4], said("and now?", "user"), called("get_order", "b", order=5), returned("SHIPPED", "b")]
    messages = [said("Sell.", "system"), *asked_twice, said("It has shipped."), said("and now?", "user")]
    other = [said("Sell. Be proactive.", "system"), *messages[1:]]
    assert run(GET, messages=[*messages, said("Let me look.")], history=other) == ["SHIPPED"]


def test_what_the_log_answered_stands_whatever_its_tools_say():
    number = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
    tools = ({"type": "function", "function": {"name": "cancel", "parameters": number}},)
    messages = [ASK, called("get_order", "a", order=5), returned("OPEN", "a"), called("cancel", "b", order="5")]
    log = log_of(*messages, returned("ok", "b"), said("Done."), tools=tools)
    bot = doing(reply(GET), reply(("cancel", {"order": "5"})), reply(("cancel", {"order": "6"})))
    assert results(play(bot, tools="recorded", history=[ASK], log=log)) == [
        "OPEN",
        "ok",
        "error: order must be of type integer",
    ]


def test_arguments_that_are_nested_too_deep_to_be_put_in_order_are_compared_as_they_are():
    deep = '{"a":' * 800 + "1" + "}" * 800
    messages = [ASK, called("get_order", "a", text=deep), returned("found", "a"), said("Yes.")]
    assert run(("get_order", deep), messages=messages) == ["found"]


def test_what_nobody_has_on_record_is_missing_and_says_what_helps():
    with pytest.raises(ToolError, match=r"Nothing can run the call of get_order: give the tools, with --tools"):
        run(("get_order", {"order": 9}))
