"""The worker processes of a run: which of them has room, and what happens when one dies."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from collab_ray.worker import Worker
from collab_sdk.errors import CollabError, RunnerError
from collab_sdk.jobs import error_of

MAX_DEATHS = 3
"""Of processes, after which the conversation that they were working on is given up, or the worker that never starts."""
WORKER_DIED = (RayActorError, ObjectLostError)


@dataclass(eq=False, kw_only=True, slots=True)
class _Process:
    actor: Any
    died: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """Workers, each with up to `capacity` conversations. One that dies is replaced.

    Its conversations begin again in any worker, from the cache. Nobody knows which of them killed it, if one did: those
    with one death left go to a further process, one at a time, so that none is given up for what another does.
    """

    def __init__(self, setup: str, coordinator: Any, *, capacity: int) -> None:
        self._setup = setup
        self._coordinator = coordinator
        self._capacity = capacity
        self._room: asyncio.Queue[_Process] = asyncio.Queue()
        """A process for each further conversation that it can take."""
        self._quarantine: asyncio.Queue[_Process] = asyncio.Queue()
        self._quarantined = asyncio.Event()
        self._processes: dict[str, _Process] = {}
        # Replaced by `keep_running`, not restarted by Ray: a call that died is then an error here, and is counted.
        self._actor: Any = ray.remote(
            num_cpus=1, max_restarts=0, max_concurrency=capacity + 3, scheduling_strategy="SPREAD"
        )(Worker)

    async def work(self, order: int, conversation: str) -> list[Any]:
        """Returns what `Worker.work` does. Raises CollabError if its processes keep dying."""
        for deaths in range(MAX_DEATHS):
            room = self._room
            if deaths == MAX_DEATHS - 1:
                room = self._quarantine
                self._quarantined.set()
            while (process := await room.get()).died.is_set():
                pass
            try:
                reply: list[Any] = json.loads(await process.actor.work.remote(order, conversation))
            except WORKER_DIED:
                process.died.set()
            else:
                room.put_nowait(process)
                return reply
        raise CollabError(f"The process that worked on this conversation died {MAX_DEATHS} times.")

    async def keep_running(self, number: int) -> None:
        """Runs a worker, and another in its place whenever it dies. Raises what keeps it from its work."""
        await self._keep_running(self._actor, str(number), self._room, self._capacity)

    async def keep_quarantine(self) -> None:
        """Runs the process for conversations that may have killed others, once there is one."""
        await self._quarantined.wait()
        await self._keep_running(self._actor.options(num_cpus=0), "quarantine", self._quarantine, 1)

    async def _keep_running(self, kind: Any, name: str, room: asyncio.Queue[_Process], capacity: int) -> None:
        failed = 0
        while True:
            # By this name the coordinator knows that the leases of the one that died are free.
            actor = kind.remote(self._setup, self._coordinator, name)
            process = _Process(actor=actor)
            try:
                if (error := await actor.open.remote()) is not None:
                    raise error_of(error)
                failed = 0
                self._processes[name] = process
                for _ in range(capacity):
                    room.put_nowait(process)
                await actor.stay.remote()
            except WORKER_DIED:
                failed += 1
                if failed == MAX_DEATHS:
                    raise RunnerError(
                        f"A worker died {MAX_DEATHS} times while it was starting: is there too little memory, or does "
                        "a module of a bot end the process?"
                    ) from None
            finally:
                process.died.set()
                ray.kill(actor)

    async def settle(self) -> None:
        """Has every worker end what it is doing, keep what was paid for, and report it."""
        settling = (process.actor.settle.remote() for process in self._processes.values())
        await asyncio.gather(*settling, return_exceptions=True)
