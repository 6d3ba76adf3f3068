import asyncio
import threading
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from collab_sdk import Conversation
from collab_sdk.concurrency import all_settled
from collab_sdk.errors import BudgetError, EndpointError, InputError, SampleError
from collab_sdk.runs.local import HELD_BACK, over_conversations
from collab_sdk.runs.runner import Outcome


def chats(count: int) -> list[Conversation]:
    return [Conversation(id=str(number), messages=()) for number in range(count)]


async def settled() -> None: ...


def outcomes(work, conversations, *, open_at_once: int = 3, stopped_by: type | None = None) -> list[Outcome]:
    seen: list[Outcome] = []

    async def main() -> None:
        async for outcome in over_conversations(work, conversations, open_at_once=open_at_once, settle=settled):
            seen.append(outcome)

    with pytest.raises(stopped_by) if stopped_by else nullcontext():
        asyncio.run(asyncio.wait_for(main(), timeout=20))
    return seen


def test_outcomes_come_in_input_order_whatever_ends_first():
    async def work(conversation: Conversation) -> str:
        for _ in range(int(conversation.id) % 4 * 5):
            await asyncio.sleep(0)
        return conversation.id

    assert [outcome.value for outcome in outcomes(work, chats(20))] == [str(number) for number in range(20)]


def test_an_error_of_one_conversation_is_its_outcome():
    async def work(conversation: Conversation) -> str:
        if conversation.id == "2":
            raise SampleError("unlucky")
        return "fine"

    results = outcomes(work, chats(5))
    assert [str(outcome.error or outcome.value) for outcome in results] == ["fine", "fine", "unlucky", "fine", "fine"]


def test_at_most_that_many_are_open_and_one_that_lags_holds_up_a_bounded_number():
    at_work = most = done_behind = 0

    async def work(conversation: Conversation) -> None:
        nonlocal at_work, most, done_behind
        at_work += 1
        most = max(most, at_work)
        if conversation.id == "0":
            while done_behind < HELD_BACK * 3 - 1:  # noqa: ASYNC110 - rounds of the loop, not time
                await asyncio.sleep(0)
            opened = done_behind + at_work
            assert opened <= HELD_BACK * 3
        else:
            await asyncio.sleep(0)
            done_behind += 1
        at_work -= 1

    assert len(outcomes(work, chats(50))) == 50
    assert most <= 3


def test_a_dead_endpoint_ends_the_others_at_once_and_opens_no_more():
    async def work(conversation: Conversation) -> None:
        if conversation.id == "1":
            raise EndpointError("refused")
        await asyncio.Event().wait()

    assert outcomes(work, chats(100), stopped_by=EndpointError) == []


def test_a_spent_budget_lets_those_open_end():
    opened = 0

    async def work(conversation: Conversation) -> str:
        nonlocal opened
        opened += 1
        while opened < 3:  # noqa: ASYNC110 - rounds of the loop, not time
            await asyncio.sleep(0)
        if conversation.id == "1":
            raise BudgetError("spent")
        for _ in range(20):
            await asyncio.sleep(0)
        return "done"

    results = outcomes(work, chats(100), stopped_by=BudgetError)
    assert [outcome.conversation.id for outcome in results[:2]] == ["0", "2"]
    assert {outcome.value for outcome in results} == {"done"}
    assert opened <= 5


@pytest.mark.parametrize("rounds", range(6))
def test_a_run_that_stops_at_its_very_last_conversation_says_so(rounds):
    """However many rounds of the loop that one ends after the one before it."""
    read, first_ends = threading.Event(), asyncio.Event()

    def reader() -> Iterator[Conversation]:
        yield from chats(2)
        read.set()

    def reading() -> bool:
        return not read.is_set() or any(task.get_coro().__name__ == "to_thread" for task in asyncio.all_tasks())

    async def work(conversation: Conversation) -> str:
        if conversation.id == "0":
            while reading():  # noqa: ASYNC110 - rounds of the loop, not time
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            first_ends.set()
            return "done"
        await first_ends.wait()
        for _ in range(rounds):
            await asyncio.sleep(0)
        raise BudgetError("spent")

    assert [outcome.value for outcome in outcomes(work, reader(), stopped_by=BudgetError)] == ["done"]


def test_a_chat_that_is_slow_in_coming_holds_up_nobody():
    finished = threading.Event()

    def reader() -> Iterator[Conversation]:
        yield from chats(2)
        assert finished.wait(timeout=10), "the first chats were held up by the third"
        yield Conversation(id="2", messages=())

    async def main() -> list[str]:
        seen = []

        async def work(conversation: Conversation) -> None:
            await asyncio.sleep(0)

        async for outcome in over_conversations(work, reader(), open_at_once=5, settle=settled):
            seen.append(outcome.conversation.id)
            if len(seen) == 2:
                finished.set()
        return seen

    assert asyncio.run(main()) == ["0", "1", "2"]


def test_an_error_of_the_reader_is_raised():
    def reader() -> Iterator[Conversation]:
        yield from chats(1)
        raise InputError("bad line", where="chats.jsonl:2")

    async def work(conversation: Conversation) -> None: ...

    with pytest.raises(InputError, match=r"chats.jsonl:2: bad line"):
        outcomes(work, reader())


def test_everything_is_waited_for_before_an_error_is_raised_those_that_end_the_run_first():
    done = []

    async def one(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        done.append(number)
        if number == 1:
            raise SampleError("early")
        if number == 3:
            raise EndpointError("late")
        return number

    async def settle_all() -> None:
        await all_settled(map(one, range(5)))

    with pytest.raises(EndpointError, match="late"):
        asyncio.run(settle_all())
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_an_error_that_is_returned_is_a_value():
    async def one() -> SampleError:
        return SampleError("handed back")

    async def main() -> list[SampleError]:
        return await all_settled([one()])

    assert str(asyncio.run(main())[0]) == "handed back"
