"""The seat of a person: what they see, how they leave, and that nothing they typed is lost."""

import asyncio
import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.cli import collab, heed_signals, write_chats
from support.fakes import chat

from collab_sdk import Engine, Goal, Rollout
from collab_sdk.errors import BudgetError, InterruptedRunError
from collab_sdk.simulator import HumanUser
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End, Persona

GOAL = "what: as said\nsize: large"


class Person:
    """Somebody who types these lines, and what they were shown."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.shown = ""

    def seat(self) -> HumanUser:
        return HumanUser(read=lambda stopped: self.lines.pop(0) if self.lines else None, write=self.write)

    def write(self, text: str) -> None:
        self.shown += text


def played(person, *, bot=None, window=2, samples=1, goal=GOAL, engine=None, start=("hi", "hello")):
    rollout = Rollout(
        assistant=bot or FakeChatModel(lambda request: "what else?"),
        simulator=person.seat(),
        window=window,
        samples=samples,
        engine=engine or Engine(cache=None),
    )
    return rollout.futures(chat(*start), goal=goal, conversation_id="c")


def test_a_person_takes_the_seat_in_five_lines():
    person = Person("a mocha", "/leave", "y")
    user = HumanUser(read=lambda stopped: person.lines.pop(0), write=print)
    rollout = Rollout(
        assistant=FakeChatModel(lambda request: "ok"), simulator=user, window=3, samples=1, engine=Engine(cache=None)
    )
    [future] = rollout.futures(chat("hi", "hello"), goal="a large mocha")
    assert [message.content for message in future.messages] == ["a mocha", "ok"]
    assert (future.user, future.end) == ("human", End.USER_DONE)


def test_they_see_goal_persona_and_all_that_was_said():
    person = Person("large", "")
    traits = ("sceptical", "changes their mind once")
    persona = Persona(name="Mo", traits=traits, patience=2, writes="short", forgets="the size")
    played(person, goal=Goal(text=GOAL, persona=persona), window=1)
    for text in ("what: as said", "size: large", "Mo", *traits, "2 answers", "short", "the size", "hi", "hello"):
        assert text in person.shown
    assert person.shown.count("hello") == 1


@pytest.mark.parametrize("leaving", ["", "  ", "/leave", "/LEAVE"])
@pytest.mark.parametrize(("answer", "end"), [("y", End.USER_DONE), ("n", End.GAVE_UP), ("No", End.GAVE_UP)])
def test_leaving_is_asked_about_once(leaving, answer, end):
    person = Person(leaving, answer)
    [future] = played(person)
    assert (future.messages, future.end) == ((), end)
    assert person.shown.count("Did you get what you wanted?") == 1
    assert not person.lines


def test_control_characters_reach_neither_the_terminal_nor_the_bot():
    bot = FakeChatModel(lambda request: "\x1b[2Jwiped\x1b]0;title\x07\r\x9b31m\nnext line")
    person = Person("one\x1b[D\x07", "two", "")
    played(person, bot=bot, goal="a \x1b[31mred\x1b[0m bike")
    assert not {char for char in person.shown if not char.isprintable()} - {"\n"}
    assert "wiped" in person.shown
    assert "next line" in person.shown
    assert bot.requests[0].messages[-1].content == "one"


def test_the_end_of_the_input_ends_the_run_and_what_was_typed_is_not_asked_again(tmp_path):
    with Engine(cache=tmp_path) as engine, pytest.raises(InterruptedRunError):
        played(Person("large"), engine=engine)
    again = Person("with milk")
    with Engine(cache=tmp_path) as engine:
        [future] = played(again, engine=engine)
    assert [message.content for message in future.messages[::2]] == ["large", "with milk"]
    assert again.shown.count("you> ") == 1
    assert "large" in again.shown, "they are reminded of what they said"
    assert again.shown.count("hello") == 1


def test_a_spent_budget_loses_nothing_that_was_typed(tmp_path):
    with Engine(cache=tmp_path, limits=Limits(max_calls=0)) as engine, pytest.raises(BudgetError):
        played(Person("large"), engine=engine)
    again = Person()
    with Engine(cache=tmp_path) as engine:
        [future] = played(again, engine=engine, window=1)
    assert future.messages[0].content == "large"
    assert not again.shown, "nobody was asked"


def test_another_goal_or_persona_is_another_question(tmp_path):
    for goal in (GOAL, "other", Goal(text=GOAL, persona=Persona(name="Mo"))):
        person = Person("large")
        with Engine(cache=tmp_path) as engine:
            played(person, engine=engine, goal=goal, window=1)
        assert not person.lines


def test_conversations_are_played_one_after_the_other():
    person = Person(*"abcdef")
    futures = played(person, samples=3)
    assert [[message.content for message in future.messages[::2]] for future in futures] == [
        ["a", "b"],
        ["c", "d"],
        ["e", "f"],
    ]
    assert person.shown.count("You are the user") == 3


def test_two_engines_and_loops_one_after_the_other_share_the_terminal():
    async def play() -> list:
        rollout = Rollout(
            assistant=FakeChatModel(lambda request: "ok"),
            simulator=Person("a", "b").seat(),
            window=1,
            samples=2,
            engine=Engine(),
        )
        return await rollout.afutures(chat("hi", "hello"), goal=GOAL)

    for _ in range(2):
        assert len(asyncio.run(play())) == 2


def test_a_person_who_leaves_before_the_bot_spoke_is_missing_and_to_blame(tmp_path):
    rollout = Rollout(
        assistant=FakeChatModel(lambda request: "ok"), simulator=Person("", "n").seat(), engine=Engine(cache=None)
    )
    future = asyncio.run(rollout.aconverse([], goal="a mocha"))
    assert (future.end, future.messages) == (End.GAVE_UP, ())


COMMAND = ["evaluate", "-t", "logs", "-a", "offline", "--judge", "offline", "--simulator", "human"]


def test_without_a_terminal_lines_are_read_from_stdin(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    command = [*COMMAND, "--data", logs, "--cache-dir", tmp_path / "cache", "-o", tmp_path / "e.jsonl"]
    stopped = collab(*command, stdin="a large one\n")
    assert stopped.exit_code == 130
    assert "Interrupted: The person who plays the user has closed the input." in stopped.stderr
    done = collab(*command, stdin="\nn\n")
    assert done.exit_code == 0, done.output
    assert done.stderr.count("you> ") == 1
    [one] = json.loads((tmp_path / "e.jsonl").read_text())["results"][0]["conversations"]
    assert (one["user"], one["end"]) == ("human", "user gave up")
    assert [message["content"] for message in one["messages"] if message["role"] == "user"] == ["a large one"]


@pytest.mark.parametrize("command", ["score", "export-prefs", "check-sim"])
def test_other_commands_refuse_a_person_in_one_line(tmp_path, command):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    result = collab(command, logs, "--model", "offline", "--simulator", "human")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: A person can play the user in `collab evaluate` alone")


def test_other_machines_refuse_a_person_in_one_line(tmp_path):
    result = collab(*COMMAND, "--data", write_chats(tmp_path / "chats.jsonl", 1), "--runner", "ray")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "sits at this terminal" in line


class Session:
    """A command in a terminal of its own."""

    def __init__(self, process: subprocess.Popen, terminal: int) -> None:
        self.process, self._terminal = process, terminal
        self.seen = ""

    def expect(self, text: str) -> None:
        """Wait until the terminal shows a text after all that was waited for before."""
        end = time.monotonic() + 60
        while text not in self.seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} was not shown: {self.seen}"
            try:
                self.seen += os.read(self._terminal, 4096).decode("utf-8", "replace")
            except OSError as error:  # how Linux says that nobody is left at the other end
                raise AssertionError(f"ended without {text!r}: {self.seen}") from error
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())


@contextmanager
def session(*arguments: object) -> Iterator[Session]:
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        heed_signals()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "collab_cli.main", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    try:
        yield Session(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("stop", ["\x03", "\x04"])
def test_a_person_plays_in_a_terminal_and_goes_on_after_ctrl_c_or_ctrl_d(tmp_path, stop):
    logs, output = write_chats(tmp_path / "chats.jsonl", 2), tmp_path / "e.jsonl"
    command = [*COMMAND, "--data", logs, "--cache-dir", tmp_path / "cache", "-o", output]
    with session(*command) as terminal:
        terminal.expect("size: large")
        terminal.expect("you> ")
        terminal.type("a large one\n")
        terminal.expect("assistant: ")
        terminal.expect("you> ")
        terminal.type(stop)
        terminal.expect("Interrupted")
        assert terminal.process.wait(60) == 130
        assert not output.exists()
    with session(*command) as terminal:
        terminal.expect("you: a large one")
        terminal.expect("you> ")
        terminal.type("\n")
        terminal.expect("[y/n]")
        terminal.type("y\n")
        terminal.expect("You are the user")
        terminal.expect("you> ")
        terminal.type("first line\nsecond line\n")
        terminal.expect("you> ")
        terminal.type("/leave\n")
        terminal.expect("[y/n]")
        terminal.type("n\n")
        terminal.expect("Details:")
        assert terminal.process.wait(60) == 0
    one, two = json.loads(output.read_text())["results"][0]["conversations"]
    assert (one["end"], two["end"]) == ("user done", "user gave up")
    typed = [[each["content"] for each in one["messages"] if each["role"] == "user"] for one in (one, two)]
    assert typed == [["a large one"], ["first line\nsecond line"]]
