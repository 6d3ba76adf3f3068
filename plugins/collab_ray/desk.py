"""The one actor of a run: it hands conversations out, and holds the limits that all workers share."""

import asyncio
import time
from collections.abc import Iterable

from collab_ray.fleet import Fleet, Report
from collab_sdk.engine import Limits
from collab_sdk.jobs import dumps, loads

DONE = "[]"
"""In place of a parcel whose outcomes are all there, for a reader that was killed and starts over."""


class Desk:
    """To be made an actor. A parcel is some conversations as JSON text; parcels are numbered from 0 in every round.

    What is taken out stays here until it is done, so that a reader or worker that dies costs nothing but time.
    """

    def __init__(self, limits: str) -> None:
        self._fleet = Fleet(loads(Limits, limits), clock=time.monotonic)
        self._changed = asyncio.Condition()
        self._parcels: dict[int, str] = {}
        self._put, self._ended = 0, False

    async def begin(self) -> None:
        """A new round, with new workers."""
        self._fleet.dismiss()
        self._parcels, self._put, self._ended = {}, 0, False

    async def put(self, parcel: str, done: Iterable[int]) -> None:
        """Hand in the next parcel; those in `done` are no longer needed."""
        for number in done:
            self._parcels.pop(number, None)
        self._parcels[self._put] = parcel
        self._put += 1
        await self._wake()

    async def end(self) -> None:
        """No more parcels will come in this round."""
        self._ended = True
        await self._wake()

    async def take(self, number: int) -> str | None:
        """That parcel, as soon as there is one; None after the last."""
        async with self._changed:
            await self._changed.wait_for(lambda: number < self._put or self._ended or self._fleet.stop)
        if number >= self._put or self._fleet.stop:
            return None
        return self._parcels.get(number, DONE)

    async def report(self, name: str, life: str, report: str) -> str:
        return dumps(self._fleet.report(name, life, loads(Report, report)))

    async def stop(self, error: tuple[str, str]) -> None:
        """End the run: type and message of what ends it. The first counts."""
        self._fleet.stop = self._fleet.stop or error
        await self._wake()

    async def usage(self) -> str:
        """What all workers have used so far, by role."""
        return dumps(self._fleet.usage())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
