"""Kills, forks, full disks and broken files: what was acknowledged stays, and the app never hears of the rest."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.calls import assistant, call, user

from collab_sdk.harvest import Recorder
from collab_sdk.logs import ConversationStore

START = """
import os, sys, threading
from collab_sdk.harvest import Recorder
from collab_sdk.logs import LoggedCall

path = sys.argv[1]

def call(number):
    messages = ({"role": "user", "content": f"question {number}"},)
    replies = ({"role": "assistant", "content": "answer"},)
    return LoggedCall(run_id=str(number), conversation_id=str(number), messages=messages, replies=replies)
"""


def program(code: str, path: Path) -> subprocess.Popen[str]:
    script = START + textwrap.dedent(code)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, str(path)], text=True, **pipes)


def finished(code: str, path: Path) -> str:
    process = program(code, path)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


def ids(path: Path) -> set[str]:
    with ConversationStore(path) as store:
        return {conversation.id for conversation in store.conversations()}


SYNC_UNDER_LOAD = """
recorder = Recorder(path, sync=True)

def work(first):
    for number in range(first, first + 100_000):
        recorder.record(call(number))
        assert not recorder.stats().failed
        os.write(1, f"{number}\\n".encode())

for thread in range(4):
    threading.Thread(target=work, args=(thread * 1_000_000,)).start()
"""


def test_a_kill_under_load_loses_nothing_that_was_acknowledged_with_sync(tmp_path):
    acknowledged: set[str] = set()
    for _ in range(2):
        process = program(SYNC_UNDER_LOAD, tmp_path / "chats.db")
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) % 60 == 59:
                break
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines(keepends=True)
        acknowledged |= {line.strip() for line in rest if line.endswith("\n")}
    assert len(acknowledged) >= 59
    assert acknowledged <= ids(tmp_path / "chats.db")


KILLED_WITH_A_QUEUE = """
recorder = Recorder(path)
recorder.record(call(0))
assert recorder.flush()
import sqlite3
lock = sqlite3.connect(path, isolation_level=None)
lock.execute("BEGIN IMMEDIATE")  # so that nothing can be written any more
for number in range(1, 8):
    recorder.record(call(number))
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs locks that end with their process")
def test_without_sync_a_kill_loses_the_queue_and_the_next_opening_says_how_many(tmp_path, caplog):
    path = tmp_path / "chats.db"
    process = program(KILLED_WITH_A_QUEUE, path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert ids(path) == {"0"}
    recorder = Recorder(path)
    with caplog.at_level(logging.WARNING, "collab_sdk.harvest"):
        for run in range(2):
            recorder.record(call(f"n{run}", user("x"), replies=[assistant("y")]))
            assert recorder.flush(10)
    assert recorder.stats().lost == 7
    [line] = caplog.messages
    assert line.startswith("7 calls were lost")
    with ConversationStore(path) as store:
        assert store.unrecorded() == {"lost in the queue of a process that was killed": 7}
    recorder.close()
    assert not [path for path in tmp_path.iterdir() if "making" in path.name]


def test_a_program_that_just_ends_loses_nothing_and_leaves_nothing_behind(tmp_path):
    code = """
    recorder = Recorder(path)
    for number in range(500):
        recorder.record(call(number))
    """
    finished(code, tmp_path / "chats.db")
    assert len(ids(tmp_path / "chats.db")) == 500
    assert not [path for path in tmp_path.iterdir() if "pending" in path.name]


def test_a_program_that_ends_by_an_error_loses_nothing_either(tmp_path):
    code = """
    recorder = Recorder(path)
    recorder.record(call(1))
    try:
        1 / 0
    finally:
        sys.exit(0)
    """
    finished(code, tmp_path / "chats.db")
    assert ids(tmp_path / "chats.db") == {"1"}


@pytest.mark.parametrize("earlier", ["recorder.record(call(1))", ""])
def test_calls_made_while_the_interpreter_ends_raise_nothing_and_hold_nothing_up(earlier, tmp_path):
    code = f"""
    import atexit
    atexit.register(lambda: recorder.record(call(2)))  # runs after the recorder's own farewell
    recorder = Recorder(path)
    {earlier}
    class Late:
        def __del__(self):
            recorder.record(call(3))
    late = Late()
    """
    finished(code, tmp_path / "chats.db")
    assert not earlier or "1" in ids(tmp_path / "chats.db")


FORKS = {
    "os.fork": """
        if child := os.fork():
            recorder.record(call(2))
            assert os.waitpid(child, 0)[1] == 0
        else:
            assert recorder.stats().queued == 0
            recorder.record(call(3))
            assert recorder.flush(20)
            os._exit(0)
    """,
    "multiprocessing": """
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=lambda: recorder.record(call(3)))
        child.start()
        recorder.record(call(2))
        child.join()
        assert child.exitcode == 0
    """,
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_fork_writes_its_own_calls_and_none_of_its_parents(fork, tmp_path):
    code = """
    import threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    recorder = Recorder(path)
    stop = threading.Event()
    def busy():
        while not stop.wait(0.001):
            recorder.record(call(1))
    thread = threading.Thread(target=busy)
    thread.start()
    """
    ending = """
    stop.set()
    thread.join()
    assert recorder.flush(20)
    assert not recorder.stats().failed, recorder.stats()
    """
    finished(textwrap.dedent(code) + textwrap.dedent(fork) + textwrap.dedent(ending), tmp_path / "chats.db")
    assert ids(tmp_path / "chats.db") == {"1", "2", "3"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_counts_what_it_could_not_record_and_nothing_of_its_parents(tmp_path):
    code = """
    import logging
    logging.disable()
    recorder = Recorder(path)
    recorder.count_unrecorded("of the parent")
    child = os.fork()
    recorder.count_unrecorded("of both")
    assert recorder.flush(20)
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    finished(textwrap.dedent(code), tmp_path / "chats.db")
    with ConversationStore(tmp_path / "chats.db") as store:
        assert store.unrecorded() == {"of the parent": 1, "of both": 2}


def test_a_full_disk_is_counted_and_written_to_again_when_there_is_room(tmp_path):
    code = """
    import logging, resource
    logging.disable()
    recorder = Recorder(path, sync=True)
    recorder.record(call(0))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))  # no file may grow
    recorder.record(call(1))
    assert (recorder.stats().recorded, recorder.stats().failed) == (1, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    recorder.record(call(2))
    assert (recorder.stats().recorded, recorder.stats().failed) == (2, 1)
    """
    finished(code, tmp_path / "chats.db")
    assert ids(tmp_path / "chats.db") == {"0", "2"}


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_that_is_no_store_is_left_alone_and_the_app_goes_on(sync, tmp_path, caplog):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes " * 100)
    before = path.read_bytes()
    recorder = Recorder(path, sync=sync)
    with caplog.at_level(logging.WARNING, "collab_sdk.harvest"):
        for run in range(3):
            recorder.record(call(str(run), user("x"), replies=[]))
        assert recorder.flush(20)
    assert recorder.stats().failed == 3
    assert path.read_bytes() == before
    [line] = caplog.messages
    assert "notes.txt" in line


def test_a_folder_that_cannot_be_made_is_no_error_of_the_app(tmp_path):
    (tmp_path / "file").write_text("")
    recorder = Recorder(tmp_path / "file" / "chats.db", sync=True)
    recorder.record(call("1", user("x"), replies=[]))
    assert recorder.stats().failed == 1


def test_a_store_that_another_process_holds_for_a_while_is_waited_for(tmp_path):
    path = tmp_path / "chats.db"
    recorder = Recorder(path)
    recorder.record(call("1", user("x"), replies=[assistant("y")], conversation_id="a"))
    assert recorder.flush(10)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    recorder.record(call("2", user("x"), replies=[assistant("y")], conversation_id="b"))
    assert not recorder.flush(0.05)
    lock.execute("ROLLBACK")
    lock.close()
    assert recorder.flush(30)
    assert recorder.stats().failed == 0
    assert ids(path) == {"a", "b"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_wait_for_a_store_that_another_process_holds(tmp_path):
    code = """
    import os, sqlite3, threading
    recorder = Recorder(path)
    recorder.record(call(1))
    assert recorder.flush(20)
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    recorder.record(call(2))
    assert not recorder.flush(0.05)  # its thread is waiting for the lock by now
    release = threading.Timer(4, lock.execute, ["ROLLBACK"])
    release.start()
    if os.fork() == 0:
        os._exit(0)
    assert lock.in_transaction, "the fork waited"
    release.cancel()
    lock.execute("ROLLBACK")
    assert os.wait()[1] == 0
    assert recorder.flush(20)
    """
    finished(textwrap.dedent(code), tmp_path / "chats.db")
    assert ids(tmp_path / "chats.db") == {"1", "2"}


def test_the_files_are_their_owners_alone(tmp_path):
    recorder = Recorder(tmp_path / "new" / "chats.db")
    recorder.record(call("1", user("x"), replies=[assistant("y")]))
    assert recorder.flush(10)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    recorder.close()
