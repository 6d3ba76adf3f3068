"""Which key a shared cache is used with: another one is refused, and can be put in its place."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.caches import HMAC_KEY, REQUEST, SERVED, PostgresPlace, get, key_of, place_of, put
from support.cli import collab, write_chats

from collab_sdk import ChatReply
from collab_sdk.cache import Contents, SharedCache, key_check_value, open_cache
from collab_sdk.cache.backend import SharedRows
from collab_sdk.cache.record import row_of
from collab_sdk.cache.signing import Signer
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CacheError

KEY = key_of("k")
OTHER = "f" * 64
REFUSED = "signed with another key .*; is COLLAB_CACHE_HMAC_KEY .* that of this cache\\? Nothing was moved or deleted"


@pytest.fixture(autouse=True)
def hmac_key(monkeypatch):
    monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", HMAC_KEY)


@pytest.fixture(params=SERVED)
def place(request, tmp_path):
    place = place_of(request.param, request, tmp_path)
    yield place
    place.close()


def with_key(monkeypatch, key: str) -> None:
    monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", key)


def without_check_value(place) -> None:
    """As a version before check values leaves it."""
    if isinstance(place, PostgresPlace):
        place.run("DROP TABLE collab_keys")
        place.run("COMMENT ON TABLE collab_replies IS 'collab/cache/v1'")
    else:
        with place.server.client() as client:
            client.delete("collab:keys:v1")


def test_a_look_at_an_empty_cache_binds_it_to_no_key(place, tmp_path, monkeypatch):
    with_key(monkeypatch, OTHER)
    where = ["--cache", place.where]
    for command in (
        ["cache", "stats", *where],
        ["cache", "prune", "--older-than", "3", "--dry-run", *where],
        ["cache", "clear", "--yes", *where],
        ["cache", "copy", place.where, tmp_path / "copy"],
    ):
        assert collab(*command).exit_code == 0, command
    with_key(monkeypatch, HMAC_KEY)
    cache = place.open()
    put(cache, KEY, "paid")
    with_key(monkeypatch, OTHER)
    assert "holds 1 reply signed with another key" in collab("cache", "clear", "--yes", *where).stderr


def test_of_two_keys_at_once_the_second_is_refused_before_a_call(place, monkeypatch):
    """Both have opened the empty cache when the first takes a lease."""
    first = open_cache(place.where)
    with_key(monkeypatch, OTHER)
    second = open_cache(place.where)

    async def lease(cache) -> None:
        async with cache.lease(KEY):
            pass

    run_sync(lease(first))
    with pytest.raises(CacheError, match="signed with another key"):
        run_sync(lease(second))
    for cache in (first, second):
        cache.close()


def test_under_another_key_nothing_is_pruned_cleared_copied_or_scored(place, tmp_path, monkeypatch):
    cache = place.open()
    for number in range(3):
        put(cache, key_of(number), "paid")
    where = ["--cache", place.where]
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    for made_earlier in (False, True):
        if made_earlier:
            without_check_value(place)
        with_key(monkeypatch, OTHER)
        for command in (
            ["cache", "copy", place.where, tmp_path / "copy"],
            ["cache", "prune", "--older-than", "3650", "--yes", *where],
            ["cache", "prune", "--unreadable", "--yes", *where],
            ["cache", "clear", "--yes", *where],
            ["cache", "reseal", *where],
            ["score", logs, "--model", "offline", *where],
        ):
            result = collab(*command)
            assert result.exit_code == 1, command
            assert "is COLLAB_CACHE_HMAC_KEY" in result.stderr.splitlines()[-1]
            assert ("3 of the first 3" if made_earlier else "holds 3 replies") in result.stderr
        told = collab("cache", "stats", *where)
        assert "3 replies" in told.stdout
        assert "Unreadable, and kept: 3 signed with another key" in told.stderr
        with_key(monkeypatch, HMAC_KEY)
        assert place.open().inspect() == Contents(matching=3)
        assert cache.stats().quarantined == 0


@pytest.mark.server
def test_a_big_cache_is_refused_without_counting_it_and_counted_without_a_limit_of_time(request, tmp_path, monkeypatch):
    place = place_of("postgres", request, tmp_path)
    cache = place.open()
    for number in range(3):
        put(cache, key_of(number), "paid")
    monkeypatch.setattr("collab_postgres.postgres_rows.PAGE", 2)
    monkeypatch.setattr(
        "collab_postgres.postgres_rows.SIZE", "SELECT 1, 0 WHERE current_setting('statement_timeout') = '0'"
    )
    with pytest.raises(CacheError, match="holds at least 2 replies signed with another key"):
        place.open(secret=OTHER)
    assert cache.stats().records == 1
    place.close()


def test_a_cache_of_an_earlier_version_is_taken_over_with_the_key_of_its_rows(place):
    put(place.open(), KEY, "paid")
    without_check_value(place)
    assert get(place.open(), KEY) == "paid"
    with pytest.raises(CacheError, match=REFUSED):
        place.open(secret=OTHER)


def test_a_cache_of_an_earlier_version_with_rows_of_two_keys_is_opened_with_both(place):
    put(place.open(), KEY, "paid")
    put(place.open(secret=f"{OTHER},{HMAC_KEY}"), key_of("other"), "paid by another")
    without_check_value(place)
    for secret in (HMAC_KEY, OTHER):
        with pytest.raises(CacheError, match=r"1 of the first 2; .* set both"):
            place.open(secret=secret)
    assert get(place.open(secret=f"{OTHER},{HMAC_KEY}"), KEY) == "paid"


def test_stats_tell_apart_what_can_be_read_what_another_key_signed_and_what_is_damaged(place, tmp_path):
    cache = place.open()
    for name in ("good", "foreign", "cut", "aside"):
        put(cache, key_of(name), "paid")
    foreign = Signer(OTHER).close(key_of("foreign"), row_of(REQUEST, ChatReply(content="paid"), written=1.0))
    place.write(key_of("foreign"), foreign)
    place.write(key_of("cut"), place.read(key_of("cut"))[:-7])
    place.write(key_of("aside"), b"junk")
    assert get(cache, key_of("aside")) is None
    assert cache.inspect() == Contents(matching=1, foreign=1, damaged=1, aside=1)
    told = collab("cache", "stats", "--cache", place.where)
    assert "3 replies" in told.stdout
    assert "Unreadable, and kept: 1 signed with another key, 1 damaged, 1 moved aside earlier." in told.stderr
    copied = collab("cache", "copy", place.where, tmp_path / "copy")
    assert copied.exit_code == 3
    assert "Copied 1 of 1 reply" in copied.stdout
    assert "2 replies could not be read, and stay where they are" in copied.stderr
    assert "Deleted 1 reply" in collab("cache", "clear", "--yes", "--cache", place.where).stdout
    assert cache.inspect() == Contents(foreign=1, damaged=1, aside=1)
    pruned = collab("cache", "prune", "--unreadable", "--yes", "--cache", place.where)
    assert "Deleted 3 replies" in pruned.stdout
    assert "0 are left" in pruned.stdout
    assert cache.stats().quarantined == 0


def test_what_could_not_be_read_is_told_at_the_end_of_a_run(place, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    command = ["score", logs, "--model", "offline", "--cache", place.where]
    assert "could not be read" not in collab(*command).stderr
    cache = place.open()
    for key, _ in list(cache.rows()):
        place.write(key, b"junk")
    again = collab(*command)
    assert again.exit_code == 0
    aside = cache.stats().quarantined
    assert aside > 1
    assert f"{aside} replies in the cache could not be read, and had to be paid for again" in again.stderr


def test_a_key_is_replaced_by_another_without_a_reply_that_is_paid_twice(place, monkeypatch):
    put(place.open(), KEY, "signed with the old one")
    both = place.open(secret=f"{OTHER},{HMAC_KEY}")
    assert get(both, KEY) == "signed with the old one"
    put(both, key_of("new"), "signed with the new one")
    with pytest.raises(CacheError, match=REFUSED):
        place.open()
    with_key(monkeypatch, f"{OTHER},{HMAC_KEY}")
    assert "Would sign 1 reply anew" in collab("cache", "reseal", "--dry-run", "--cache", place.where).stdout
    assert "Signed 1 reply anew" in collab("cache", "reseal", "--cache", place.where).stdout
    alone = place.open(secret=OTHER)
    assert [get(alone, KEY), get(alone, key_of("new"))] == ["signed with the old one", "signed with the new one"]
    assert alone.inspect() == Contents(matching=2)
    with pytest.raises(CacheError, match=REFUSED):
        place.open()


def test_a_row_under_a_key_that_is_new_at_the_server_is_not_moved_aside(place):
    running = place.open()
    put(place.open(secret=f"{OTHER},{HMAC_KEY}"), KEY, "paid by a colleague")
    with pytest.raises(CacheError, match=REFUSED):
        get(running, KEY)
    with pytest.raises(CacheError, match=REFUSED):
        put(running, KEY, "paid again")
    assert get(place.open(secret=f"{OTHER},{HMAC_KEY}"), KEY) == "paid by a colleague"


def test_of_two_keys_that_come_first_at_once_one_is_refused(place):
    rows = [place.open(secret=secret, any_key=True)._looking for secret in (HMAC_KEY, OTHER)]
    checks = [Signer(HMAC_KEY).checks, Signer(OTHER).checks]
    first = threading.Barrier(2)

    def register(number: int) -> list[str]:
        def ask(server: SharedRows) -> list[str]:
            first.wait()
            return server.keys(checks[number])

        return rows[number].ask(ask)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            assert rows[0].ask(lambda server: server.keys([])) == []
            one, other = pool.map(register, range(2))
            assert one == other
            assert one in checks
            rows[0].ask(lambda server: server.set_keys([]))


def test_a_destructive_command_shows_what_it_would_do_and_asks(place):
    put(place.open(), KEY, "paid")
    for command in (["prune", "--older-than", "0"], ["clear"]):
        shown = collab("cache", *command, "--dry-run", "--cache", place.where)
        assert shown.exit_code == 0
        assert "Would delete 1 reply from" in shown.stdout
        asked = collab("cache", *command, "--cache", place.where, stdin="n\n")
        assert asked.exit_code == 1
        assert "Delete 1 reply from" in asked.stderr
    nobody = collab("cache", "clear", "--cache", place.where, stdin="")
    assert nobody.exit_code != 0
    assert nobody.stderr.splitlines()[-1].endswith("Nothing was deleted: there is no terminal to ask on, so say --yes.")
    nothing = collab("cache", "prune", "--unreadable", "--cache", place.where, stdin="")
    assert "Deleted 0 replies" in nothing.stdout
    assert get(place.open(), KEY) == "paid"
    assert "Deleted 1 reply" in collab("cache", "clear", "--cache", place.where, stdin="y\n").stdout


def test_what_has_become_old_since_the_question_was_asked_is_not_deleted(place, monkeypatch):
    put(place.open(clock=lambda: 1000.0), key_of("old"), "paid long ago")
    put(place.open(), KEY, "paid just now")
    days, now = 0, SharedCache.now
    monkeypatch.setattr(SharedCache, "now", lambda self: now(self) + 86_400 * days)

    def confirm(question: str, **options: object) -> bool:
        nonlocal days
        assert "Delete 1 reply from" in question
        days = 10
        return True

    monkeypatch.setattr("collab_cli.cache.click.confirm", confirm)
    assert "Deleted 1 reply" in collab("cache", "prune", "--older-than", "5", "--cache", place.where).stdout
    days = 0
    assert get(place.open(), KEY) == "paid just now"


def test_where_there_is_nothing_to_delete_nothing_is_deleted_unasked(place, monkeypatch):
    put(place.open(), KEY, "paid")
    prune = SharedCache.prune

    def only_looks(self, *arguments: object, **options: object) -> Contents:
        assert options["dry_run"]
        return prune(self, *arguments, **options)

    monkeypatch.setattr(SharedCache, "prune", only_looks)
    nothing = collab("cache", "prune", "--older-than", "5", "--cache", place.where)
    assert nothing.exit_code == 0
    assert "Deleted 0 replies from" in nothing.stdout


def test_the_age_of_a_reply_is_by_the_clock_of_the_server(place, monkeypatch):
    put(place.open(), KEY, "paid just now")
    year = 365 * 86_400.0
    now = time.time
    monkeypatch.setattr("collab_sdk.cache.shared.time.time", lambda: now() + year)
    with pytest.warns(UserWarning, match="has another clock: this machine's is 8,760 hours ahead of it"):
        ahead = place.open()
    put(ahead, key_of("ahead"), "paid on a machine of next year")
    assert ahead.prune(older_than=86_400) == Contents(others=2)
    monkeypatch.undo()
    monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", HMAC_KEY)
    assert place.open().prune(older_than=-60) == Contents(matching=2)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock here goes on while the machine sleeps")
def test_a_reply_that_is_kept_after_the_machine_slept_is_not_written_as_older(place, monkeypatch):
    cache, awake = place.open(), time.clock_gettime
    monkeypatch.setattr("collab_sdk.cache.shared.time.clock_gettime", lambda clock: awake(clock) + 3600)
    put(cache, KEY, "paid an hour later")
    monkeypatch.undo()
    assert place.open().prune(older_than=-1800, dry_run=True) == Contents(others=1)


def test_the_check_value_tells_keys_apart_and_gives_nothing_of_them_away():
    value = key_check_value({"COLLAB_CACHE_HMAC_KEY": f"{HMAC_KEY}, {OTHER}"})
    assert value == key_check_value({"COLLAB_CACHE_HMAC_KEY": HMAC_KEY}) == "78945a39105259e7"
    assert key_check_value({"COLLAB_CACHE_HMAC_KEY": OTHER}) != value
    assert key_check_value({}) is None
