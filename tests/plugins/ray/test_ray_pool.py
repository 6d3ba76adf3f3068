"""What becomes of worker processes that cannot begin, or are gone, with processes that a script stands for."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from operator import length_hint
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from collab_ray import pool as pools
from collab_ray.pool import MAX_DEATHS, WorkerPool
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError, RuntimeEnvSetupError

from collab_sdk.errors import CacheError, CollabError, RunnerError

READY = {"node": "a node", "host": "a host", "error": None, "is_unfit": False}
AWAY = READY | {"error": ["CacheError", "The cache does not answer."]}
FULL = RuntimeEnvSetupError("The disk is full.")
NO_PACKAGE = RayTaskError(
    "open", "…\nNo module named 'collab_ray'", RuntimeError("failed to import"), "a process", 1, "127.0.0.1"
)
UNFIT = READY | {"error": ["RunnerError", "Another version."], "is_unfit": True}
DEAF, LOST = READY | {}, READY | {}
NEVER = None


class Process:
    """An actor: `opened` is what it says when it is opened, and `dies` when it is to die after that.

    One that is `deaf` has lost the coordinator: what it works on never ends. One that is `lost` cannot be reached.
    """

    def __init__(self, opened: dict | Exception | None, dies: asyncio.Event) -> None:
        self._opened, self._dies = opened, dies
        self._killed = asyncio.Event()
        self._is_deaf, self._is_lost = opened is DEAF, opened is LOST
        for name in ("open", "stay", "work"):
            setattr(self, name, SimpleNamespace(remote=getattr(self, f"_{name}")))

    async def _open(self) -> dict:
        if self._opened is NEVER:
            await asyncio.Event().wait()
        if isinstance(self._opened, Exception):
            raise self._opened
        return self._opened

    async def _stay(self) -> None:
        if self._is_deaf:
            raise RayTaskError("stay", "", OverflowError("of a report"), "a process", 1, "127.0.0.1")
        if self._is_lost:
            raise ActorUnavailableError("its machine does not answer", b"an actor".ljust(16))
        await self._dies.wait()
        raise RayActorError

    def kill(self) -> None:
        self._killed.set()

    async def _work(self, order: int, conversation: str) -> str:
        if self._is_deaf:
            await self._killed.wait()
            raise RayActorError
        return json.dumps(["value", f"{conversation}, done", 0])


@asynccontextmanager
async def pool_of(
    monkeypatch, script: Iterator[dict | Exception | None], dies: asyncio.Event | None = None, *, workers: int = 1
):
    """A pool of workers on one node, whose processes do what the script says; and what ends its run."""
    actor = SimpleNamespace(remote=lambda *_: Process(next(script), dies or asyncio.Event()))
    ray = SimpleNamespace(
        remote=lambda **_: lambda _: SimpleNamespace(options=lambda **_: actor), kill=lambda actor: actor.kill()
    )
    monkeypatch.setattr(pools, "ray", ray)
    monkeypatch.setattr(pools, "RESTART_PAUSE", 0.0)
    monkeypatch.setattr(pools, "READY_PATIENCE", 0.01)
    cluster = SimpleNamespace(
        workers=lambda: workers,
        cpus=lambda: 1,
        free_cpus=lambda: 1.0,
        nodes=lambda: [{"NodeID": "a node", "Resources": {"CPU": 1.0}}],
        is_own=False,
    )
    coordinator = SimpleNamespace(died=SimpleNamespace(remote=lambda *_: None))
    pool = WorkerPool("", coordinator, "", cluster=cluster, at_once=1)
    running = asyncio.create_task(pool.keep_running())
    try:
        yield pool, running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def outcome(pool: WorkerPool, running: asyncio.Task) -> list[str]:
    """Of a conversation. Raises what ends the run before."""
    work = asyncio.create_task(pool.work(0, "a chat"))
    await asyncio.wait({work, running}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
        [error] = running.exception().exceptions
        raise error
    return work.result()


def ended_by(monkeypatch, *script: dict | Exception | None) -> list[str]:
    async def main() -> list[str]:
        async with pool_of(monkeypatch, iter(script)) as (pool, running):
            return await outcome(pool, running)

    return asyncio.run(main())


def test_a_fault_that_passes_while_a_worker_starts_leaves_its_node_in(monkeypatch):
    assert ended_by(monkeypatch, AWAY, AWAY, READY) == ["value", "a chat, done", 0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (AWAY, "The cache does not answer. Others go on without it, and it is tried again."),
        (FULL, "A worker cannot start .RuntimeEnvSetupError: .* The disk is full.*Others go on without it"),
        (NO_PACKAGE, "A node of the cluster has no collab-sdk: .* Others go on without it"),
        (RayActorError(), "A worker died while it was starting: .* Others go on without it"),
    ],
    ids=["no cache", "full disk", "no package", "no memory"],
)
def test_a_fault_of_one_worker_is_said_once_while_others_work_and_never_leaves_its_node_out(fault, said, monkeypatch):
    async def main() -> None:
        faults = 10 * MAX_DEATHS
        script = iter([READY, *[fault] * faults, READY])
        async with pool_of(monkeypatch, script, workers=2) as (pool, running):
            monkeypatch.setattr(pools, "RESTART_PAUSE", 0.001)  # the run begins meanwhile
            while len(pool._ready) < 2:
                assert not running.done(), running.exception()
                await asyncio.sleep(0.001)
            assert await outcome(pool, running) == ["value", "a chat, done", 0]
            assert pool._unfit == set()

    monkeypatch.setattr(pools, "LONGEST_RESTART_PAUSE", 0.001)
    with pytest.warns(UserWarning, match=said) as told:
        asyncio.run(asyncio.wait_for(main(), 60))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([LOST, *[AWAY] * MAX_DEATHS], ["a host is lost", "The cache does not answer"]),
        ([*[FULL] * MAX_DEATHS, *[NO_PACKAGE] * MAX_DEATHS], ["The disk is full", "has no collab-sdk"]),
    ],
    ids=["a node that was lost", "no node that is known"],
)
def test_a_second_kind_of_fault_is_said_too_and_each_once(faults, said, monkeypatch):
    async def main() -> None:
        script = iter([READY, *faults, *faults, READY])
        async with pool_of(monkeypatch, script, workers=2) as (_, running):
            monkeypatch.setattr(pools, "RESTART_PAUSE", 0.001)
            while length_hint(script):
                assert not running.done(), running.exception()
                await asyncio.sleep(0.001)

    monkeypatch.setattr(pools, "LONGEST_RESTART_PAUSE", 0.001)
    with pytest.warns(UserWarning) as told:
        asyncio.run(asyncio.wait_for(main(), 60))
    assert [any(part in str(one.message) for one in told) for part in said] == [True, True]
    assert len(told) == 2


def test_a_node_without_the_package_ends_a_run_that_has_not_begun_with_the_way_out(monkeypatch):
    with pytest.raises(RunnerError, match=r"pip install 'collab-sdk\[ray\]==.*' there"):
        ended_by(monkeypatch, *[NO_PACKAGE] * MAX_DEATHS)


@pytest.mark.parametrize(("script", "error"), [([AWAY] * MAX_DEATHS, CacheError), ([UNFIT], RunnerError)])
def test_a_fault_that_stays_or_another_node_than_the_command_is_left_out(script, error, monkeypatch):
    with pytest.raises(CollabError) as raised:
        ended_by(monkeypatch, *script)
    assert type(raised.value) is error
    assert str(raised.value) == script[0]["error"][1]


def test_a_worker_whose_reports_fail_is_replaced_and_its_conversations_begin_again(monkeypatch):
    assert ended_by(monkeypatch, DEAF, READY) == ["value", "a chat, done", 0]


def test_workers_whose_reports_fail_without_end_end_the_run_with_their_reason(monkeypatch):
    async def main() -> None:
        async with pool_of(monkeypatch, itertools.repeat(DEAF)) as (_, running):
            await asyncio.wait({running}, timeout=60)
            [error] = running.exception().exceptions
            raise error

    with pytest.raises(RunnerError, match=r"no conversation was finished: OverflowError: of a report\. What was paid"):
        asyncio.run(main())


def test_work_that_waits_since_all_machines_have_left_says_so_once(monkeypatch):
    async def main() -> None:
        dies = asyncio.Event()
        async with pool_of(monkeypatch, iter([READY, NEVER]), dies) as (pool, running):
            await outcome(pool, running)
            dies.set()
            while pool._ready:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            waiting = [asyncio.create_task(pool.work(number, "a chat")) for number in range(3)]
            while not told:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()

    with pytest.warns(UserWarning, match="No Ray worker has been ready for .* conversations wait for one") as told:
        asyncio.run(asyncio.wait_for(main(), 60))
    assert len(told) == 1
