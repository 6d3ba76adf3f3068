"""Redis and PostgreSQL from Debian's packages, on loopback, with data in a folder of their own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

HMAC_KEY = "0123456789abcdef" * 4
PASSWORD = "s3cret/pass:word"
QUOTED = "s3cret%2Fpass%3Aword"
SECONDS = 30


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Database:
    """A server that can be stopped, killed and started again on its data."""

    at_once = signal.SIGKILL
    """The signal for an end without ado."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        wait_until(lambda: self.process.poll() is not None or self.ready())
        assert self.process.poll() is None, (self.folder / "log").read_text()

    def kill(self) -> None:
        """SIGKILL, to all of it: what a server of several processes leaves behind would not let it start again."""
        os.kill(self.process.pid, signal.SIGSTOP)  # or it would start new ones in place of those that are killed
        children = _children(self.process.pid)
        self._signal_all(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(map(_runs, children)))

    def pause(self) -> None:
        """It is there, and says nothing."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in [*_children(self.process.pid), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.resume()
            self.process.send_signal(self.at_once)  # nobody needs its data any more
            self.process.wait(SECONDS)


class Redis(Database):
    """With its append-only file synced before every answer, unless the options say otherwise."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.options = options

    @property
    def url(self) -> str:
        return f"redis://:{QUOTED}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        fixed = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--requirepass", PASSWORD]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [_program("redis-server"), *fixed, *durable, *self.options]

    def ready(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)

    def replication(self) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.info("replication"))


class Sentinel(Database):
    """Watches `primary`, under the name of `collab`, and makes a replica of it the primary when it is gone."""

    at_once = signal.SIGTERM

    def __init__(self, folder: Path, primary: Redis) -> None:
        super().__init__(folder)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {folder}",
            f"sentinel monitor collab 127.0.0.1 {primary.port} 1",
            f'sentinel auth-pass collab "{PASSWORD}"',
            "sentinel down-after-milliseconds collab 300",
            "sentinel failover-timeout collab 1000",
        ]
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        return f"redis+sentinel://:{QUOTED}@127.0.0.1:{self.port}/collab/0"

    def command(self) -> list[str]:
        return [_program("redis-server"), str(self.folder / "sentinel.conf"), "--sentinel"]

    def ready(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> Any:
        import redis

        return redis.Redis(port=self.port)


AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class Postgres(Database):
    """As a user of its own, since it refuses to be root."""

    at_once = signal.SIGQUIT

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.options = options
        self.databases = 0
        self.as_user: list[str] = []
        if os.getuid() == 0:
            self.as_user = AS_POSTGRES
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = ["-D", str(folder / "data"), "-U", "collab", "-A", "scram-sha-256", "--pwfile", str(secret), "-N"]
        subprocess.run([*self.as_user, _program("initdb"), *made], check=True, capture_output=True, cwd=folder)

    def url_of(self, database: str, *, user: str = "collab", password: str = QUOTED) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        where = ["-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        return [*self.as_user, _program("postgres"), *where, *self.options]

    def ready(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def run(self, sql: str, *values: object, database: str = "postgres") -> list[Any]:
        import psycopg

        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        self.databases += 1
        name = f"cache{self.databases}"
        self.run(f"CREATE DATABASE {name}")
        return name


class PgBouncer(Database):
    """A pooler in front of `postgres`; in transaction mode all share one connection to it."""

    at_once = signal.SIGTERM

    def __init__(self, folder: Path, postgres: Postgres, mode: str, **options: object) -> None:
        super().__init__(folder)
        self.postgres = postgres
        (folder / "users").write_text(f'"collab" "{PASSWORD}"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "plain",
            "auth_file": folder / "users",
            "pool_mode": mode,
            "default_pool_size": 1 if mode == "transaction" else 9,
            **options,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        behind = f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
        (folder / "settings.ini").write_text(behind + "\n".join(lines) + "\n")
        if os.getuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")

    def url_of(self, database: str) -> str:
        return self.postgres.url_of(database).replace(f":{self.postgres.port}/", f":{self.port}/")

    def command(self) -> list[str]:
        return [*self.postgres.as_user, _program("pgbouncer"), str(self.folder / "settings.ini")]

    def ready(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


def wait_until(true: Callable[[], bool], *, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


@contextmanager
def running(kind: type[Redis] | type[Postgres], *options: str) -> Iterator[Any]:
    """A server of that kind; skips the test where it is not installed."""
    missing = {Redis: ["redis-server"], Postgres: ["initdb", "postgres"]}[kind]
    if not all(map(_program, missing)):
        package = {Redis: "redis-server", Postgres: "postgresql"}[kind]
        pytest.skip(f"needs {kind.__name__}: apt-get install {package}")
    pytest.importorskip({Redis: "redis", Postgres: "psycopg"}[kind])
    if kind is Postgres and os.getuid() == 0 and not _has_user("postgres"):
        pytest.skip("needs a user postgres, since PostgreSQL refuses to be root")
    if (
        kind is Postgres
        and os.getuid() == 0
        and subprocess.run([*AS_POSTGRES, "id", "-un"], capture_output=True).returncode
    ):
        pytest.skip("needs a user postgres that can look itself up: chmod a+r /etc/passwd")
    with _served(lambda folder: kind(folder, *options)) as server:
        yield server


@contextmanager
def pooled(postgres: Postgres, mode: str, **options: object) -> Iterator[PgBouncer]:
    """A pooler in front of that server; skips the test where it is not installed."""
    if not _program("pgbouncer"):
        pytest.skip("needs a pooler: apt-get install pgbouncer")
    with _served(lambda folder: PgBouncer(folder, postgres, mode, **options)) as pooler:
        yield pooler


@contextmanager
def replicated() -> Iterator[tuple[Redis, Redis]]:
    """A primary, and its replica, which is up to date."""
    own = ["--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
    with running(Redis, *own) as primary, running(Redis, *own) as replica:
        with replica.client() as client:
            client.replicaof("127.0.0.1", primary.port)
        wait_until(lambda: replica.replication()["master_link_status"] == "up")
        yield primary, replica


@contextmanager
def watched() -> Iterator[tuple[Sentinel, Redis, Redis]]:
    """A Sentinel, and the two that it watches: the primary, and its replica."""
    with replicated() as (primary, replica), _served(lambda folder: Sentinel(folder, primary)) as sentinel:
        with sentinel.client() as asked:
            wait_until(lambda: any(map(_can_take_over, asked.sentinel_slaves("collab"))))
        yield sentinel, primary, replica


def _can_take_over(replica: dict[str, Any]) -> bool:
    """Whether its Sentinel has heard of it that it is up and follows its primary."""
    return replica["master-link-status"] == "ok" and not (replica["is_disconnected"] or replica["is_sdown"])


@contextmanager
def _served(make: Callable[[Path], Any]) -> Iterator[Any]:
    folder = Path(tempfile.mkdtemp(prefix="collab-db-"))  # a test's own folder is closed to other users
    server = make(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _program(name: str) -> str:
    """Debian keeps PostgreSQL's programs out of the path; '' if there is none."""
    found = shutil.which(name)
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(debian[-1]) if debian else "")


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _runs(pid: int) -> bool:
    """Whether it is there, and not only its exit status."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
