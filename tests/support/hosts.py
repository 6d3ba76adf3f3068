"""Two hosts on one machine: network namespaces, each with a wire to a server; or else only two process groups."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.databases import Database, Postgres


@dataclass(frozen=True)
class Hosts:
    names: tuple[str, ...]
    """Of namespaces; empty where none can be made."""
    addresses: tuple[str, ...]
    """Of this machine as each host sees it; nobody else does."""

    @property
    def options(self) -> dict[str, list[str]]:
        """Of servers that listen on all of them."""
        listened = ["127.0.0.1", *self.addresses]
        return {"redis": ["--bind", *listened], "postgres": ["-h", ",".join(listened)]}

    def admit(self, server: Database) -> None:
        if isinstance(server, Postgres):
            with (server.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.writelines(f"host all all {address}/30 scram-sha-256\n" for address in self.addresses)
            server.run("SELECT pg_reload_conf()")

    def enter(self, host: int) -> list[str]:
        return ["ip", "netns", "exec", self.names[host]] if self.names else []

    def url(self, url: str, host: int) -> str:
        return url.replace("127.0.0.1", self.addresses[host]) if self.names else url


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    hosts = _wired() if os.getuid() == 0 and shutil.which("ip") else None
    try:
        yield hosts or Hosts((), ())
    finally:
        _remove(hosts.names if hosts else ())


def _wired() -> Hosts | None:
    """None where this machine has no namespaces to give."""
    names = tuple(f"collab{os.getpid()}{letter}" for letter in "ab")
    third = os.getpid() % 120
    for host, name in enumerate(names):
        wire, near = f"cw{os.getpid()}{host}", f"10.213.{2 * third + host}."
        for line in (
            f"ip netns add {name}",
            f"ip link add {wire} type veth peer name inner netns {name}",
            f"ip addr add {near}1/30 dev {wire}",
            f"ip link set {wire} up",
            f"ip netns exec {name} ip addr add {near}2/30 dev inner",
            f"ip netns exec {name} ip link set inner up",
        ):
            if subprocess.run(line.split(), capture_output=True, check=False).returncode != 0:
                _remove(names)
                return None
    return Hosts(names, tuple(f"10.213.{2 * third + host}.1" for host in range(2)))


def _remove(names: tuple[str, ...]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
