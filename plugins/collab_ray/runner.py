"""The driver of a run on Ray: conversations go out to the workers, outcomes come back in input order."""

import asyncio
import os
import secrets
import warnings
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from collab_ray.broker import Coordinator, Totals
from collab_ray.cluster import Cluster
from collab_ray.node import claims_of, sent_address
from collab_ray.pool import WorkerPool
from collab_ray.worker import BROKEN, VALUE, WorkerSetup
from collab_sdk.engine import Engine
from collab_sdk.errors import RunnerError, UsageError
from collab_sdk.jobs import JOBS, dumps, error_of, loads, logs_of_users
from collab_sdk.models import CallRole
from collab_sdk.runs import Job, Outcome, over_conversations
from collab_sdk.types import Conversation

T = TypeVar("T")
SPARE = 2
"""Times as many conversations are open as on one machine: half of the workers can keep all calls in flight."""
USAGE_INTERVAL = 0.3
"""Seconds between two readings of what all workers have used."""
SILENCE_TIMEOUT = 60.0
"""Seconds after which a coordinator that has answered before and does so no more is given up."""
SETTLE_TIMEOUT = 6.0
"""Seconds that workers have at the end of a run to report; those with calls in flight are waited for.

Longer than the command waits for anything after Ctrl-C, so that nobody is told of a wait that is over.
"""


class RayRunner:
    """Does jobs on a cluster. This process hands out the conversations, one Coordinator the calls."""

    def __init__(self, engine: Engine, cluster: Cluster) -> None:
        self._engine = engine
        self._cluster = cluster
        self._secret = secrets.token_hex(32)
        self._quarantined = 0
        """How many rows that workers could not read are counted in the engine's cache already."""
        self._heard = 0
        """How many warnings of the workers were said."""
        # Neither named nor detached: nobody else can look it up, and it ends when this process does. It is not
        # restarted either: the new one would not know what was spent.
        actor: Any = ray.remote(num_cpus=0, max_restarts=0, label_selector={"ray.io/node-id": cluster.node})(
            Coordinator
        )
        self._coordinator = actor.remote(dumps(engine.limits), self._secret)

    def close(self) -> None:
        ray.kill(self._coordinator)

    async def run(self, job: Job[T], conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[T]]:
        """Yields outcomes as `Runner.run` says."""
        kind = type(job).__name__
        if kind not in JOBS:
            raise UsageError(f"Ray's workers do not know the job {kind}. Known: {', '.join(JOBS)}.")
        open_at_once = SPARE * max(2, self._engine.limits.concurrency)
        pool = self._pool(job, open_at_once)
        supervision = asyncio.create_task(self._supervise(pool))

        order = count()

        async def work(conversation: Conversation) -> T:
            reply = asyncio.create_task(pool.work(next(order), dumps(conversation)))
            try:
                await asyncio.wait({reply, supervision}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reply.cancel()
            if not reply.done():
                supervision.result()  # raises what ended it
            try:
                status, content, missing = reply.result()
            except RayError as error:
                raise _explained(error) from None
            self._engine.ledger.missing += missing
            if status == VALUE:
                return loads(JOBS[kind].result, content)  # type: ignore[no-any-return]
            raise RuntimeError(content) if status == BROKEN else error_of(content)

        outcomes: Any = over_conversations(
            work, conversations, open_at_once=open_at_once, settle=partial(self._settle, pool)
        )
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    yield outcome
        finally:
            supervision.cancel()
            await asyncio.wait({supervision})  # until the workers are killed
            with suppress(RayError, TimeoutError):
                await asyncio.wait_for(self._update_usage(), SETTLE_TIMEOUT)

    async def _settle(self, pool: WorkerPool) -> None:
        """Waits for the replies that are still on their way, as long as one can come: they are paid for."""
        settling = asyncio.create_task(pool.settle())
        is_told = False
        try:
            await asyncio.wait({settling}, timeout=SETTLE_TIMEOUT)
            while not settling.done() and (in_flight := await self._in_flight()):
                if not is_told:
                    warnings.warn(
                        f"Waiting for the replies to {in_flight} calls, which are paid for, to keep them. Ctrl-C ends "
                        "the run without them.",
                        stacklevel=2,
                    )
                is_told = True
                await asyncio.wait({settling}, timeout=USAGE_INTERVAL)
        finally:
            settling.cancel()

    async def _in_flight(self) -> int:
        """Calls of all workers; 0 if the coordinator is gone."""
        try:
            totals = await asyncio.wait_for(self._totals(), SETTLE_TIMEOUT)
        except (RayError, TimeoutError):
            return 0
        return totals.in_flight

    def _pool(self, job: Any, at_once: int) -> WorkerPool:
        setup = WorkerSetup(
            claims=claims_of(job.spec, self._cluster.cache),
            kind=type(job).__name__,
            job=dumps(job),
            # Ray keeps what travels; workers of our own Ray have our variables, and it ends with the command.
            cache=self._cluster.cache if self._cluster.is_own else sent_address(self._cluster.cache),
            limits=self._engine.limits,
            folder=os.getcwd(),  # noqa: PTH109
            logs_of_users=logs_of_users(job.spec),
        )
        return WorkerPool(dumps(setup), self._coordinator, self._secret, cluster=self._cluster, at_once=at_once)

    async def _supervise(self, pool: WorkerPool) -> None:
        """Keeps workers running. Ends only with the error that ends the run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_usage())
                tasks.create_task(pool.keep_running())
        except ExceptionGroup as group:
            first: Exception = group
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            raise _explained(first) from None

    async def _follow_usage(self) -> None:
        await self._update_usage()  # whatever it takes: a process may start slowly, and Ray says when it cannot
        while True:
            await asyncio.wait_for(self._update_usage(), SILENCE_TIMEOUT)
            await asyncio.sleep(USAGE_INTERVAL)

    async def _update_usage(self) -> None:
        """Lets the engine show what all workers have used and could not read, and says what they warn of."""
        totals = await self._totals()
        self._engine.ledger.roles = {CallRole(role): used for role, used in totals.usage.items()}
        self._engine.cache.quarantined += totals.quarantined - self._quarantined
        self._quarantined = totals.quarantined
        self._heard += len(totals.warnings)
        for text in totals.warnings:
            warnings.warn(text, stacklevel=2)

    async def _totals(self) -> Totals:
        return loads(Totals, await self._coordinator.totals.remote(self._secret, self._heard))  # type: ignore[no-any-return]


def _explained(error: Exception) -> Exception:
    """Ray's error in a line."""
    if not isinstance(error, RayError | TimeoutError) and not type(error).__module__.startswith("ray."):
        return error
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return RunnerError(
        f"Ray lost a part of the run ({type(error).__name__}: {text[:200]}). What was paid for is kept: run the same "
        "command again to go on."
    )
