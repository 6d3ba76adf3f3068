"""A worker's process and the coordinator of its run, in one process and without Ray."""

import asyncio
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from collab_ray.broker import Coordinator, Totals
from collab_ray.node import claims_of
from collab_ray.runner import RayRunner
from collab_ray.worker import VALUE, Worker, WorkerSetup
from support.caches import DiskPlace
from support.cli import write_bot

from collab_sdk import Conversation, Engine, Goal, Message
from collab_sdk.jobs import ScoreJob, dumps, loads
from collab_sdk.spec import Limits, ModelSpec, RunSpec, UserSpec

OFFLINE = ModelSpec(name="offline")
SPEC = RunSpec(assistants=(OFFLINE,), simulators=(UserSpec.of(OFFLINE),), judge=OFFLINE)
SECRET = "a secret"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = SimpleNamespace(get_node_id=lambda: "a node")
    monkeypatch.setattr("collab_ray.worker.ray", SimpleNamespace(get_runtime_context=lambda: context))


CHAT = Conversation(
    id="chat-1",
    messages=(Message(role="user", content="a pizza"), Message(role="assistant", content="Which size?")),
    goal=Goal(text="what: as said\nsize: large"),
)


def worker_of(
    coordinator: Coordinator, cache: str, before: Callable[[], None] = lambda: None, *, spec: RunSpec = SPEC
) -> Worker:
    """`before` is called when a report arrives."""
    setup = WorkerSetup(
        claims=claims_of(spec, cache),
        kind="ScoreJob",
        job=dumps(ScoreJob(spec=spec)),
        cache=cache,
        limits=Limits(),
        folder=".",
        logs_of_users={},
    )

    async def report(*said: str) -> str:
        before()
        return coordinator.report(*said)

    return Worker(dumps(setup), SimpleNamespace(report=SimpleNamespace(remote=report)), SECRET, "worker-1")


def runner_of(monkeypatch, coordinator: SimpleNamespace, *, cache: str = "", is_own: bool = False) -> RayRunner:
    ray = SimpleNamespace(remote=lambda **_: lambda _: SimpleNamespace(remote=lambda *_: coordinator))
    monkeypatch.setattr("collab_ray.runner.ray", ray)
    return RayRunner(Engine(), SimpleNamespace(node="a node", cache=cache, is_own=is_own))


@pytest.mark.parametrize("in_flight", [[3, 2, 1], [0]])
def test_a_run_that_ends_waits_for_replies_as_long_as_they_can_come_and_says_so_once(in_flight, monkeypatch):
    said, all_came = chain(in_flight, repeat(in_flight[-1])), asyncio.Event()

    async def totals(*_: object) -> str:
        calls = next(said)
        if calls == 1:
            all_came.set()
        return dumps(Totals(usage={}, quarantined=0, in_flight=calls, warnings=()))

    async def settle() -> None:
        await all_came.wait()
        settled.append(True)

    settled: list[bool] = []
    runner = runner_of(monkeypatch, SimpleNamespace(totals=SimpleNamespace(remote=totals)))
    monkeypatch.setattr("collab_ray.runner.SETTLE_TIMEOUT", 0.05)
    monkeypatch.setattr("collab_ray.runner.USAGE_INTERVAL", 0.01)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(runner._settle(SimpleNamespace(settle=settle)))
    assert settled == [True] * (in_flight != [0])
    assert ["replies to 3 calls" in str(each.message) for each in told] == settled


@pytest.mark.parametrize("is_own", [True, False])
def test_a_cluster_is_not_sent_the_password_of_the_cache(is_own, monkeypatch):
    """Workers of a Ray of our own are: it is on this machine, and ends with the command."""
    sent = []
    monkeypatch.setattr("collab_ray.runner.WorkerPool", lambda setup, *_, **__: sent.append(setup))
    address = "redis://me:PASSWORD@cache.example:6379/0"
    runner_of(monkeypatch, SimpleNamespace(), cache=address, is_own=is_own)._pool(ScoreJob(spec=SPEC), 1)
    assert ("PASSWORD" in sent[0]) is is_own
    assert "cache.example:6379/0" in sent[0]


def test_a_worker_whose_reports_fail_does_not_stay(tmp_path):
    reports = []

    def fail_at_the_third():
        reports.append(None)
        if len(reports) == 3:
            raise OverflowError("of a report")

    async def main() -> None:
        worker = worker_of(Coordinator(dumps(Limits()), SECRET), str(tmp_path), fail_at_the_third)
        assert (await worker.open())["error"] is None
        with pytest.raises(OverflowError, match="of a report"):
            await asyncio.wait_for(worker.stay(), 60)

    asyncio.run(main())


def test_what_a_worker_warns_of_and_cannot_read_reaches_the_command(tmp_path):
    bot = write_bot(tmp_path, "import warnings\nwarnings.warn('The bot is odd.')\nreturn 'What size?'", name="odd_bot")
    spec = replace(SPEC, assistants=(ModelSpec(name=bot),), samples=1)
    place = DiskPlace(tmp_path / "cache")

    async def scored() -> Totals:
        """What the command is told of a run of one chat."""
        coordinator = Coordinator(dumps(Limits()), SECRET)
        worker = worker_of(coordinator, place.where, spec=spec)
        assert (await worker.open())["error"] is None
        assert json.loads(await worker.work(0, dumps(CHAT)))[0] == VALUE
        await worker.settle()
        return loads(Totals, coordinator.totals(SECRET, 0))

    with warnings.catch_warnings():
        first = asyncio.run(scored())
        assert (first.quarantined, first.warnings) == (0, ("The bot is odd.",))
        damaged = [key for key, _ in place.open().rows()]
        for key in damaged:
            place.write(key, b"junk")
        assert asyncio.run(scored()).quarantined >= len(damaged) > 1
    place.close()


def test_a_sample_that_is_lost_counts_with_the_conversation_that_it_is_of(tmp_path):
    """One whose worker dies is played again elsewhere, where nothing of it may be missing."""
    bot = write_bot(tmp_path, "if 'pizza' in messages[0]['content']:\n    raise ValueError\nreturn 'Yes.'", name="half")
    spec = replace(SPEC, assistants=(ModelSpec(name=bot),), samples=2)
    other = replace(CHAT, id="chat-2", messages=(replace(CHAT.messages[0], content="a tea"), CHAT.messages[1]))

    async def main() -> None:
        worker = worker_of(Coordinator(dumps(Limits()), SECRET), str(tmp_path / "cache"), spec=spec)
        assert (await worker.open())["error"] is None
        chats = [CHAT, other] * 2
        outcomes = await asyncio.gather(*(worker.work(order, dumps(chat)) for order, chat in enumerate(chats)))
        assert [json.loads(outcome)[2] for outcome in outcomes] == [2, 0, 2, 0]

    with warnings.catch_warnings():
        asyncio.run(main())
