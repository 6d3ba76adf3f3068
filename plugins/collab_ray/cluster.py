"""Connects to a cluster, or starts a Ray of our own on this machine for as long as the run lasts."""

import logging
import os
import re
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from collab_ray.node import runtime_env
from collab_sdk.cache import URL
from collab_sdk.errors import RunnerError, UsageError
from collab_sdk.spec import RunnerSpec

CALLS_PER_WORKER = 16
"""Calls in flight for which another process is worth its memory; one could keep up with hundreds."""
OBJECT_STORE_BYTES = 200_000_000
"""Of a Ray of our own: it holds a few hundred chats at most."""
CONNECT_TIMEOUT = 5.0
"""Seconds in which a cluster must accept a connection."""
START_ATTEMPTS = 3
"""Each is given up by Ray after half a minute, which a busy machine may need."""
JOIN_TIMEOUT = 60.0
"""Seconds in which a cluster must have let us join."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what ends a run is said in our words
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # or the death of a worker is written to stdout, among the rows
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Read by Ray when it is imported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Where the work is done. What its methods say changes as machines join and leave; each asks Ray."""

    node: str
    """The id of this machine's node."""
    requested: int | None
    """How many workers the user asks for."""
    concurrency: int
    cache: str
    """What the workers pass to `open_cache`."""
    is_own: bool
    """Whether it is a Ray of our own on this machine: its workers have our files and variables."""

    def nodes(self) -> list[dict[str, Any]]:
        """Those that live, as Ray describes them."""
        import ray

        return [node for node in ray.nodes() if node["Alive"]]

    def cpus(self) -> int:
        import ray

        return int(ray.cluster_resources().get("CPU", 0))

    def free_cpus(self) -> float:
        import ray

        return float(ray.available_resources().get("CPU", 0.0))

    def workers(self) -> int:
        """How many there should be: as asked for, or else by CPUs and limits."""
        return self.requested or max(1, min(self.cpus(), self.concurrency // CALLS_PER_WORKER))


@contextmanager
def environment(spec: RunnerSpec) -> Iterator[None]:
    """What Ray reads when it is imported and started, for as long as the run lasts."""
    values = dict(ENVIRONMENT)
    if _address(spec) is None:
        # Makes a Ray of our own listen on loopback only, whatever the variable's name says.
        values["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def connected(spec: RunnerSpec, cache: str, concurrency: int) -> Iterator[Cluster]:
    """Raises RunnerError for a cluster that does not answer or has other versions, UsageError for a wrong option."""
    import ray

    if not URL.match(cache):
        cache = os.path.abspath(os.path.expanduser(cache))  # noqa: PTH100, PTH111
        os.makedirs(cache, mode=0o700, exist_ok=True)  # noqa: PTH103 - that workers can tell whether they have the same
    started_here = not ray.is_initialized()
    with warnings.catch_warnings(), _silent(logging.getLogger("ray")):
        warnings.filterwarnings("ignore", module=r"ray\b")
        address = _address(spec)
        if address is not None:
            _check_address(address)
            if started_here:
                _probe(address)
        if started_here:
            _connect(address, spec)
        try:
            cluster = Cluster(
                node=ray.get_runtime_context().get_node_id(),
                requested=spec.workers,
                concurrency=concurrency,
                cache=cache,
                is_own=started_here and address is None,
            )
            _check_cache(cache, {node["NodeManagerHostname"] for node in cluster.nodes()})
            yield cluster
        finally:
            if started_here:
                ray.shutdown()


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """What ends a run is said in our words."""
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _connect(address: str | None, spec: RunnerSpec) -> None:
    import ray

    if address is None and spec.dashboard:
        try:
            import ray.dashboard.optional_deps
        except ImportError:
            raise UsageError("--ray-dashboard needs Ray's dashboard: pip install 'ray[default]'") from None

    own = {
        "num_cpus": max(spec.workers or 1, os.cpu_count() or 1),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": spec.dashboard,
    }
    problem: Exception | None = None
    for _ in range(START_ATTEMPTS):
        try:
            # In this thread: when the one that started them ends, Linux ends Ray's processes.
            with TemporaryDirectory(prefix="collab-code-") as folder, _silenced_stderr():
                # A job that was submitted has a runtime environment already, for all that it starts.
                is_submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
                carried = {} if is_submitted else {"runtime_env": runtime_env(Path(folder))}
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **(carried if address else own),
                )
            return
        except Exception as error:
            problem = error
    raise RunnerError(_explained(address, str(problem) or type(problem).__name__))


def _probe(address: str) -> None:
    """Joins from another process first: Ray ends a process that a cluster refuses, without an error."""
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=JOIN_TIMEOUT)  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        raise RunnerError(_no_cluster(address, f"it was not ready after {JOIN_TIMEOUT:g} s")) from None
    if done.returncode:
        refused = "it refused to let us join; is RAY_AUTH_TOKEN its token?"
        raise RunnerError(_explained(address, done.stderr if "Version mismatch" in done.stderr else refused))


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Drops what Ray's C++ writes to stderr as it starts, such as that it was told to be silent."""
    sys.stderr.flush()
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _address(spec: RunnerSpec) -> str | None:
    """Returns None for a Ray of our own. `ray job submit` names its cluster in the environment."""
    return spec.address or os.environ.get("RAY_ADDRESS")


def _check_address(address: str) -> None:
    """Raises at once what Ray itself would find out after minutes."""
    if address == "auto":
        return
    if "://" in address:
        raise UsageError(
            f"{address}: Ray's client protocol is not supported. Run the command on a node of the cluster, by hand or "
            "with `ray job submit`, and leave --ray-address out or give HOST:PORT, such as 10.0.0.1:6379."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{address!r} must read HOST:PORT, such as 10.0.0.1:6379, or auto.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        raise RunnerError(_no_cluster(address, error.strerror or str(error))) from None


def _explained(address: str | None, problem: str) -> str:
    """Ray's error in a line."""
    if address is None:
        return f"Ray cannot start on this machine: {' '.join(problem.split())[:200]}"
    versions = [" ".join(found) for found in re.findall(r"(Ray|Python): (\S+)", problem)]
    if "Version mismatch" in problem and len(versions) >= 4:
        there, here = " and ".join(versions[:2]), " and ".join(versions[2:4])
        return f"The cluster at {address} runs {there}, and this is {here}: use the same here and there."
    return _no_cluster(address, " ".join(problem.split())[:200])


def _no_cluster(where: str, problem: str) -> str:
    return (
        f"No Ray cluster answers at {where}: {problem}. Start one with `ray start --head`, or leave --ray-address out "
        "for one on this machine."
    )


def _check_cache(cache: str, hosts: set[str]) -> None:
    if len(hosts) > 1 and URL.match(cache) is None:
        raise UsageError(
            f"The cluster has {len(hosts)} machines, and they cannot share the directory {cache}: give a cache that "
            "they can, such as --cache redis://HOST."
        )
