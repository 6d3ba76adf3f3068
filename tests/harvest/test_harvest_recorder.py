"""What a recorder keeps, what it leaves out, and that nothing of it reaches the app."""

import asyncio
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from support.calls import assistant, call, user

from collab_sdk.errors import StoreError, UsageError
from collab_sdk.harvest import Recorder, conversation, conversation_id_in, salted_user, suppress, suppressed
from collab_sdk.logs import ConversationStore


class Kept:
    """A store in memory; `refuse` raises what the real one might."""

    def __init__(self, *refuse: BaseException) -> None:
        self.calls: list[Any] = []
        self.batches: list[int] = []
        self.refuse = list(refuse)

    def record(self, calls):
        if self.refuse:
            raise self.refuse.pop(0)
        self.batches.append(len(calls))
        self.calls += calls

    def close(self):
        raise AssertionError("it is the app's own")


class Blocked(Kept):
    """Takes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.open = threading.Event(), threading.Event()

    def record(self, calls):
        self.entered.set()
        self.open.wait()
        super().record(calls)


def hello(name: str, text: str = "hello", **fields: Any) -> Any:
    return call(name, user(text), replies=[assistant("hi")], **fields)


def kept(recorder: Recorder, store: Kept) -> list[Any]:
    assert recorder.flush(10)
    return store.calls


def test_what_is_recorded_is_in_the_file_once_flushed(tmp_path):
    recorder = Recorder(tmp_path / "chats.db")
    for number in range(100):
        recorder.record(hello(str(number), conversation_id=f"chat-{number % 10}"))
    assert recorder.flush(10)
    assert recorder.stats().recorded == 100
    with ConversationStore(tmp_path / "chats.db") as store:
        assert {chat.id for chat in store.conversations()} == {f"chat-{number}" for number in range(10)}
        assert sum(chat.calls for chat in store.listing()) == 100
    recorder.close()


def test_all_recorders_of_a_file_share_one_thread(tmp_path):
    def of_ours() -> int:
        return sum(thread.name == "collab-harvest" for thread in threading.enumerate())

    before = of_ours()
    with ThreadPoolExecutor(8) as pool:
        recorders = list(pool.map(lambda _: Recorder(tmp_path / "chats.db"), range(50)))
        list(pool.map(lambda pair: pair[1].record(hello(str(pair[0]))), enumerate(recorders)))
    assert of_ours() - before <= 1
    assert recorders[0].flush(10)
    assert recorders[0].stats().recorded == 50


def test_a_full_queue_drops_and_counts_and_does_not_wait():
    store = Blocked()
    recorder = Recorder(store, queue_size=5)
    for number in range(8):
        recorder.record(hello(str(number)))
    assert recorder.stats().dropped == 3
    assert recorder.stats().queued == 5
    assert not recorder.flush(0)
    store.open.set()
    assert len(kept(recorder, store)) == 5


def test_what_gathers_while_the_store_is_busy_is_written_together():
    store = Blocked()
    recorder = Recorder(store)
    recorder.record(hello("first"))
    store.entered.wait(10)
    for number in range(20):
        recorder.record(hello(str(number)))
    store.open.set()
    kept(recorder, store)
    assert store.batches == [1, 20]


def test_a_recorder_that_is_closed_drops():
    store = Kept()
    recorder = Recorder(store)
    recorder.record(hello("before"))
    recorder.close()
    recorder.record(hello("after"))
    assert [c.run_id for c in kept(recorder, store)] == ["before"]
    assert recorder.stats().dropped == 1


def test_with_sync_a_call_is_in_the_store_when_record_returns(tmp_path):
    recorder = Recorder(tmp_path / "chats.db", sync=True)
    recorder.record(hello("1", conversation_id="a"))
    with ConversationStore(tmp_path / "chats.db") as store:
        assert [chat.id for chat in store.conversations()] == ["a"]
    recorder.close()


def test_a_stream_that_the_garbage_collector_ends_amid_a_commit_is_recorded_after_it():
    class Collecting(Kept):
        def record(self, calls):
            if not self.calls:
                with lock:
                    super().record(calls)
                    recorder.record(hello("ended by the collector"))
            else:
                assert lock.acquire(timeout=10)
                super().record(calls)

    lock, store = threading.Lock(), Collecting()
    recorder = Recorder(store, sync=True)
    recorder.record(hello("1"))
    assert [one.run_id for one in kept(recorder, store)] == ["1", "ended by the collector"]


# What goes wrong.


def test_a_store_that_refuses_for_a_moment_loses_nothing():
    store = Kept(StoreError("locked"))
    recorder = Recorder(store)
    recorder.record(hello("1"))
    assert len(kept(recorder, store)) == 1
    assert recorder.stats().failed == 0


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("error", [StoreError("full"), SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_a_store_that_breaks_never_reaches_the_app_and_is_said_once(error, sync, caplog):
    store = Kept(*[error] * 8)
    recorder = Recorder(store, sync=sync)
    with caplog.at_level(logging.WARNING, "collab_sdk.harvest"):
        for number in range(2):
            recorder.record(hello(str(number)))
            assert recorder.flush(10)
    assert recorder.stats().failed == 2
    [line] = caplog.messages
    assert type(error).__name__ in line


class Broken(logging.Handler):
    def emit(self, record):
        raise RuntimeError("the disk of the log is full")


def test_a_log_handler_that_breaks_neither_reaches_the_app_nor_ends_the_recording():
    store = Kept(ValueError("refused"))
    recorder = Recorder(store)
    log, broken = logging.getLogger("collab_sdk.harvest"), Broken()
    log.addHandler(broken)
    try:
        recorder.record(hello("refused"))
        assert recorder.flush(10)
        recorder.count_unrecorded("it was sung")
        recorder.record(hello("kept"))
        assert [one.run_id for one in kept(recorder, store)] == ["kept"]
    finally:
        log.removeHandler(broken)


def test_a_call_that_the_store_cannot_take_loses_only_itself(tmp_path):
    recorder = Recorder(tmp_path / "chats.db")
    for number in range(5):
        recorder.record(hello(str(number), conversation_id=str(number), status="odd" if number == 2 else "ok"))
    assert recorder.flush(10)
    assert (recorder.stats().recorded, recorder.stats().failed) == (4, 1)


def test_what_is_no_call_is_counted_and_goes_no_further():
    store = Kept()
    recorder = Recorder(store)
    recorder.record(call("1", object(), replies=[]))
    with recorder.quietly():
        raise ValueError("in the plugin's own code")
    assert kept(recorder, store) == []
    assert recorder.stats().failed == 2


def test_an_interrupt_is_the_users_and_passes():
    def interrupted(text: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Recorder(Kept(), redact=interrupted).record(hello("1"))


def test_a_commit_that_is_interrupted_keeps_no_flush_waiting():
    recorder = Recorder(Kept(KeyboardInterrupt()), sync=True)
    with pytest.raises(KeyboardInterrupt):
        recorder.record(hello("1"))
    assert recorder.flush(10)
    assert (recorder.stats().queued, recorder.stats().failed) == (0, 1)


def test_a_parameter_may_be_a_class():
    class Wanted(BaseModel):
        title: str

    store = Kept()
    recorder = Recorder(store)
    recorder.record(replace(hello("1"), parameters={"response_format": Wanted}))
    [one] = kept(recorder, store)
    assert one.parameters == {"response_format": "[ModelMetaclass]"}


def test_the_app_may_change_its_messages_afterwards():
    store = Blocked()
    recorder = Recorder(store)
    message = {"role": "user", "content": [{"type": "text", "text": "before"}]}
    recorder.record(call("1", message, replies=[]))
    message["content"][0]["text"] = "after"
    store.open.set()
    assert kept(recorder, store)[0].messages[0]["content"][0]["text"] == "before"
    assert message == {"role": "user", "content": [{"type": "text", "text": "after"}]}


# Which calls, and whose.


def test_sampling_takes_conversations_whole_and_every_process_the_same():
    def sampled() -> list[tuple[str, str]]:
        store = Kept()
        recorder = Recorder(store, sample=0.5)
        for number in range(200):
            recorder.record(hello(f"{number}", conversation_id=f"chat-{number % 40}"))
        found = kept(recorder, store)
        assert recorder.stats().skipped == 200 - len(found)
        return [(c.conversation_id, c.run_id) for c in found]

    chosen = sampled()
    chats = {name for name, _ in chosen}
    assert 5 < len(chats) < 35
    assert len(chosen) == 5 * len(chats)
    assert sampled() == chosen


def test_a_conversation_without_an_id_is_sampled_by_its_beginning():
    store = Kept()
    recorder = Recorder(store, sample=0.5)
    for number in range(40):
        history = [user(f"question {number}")]
        for turn in range(3):
            recorder.record(call(f"{number}-{turn}", *history, replies=[assistant("yes")]))
            history += [assistant("yes"), user(f"and {turn}?")]
    runs = [c.run_id.partition("-")[0] for c in kept(recorder, store)]
    assert 0 < len(runs) < 120
    assert all(runs.count(number) == 3 for number in runs)


def test_a_share_that_is_none_is_refused():
    with pytest.raises(UsageError, match="between 0 and 1"):
        Recorder(Kept(), sample=1.5)


async def forgot_to_await(context):
    return True


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("gate", [lambda context: False, lambda context: "no", lambda context: 1 / 0, forgot_to_await])
def test_only_a_plain_yes_is_consent(gate):
    store = Kept()
    recorder = Recorder(store, consent=gate)
    recorder.record(hello("1"))
    assert kept(recorder, store) == []
    assert recorder.stats().skipped == 1


def test_the_consent_gate_sees_whose_call_it_is():
    store = Kept()
    recorder = Recorder(store, consent=lambda context: context.user == "ann" and context.conversation_id == "7")
    recorder.record(hello("1", user="ann", conversation_id="7"))
    recorder.record(hello("2", user="bob", conversation_id="7"))
    assert [c.run_id for c in kept(recorder, store)] == ["1"]


def test_users_are_kept_salted_or_not_at_all(monkeypatch):
    store = Kept()
    unsalted = Recorder(store)
    unsalted.record(hello("1", user="ann@example.com"))
    kept(unsalted, store)
    monkeypatch.setenv("COLLAB_SALT", "pepper")
    for recorder in (Recorder(store), Recorder(store, salt="pepper"), Recorder(store, salt="other")):
        recorder.record(hello("1", user="ann@example.com"))
        kept(recorder, store)
    users = [c.user for c in store.calls]
    assert users[0] is None
    assert users[1] == users[2] == salted_user("ann@example.com", "pepper") != users[3]
    assert "ann" not in str(store.calls)


# What could not be recorded.


class Counting(Kept):
    """A store that is told of what it does not get; `refuse_counts` raises what the real one might."""

    def __init__(self, *refuse: BaseException, refuse_counts: int = 0) -> None:
        super().__init__(*refuse)
        self.unrecorded: Counter[str] = Counter()
        self.refuse_counts = refuse_counts

    def add_unrecorded(self, calls):
        if self.refuse_counts:
            self.refuse_counts -= 1
            raise StoreError("locked")
        self.unrecorded.update(calls)


def test_what_could_not_be_recorded_is_counted_in_the_store(tmp_path):
    for _ in range(2):
        recorder = Recorder(tmp_path / "chats.db")
        recorder.count_unrecorded("it was sung", 2)
        recorder.count_unrecorded("it was danced")
        assert recorder.flush(10)
    assert recorder.stats().unrecorded["it was sung"] % 2 == 0
    with ConversationStore(tmp_path / "chats.db") as store:
        assert store.unrecorded() == {"it was sung": 4, "it was danced": 2}
        assert list(store.listing()) == []


def test_counts_that_a_store_refuses_are_offered_again_and_none_is_counted_twice():
    store = Counting(refuse_counts=2)
    recorder = Recorder(store)
    for _ in range(3):
        recorder.count_unrecorded("it was sung")
        assert recorder.flush(10)
    assert store.unrecorded == {"it was sung": 3}


def test_whatever_becomes_of_a_call_its_store_hears_of_it(caplog):
    store = Counting(TypeError("nothing to write"))
    recorder = Recorder(store)
    recorder.record(hello("refused"))
    assert recorder.flush(10)
    recorder.record(replace(hello("no message"), messages=(7,)))
    recorder.close()
    recorder.record(hello("too late"))
    assert recorder.flush(10)
    assert store.unrecorded == {"not kept: TypeError": 2, "the queue was full, or the recorder closed": 1}
    assert recorder.stats().unrecorded == {}


def test_a_store_that_takes_calls_alone_is_enough():
    store = Kept()
    recorder = Recorder(store)
    recorder.count_unrecorded("it was sung")
    recorder.record(hello("1"))
    assert len(kept(recorder, store)) == 1
    assert recorder.stats().unrecorded == {"it was sung": 1}


def test_where_no_thread_can_be_started_any_more_flush_writes(monkeypatch):
    def refused(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    store = Counting()
    recorder = Recorder(store)
    monkeypatch.setattr(threading.Thread, "start", refused)
    recorder.record(hello("1"))
    recorder.count_unrecorded("it was sung")
    assert len(kept(recorder, store)) == 1
    assert store.unrecorded == {"it was sung": 1}


def test_a_sample_is_taken_of_messages_that_are_objects_of_an_sdk():
    class Said:
        def __init__(self, role: str, content: str) -> None:
            self.role, self.content = role, content

        def model_dump(self, **options: Any) -> dict[str, str]:
            return vars(self)

    store = Kept()
    recorder = Recorder(store, sample=0.5)
    for number in range(40):
        asked = f"Where is order {number}?"
        recorder.record(call(f"{number}-1", user(asked), replies=[assistant("It is on its way.")]))
        history = (Said("user", asked), Said("assistant", "It is on its way."), user("Really?"))
        recorder.record(call(f"{number}-2", *history, replies=[assistant("Yes.")]))
    chats = Counter(one.run_id.partition("-")[0] for one in kept(recorder, store))
    assert set(chats.values()) == {2}
    assert 0 < len(chats) < 40


# What the code around a call says.


def test_suppression_ends_with_its_block_and_belongs_to_its_own_context():
    with suppress():
        assert suppressed()
        elsewhere = threading.Thread(target=lambda: seen.append(suppressed()))
        seen: list[bool] = []
        elsewhere.start()
        elsewhere.join()
    assert (suppressed(), seen) == (False, [False])


def test_the_most_explicit_name_of_a_conversation_counts():
    assert conversation_id_in(None) is None
    assert conversation_id_in({"thread_id": 7, "session_id": "s"}) == "7"
    with conversation("around"):
        assert conversation_id_in({"thread_id": "7"}) == "around"
        assert conversation_id_in({"collab_conversation_id": "mine"}) == "mine"
        with conversation("inner"):
            assert conversation_id_in({}) == "inner"
