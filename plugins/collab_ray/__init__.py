"""Runs on Ray: `--runner ray` does the work on conversations in the processes of a cluster."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from collab_sdk.engine import Engine
from collab_sdk.errors import MissingExtraError
from collab_sdk.runs import Runner
from collab_sdk.spec import RunnerSpec

__all__ = ["open_runner"]


@contextmanager
def open_runner(engine: Engine, spec: RunnerSpec, cache: str) -> Iterator[Runner]:
    """Opens a runner on the cluster at `spec.address`, or on a Ray of its own on this machine, which ends with it.

    Raises RunnerError where there is no cluster, or one of other versions; UsageError for a cache that its machines
    cannot share.
    """
    from collab_ray.cluster import connected, environment

    with environment(spec):
        try:
            import ray
        except ImportError:
            raise MissingExtraError.of("--runner ray needs Ray", "ray") from None
        del ray
        from collab_ray.runner import RayRunner

        with (
            connected(spec, cache, engine.limits.concurrency) as cluster,
            closing(RayRunner(engine, cluster)) as runner,
        ):
            yield runner
