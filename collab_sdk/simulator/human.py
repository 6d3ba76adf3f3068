"""A person at the terminal who plays the user."""

import asyncio
import json
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from collab_sdk.cache.record import call_key
from collab_sdk.concurrency import in_thread
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import InterruptedRunError
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatModel, ChatReply
from collab_sdk.secrets import harmless
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End, Goal

HUMAN = "human"
LEAVE = "/leave"
HELP = f"An empty line or {LEAVE} leaves the conversation. Ctrl-C stops the run; the same command goes on with it."
YOU, CONTENT = "you> ", "Did you get what you wanted? [y/n] "
POLLED = 0.1
"""Seconds after which a reader that nobody waits for any more has gone."""
CHUNK = 65_536


class Line(Protocol):
    """Reads what is typed next: None at the end of the input. `stopped` is set once nobody waits for it."""

    def __call__(self, stopped: threading.Event) -> str | None: ...


class HumanUser:
    """Somebody who sees goal, persona and what the assistant says, and types what the user says.

    One conversation is played at a time. An empty line or `/leave` leaves it, after one question: content or not. What
    was typed is kept with the models' replies, so that a run that goes on does not ask for it again; with another cache
    all is asked anew. Without a terminal, lines are read from stdin.

    The end of the input raises InterruptedRunError.
    """

    name = HUMAN
    fingerprint: Mapping[str, Any] | None = None
    """Nobody knows who sits there."""
    model: ChatModel | None = None
    settings: ModelSettings | None = None

    def __init__(self, *, read: Line | None = None, write: Callable[[str], None] | None = None) -> None:
        self._read = read or _STDIN
        self._write = write or _to_stderr
        self._shown: tuple[str, tuple[Message, ...]] = ("", ())

    @property
    def one_at_a_time(self) -> asyncio.Lock:
        """Held by the future that is played, since there is one terminal."""
        return _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        identity = {
            "typed_by": HUMAN,
            "about": list(_about(situation.goal)),
            "messages": [message.to_dict() for message in situation.messages],
            "sample": situation.sample,
        }
        key = call_key(identity)  # never that of a call, whose identity has other names
        if (kept := await engine.cache.aget(key)) is None:
            # Not a call of the engine's: no budget may be spent between a person's typing and its being kept.
            kept = await engine.cache.aput(key, ChatReply(content=await self._ask(situation)), request=identity)
        typed = json.loads(kept.content)
        end = End(typed["end"]) if typed["end"] else None
        return UserTurn(message=typed["message"], end=end, written=True)

    async def _ask(self, situation: Situation) -> str:
        """What the person types, as it is kept."""
        self._show(situation)
        said = await self._line(YOU)
        if said and said.lower() != LEAVE:
            return json.dumps({"message": said, "end": None}, ensure_ascii=False)
        content = await self._line(CONTENT)
        end = End.GAVE_UP if content.lower().startswith("n") else End.USER_DONE
        return json.dumps({"message": "", "end": end})

    async def _line(self, prompt: str) -> str:
        self._write(prompt)
        stopped = threading.Event()
        try:
            line: str | None = await in_thread(lambda: self._read(stopped))
        finally:
            stopped.set()
        if line is None:
            self._write("\n")
            raise InterruptedRunError("The person who plays the user has closed the input.")
        return harmless(line).strip()

    def _show(self, situation: Situation) -> None:
        """What the person does not know yet: all of a new conversation, else what was said since."""
        place = f"{situation.conversation_id}\n{situation.sample.rpartition('/')[0]}"
        known, seen = self._shown
        messages = situation.messages
        if known != place or messages[: len(seen)] != seen:
            seen = ()
            title = f"--- {harmless(situation.conversation_id) or 'A conversation'} ".ljust(60, "-")
            self._write("\n".join(["", title, *_about(situation.goal), HELP, ""]))
        for message in messages[len(seen) :]:
            if message.content.strip():
                who = "you" if message.role == "user" else "assistant"
                if message.role == "assistant" or not seen:
                    self._write(f"{who}: {harmless(message.content)}\n")
        self._shown = (place, messages)


class _Stdin:
    """The lines of stdin, of a terminal or not. Several that are pasted into a terminal at once are one message."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, stopped: threading.Event) -> str | None:
        try:
            descriptor = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError):  # replaced by an object, or closed
            return sys.stdin.readline() or None if sys.stdin is not None and not sys.stdin.closed else None
        data, self._rest = self._rest, b""
        while b"\n" not in data:
            if not _is_ready(descriptor, stopped):
                self._rest = data
                return None
            chunk = os.read(descriptor, CHUNK)
            if not chunk:
                return data.decode("utf-8", "replace") or None
            data += chunk
        if os.isatty(descriptor):
            while _is_ready(descriptor, stopped, wait=False) and (chunk := os.read(descriptor, CHUNK)):
                data += chunk
            return data.decode("utf-8", "replace")
        line, _, self._rest = data.partition(b"\n")
        return line.decode("utf-8", "replace")


def _is_ready(descriptor: int, stopped: threading.Event, *, wait: bool = True) -> bool:
    """Whether there is something to read, or an end; False once nobody waits any more."""
    if sys.platform == "win32":  # select takes sockets alone there
        return wait
    while not stopped.is_set():
        if select.select([descriptor], [], [], POLLED if wait else 0)[0]:
            return True
        if not wait:
            return False
    return False


def _to_stderr(text: str) -> None:
    """Stdout is for data."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _about(goal: Goal) -> Iterator[str]:
    """What the person is to know about the user."""
    yield "You are the user, and you want:"
    yield from (f"  {line}" for line in harmless(goal.text).splitlines())
    if (persona := goal.persona) is not None:
        yield f"Who you are: {harmless(', '.join([persona.name, *persona.traits]))}"
        if persona.patience is not None:
            yield f"  You leave after {persona.patience} answers of no use."
        told = (("You write", persona.writes), ("You forget", persona.forgets))
        yield from (f"  {what}: {harmless(text)}" for what, text in told if text)


_STDIN = _Stdin()
_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
