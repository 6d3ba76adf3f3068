"""The cluster: one that is there, or one of our own on this machine for as long as the run lasts."""

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

from collab_sdk.cache import URL
from collab_sdk.errors import RunnerError, UsageError
from collab_sdk.runs import RunnerOptions

CALLS_PER_WORKER = 16
"""In flight, for which a process more is worth its memory; it could keep up with hundreds."""
OBJECT_STORE_BYTES = 200_000_000
"""Of a Ray of our own: what is on its way is a few hundred chats."""
PATIENCE = 5.0
"""Seconds in which a cluster must take a connection."""
TRIES = 3
"""To start, each given up by Ray after half a minute, which a busy machine may need."""
START_SECONDS = 60.0
"""In which a cluster must have let us in."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # whatever ends a run is said in our words
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Read by Ray when it is imported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Where to work."""

    node: str
    """The id of this machine's node: the chats are read here."""
    workers: int


def set_environment(options: RunnerOptions) -> None:
    if _address(options) is None:
        # Nobody from outside has to reach a Ray of our own; the variable's name says less than it does.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def connected(options: RunnerOptions, concurrency: int) -> Iterator[Cluster]:
    """Raises RunnerError for a cluster that does not answer or has other versions, UsageError for a name of none."""
    import ray

    ours = not ray.is_initialized()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray\b")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        address = _address(options)
        if address is not None:
            _check_address(address)
            if ours:
                _probe(address)
        if ours:
            _connect(address, options)
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            _check_cache(options.cache, {node["NodeManagerHostname"] for node in nodes})
            cpus = int(ray.cluster_resources().get("CPU", 1))
            workers = options.workers or max(1, min(cpus, concurrency // CALLS_PER_WORKER))
            yield Cluster(node=ray.get_runtime_context().get_node_id(), workers=workers)
        finally:
            if ours:
                ray.shutdown()


def _connect(address: str | None, options: RunnerOptions) -> None:
    import ray

    own = {
        "num_cpus": max(options.workers or 1, os.cpu_count() or 1),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": options.dashboard,
    }
    problem: Exception | None = None
    for _ in range(TRIES):
        try:
            # In this thread: when the one that started them ends, Linux ends Ray's processes.
            with _silence():
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **({} if address else own),
                )
            return
        except Exception as error:
            problem = error
    raise RunnerError(_explained(address, str(problem) or type(problem).__name__))


def _probe(address: str) -> None:
    """Connect in another process first: where a cluster will not have it, Ray ends the process without a word."""
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        raise RunnerError(_nobody(address, f"it was not ready after {START_SECONDS:g} s")) from None
    if done.returncode:
        refused = "it did not let us in; is RAY_AUTH_TOKEN its token?"
        raise RunnerError(_explained(address, done.stderr if "Version mismatch" in done.stderr else refused))


@contextmanager
def _silence() -> Iterator[None]:
    """What Ray's C++ writes to stderr as it starts, such as that it was told to be silent, is left out."""
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


def _address(options: RunnerOptions) -> str | None:
    """None for a Ray of our own. `ray job submit` names its cluster in the environment."""
    return options.address or os.environ.get("RAY_ADDRESS")


def _check_address(address: str) -> None:
    """Ray itself would wait for minutes."""
    if address == "auto":
        return
    if "://" in address:
        raise UsageError(
            f"{address}: Ray Data does not run over Ray's client protocol. Run the command on a node of the cluster, "
            "by hand or with `ray job submit`, and leave --ray-address out or give HOST:PORT, such as 10.0.0.1:6379."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{address!r} must read HOST:PORT, such as 10.0.0.1:6379, or auto.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise RunnerError(_nobody(address, error.strerror or str(error))) from None


def _explained(address: str | None, problem: str) -> str:
    if address is None:
        return f"Ray cannot start on this machine: {' '.join(problem.split())[:200]}"
    versions = re.findall(r"(Ray|Python): (\S+)", problem)
    if "Version mismatch" in problem and len(versions) >= 4:
        there, here = (" and ".join(f"{name} {version}" for name, version in part) for part in _halves(versions[:4]))
        return f"The cluster at {address} runs {there}, and this is {here}: use the same here and there."
    return _nobody(address, " ".join(problem.split())[:200])


def _halves(versions: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return versions[:2], versions[2:]


def _nobody(where: str, problem: str) -> str:
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
