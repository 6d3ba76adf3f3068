"""One round of conversations through the cluster: what is out, what has come back, what is next in order."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from collab_ray.worker import BROKEN, ERROR, VALUE
from collab_sdk.errors import CollabError, RunnerError
from collab_sdk.jobs import dumps, error_of, loads
from collab_sdk.runs import Outcome
from collab_sdk.types import Conversation

LINGER_SECONDS = 0.05
"""How long a parcel waits to be full."""


class Round:
    """At most `room` conversations are out or wait for one before them, in parcels of `size`."""

    def __init__(self, desk: Any, result: Any, *, size: int, room: int) -> None:
        self._desk = desk
        self._result = result
        self._size = size
        self._room = room
        self._out: dict[int, Conversation] = {}
        self._back: dict[int, Outcome[Any] | None] = {}
        """By number; None for one that the end of the run has cut short."""
        self._parcel_of: dict[int, int] = {}
        self._missing: dict[int, int] = {}
        """How many of each parcel are out."""
        self._done: list[int] = []
        self._stop: CollabError | None = None
        self._end: Exception | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._left = asyncio.Event()

    async def begin(self) -> None:
        await self._desk.begin.remote()

    async def feed(self, reader: Iterator[Conversation]) -> None:
        """Hand in what `reader` gives, as there is room."""
        parcel: list[tuple[int, Conversation]] = []
        order = number = 0
        pull: asyncio.Task[Conversation | None] | None = None
        while self._stop is None:
            if len(self._out) + len(parcel) >= self._room:
                number += await self._hand_in(number, parcel)
                self._left.clear()
                await self._left.wait()
                continue
            # In a thread: the next chat may be a while in coming, from a pipe or a slow disk.
            pull = pull or asyncio.create_task(asyncio.to_thread(next, reader, None))
            if parcel and not (await asyncio.wait({pull}, timeout=LINGER_SECONDS))[0]:
                number += await self._hand_in(number, parcel)
                continue
            conversation, pull = await pull, None
            if conversation is None:
                break
            parcel.append((order, conversation))
            order += 1
            if len(parcel) == self._size:
                number += await self._hand_in(number, parcel)
        await self._hand_in(number, parcel)
        await self._desk.end.remote()

    async def _hand_in(self, number: int, parcel: list[tuple[int, Conversation]]) -> int:
        """Empty `parcel` into the next one at the desk; how many that made."""
        if not parcel or self._stop is not None:
            return 0
        self._out.update(parcel)
        self._parcel_of.update((order, number) for order, _ in parcel)
        self._missing[number] = len(parcel)
        text = json.dumps([[order, dumps(conversation)] for order, conversation in parcel])
        parcel.clear()
        done, self._done = self._done, []
        await self._desk.put.remote(text, done)
        return 1

    def arrived(self, outcomes: str) -> None:
        """Take in a parcel's outcomes. One that is worked off twice, after a worker's death, counts once."""
        for order, kind, content in json.loads(outcomes):
            if order not in self._out or order in self._back:
                continue
            self._back[order] = self._outcome(self._out[order], kind, content)
            number = self._parcel_of.pop(order)
            self._missing[number] -= 1
            if not self._missing[number]:
                del self._missing[number]
                self._done.append(number)
        self._news.set()

    def over(self, end: Exception | None) -> None:
        """No more will arrive, because of `end` if not all is done."""
        self._end, self._ended = self._end or end, True
        self._news.set()

    async def outcomes(self, feeding: "asyncio.Task[None]") -> AsyncIterator[Outcome[Any]]:
        """In order, as they come. Raises what ended the run, the reader, or Ray."""
        feeding.add_done_callback(lambda _: self._news.set())
        following = 0
        while True:
            self._news.clear()
            if feeding.done():
                feeding.result()
            while following in self._back or (self._ended and self._back):
                outcome = self._back.pop(following, None)
                self._out.pop(following, None)
                self._left.set()
                following += 1
                if outcome is not None:
                    yield outcome
            if self._end is not None:
                raise self._end
            if self._ended:
                break
            await self._news.wait()
        if self._stop is not None:
            raise self._stop
        if self._out:
            raise RunnerError(
                f"{len(self._out)} conversations were lost on their way. What was paid for is kept: run the same "
                "command again to go on."
            )

    def _outcome(self, conversation: Conversation, kind: str, content: Any) -> Outcome[Any] | None:
        if kind == VALUE:
            return Outcome(conversation=conversation, value=loads(self._result, content))
        if kind == ERROR:
            return Outcome(conversation=conversation, error=error_of(content))
        if kind == BROKEN:
            self._end = self._end or RuntimeError(content)
        else:
            self._stop = self._stop or error_of(content)
            self._left.set()
        return None
