"""The side of a run on Ray where the command was typed: conversations go out, outcomes come in, in order."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from math import ceil
from typing import Any, TypeVar

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

import collab_sdk
from collab_ray.cluster import Cluster
from collab_ray.desk import Desk
from collab_ray.round import Round
from collab_ray.source import OUTCOMES, ParcelSource
from collab_ray.worker import Setup, Worker
from collab_sdk.cache import URL
from collab_sdk.engine import Engine, Usage
from collab_sdk.errors import CollabError, RunnerError, UsageError
from collab_sdk.jobs import JOBS, dumps, loads
from collab_sdk.models import CallRole
from collab_sdk.runs import HELD_BACK, Job, Outcome, RunnerOptions
from collab_sdk.types import Conversation

T = TypeVar("T")
PARCEL = 8
"""Conversations a row of the data set, at most: Ray Data's own work for a row is milliseconds."""
SPARE = 2
"""Times as many are open in the workers as on one machine, since a parcel is open until its last one is done."""
LOOK_SECONDS = 0.3
"""From one look at what the fleet has used to the next."""
SILENT_SECONDS = 60.0
"""After which a cluster that says nothing is given up."""
UNWIND_SECONDS = 4.0


class RayRunner:
    """Does jobs on a cluster. Workers take conversations by the parcel, and calls by leave of the one Desk."""

    def __init__(self, engine: Engine, options: RunnerOptions, cluster: Cluster) -> None:
        self._engine = engine
        self._cluster = cluster
        self._cache = options.cache if URL.match(options.cache) else os.path.abspath(options.cache)  # noqa: PTH100
        # Named, so that `ray list actors` shows it, and not detached: it ends when this process does. It is not
        # started again either: its limits would be forgotten.
        actor: Any = ray.remote(num_cpus=0, max_restarts=0, label_selector={"ray.io/node-id": cluster.node})(Desk)
        self._desk = actor.options(name=f"collab-desk-{os.getpid()}-{id(self)}").remote(dumps(engine.limits))

    def close(self) -> None:
        ray.kill(self._desk)

    async def run(self, job: Job[T], conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[T]]:
        """As `Runner.run` says."""
        kind = type(job).__name__
        if kind not in JOBS:
            raise UsageError(f"{kind} is no job that can travel to Ray's workers. Known: {', '.join(JOBS)}.")
        at_once = max(2, self._engine.limits.concurrency)
        workers = self._cluster.workers
        size = max(1, min(PARCEL, at_once // (4 * workers)))
        parcels = ceil(SPARE * at_once / workers / size)
        one = Round(
            self._desk, JOBS[kind].result, size=size, room=max(HELD_BACK * at_once, 2 * workers * parcels * size)
        )
        await one.begin()
        collecting = threading.Thread(
            target=_collect, args=(self._stream(job, parcels), one, asyncio.get_running_loop()), daemon=True
        )
        collecting.start()
        chores = [asyncio.create_task(one.feed(iter(conversations))), asyncio.create_task(self._look_on(one))]
        try:
            async for outcome in one.outcomes(chores[0]):
                yield outcome
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise _explained(error) from None
        finally:
            for chore in chores:
                chore.cancel()
            with suppress(ray.exceptions.RayError, TimeoutError):
                if collecting.is_alive():  # whoever asked has had enough
                    await self._desk.stop.remote(("RunnerError", "The run was ended."))
                    await asyncio.wait_for(asyncio.to_thread(collecting.join), UNWIND_SECONDS)
                await asyncio.wait_for(self._look(), UNWIND_SECONDS)

    def _stream(self, job: Job[Any], parcels: int) -> Iterator[Any]:
        """The data set: parcels in, outcomes out, as they come."""
        limits = self._engine.limits
        setup = Setup(
            version=collab_sdk.__version__,
            kind=type(job).__name__,
            job=dumps(job),
            cache=self._cache,
            concurrency=limits.concurrency,
            timeout=self._engine.timeout,
            paced=limits.requests_per_minute is not None or limits.tokens_per_minute is not None,
            limited=limits.max_calls is not None or limits.max_usd is not None,
            folder=os.getcwd(),  # noqa: PTH109
        )
        context = DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.target_max_block_size = 1  # a row goes on its way at once, and waits for no others
        parts = ray.data.read_datasource(
            ParcelSource(self._desk),
            override_num_blocks=1,
            num_cpus=0,
            label_selector={"ray.io/node-id": self._cluster.node},
        )
        outcomes = parts.map_batches(
            Worker,
            fn_constructor_args=(dumps(setup), self._desk),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            compute=ActorPoolStrategy(
                size=self._cluster.workers,
                max_tasks_in_flight_per_actor=2 * parcels,
                max_concurrent_calls_per_actor=parcels,
            ),
        )
        rows: Iterator[Any] = iter(outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        return rows

    async def _look_on(self, one: Round) -> None:
        """Until the desk answers no more, which ends the run: Ray Data alone would wait for it."""
        try:
            while True:
                await asyncio.wait_for(self._look(), SILENT_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        except (ray.exceptions.RayError, TimeoutError) as error:
            one.over(error)

    async def _look(self) -> None:
        """Let the engine's ledger show what all workers have used."""
        usage: dict[str, Usage] = loads(dict[str, Usage], await self._desk.usage.remote())
        self._engine.ledger.roles = {CallRole(role): used for role, used in usage.items()}


def _collect(rows: Iterator[Any], one: Round, loop: asyncio.AbstractEventLoop) -> None:
    """In a thread of its own, since Ray Data's iterators block."""
    end: Exception | None = None
    try:
        for row in rows:
            for outcomes in row.column(OUTCOMES).to_pylist():
                loop.call_soon_threadsafe(one.arrived, outcomes)
    except Exception as error:
        end = error
    loop.call_soon_threadsafe(one.over, end)


def _explained(error: Exception) -> CollabError:
    """Ray's error in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in reversed(lines) if "No module named" in line), lines[0] if lines else "")
    if "collab_" in text and "No module named" in text:
        version = collab_sdk.__version__
        return RunnerError(f"A node of the cluster has no collab-sdk: pip install 'collab-sdk[ray]=={version}' there.")
    return RunnerError(
        f"Ray lost a part of the run ({type(error).__name__}: {text[:200]}). What was paid for is kept: run the same "
        "command again to go on."
    )
