import asyncio
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest

from collab_sdk import ChatReply, ChatRequest, Engine, Message
from collab_sdk.cache import call_identity, call_key
from collab_sdk.cache.base import MemoryCache
from collab_sdk.cache.disk import DiskCache
from collab_sdk.engine.retry import RetryPolicy
from collab_sdk.errors import (
    BotError,
    BudgetError,
    CacheError,
    EmptyReplyError,
    EndpointError,
    ModelCallError,
    SampleError,
    TimedOutError,
    TruncatedReplyError,
    UsageError,
)
from collab_sdk.messages import Ending
from collab_sdk.models.base import CallRole
from collab_sdk.models.instructed import InstructedModel
from collab_sdk.spec import Limits, ModelSettings, Price
from collab_sdk.testing import Answer, FakeChatModel


def ask(text: str = "hi", *, sample: str = "", role: CallRole = CallRole.ASSISTANT) -> ChatRequest:
    return ChatRequest(role=role, messages=(Message(role="user", content=text),), sample=sample)


def answer_all(engine: Engine, model: FakeChatModel, requests: list[ChatRequest]) -> list[ChatReply | BaseException]:
    async def main() -> list[ChatReply | BaseException]:
        return await asyncio.gather(*(engine.call(model, request) for request in requests), return_exceptions=True)

    return asyncio.run(main())


def key_of(request: ChatRequest, model: str = "fake") -> str:
    identity = call_identity(FakeChatModel([], name=model), request)
    assert identity is not None
    return call_key(identity)


class NoWait:
    """A sleep that only notes how long it was asked for."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def overloaded(retry_after: float | None = None) -> ModelCallError:
    return ModelCallError("429", retryable=True, retry_after=retry_after)


def after_success(*answers: Answer) -> FakeChatModel:
    """A model that has proven itself with a first answer."""
    return FakeChatModel(["first", *answers])


def test_a_reply_is_paid_for_once_even_by_another_process_with_the_same_cache(tmp_path):
    model = FakeChatModel(["paid"])
    first = asyncio.run(Engine(cache=tmp_path).call(model, ask()))
    again = Engine(cache=tmp_path)
    second = asyncio.run(again.call(model, ask()))
    assert first == second == ChatReply(content="paid")
    assert len(model.requests) == 1
    assert again.ledger.total.calls == 0
    assert again.ledger.total.cache_hits == 1


def test_the_same_call_made_twice_at_once_is_paid_for_once():
    model = FakeChatModel(["one"])
    replies = answer_all(Engine(), model, [ask(), ask(), ask()])
    assert [reply.content for reply in replies] == ["one"] * 3
    assert len(model.requests) == 1


def test_repeated_draws_stay_distinct_by_their_sample_index():
    model = FakeChatModel(["one", "two"])
    replies = answer_all(Engine(), model, [ask(sample="a"), ask(sample="b")])
    assert {reply.content for reply in replies} == {"one", "two"}


@pytest.mark.parametrize(
    "other",
    [
        ask("other"),
        ask(sample="1"),
        ask(role=CallRole.JUDGE),
        ChatRequest(role=CallRole.ASSISTANT, messages=ask().messages, settings=ModelSettings(temperature=0.5)),
        ChatRequest(role=CallRole.ASSISTANT, messages=ask().messages, settings=ModelSettings(max_tokens=5)),
        ChatRequest(role=CallRole.ASSISTANT, messages=ask().messages, template="v2"),
        ChatRequest(role=CallRole.ASSISTANT, messages=ask().messages, reply_schema={"type": "object"}),
    ],
)
def test_whatever_may_change_the_answer_changes_the_key(other):
    assert key_of(other) != key_of(ask())
    assert key_of(ask(), model="another") != key_of(ask())


def test_metadata_for_the_bot_does_not_change_the_key():
    with_metadata = ChatRequest(role=CallRole.ASSISTANT, messages=ask().messages, metadata={"user": "42"})
    assert key_of(with_metadata) == key_of(ask())


def test_a_retryable_failure_is_retried_after_the_time_the_server_names():
    sleep = NoWait()
    engine = Engine(sleep=sleep)
    [reply] = answer_all(engine, FakeChatModel([overloaded(7.0), overloaded(3.0), "at last"]), [ask()])
    assert reply.content == "at last"
    assert sleep.waits == [7.0, 3.0]
    assert engine.ledger.total.calls == 3
    assert engine.ledger.total.retries == 2


def test_a_failure_that_no_retry_can_mend_is_not_retried():
    model = after_success(ModelCallError("400 context window exceeded"))
    replies = answer_all(Engine(limits=Limits(concurrency=1)), model, [ask("a"), ask("b")])
    assert isinstance(replies[1], ModelCallError)
    assert len(model.requests) == 2


def test_a_call_is_given_up_after_six_tries():
    model = after_success(*[overloaded()] * 6)
    replies = answer_all(Engine(sleep=NoWait(), limits=Limits(concurrency=1)), model, [ask("a"), ask("b")])
    assert isinstance(replies[1], ModelCallError)
    assert len(model.requests) == 7


def test_an_empty_reply_is_tried_once_more_and_never_cached(tmp_path):
    model = after_success("", "  ")
    asked = [ask("a"), ask("b", role=CallRole.JUDGE)]
    replies = answer_all(Engine(cache=tmp_path, sleep=NoWait(), limits=Limits(concurrency=1)), model, asked)
    assert isinstance(replies[1], EmptyReplyError)
    assert len(model.requests) == 3
    [healed] = answer_all(Engine(cache=tmp_path), FakeChatModel(["now"]), asked[1:])
    assert healed.content == "now"


def test_a_truncated_reply_is_lost_not_redrawn_and_never_cached(tmp_path):
    cut = ChatReply(content="It was the best of", finish_reason="length")
    model = after_success(cut)
    asked = [ask("a"), ask("b", role=CallRole.SIMULATOR)]
    replies = answer_all(Engine(cache=tmp_path, limits=Limits(concurrency=1)), model, asked)
    assert isinstance(replies[1], TruncatedReplyError)
    assert len(model.requests) == 2
    [healed] = answer_all(Engine(cache=tmp_path), FakeChatModel(["whole"]), asked[1:])
    assert healed.content == "whole"


@pytest.mark.parametrize(
    ("content", "finish_reason", "ended"),
    [
        ("It was the best of", "length", Ending.CUT_OFF),
        ("It was the best of", "MAX_TOKENS", Ending.CUT_OFF),
        ("It was the best of", "model_context_window_exceeded", Ending.CUT_OFF),
        ("It was", "content_filter", Ending.FILTERED),
        ("", "refusal", Ending.FILTERED),
        (" ", "stop", Ending.EMPTY),
        ("", "end_turn", Ending.EMPTY),
        ("It was.", "end_turn", None),
    ],
)
def test_what_a_bot_says_is_what_its_user_gets_and_is_neither_redrawn_nor_lost(tmp_path, content, finish_reason, ended):
    is_blank = ended is Ending.EMPTY  # a server's mistake, perhaps: asked for once more
    model = FakeChatModel([ChatReply(content=content, finish_reason=finish_reason)] * (1 + is_blank))
    [reply] = answer_all(Engine(cache=tmp_path, sleep=NoWait()), model, [ask("a")])
    assert len(model.requests) == 1 + is_blank
    [again] = answer_all(Engine(cache=tmp_path), FakeChatModel([]), [ask("a")])
    assert again == reply
    assert reply.messages == (Message(role="assistant", content=content.strip(), ended=ended),)


@pytest.mark.parametrize("role", [CallRole.ASSISTANT, CallRole.JUDGE])
@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource", "ERROR"])
def test_a_reply_that_its_server_broke_off_is_asked_for_again(tmp_path, reason, role):
    half = ChatReply(content="It was the best of", finish_reason=reason, usd=0.5)
    model = FakeChatModel([half, "whole"])
    engine = Engine(cache=tmp_path, sleep=NoWait())
    [reply] = answer_all(engine, model, [ask("a", role=role)])
    assert reply.content == "whole"
    assert (engine.ledger.total.retries, engine.ledger.total.usd) == (1, 0.5)
    [_, lost] = answer_all(
        Engine(sleep=NoWait(), limits=Limits(concurrency=1)),
        after_success(*[half] * RetryPolicy().attempts),
        [ask("a", role=role), ask("b", role=role)],
    )
    assert isinstance(lost, ModelCallError)


def test_a_reply_that_ended_for_an_unknown_reason_is_counted(tmp_path):
    reasons = ["stop", "end_turn", "tool_calls", "STOP", "length", "pause_turn", "something new"]
    engine = Engine(cache=tmp_path)
    model = FakeChatModel([ChatReply(content="So far", finish_reason=reason) for reason in reasons])
    answer_all(engine, model, [ask(reason) for reason in reasons])
    assert engine.ledger.total.unknown_endings == 2


def test_max_calls_is_exact_and_a_resumed_run_spends_only_on_what_is_missing(tmp_path):
    requests = [ask(str(number)) for number in range(10)]
    model = FakeChatModel(lambda request: request.messages[0].content)
    engine = Engine(cache=tmp_path, limits=Limits(max_calls=6))
    replies = answer_all(engine, model, requests)
    assert sum(isinstance(reply, BudgetError) for reply in replies) == 4
    assert engine.ledger.total.failures == 0, "what the budget refuses was never called"
    assert len(model.requests) == 6
    resumed = answer_all(Engine(cache=tmp_path, limits=Limits(max_calls=4)), model, requests)
    assert [reply.content for reply in resumed] == [str(number) for number in range(10)]
    assert len(model.requests) == 10


def test_max_usd_stops_before_the_limit_is_passed():
    model = FakeChatModel(lambda _: ChatReply(content="ok", usd=0.3))
    engine = Engine(limits=Limits(max_usd=1.0, concurrency=8))
    replies = answer_all(engine, model, [ask(str(number)) for number in range(10)])
    assert sum(isinstance(reply, BudgetError) for reply in replies) == 7
    assert engine.budget.usd == pytest.approx(0.9)


def test_a_refused_key_stops_a_hundred_calls_after_one():
    model = FakeChatModel(lambda _: EndpointError("refused"))
    replies = answer_all(Engine(limits=Limits(concurrency=50)), model, [ask(str(number)) for number in range(100)])
    assert all(isinstance(reply, EndpointError) for reply in replies)
    assert len(model.requests) == 1


def test_a_run_that_was_stopped_can_be_started_again_on_the_same_engine():
    model = FakeChatModel([EndpointError("refused"), "the key is right now"])
    now = 0.0
    engine = Engine(clock=lambda: now)

    async def main() -> ChatReply:
        nonlocal now
        with pytest.raises(EndpointError):
            await engine.call(model, ask())
        now = 60.0
        return await engine.call(model, ask())

    assert asyncio.run(main()).content == "the key is right now"


def test_an_endpoint_that_never_answered_stops_the_run_instead_of_failing_every_sample():
    model = FakeChatModel(lambda _: overloaded())
    replies = answer_all(Engine(sleep=NoWait()), model, [ask(str(number)) for number in range(20)])
    assert all(isinstance(reply, EndpointError) for reply in replies)
    assert len(model.requests) == 6


def test_an_endpoint_that_stops_answering_stops_the_run_and_what_it_answered_is_kept(tmp_path):
    model = FakeChatModel(lambda request: "ok" if int(request.messages[0].content) < 5 else overloaded())
    engine = Engine(cache=tmp_path, sleep=NoWait(), limits=Limits(concurrency=1))
    replies = answer_all(engine, model, [ask(str(number)) for number in range(100)])
    assert "has stopped answering" in str(replies[-1])
    assert len(model.requests) == 5 + 10 * 6
    assert engine.cache.stats().records == 5


def test_a_bot_that_only_ever_raises_stops_the_run_after_three_calls():
    model = FakeChatModel(lambda _: BotError("bot raised KeyError: 'x'"))

    async def main() -> list[ChatReply | BaseException]:
        engine = Engine()

        async def of_conversation(number: int) -> ChatReply:
            return await engine.call(model, replace(ask(str(number)), conversation_id=str(number)))

        return await asyncio.gather(*map(of_conversation, range(20)), return_exceptions=True)

    assert "has never answered" in str(asyncio.run(main())[-1])
    assert len(model.requests) == 3


def test_one_conversation_that_a_bot_cannot_stand_does_not_stop_the_run():
    model = FakeChatModel(lambda _: BotError("bot raised KeyError: 'x'"))
    replies = answer_all(Engine(), model, [ask(str(number)) for number in range(20)])
    assert {type(reply) for reply in replies} == {BotError}


def test_a_bot_whose_replies_are_in_the_cache_is_not_given_up_for_what_it_cannot_answer(tmp_path):
    model = FakeChatModel(lambda request: "ok" if request.messages[0].content == "0" else BotError("no"))
    requests = [ask(str(number)) for number in range(9)]
    answer_all(Engine(cache=tmp_path), model, requests)
    again = answer_all(Engine(cache=tmp_path), model, requests)
    assert [type(reply) for reply in again] == [ChatReply, *[BotError] * 8]


@pytest.mark.parametrize("answer", [ModelCallError("400 context window exceeded"), ""])
def test_an_answer_of_no_use_loses_its_sample_and_not_the_run(answer):
    model = FakeChatModel(lambda _: answer)
    asked = [ask(str(number), role=CallRole.SIMULATOR) for number in range(20)]
    replies = answer_all(Engine(sleep=NoWait()), model, asked)
    assert all(isinstance(reply, SampleError) for reply in replies)


def test_an_endpoint_that_answered_once_only_loses_samples():
    model = FakeChatModel(lambda request: "ok" if request.messages[0].content == "0" else BotError("no"))
    replies = answer_all(Engine(), model, [ask(str(number)) for number in range(20)])
    assert sum(isinstance(reply, SampleError) for reply in replies) == 19


class Crowd:
    """A model that answers when told to, and knows how many wait."""

    name, fingerprint, price = "crowd", {"crowd": 1}, None

    def __init__(self, until: Callable[["Crowd"], bool]) -> None:
        self.waiting, self.peak, self.served, self.until = 0, 0, 0, until

    async def achat(self, request: ChatRequest) -> ChatReply:
        self.waiting += 1
        self.served += 1
        self.peak = max(self.peak, self.waiting)
        while not self.until(self):  # noqa: ASYNC110 - rounds of the loop, not time
            await asyncio.sleep(0)
        self.waiting -= 1
        return ChatReply(content="ok")


def test_calls_go_one_by_one_until_the_first_success_and_then_up_to_the_ceiling():
    rounds = iter(range(1000))
    model = Crowd(until=lambda _: next(rounds) % 40 == 39)
    answer_all(Engine(limits=Limits(concurrency=5)), model, [ask(str(number)) for number in range(20)])
    assert model.peak == 5


def test_a_caller_that_is_cancelled_does_not_take_down_another_who_waits_for_the_same_call():
    release = False
    model = Crowd(until=lambda _: release)

    async def main() -> ChatReply:
        nonlocal release
        engine = Engine()
        first = asyncio.create_task(engine.call(model, ask()))
        second = asyncio.create_task(engine.call(model, ask()))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        release = True
        return await second

    assert asyncio.run(main()).content == "ok"


def test_a_call_that_nobody_waits_for_is_kept_if_it_was_sent_and_dropped_if_it_was_not(tmp_path):
    release = False
    model = Crowd(until=lambda _: release)

    async def main() -> Engine:
        nonlocal release
        engine = Engine(cache=tmp_path, limits=Limits(concurrency=1))
        sent = asyncio.create_task(engine.call(model, ask("sent")))
        queued = asyncio.create_task(engine.call(model, ask("queued")))
        while not model.waiting:  # noqa: ASYNC110 - rounds of the loop, not time
            await asyncio.sleep(0)
        sent.cancel()
        queued.cancel()
        await asyncio.sleep(0)
        release = True
        await engine.asettle()
        return engine

    engine = asyncio.run(main())
    assert engine.cache.stats().records == 1
    assert engine.ledger.total.calls == 1


def test_a_timeout_is_a_missing_sample_and_is_not_asked_again():
    model = Crowd(until=lambda crowd: crowd.served == 1)
    replies = answer_all(Engine(limits=Limits(timeout=0.02, concurrency=1)), model, [ask("a"), ask("b")])
    assert replies[0].content == "ok"
    assert isinstance(replies[1], TimedOutError)
    assert model.served == 2


def test_a_model_that_never_answers_is_a_timeout():
    model = Crowd(until=lambda _: False)
    [reply] = answer_all(Engine(sleep=NoWait(), limits=Limits(timeout=0.01)), model, [ask()])
    assert isinstance(reply, EndpointError)
    assert "gave no answer in 0.01 s" in str(reply)


def test_tokens_money_and_calls_are_accounted_by_role():
    reply = ChatReply(content="ok", prompt_tokens=10, completion_tokens=5, usd=0.01)
    engine = Engine()
    model = FakeChatModel(lambda request: reply if request.role is CallRole.JUDGE else "unpriced")
    answer_all(engine, model, [ask("a", role=CallRole.JUDGE), ask("b", role=CallRole.JUDGE), ask("c")])
    usage = engine.ledger.by_role()
    assert list(usage) == ["assistant", "judge"]
    assert (usage["judge"].calls, usage["judge"].prompt_tokens, usage["judge"].usd) == (2, 20, pytest.approx(0.02))
    assert (usage["assistant"].usd, usage["assistant"].unpriced_calls) == (0.0, 1)


def test_a_price_is_per_token():
    assert Price(prompt=1e-6, completion=2e-6).of(1000, 500) == pytest.approx(2e-3)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"max_calls": -1}, {"max_usd": float("nan")}])
def test_an_impossible_limit_is_refused(options):
    with pytest.raises(UsageError):
        Engine(limits=Limits(**options))


@pytest.mark.parametrize("instructions", ["", "Be brief."])
def test_a_model_without_a_time_limit_that_gives_up_by_itself_is_a_missing_sample(instructions):
    model = FakeChatModel(["Hello.", TimeoutError()])
    model.timeout = None
    if instructions:
        model = InstructedModel(model, instructions, name="fake")
    engine = Engine()

    async def main() -> None:
        await engine.call(model, ChatRequest(role=CallRole.ASSISTANT, messages=(), sample="0"))
        with pytest.raises(TimedOutError, match="fake gave no answer in time"):
            await engine.call(model, ChatRequest(role=CallRole.ASSISTANT, messages=(), sample="1"))

    asyncio.run(main())


def test_when_a_reply_cannot_be_kept_what_queued_up_behind_it_is_not_asked_for():
    class Full(MemoryCache):
        full = True

        async def aput(self, key, reply, *, request):
            if self.full:
                await asyncio.sleep(0)
                raise CacheError("no space left")
            return await super().aput(key, reply, request=request)

    cache, model = Full(), FakeChatModel(lambda request: "yes")
    engine = Engine(cache=cache, limits=Limits(concurrency=2))
    ended = answer_all(engine, model, [ask(str(number)) for number in range(20)])
    assert {str(error) for error in ended} == {"no space left"}
    assert len(model.requests) <= 2, "no more than were in flight"
    cache.full = False
    assert [reply.content for reply in answer_all(engine, model, [ask("again")])] == ["yes"]


def test_an_engine_closes_the_cache_that_it_opened(tmp_path):
    with Engine(cache=tmp_path / "cache") as engine:
        asyncio.run(engine.call(FakeChatModel(["hello"]), ask()))
    engine.close()  # once more, which is harmless
    with Engine(cache=tmp_path / "cache") as again:
        assert asyncio.run(again.call(FakeChatModel([]), ask())).content == "hello"


def test_an_engine_leaves_a_cache_open_that_was_passed_in(tmp_path):
    closed: list[str] = []

    class Watched(DiskCache):
        def close(self) -> None:
            closed.append("closed")
            super().close()

    cache = Watched(tmp_path)
    with Engine(cache=cache):
        pass
    assert closed == []
    cache.close()


def test_an_engine_that_closes_waits_for_the_calls_that_nobody_waits_for(tmp_path):
    class Slow(FakeChatModel):
        async def achat(self, request: ChatRequest) -> ChatReply:
            await asyncio.sleep(0.05)
            return await super().achat(request)

    async def main() -> None:
        async with Engine(cache=tmp_path) as engine:
            call = asyncio.ensure_future(engine.call(Slow(["paid for"]), ask()))
            await asyncio.sleep(0.01)
            call.cancel()

    asyncio.run(main())
    with Engine(cache=tmp_path) as again:
        assert asyncio.run(again.call(FakeChatModel([]), ask())).content == "paid for"


def test_closing_an_engine_inside_an_event_loop_names_what_to_await():
    async def main() -> None:
        Engine().close()

    with pytest.raises(UsageError, match=r"await Engine\.aclose"):
        asyncio.run(main())


class Clock:
    """A time that passes when somebody sleeps, and a sleep that takes none."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


LIMITED = ModelCallError("429", retryable=True, retry_after=30.0, rate_limited=True)


def test_being_rate_limited_is_told_after_a_minute_and_again_when_the_time_has_doubled():
    clock = Clock()
    engine = Engine(clock=clock, sleep=clock.sleep)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(engine.call(FakeChatModel([*[LIMITED] * 10, "at last"]), ask()))
    said = [str(warning.message) for warning in told]
    assert [line.partition(":")[0] for line in said] == ["fake limits the rate of calls (429)"] * 3
    assert ["for 1 min by now" in said[0], "for 2 min" in said[1], "for 4 min" in said[2]] == [True] * 3
    assert 300 <= engine.ledger.total.limited_seconds <= 306
    assert engine.ledger.total.limited_seconds == clock.now


def test_calls_that_wait_for_a_rate_limit_together_wait_once():
    clock = Clock()
    engine = Engine(clock=clock, sleep=NoWait())
    model = after_success(*[LIMITED] * 3, *["later"] * 4)
    assert len(answer_all(engine, model, [ask(str(n)) for n in range(4)])) == 4
    assert 30 <= engine.ledger.total.limited_seconds <= 31


@pytest.mark.parametrize(
    "error", [TypeError("no\nsuch thing"), RecursionError(), KeyError("choices"), ExceptionGroup("g", [OSError()])]
)
def test_whatever_an_adapter_raises_loses_that_sample_and_not_the_run(error):
    model = after_success(error, "later")
    engine = Engine()
    asyncio.run(engine.call(model, ask()))
    with pytest.raises(BotError, match=f"^fake raised {type(error).__name__}: ") as raised:
        asyncio.run(engine.call(model, ask("again")))
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is error
    assert asyncio.run(engine.call(model, ask("and again"))).content == "later"


@pytest.mark.parametrize("debug", ["", "1"])
def test_the_traceback_of_an_adapters_exception_is_shown_for_debugging(debug, monkeypatch, capsys):
    monkeypatch.setenv("COLLAB_DEBUG", debug)
    with pytest.raises(BotError):
        asyncio.run(Engine().call(FakeChatModel([ZeroDivisionError("of its own")]), ask()))
    assert ("ZeroDivisionError: of its own" in capsys.readouterr().err) is bool(debug)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("text", "answered with str; its achat must return a ChatReply"),
        (None, "answered with NoneType"),
        (ChatReply(content=None), "is not text"),
        (ChatReply(content="hi", finish_reason=7), "is not text"),
    ],
)
def test_an_adapter_that_returns_no_reply_is_told_so(reply, said):
    class Odd(FakeChatModel):
        async def achat(self, request):
            return reply

    with pytest.raises(BotError, match=said):
        asyncio.run(Engine().call(Odd([]), ask()))


def test_a_text_that_is_far_too_long_is_lost_whoever_answers_with_it():
    with pytest.raises(ModelCallError, match=r"answered with 9,000,000 characters; no more than 8,388,608 are read"):
        asyncio.run(Engine().call(FakeChatModel(["a" * 9_000_000]), ask()))
