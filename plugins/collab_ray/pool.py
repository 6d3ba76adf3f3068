"""The worker processes of a run: how many there are, which of them gets a conversation, and what follows a death."""

import asyncio
import json
import re
import secrets
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

import collab_sdk
from collab_ray.cluster import Cluster
from collab_ray.worker import Worker
from collab_sdk.errors import CollabError, RunnerError
from collab_sdk.jobs import error_of
from collab_sdk.secrets import one_line

MAX_DEATHS = 3
"""Of processes, after which the conversation that they were working on is given up, or that a worker cannot begin."""
MAX_IN_VAIN = 20
"""Processes that die, beyond two of each worker, without an outcome of any conversation: then the run ends."""
GROWTH_INTERVAL = 1.0
"""Seconds between two looks at how many CPUs the cluster has."""
CPU_PATIENCE = 10.0
"""Seconds after which it is said that workers wait for CPUs."""
START_TIMEOUT = 60.0
"""Seconds after which the work begins without workers for which there were CPUs: a process may start slowly."""
READY_PATIENCE = 30.0
"""Seconds without a process that is ready after which it is said that conversations wait for one."""
RESTART_PAUSE, LONGEST_RESTART_PAUSE = 5.0, 60.0
"""Seconds until another process is started in place of one that could not begin: at first, and after many of them."""
WORKER_CPUS, ALONE_CPUS = 0.99, 0.01
"""What is left of a worker's CPU is room for the process of conversations that go alone, on any node with CPUs."""
WORKER_DIED = (RayActorError, ObjectLostError, OutOfMemoryError)


@dataclass(eq=False, kw_only=True, slots=True)
class _Process:
    actor: Any
    node: str = ""
    """The id of Ray's."""
    host: str = ""
    conversations: int = 0
    """In hand."""
    is_lost: bool = False
    """Whether nobody can know if it still runs."""


class WorkerPool:
    """Workers, as many as the cluster has room for. Each conversation goes to the one with the fewest in hand.

    A worker that dies is replaced, and its conversations begin again in any other, from the cache. Nobody knows which
    of them killed it, if one did: those with two deaths go to a process of their own, one at a time, so that none is
    given up for what another does. That a machine is lost is no fault of a conversation's.
    """

    def __init__(self, setup: str, coordinator: Any, secret: str, *, cluster: Cluster, at_once: int) -> None:
        self._arguments = (setup, coordinator, secret)
        self._coordinator = coordinator
        self._secret = secret
        self._cluster = cluster
        self._ready: list[_Process] = []
        self._found_none_ready = 0
        """How many times in a row a worker that could not begin found no other at work."""
        self._alone: list[_Process] = []
        """The process for conversations that go alone, if it is ready."""
        self._changed = asyncio.Condition()
        self._one_alone = asyncio.Lock()
        self._needs_alone = asyncio.Event()
        self._may_begin = asyncio.Event()
        """Whether the workers that the run begins with are all like the command."""
        self._started: set[str] = set()
        self._wanted, self._in_vain = 0, 0
        self._unfit: set[str] = set()
        """Nodes that are left out."""
        self._told: set[tuple[str, str]] = set()
        """Nodes, and the kinds of faults that were said of them."""
        self._told_waiting: set[str] = set()
        """The kinds of processes of which it was said that none is ready."""
        # Replaced by `_keep_running`, not restarted by Ray: a call that died is then an error here, and is counted.
        self._actor: Any = ray.remote(
            num_cpus=WORKER_CPUS,
            max_restarts=0,
            max_concurrency=at_once + 3,
            scheduling_strategy="SPREAD",
        )(Worker)

    async def work(self, order: int, conversation: str) -> list[Any]:
        """Returns what `Worker.work` does. Raises CollabError if its processes keep dying."""
        await self._may_begin.wait()
        deaths = 0
        while deaths < MAX_DEATHS - 1:
            process = await self._next(self._ready)
            try:
                return await self._done_by(process, order, conversation)
            except WORKER_DIED as error:
                deaths += not await self._is_machine_lost(process, error)
        self._needs_alone.set()
        async with self._one_alone:
            while True:
                process = await self._next(self._alone)
                try:
                    return await self._done_by(process, order, conversation)
                except WORKER_DIED as error:
                    if not await self._is_machine_lost(process, error):
                        raise CollabError(
                            f"The process that worked on this conversation died {MAX_DEATHS} times. The last time it "
                            f"had nothing else in hand: {_cause(error)}"
                        ) from None

    async def keep_running(self) -> None:
        """Runs as many workers as the cluster has room for, and more as it grows. Raises what keeps them from work."""
        self._wanted = await asyncio.to_thread(self._cluster.workers)
        room = int(await asyncio.to_thread(self._cluster.free_cpus))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_alone())
            tasks.create_task(self._watch_start(room))
            running = 0
            while True:
                while running < self._wanted:
                    tasks.create_task(self._keep_running(f"worker-{running}", self._ready))
                    running += 1
                await asyncio.sleep(GROWTH_INTERVAL)
                self._wanted = max(self._wanted, await asyncio.to_thread(self._cluster.workers))

    async def settle(self) -> None:
        """Has every worker end what it is doing, keep what was paid for, and report it."""
        settling = (process.actor.settle.remote() for process in (*self._ready, *self._alone))
        await asyncio.gather(*settling, return_exceptions=True)

    async def _next(self, ready: list[_Process]) -> _Process:
        """The process with the fewest conversations in hand. Where none is there for long, it says so, once."""
        while not await self._comes_true(lambda: bool(ready), READY_PATIENCE):
            await self._tell_waiting(_kind(alone=ready is self._alone))
        return min(ready, key=lambda process: process.conversations)

    async def _tell_waiting(self, kind: str) -> None:
        if kind in self._told_waiting or self._cluster.is_own:
            return
        self._told_waiting.add(kind)
        cpus, free = await asyncio.to_thread(lambda: (self._cluster.cpus(), self._cluster.free_cpus()))
        warnings.warn(
            f"{kind} has been ready for {READY_PATIENCE:g} s, and conversations wait for one: the cluster has {cpus} "
            f"CPUs, {free:.0f} of them free. The run goes on once a machine joins or gets free.",
            stacklevel=2,
        )

    async def _done_by(self, process: _Process, order: int, conversation: str) -> list[Any]:
        process.conversations += 1
        try:
            reply: list[Any] = json.loads(await process.actor.work.remote(order, conversation))
        except RayActorError as error:
            self._forget(process)
            if isinstance(error, ActorUnavailableError):
                process.is_lost = True
                ray.kill(process.actor)  # it is not relied on any more, even if it can be reached again
            raise
        finally:
            process.conversations -= 1
        self._in_vain = 0
        return reply

    def _forget(self, process: _Process) -> None:
        """Gives it no further conversation."""
        for ready in (self._ready, self._alone):
            if process in ready:
                ready.remove(process)

    async def _is_machine_lost(self, process: _Process, error: Exception) -> bool:
        """Whether a process is gone with its machine, or with the way there, and not of itself."""
        if process.is_lost or isinstance(error, ActorUnavailableError):
            return True
        if not process.node:
            return False
        alive = await asyncio.to_thread(self._cluster.nodes)
        return process.node not in {node["NodeID"] for node in alive}

    async def _watch_start(self, room: int) -> None:
        """Lets the work begin once the workers are checked for which there was `room`, in CPUs, or at least one is."""
        begin_with = min(self._wanted, max(1, room))
        if await self._have_started(begin_with, CPU_PATIENCE):
            self._may_begin.set()
            await asyncio.sleep(CPU_PATIENCE if len(self._started) < self._wanted else 0)
        await self._tell_missing(self._wanted - max(len(self._started), room), CPU_PATIENCE)
        if not await self._have_started(begin_with, START_TIMEOUT - CPU_PATIENCE):
            await self._tell_missing(self._wanted - len(self._started), START_TIMEOUT)
        await self._have_started(1, None)
        self._may_begin.set()

    async def _tell_missing(self, missing: int, seconds: float) -> None:
        if missing <= 0 or self._cluster.is_own:
            return
        cpus, free = await asyncio.to_thread(lambda: (self._cluster.cpus(), self._cluster.free_cpus()))
        warnings.warn(
            f"{missing} of {self._wanted} Ray workers have not started after {seconds:g} s: the cluster has "
            f"{cpus} CPUs, {free:.0f} of them free. They are slow, or wait for CPUs that join or get free: a "
            "smaller --ray-workers asks for fewer.",
            stacklevel=2,
        )

    async def _have_started(self, number: int, seconds: float | None) -> bool:
        return await self._comes_true(lambda: len(self._started) >= number, seconds)

    async def _comes_true(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True

    async def _keep_alone(self) -> None:
        await self._needs_alone.wait()
        await self._keep_running("alone", self._alone, num_cpus=ALONE_CPUS)

    async def _keep_running(self, name: str, ready: list[_Process], **options: Any) -> None:
        """Runs a worker, and another in its place whenever it dies."""
        failed, pause = 0, RESTART_PAUSE
        for number in count(1):
            async with self._running(f"{name}-{number}-{secrets.token_hex(4)}", options) as process:
                problem = await self._run(process, name, ready)
            if problem is None:
                failed, pause = 0, RESTART_PAUSE
                continue
            failed += 1
            if failed >= MAX_DEATHS:
                self._go_on_without(process, problem)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RESTART_PAUSE)

    async def _run(self, process: _Process, name: str, ready: list[_Process]) -> CollabError | None:
        """Has a process work until it dies. Returns why it could not begin, if that may pass."""
        try:
            opened = await process.actor.open.remote()
        except RayError as error:  # no code there, no memory, a disk that is full
            process.is_lost = isinstance(error, ActorUnavailableError)
            problem = _start_error(error)
            problem.__cause__ = error
            return problem
        process.node, process.host = opened["node"], opened["host"]
        if opened["error"] is not None:
            problem = error_of(opened["error"])
            if not opened["is_unfit"]:  # a cache that was away for a moment, a machine without a free file
                return problem
            await self._leave_out(process, problem)
            return None
        async with self._changed:
            ready.append(process)
            self._told_waiting.discard(_kind(alone=ready is self._alone))
            if ready is self._ready:
                self._started.add(name)
            self._changed.notify_all()
        try:
            await process.actor.stay.remote()
        except RayError as error:
            process.is_lost = await self._is_machine_lost(process, error)
            self._count_death(process, error)
        return None

    @asynccontextmanager
    async def _running(self, incarnation: str, options: dict[str, Any]) -> AsyncIterator[_Process]:
        if self._unfit:
            options = {**options, "label_selector": {"ray.io/node-id": f"!in({','.join(sorted(self._unfit))})"}}
        process = _Process(actor=self._actor.options(**options).remote(*self._arguments, incarnation))
        try:
            yield process
        finally:
            self._forget(process)
            ray.kill(process.actor)
            if not process.is_lost:  # its calls end with it: others can have its slots at once
                self._coordinator.died.remote(self._secret, incarnation)

    def _count_death(self, process: _Process, error: Exception) -> None:
        """Raises RunnerError where further processes would only die too."""
        if process.is_lost:
            self._warn_of(
                process,
                "lost",
                f"The worker on {process.host or 'a node'} is lost: its machine does not answer. Its conversations "
                "begin again elsewhere; calls that it had in flight may be paid twice.",
            )
            return
        self._in_vain += 1
        if self._in_vain >= 2 * self._wanted + MAX_IN_VAIN:
            raise RunnerError(
                f"{self._in_vain} processes died one after the other, and no conversation was finished: "
                f"{_cause(error)} What was paid for is kept."
            ) from None

    async def _leave_out(self, process: _Process, error: CollabError) -> None:
        """Raises `error` where the run has not begun, or has no other node; else does without the node."""
        self._unfit.add(process.node)
        alive = await asyncio.to_thread(self._cluster.nodes)
        others = [node for node in alive if node["Resources"].get("CPU") and node["NodeID"] not in self._unfit]
        if not self._may_begin.is_set() or not others:
            raise error
        self._warn_of(process, "unfit", f"{error} Others go on without it.")

    def _go_on_without(self, process: _Process, problem: CollabError) -> None:
        """Raises why a worker cannot begin where the run has not begun either, or no other has been at work for long.

        Between two looks one that is at work may just be replaced. No node is left out: the fault may pass, or be that
        of one process.
        """
        self._found_none_ready = 0 if self._ready else self._found_none_ready + 1
        if not self._may_begin.is_set() or self._found_none_ready >= MAX_DEATHS:
            raise problem
        kind = type(problem.__cause__ or problem).__name__
        self._warn_of(process, kind, f"{problem} Others go on without it, and it is tried again.")

    def _warn_of(self, process: _Process, kind: str, text: str) -> None:
        """Once for each node and kind of fault; nodes that nobody knows, since nothing was heard, count as one."""
        if (process.node, kind) not in self._told:
            self._told.add((process.node, kind))
            warnings.warn(text, stacklevel=2)


def _kind(*, alone: bool) -> str:
    return "No process for conversations that go alone" if alone else "No Ray worker"


def _cause(error: Exception) -> str:
    """Why a process died, as far as Ray knows."""
    if isinstance(error, RayTaskError):
        return f"{_in_a_line(error)}."
    said = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM" in said.partition("common causes")[0]:
        return "it took more memory than its machine has."
    return "a crash in native code, too little memory, or a call that ends the process."


def _start_error(error: RayError) -> CollabError:
    """Why a process did not answer when it was opened, in a line."""
    if re.search(r"No module named 'collab_(sdk|ray)\b", str(error)):  # not a bot's own `collab_…`
        version = collab_sdk.__version__
        return RunnerError(f"A node of the cluster has no collab-sdk: pip install 'collab-sdk[ray]=={version}' there.")
    if isinstance(error, WORKER_DIED):
        return RunnerError(
            "A worker died while it was starting: is there too little memory, or does a module of a bot end the "
            "process?"
        )
    return RunnerError(f"A worker cannot start ({_in_a_line(error)}).")


def _in_a_line(error: Exception) -> str:
    """Name and text, of what a process has raised those that it had there."""
    if isinstance(error, RayTaskError):
        error = error.cause
    return f"{type(error).__name__}: {one_line(str(error))}"
