"""Ray on this machine, for tests: one of this process, or nodes in processes of their own that can be killed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CPUS = 8
"""Ray counts them as promised, not as they are."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # whatever a run in this process has set, a second node may join
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_niceness": "0",  # or a busy machine starves them
    "RAY_prestart_worker_first_driver": "0",  # a process for every CPU, none of which has the environment of a run
    "RAY_AUTH_MODE": "disabled",  # its token is in the home, which every test has anew
}


ATTEMPTS = 3
"""To start a node: Ray gives one up whose agents are not up after 15 s, as on a busy machine."""


class NodeEndedError(Exception):
    """A node that ended before it was up. Holds what it said."""


class Node:
    """A node in a process of its own, with all that it starts."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        ip: str = "127.0.0.1",
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`within` is a command that starts another, such as `ip netns exec NAME`; `environment` is added to ours."""
        options = ["--block", "--disable-usage-stats", "--num-cpus=2", f"--node-ip-address={ip}"]
        options.append("--include-log-monitor=false")  # a process less: nobody reads what workers print
        command = [*within, sys.executable, "-m", "ray.scripts.scripts", "start", *options, *flags]
        self._log = (folder / f"node-{'-'.join(flags).replace('/', '_')}").open("w+")
        variables = {**os.environ, **ENVIRONMENT, **(environment or {})}
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=variables)

    def wait_for(self, what: str) -> str:
        """Until its output matches; the match."""
        while self.process.poll() is None:
            self._log.seek(0)
            if found := re.search(what, self._log.read()):
                return found[0]
            time.sleep(0.1)
        self._log.seek(0)
        raise NodeEndedError(self._log.read())

    @classmethod
    def started(cls, until: str, folder: Path, *flags: str, **options: Any) -> tuple["Node", str]:
        """One whose output matches `until`, and the match."""
        for attempt in range(1, ATTEMPTS + 1):
            node = cls(folder, *flags, **options)
            try:
                return node, node.wait_for(until)
            except NodeEndedError:
                node.kill()
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    @classmethod
    def joined(cls, folder: Path, address: str, **options: Any) -> "Node":
        """A further one of the cluster at `address`."""
        flags = (f"--address={address}", "--object-store-memory=80000000")
        return cls.started("Ray runtime started", folder, *flags, **options)[0]

    def pids(self, title: str = "") -> list[int]:
        """Its processes whose title begins so."""
        return [pid for pid in descendants(self.process.pid) if title_of(pid).startswith(title)]

    def kill(self) -> None:
        """As if its machine lost power."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            kill(pid)
        self.process.wait()
        self._log.close()


@contextmanager
def head(
    folder: Path, *, cpus: int = 2, ip: str = "127.0.0.1", environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Node, str]]:
    """The first node of a cluster, and its address."""
    # In a folder with a short name: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:
        flags = ["--head", "--no-monitor", "--port=0", "--include-dashboard=false", "--object-store-memory=100000000"]
        flags += [f"--temp-dir={short}", f"--num-cpus={cpus}"]
        how_to_join = "(?<=--address=')[^']+"
        node, address = Node.started(how_to_join, folder, *flags, ip=ip, environment=environment)
        try:
            yield node, address
        finally:
            node.kill()


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """All that this process has started, and they, as far as they still run."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, to_see = [], [pid]
    while to_see:
        for child in children.get(to_see.pop(), []):
            found.append(child)
            to_see.append(child)
    return found
