"""A process of the cluster that works on conversations: the same job, with the same code, as on one machine."""

import asyncio
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow
import ray

import collab_sdk
from collab_ray.finished import Finished
from collab_ray.fleet import Grant, Report
from collab_ray.member import Member
from collab_ray.source import OUTCOMES, PARCEL
from collab_sdk import Conversation, Engine
from collab_sdk.cache import open_cache
from collab_sdk.concurrency import open_order
from collab_sdk.errors import CollabError, RunnerError, RunStoppedError
from collab_sdk.jobs import JOBS, dumps, error_row, loads

VALUE, ERROR, STOP, BROKEN = "value", "error", "stop", "broken"
"""What an outcome is: a result, this conversation's error, one that ends the run, or a fault of the program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a worker needs to know. Ray pickles what it sends itself; of ours it is given JSON text, and no objects."""

    version: str
    """Of this package, where the command was typed."""
    kind: str
    job: str
    cache: str
    concurrency: int
    timeout: float
    paced: bool
    limited: bool
    folder: str
    """Where the command was typed: a bot may lie beside it."""


class Worker:
    """A callable of Ray Data: a parcel of conversations in, their outcomes out."""

    def __init__(self, setup: str, desk: Any) -> None:
        self._setup = loads(Setup, setup)
        self._desk = desk
        self._bench: asyncio.Task[_Bench] | None = None

    async def __call__(self, parcels: pyarrow.Table) -> pyarrow.Table:
        if self._bench is None:  # and not in __init__, which runs in another thread than Ray's event loop
            self._bench = asyncio.create_task(_open(self._setup, self._desk))
        outcomes = []
        for parcel in parcels.column(PARCEL).to_pylist():
            numbered = json.loads(parcel)
            try:
                bench = await self._bench
            except Exception as error:
                failure = _failure(_at_start(error))
                await self._desk.stop.remote(tuple(failure[1]))
                outcomes.append(json.dumps([[order, *failure] for order, _ in numbered]))
                continue
            outcomes.append(json.dumps(await bench.work_off(numbered)))
        return pyarrow.table({OUTCOMES: outcomes})


async def _open(setup: Setup, desk: Any) -> "_Bench":
    """Raises CollabError where this machine cannot do the job."""
    if collab_sdk.__version__ != setup.version:
        raise RunnerError(
            f"{_here()} has collab-sdk {collab_sdk.__version__}, and the command is {setup.version}: "
            f"pip install 'collab-sdk[ray]=={setup.version}' on every node."
        )
    if os.path.isdir(setup.folder):  # noqa: PTH112, ASYNC240 - once, before anything else is done
        os.chdir(setup.folder)
        sys.path.insert(0, setup.folder)
    # A restarted actor has the id of the one that died, by which the fleet knows whose leases are free.
    name, life = ray.get_runtime_context().get_actor_id(), uuid.uuid4().hex

    async def ask(report: Report) -> Grant:
        grant: Grant = loads(Grant, await desk.report.remote(name, life, dumps(report)))
        return grant

    member = Member(ask, paced=setup.paced, limited=setup.limited, clock=time.monotonic)
    engine = Engine(cache=open_cache(setup.cache), concurrency=setup.concurrency, timeout=setup.timeout, limiter=member)
    member.ledger = engine.ledger
    job = loads(JOBS[setup.kind], setup.job)
    finished = Finished(engine.cache, job.result, job.identity())
    bench = _Bench(engine=engine, member=member, desk=desk, job=job, work=job.work(engine), finished=finished)
    await member.report()
    bench.keeping_up = asyncio.create_task(member.keep_up(bench.stop))
    return bench


@dataclass(kw_only=True, slots=True)
class _Bench:
    """Where a worker does its work."""

    engine: Engine
    member: Member
    desk: Any
    job: Any
    work: Any
    finished: Finished
    keeping_up: "asyncio.Task[None] | None" = None
    running: set["asyncio.Task[list[Any]]"] = field(default_factory=set)

    async def work_off(self, parcel: list[tuple[int, str]]) -> list[list[Any]]:
        """The outcome of every conversation of a parcel, with its number."""
        tasks = [asyncio.create_task(self._outcome(order, text)) for order, text in parcel]
        self.running.update(tasks)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        self.running.difference_update(tasks)
        if self.member.stop is not None:
            await self.engine.asettle()
        await self.member.report()  # so that the totals are right before the outcomes are seen
        stopped = self.member.stop or error_row(RunnerError("The run was ended."))
        return [
            [order, *([STOP, stopped] if isinstance(one, BaseException) else one)]
            for (order, _), one in zip(parcel, ended, strict=True)
        ]

    async def _outcome(self, order: int, text: str) -> list[Any]:
        if self.member.stop is not None:
            return [STOP, self.member.stop]
        open_order.set(order)
        try:
            if (outcome := await self.finished.find(text)) is None:
                result = await self.work(loads(Conversation, text))
                outcome = dumps(result)
                if self.job.is_whole(result):
                    await self.finished.keep(text, outcome)
            return [VALUE, outcome]
        except Exception as error:
            if isinstance(error, RunStoppedError):
                await self.desk.stop.remote(tuple(error_row(error)))
            return _failure(error)

    def stop(self) -> None:
        """The run has been ended. With a spent budget, what is open may do without further calls."""
        if self.member.stop is not None and self.member.stop[0] != "BudgetError":
            for task in self.running:
                task.cancel()


def _failure(error: Exception) -> list[Any]:
    if isinstance(error, RunStoppedError):
        return [STOP, error_row(error)]
    if isinstance(error, CollabError):
        return [ERROR, error_row(error)]
    return [BROKEN, f"{type(error).__name__}: {error}"]


def _at_start(error: Exception) -> Exception:
    """Whatever keeps a worker from its work ends the run."""
    if isinstance(error, RunStoppedError):
        return error
    what = str(error) if isinstance(error, CollabError) else f"{type(error).__name__}: {error}"
    return RunnerError(f"A worker on {_here()} cannot start: {what}")


def _here() -> str:
    return os.uname().nodename
