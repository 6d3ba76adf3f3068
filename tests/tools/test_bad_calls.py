"""What bot and tools can do wrong: a result that the bot sees, a typed end, or a missing sample; never a score."""

import asyncio
import json

import pytest
from support.agents import called, doing, log_of, play, reply, results, returned, rollout_of, said
from support.fakes import judged

from collab_sdk import ChatReply, MRScorer, Rollout
from collab_sdk.errors import UsageError
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End

HI = said("order 5?", "user")
START = [HI, said("Let me see.")]


def book(hotel: str, nights: int, guests: list[str] = (), breakfast: bool = False, stars: float | None = None):
    """Book a hotel."""
    return f"{hotel} for {nights}"


def score_with(bot, tools, *, start=START, **options):
    judge = FakeChatModel(lambda _: judged(), name="judge")
    scorer = MRScorer(rollout_of(bot, tools=tools, **options), metrics=["goal"], judge=judge)
    return scorer.score(start, goal="a room"), judge


def results_of(*calls, tools=book):
    return results(play(doing(reply(*calls)), tools=tools, history=[HI]))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"nights": 2}, "error: hotel is missing"),
        ({}, "error: hotel is missing; nights is missing"),
        ({"hotel": "A", "nights": "2"}, "error: nights must be of type integer"),
        ({"hotel": "A", "nights": True}, "error: nights must be of type integer"),
        ({"hotel": "A", "nights": 2.5}, "error: nights must be of type integer"),
        ({"hotel": "A", "nights": 2, "guests": ["x", 3]}, "error: guests[1] must be of type string"),
        ({"hotel": "A", "nights": 2, "stars": "4"}, "error: stars must be of type number or null"),
        ({"hotel": "A", "nights": 2, "pool": True}, "error: pool is no argument of it"),
        ('{"hotel": ', "error: the arguments are no JSON object"),
        ("[]", "error: the arguments are no JSON object"),
        ('"A"', "error: the arguments are no JSON object"),
        ("[" * 100_000, "error: the arguments are no JSON object"),
    ],
)
def test_arguments_that_do_not_fit_are_an_error_that_the_bot_sees_and_nothing_is_called(arguments, told):
    assert results_of(("book", arguments)) == [told]


@pytest.mark.parametrize("arguments", [{"hotel": "A", "nights": 2.0}, {"hotel": "A", "nights": 2, "stars": None}])
def test_numbers_and_nulls_fit_as_json_has_them(arguments):
    assert results_of(("book", arguments))[0].startswith("A for 2")


def test_no_text_at_all_is_no_arguments():
    assert results_of(("ping", ""), tools={"ping": lambda: "pong"}) == ["pong"]


def test_a_tool_that_does_not_exist_and_one_without_a_name():
    assert results_of(("fly", {}), ("", {}), ("book", {"hotel": "A", "nights": 1})) == [
        "error: there is no tool fly; there are book",
        "error: the call names no tool",
        "A for 1",
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": 3, "b": {"type": "date-time"}}, "required": "a", "additionalProperties": False},
        {"properties": {"b": {"type": [["string"]]}}, "required": [["a"], {"b": 1}]},
        {"properties": {"b": {"type": {"a": 1}, "enum": 5, "items": []}}, "required": {"a": 1}},
    ],
)
def test_a_schema_that_cannot_be_read_forbids_nothing(parameters):
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    log = log_of(HI, said("Yes."), tools=(tool, {"no": "tool"}))
    player = FakeChatModel(lambda _: '{"reason": "", "result": "seen"}', name="player")
    turn = play(doing(reply(("look", {"b": "x"}))), tools="simulated", history=[HI], log=log, player=player)
    assert results(turn) == ["seen"]


def test_a_call_in_a_chat_without_tools_is_made_up_and_never_simulated():
    player = FakeChatModel(lambda _: '{"reason": "", "result": "SENT"}', name="player")
    turn = play(doing(reply(("wire_money", {"to": "me"}))), tools="recorded,simulated", history=[HI], player=player)
    assert results(turn) == ["error: there is no tool wire_money; there are none"]
    assert player.requests == []


def test_what_is_told_of_a_mistake_is_never_long():
    [told] = results_of(("x" * 1_000_000, {}))
    assert told.endswith("…; there are book")
    needed = {"properties": {}, "required": [f"argument_{n}" for n in range(50_000)]}
    tool = {"type": "function", "function": {"name": "look", "parameters": needed}}
    log = log_of(HI, said("Yes."), tools=(tool,))
    [missing] = results(play(doing(reply(("look", {}))), tools="recorded", history=[HI], log=log))
    assert max(len(told), len(missing)) <= 2_000


class Runner:
    """Somebody's own way to run calls, which fails where it is told to."""

    name, code, tools = "own", None, ({"type": "function", "function": {"name": "ping"}},)

    def __init__(self, where, failure):
        self.where, self.failure = where, failure

    def open(self, scene):
        return None if self.where == "nothing" else self._at("open", self)

    async def acall(self, call, messages):
        return self._at("acall", 5 if self.where == "number" else "pong")

    async def aclose(self):
        self._at("aclose", None)

    def _at(self, where, value):
        if where == self.where:
            raise self.failure
        return value


@pytest.mark.parametrize("where", ["open", "acall", "nothing", "number"])
@pytest.mark.parametrize("failure", [KeyError("x"), asyncio.CancelledError(), BaseExceptionGroup("x", [SystemExit(1)])])
def test_a_runner_of_ones_own_that_fails_loses_the_sample_and_nothing_else(where, failure):
    score, _ = score_with(doing(reply(("ping", {}))), Runner(where, failure))
    assert score.value is None
    [error] = score.errors
    assert error.startswith(("The tools own failed: ", "The tool ping returned int; a result is text."))


def test_what_a_runner_raises_when_the_future_is_over_changes_nothing():
    score, _ = score_with(doing(reply(("ping", {}))), Runner("aclose", KeyError("x")))
    assert results(score.futures[0].messages) == ["pong"] and not score.errors


def test_two_calls_of_one_id_are_two_calls():
    made = [{"hotel": "A", "nights": 1}, {"hotel": "B", "nights": 2}, {"hotel": "C", "nights": 3}]
    ids = ["same", "same", "other"]
    calls = tuple(
        {"id": id, "type": "function", "function": {"name": "book", "arguments": json.dumps(each)}}
        for id, each in zip(ids, made, strict=True)
    )
    turn = play(doing(ChatReply(content="", tool_calls=calls)), tools=book, history=[HI])
    assert results(turn) == ["A for 1", "B for 2", "C for 3"]
    assert len({message.tool_call_id for message in turn if message.role == "tool"}) == 3


def test_a_tool_that_raises_is_shown_to_bot_and_judge():
    def fail():
        raise KeyError("room 7")

    score, judge = score_with(doing(reply(("fail", {}))), fail)
    assert score.value is not None
    assert "error: KeyError: 'room 7'" in judge.requests[-1].messages[-1].content


def test_a_tool_that_dies_in_mid_future_leaves_no_score():
    class Dying:
        calls = 0

        def work(self, n: int):
            self.calls += 1
            if self.calls == 3:
                raise BrokenPipeError("the process is gone")
            return f"done {self.calls}"

    score, judge = score_with(doing(*(reply(("work", {"n": n})) for n in range(4))), Dying)
    assert score.value is None
    assert score.errors == ("The tool work has died: BrokenPipeError: the process is gone",)
    [future] = score.futures
    assert future.end is End.FAILED
    assert judge.requests == []


def test_calls_a_turn_are_bounded_and_the_end_says_so():
    bot = doing(*(reply(("ping", {"n": n})) for n in range(50)))
    score, _ = score_with(bot, {"ping": lambda n: "pong"}, calls_per_turn=5)
    [future] = score.futures
    assert future.end is End.CALLS
    assert len(results(future.messages)) == 5
    with pytest.raises(UsageError, match="calls_per_turn 0"):
        Rollout(assistant="offline", simulator="offline", calls_per_turn=0)


def test_a_bot_that_makes_the_same_call_again_and_again_is_stopped_early():
    score, _ = score_with(doing(*[reply(("ping", {}))] * 50), {"ping": lambda: "pong"})
    [future] = score.futures
    assert future.end is End.CALLS
    assert len(results(future.messages)) == 4


def test_a_call_that_is_repeated_until_its_result_changes_is_no_circle():
    class Job:
        asked = 0

        def get_status(self):
            self.asked += 1
            return f"{self.asked} of 9"

    score, _ = score_with(doing(*[reply(("get_status", {}))] * 9), Job)
    assert score.futures[0].end is not End.CALLS


def test_nobody_runs_the_tools():
    score, _ = score_with(doing(reply(("ping", {}))), "none")
    assert score.value is None
    assert "Nothing can run the call of ping: give the tools, with --tools" in score.errors[0]


def test_a_log_that_breaks_off_after_a_call_goes_on_with_its_result():
    start = [HI, called("book", hotel="A", nights=1)]
    score, _ = score_with(doing("It is booked."), book, start=start)
    [future] = score.futures
    assert future.error is None
    assert results(future.messages) == ["A for 1"]


def test_a_logged_result_without_its_call_is_missing_and_says_so():
    score, _ = score_with(doing("Hm."), book, start=[HI, returned("stray", "z"), said("Yes.")])
    assert score.value is None
    assert "the call that it answers is missing" in score.errors[0]
