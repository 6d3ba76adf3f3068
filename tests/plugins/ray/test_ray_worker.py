"""A worker's process and the coordinator of its run, in one process and without Ray."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from collab_ray.broker import Coordinator
from collab_ray.node import claims_of
from collab_ray.worker import Worker, WorkerSetup

from collab_sdk.jobs import ScoreJob, dumps
from collab_sdk.spec import Limits, ModelSpec, RunSpec, UserSpec

OFFLINE = ModelSpec(name="offline")
SPEC = RunSpec(assistants=(OFFLINE,), simulators=(UserSpec.of(OFFLINE),), judge=OFFLINE)
SECRET = "a secret"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = SimpleNamespace(get_node_id=lambda: "a node")
    monkeypatch.setattr("collab_ray.worker.ray", SimpleNamespace(get_runtime_context=lambda: context))


def worker_of(coordinator: Coordinator, cache: str, before: Callable[[], None] = lambda: None) -> Worker:
    """`before` is called when a report arrives."""
    setup = WorkerSetup(
        claims=claims_of(SPEC, cache),
        kind="ScoreJob",
        job=dumps(ScoreJob(spec=SPEC)),
        cache=cache,
        limits=Limits(),
        folder=".",
        logs_of_users={},
    )

    async def report(*said: str) -> str:
        before()
        return coordinator.report(*said)

    return Worker(dumps(setup), SimpleNamespace(report=SimpleNamespace(remote=report)), SECRET, "worker-1")


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
