"""What every cache that is kept must do: in a directory, in Redis, in PostgreSQL."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict

import pytest
from support.caches import REQUEST, SERVED, Place, get, key_of, place_of, put

from collab_sdk import ChatReply
from collab_sdk.cache import Contents, Copied, forget
from collab_sdk.cache.open import copy_cache
from collab_sdk.cache.record import Row

KINDS = ["disk", *SERVED]
KEY = key_of("k")


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    place = place_of(request.param, request, tmp_path / "cache")
    yield place
    place.close()


def test_what_one_opener_put_another_gets(place):
    first, second = place.open(), place.open()
    assert get(first, KEY) is None
    assert put(first, KEY, "déjà vu \ud83d\ude00 \ud800 \0") == "déjà vu \ud83d\ude00 \ud800 \0"
    assert get(second, KEY) == "déjà vu \ud83d\ude00 \ud800 \0"
    assert get(second, key_of("other")) is None


def test_many_may_be_the_first_to_open_it(place):
    first = threading.Barrier(8)

    def opened(number: int) -> str:
        first.wait()
        return put(place.open(), key_of(number), str(number))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(opened, range(8))) == [str(number) for number in range(8)]


def test_a_reply_comes_back_with_all_its_figures(place):
    reply = ChatReply(content="ok", finish_reason="stop", prompt_tokens=7, completion_tokens=0, usd=0.25)
    asyncio.run(place.open().aput(KEY, reply, request=REQUEST))
    assert asyncio.run(place.open().aget(KEY)) == reply


def test_the_first_writer_wins_and_the_others_are_told_what_is_kept(place):
    first, second = place.open(), place.open()
    assert put(first, KEY, "first") == "first"
    assert put(second, KEY, "second") == "first"
    assert put(first, KEY, "third") == "first"
    assert get(second, KEY) == "first"


def test_of_many_who_write_at_once_all_are_told_the_same(place):
    caches = [place.open() for _ in range(3)]
    keys = [key_of(number) for number in range(40)]

    async def main() -> list[list[str]]:
        async def write(key: str, cache, text: str) -> str:
            return (await cache.aput(key, ChatReply(content=text), request=REQUEST)).content

        async def write_all(key: str) -> list[str]:
            return await asyncio.gather(*(write(key, cache, str(n)) for n, cache in enumerate(caches * 2)))

        return await asyncio.gather(*map(write_all, keys))

    told = asyncio.run(main())
    assert all(len(set(texts)) == 1 for texts in told)
    assert [get(caches[0], key) for key in keys] == [texts[0] for texts in told]


def test_any_number_of_event_loops_share_one_cache(place):
    cache = place.open()
    seen: dict[int, list[str | None]] = {}

    def work(number: int) -> None:
        async def main() -> list[str | None]:
            keys = [key_of(f"{number}-{n}") for n in range(20)]
            await asyncio.gather(*(cache.aput(key, ChatReply(content=key), request=REQUEST) for key in keys))
            replies = await asyncio.gather(*map(cache.aget, keys))
            return [reply and reply.content == key for reply, key in zip(replies, keys, strict=True)]

        seen[number] = asyncio.run(main())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: [True] * 20 for number in range(4)}
    assert cache.stats().records == 80


def test_a_lease_is_held_by_one_and_given_to_the_next(place):
    first, second = place.open(), place.open()
    seen: list[str] = []

    async def main() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with first.lease(KEY):
                seen.append("first in")
                inside.set()
                await leave.wait()
                seen.append("first out")

        async def wait() -> None:
            await inside.wait()
            async with second.lease(key_of("other")), first.lease(key_of("third")):
                seen.append("other keys are free")
            leave.set()
            async with second.lease(KEY):
                seen.append("second in")

        await asyncio.gather(hold(), wait())

    asyncio.run(main())
    assert seen == ["first in", "other keys are free", "first out", "second in"]


def test_two_callers_of_one_cache_do_not_hold_the_same_lease(place):
    if place.open().__class__.__name__ == "DiskCache":
        pytest.skip("an engine has one flight a key, and a directory leaves it at that")
    cache = place.open()
    holders = 0

    async def hold() -> None:
        nonlocal holders
        async with cache.lease(KEY):
            holders += 1
            assert holders == 1
            await asyncio.sleep(0)
            holders -= 1

    async def main() -> None:
        await asyncio.gather(*(hold() for _ in range(4)))

    asyncio.run(main())


def test_a_waiter_who_is_cancelled_leaves_no_lease_behind(place):
    first, second = place.open(), place.open()

    async def hold(cache) -> None:
        async with cache.lease(KEY):
            await asyncio.Event().wait()

    async def main() -> None:
        tasks = [asyncio.create_task(hold(cache)) for cache in (first, second, first)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(20), second.lease(KEY):
            pass

    asyncio.run(main())


RECORD = {"request": REQUEST, "reply": asdict(ChatReply(content="forged"))}
HOSTILE = {
    "junk": lambda place, key: b"\x01junk",
    "nothing": lambda place, key: b"",
    "half a row": lambda place, key: place.read(key)[:-7],
    "one bit": lambda place, key: place.read(key)[:-7] + bytes([place.read(key)[-7] ^ 1]) + place.read(key)[-6:],
    "huge": lambda place, key: b"\x01" * (9 << 20),
    "no JSON": lambda place, key: place.sealed(key, b"{]"),
    "no UTF-8": lambda place, key: place.sealed(key, b'"\xff"'),
    "a list": lambda place, key: place.sealed(key, b"[]"),
    "nested": lambda place, key: place.sealed(key, b"[" * 100_000),
    "a bomb": lambda place, key: place.sealed(key, b"0" * (65 << 20)),
    "no text": lambda place, key: place.sealed(key, row(content=["a list"])),
    "no number": lambda place, key: place.sealed(key, row(prompt_tokens="7")),
    "another field": lambda place, key: place.sealed(key, row(mood="good")),
    "no reply": lambda place, key: place.sealed(key, b'{"written": 1, "record": {"reply": null}}'),
}


def row(**fields: object) -> bytes:
    return json.dumps({"written": 1.0, "record": RECORD | {"reply": RECORD["reply"] | fields}}).encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_row_is_a_miss_that_is_counted_and_then_replaced(name, place):
    cache = place.open()
    put(cache, KEY, "genuine")
    put(cache, key_of("beside"), "it")
    place.write(KEY, HOSTILE[name](place, KEY))
    assert get(cache, KEY) is None
    assert cache.quarantined == 1
    assert get(cache, key_of("beside")) == "it"
    assert put(cache, KEY, "again") == "again"
    assert get(place.open(), KEY) == "again"


@pytest.mark.parametrize("name", ["junk", "nothing", "huge", "no JSON", "no reply"])
def test_a_hostile_row_that_nobody_has_read_yet_does_not_win_over_a_reply(name, place):
    cache = place.open()
    put(cache, KEY, "genuine")
    place.write(KEY, HOSTILE[name](place, KEY))
    assert put(cache, KEY, "again") == "again"
    assert get(place.open(), KEY) == "again"


def test_the_row_of_a_reply_is_where_it_was_expected_by_these_tests(place):
    put(place.open(), KEY, "genuine")
    place.write(KEY, place.sealed(KEY, row(content="by a colleague")))
    assert get(place.open(), KEY) == "by a colleague"


def test_pruning_deletes_old_rows_and_keeps_and_counts_what_it_cannot_read(place):
    now = 1000.0
    cache = place.open(clock=lambda: now)
    put(cache, key_of("old"), "1")
    put(cache, KEY, "1")
    place.write(KEY, b"junk")
    now = 2000.0
    put(cache, key_of("new"), "2")
    found = Contents(matching=1, others=1, damaged=1)
    assert cache.prune(older_than=500, dry_run=True) == found
    assert cache.stats().records == 3
    assert cache.prune(older_than=500) == found
    assert get(cache, key_of("new")) == "2"
    assert place.read(KEY) == b"junk"
    assert cache.prune(None, unreadable=True) == Contents(others=1, damaged=1)
    assert cache.stats().records == 1
    assert cache.stats().bytes > 0
    assert cache.inspect() == Contents(matching=1)
    assert cache.clear() == Contents(matching=1)
    assert cache.stats().records == 0


def test_what_somebody_said_is_forgotten_and_what_others_said_is_kept(place):
    cache = place.open()
    kept = {"short": "thanks", "other": "They live at the new mill.", "half": "I live at the old mill. Or not?"}
    gone = {
        "plain": "I live at the old mill.\nIn Kent, since 1970.",
        "quoted": r'"I live at the old mill.\nIn Kent, since 1970."',
    }
    for name, text in (kept | gone).items():
        put(cache, key_of(name), text)
    put(cache, KEY, "1")
    place.write(KEY, b"junk")
    forgotten = forget(cache, ["thanks", "I live at the old mill.\nIn Kent, since 1970.\n:-)"])
    assert forgotten == Contents(matching=2, others=3, damaged=1)
    assert place.read(KEY) is None, "what is damaged may hold it, too"
    assert [get(cache, key_of(name)) for name in gone] == [None, None]
    assert [get(cache, key_of(name)) for name in kept] == list(kept.values())
    assert forget(cache, ["thanks", "hi"]) == Contents()


def test_a_reply_that_is_paid_for_while_damaged_ones_are_deleted_stays(place):
    cache = place.open()
    put(cache, KEY, "paid for again")
    again = place.read(KEY)
    place.write(KEY, b"junk")
    put(cache, key_of("good"), "which the walk comes by, too")
    kept = None

    def is_unwanted(row: object) -> bool:
        nonlocal kept
        with suppress(sqlite3.OperationalError):  # a directory lets nobody in between
            place.write(KEY, again)
            kept = "paid for again"
        return False

    assert cache.forget(is_unwanted) == Contents(others=1, damaged=1)
    assert get(cache, KEY) == kept


@pytest.mark.parametrize("target", KINDS)
def test_a_copy_keeps_what_is_there_and_the_time_of_writing_and_goes_on_where_it_stopped(
    place, target, request, tmp_path
):
    source = place.open(clock=lambda: 1000.0)
    asyncio.run(put_many(source, 450))
    other: Place = place_of(target, request, tmp_path / "target")
    if place.where == other.where:
        pytest.skip("the tests have one Redis, and a copy needs two")
    copies = other.open(clock=lambda: 2000.0)
    put(copies, key_of(3), "mine")
    assert copy_cache(source, copies) == Copied(read=450, added=449)
    assert copy_cache(source, copies) == Copied(read=450)
    assert get(copies, key_of(3)) == "mine"
    assert get(copies, key_of(449)) == "text 449"
    assert copies.prune(older_than=500).matching == 449
    other.close()


def test_a_copy_counts_what_it_could_not_read_and_not_what_is_paid_for_meanwhile(place, tmp_path):
    source, target = place.open(), place_of("disk", None, tmp_path / "target").open()
    put(source, KEY, "paid")
    put(source, key_of("damaged"), "1")
    place.write(key_of("damaged"), b"junk")
    add = target.add

    def add_late(rows: Mapping[str, Row]) -> int:
        put(source, key_of("late"), "by a run that goes on")
        return add(rows)

    target.add = add_late
    assert copy_cache(source, target) == Copied(read=1, added=1, unreadable=1)
    target.close()


async def put_many(cache, count: int) -> None:
    puts = (cache.aput(key_of(n), ChatReply(content=f"text {n}"), request=REQUEST) for n in range(count))
    await asyncio.gather(*puts)
