"""A second machine, made of a network namespace with a host name and a disk of its own."""

import os
import re
import shutil
import subprocess
import time

import pytest
from support.cli import spawn, write_bot, write_chats

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from support.databases import HMAC_KEY, Redis, running
from support.ray_cluster import ENVIRONMENT, Node, head

pytestmark = [pytest.mark.slow, pytest.mark.server]

NETWORK = f"10.77.{os.getpid() % 250}"
HERE, THERE = f"{NETWORK}.1", f"{NETWORK}.2"
NAME, LINK = f"collab{os.getpid()}", f"co{os.getpid()}"
QUICK = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_grpc_client_keepalive_time_ms": "1000",
    "RAY_grpc_client_keepalive_timeout_ms": "2000",
}
"""How soon a machine that does not answer is given up."""
CHATS = 12
VARIABLES = {**QUICK, "COLLAB_CACHE_HMAC_KEY": HMAC_KEY}


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def network():
    """Two hosts that see each other, and nobody else."""
    if os.getuid() or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("only root can make a network namespace")
    try:
        ip("netns", "add", NAME)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode()}")
    ip("link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", NAME)
    ip("address", "add", f"{HERE}/24", "dev", LINK)
    ip("link", "set", LINK, "up")
    within = ["netns", "exec", NAME, "ip"]
    ip(*within, "address", "add", f"{THERE}/24", "dev", "eth0")
    ip(*within, "link", "set", "eth0", "up")
    ip(*within, "link", "set", "lo", "up")
    yield
    ip("netns", "delete", NAME)


@pytest.fixture(scope="module")
def first(network, tmp_path_factory):
    with head(tmp_path_factory.mktemp("c"), ip=HERE, environment=VARIABLES) as (_, address):
        yield address


def another_machine(folder, address: str, *before: str) -> Node:
    """`before` are shell commands that are run there first."""
    script = " && ".join((*before, 'exec "$@"'))
    within = ["ip", "netns", "exec", NAME, "unshare", "--uts", "--mount", "sh", "-c", script, "sh"]
    return Node.joined(folder, address, ip=THERE, within=within, environment=VARIABLES)


class Run:
    """A table of scores, whose bot answers nothing until it may."""

    def __init__(self, folder, address: str | None) -> None:
        self.folder = folder
        write_chats(folder / "chats.jsonl", CHATS)
        wait = f"import os\nwhile not os.path.exists({str(folder / 'go')!r}):\n    time.sleep(0.05)"
        bot = write_bot(folder, f"{wait}\nreturn f'{{len(list(messages))}} messages. What size?'")
        command = ["score", "chats.jsonl", "-a", bot, "--model", "offline", "--samples", "2", "--json"]
        command += ["--concurrency", "8", "--cache", str(folder / "cache")]
        if address is not None:
            command += ["--runner", "ray", "--ray-address", address, "--ray-workers", "4"]
        self.process = spawn(*command, cwd=folder, env=os.environ | ENVIRONMENT | {"RAY_ADDRESS": ""})

    def wait_for_calls(self) -> None:
        while not (self.folder / "calls.txt").exists():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def wait_for_line(self, part: str) -> str:
        assert self.process.stderr is not None
        return next(line for line in self.process.stderr if part in line)

    def finish(self, code: int = 0) -> tuple[str, str]:
        (self.folder / "go").touch()
        rows, said = self.process.communicate(timeout=240)
        assert self.process.returncode == code, said
        return re.sub(r"(?<=:bots:bot@)\w+", "DIGEST", rows), said  # the bot's code has the folder of its run


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of the same job on one machine."""
    return Run(tmp_path_factory.mktemp("whole"), None).finish()[0]


def test_a_machine_with_another_disk_is_left_out_and_named_or_refused(first, rows, tmp_path):
    run = Run(tmp_path, first)
    run.wait_for_line("2 of 4 Ray workers have not started")
    second = another_machine(tmp_path, first, "hostname second", f"mount -t tmpfs none {tmp_path}")
    try:
        said = run.wait_for_line("A worker on second cannot start")
        assert "the directory" in said
        assert "--cache redis://HOST" in said
        assert run.finish()[0] == rows
        assert len((tmp_path / "calls.txt").read_text()) > 0
        calls = len((tmp_path / "calls.txt").read_text())
        (tmp_path / "again").mkdir()
        refused = Run(tmp_path / "again", first).finish(code=1)[1]
        assert "they cannot share the directory" in refused.splitlines()[-1]
        assert not (tmp_path / "again" / "calls.txt").exists()
        assert len((tmp_path / "calls.txt").read_text()) == calls
    finally:
        second.kill()


def test_a_machine_whose_network_fails_is_named_and_the_others_do_its_work(first, rows, tmp_path):
    second = another_machine(tmp_path, first)
    try:
        run = Run(tmp_path, first)
        run.wait_for_calls()
        assert second.pids("ray::Worker")
        ip("link", "set", LINK, "down")
        assert "its machine does not answer" in run.wait_for_line("is lost")
        assert run.finish()[0] == rows
    finally:
        second.kill()
        ip("link", "set", LINK, "up")


def test_a_machine_without_the_commands_folder_plays_a_bot_of_two_files_with_a_server_as_cache(first, tmp_path):
    (tmp_path / "shop_words.py").write_text("def question(n):\n    return f'{n} messages. What size?'\n")
    (tmp_path / "shop_bot.py").write_text(
        "import shop_words\n\ndef bot(messages):\n    return shop_words.question(len(list(messages)))\n"
    )
    chats = write_chats(tmp_path / "chats.jsonl", CHATS)
    second = another_machine(tmp_path, first, "hostname second", f"mount -t tmpfs none {tmp_path}")
    try:
        with running(Redis, "--bind", HERE, "127.0.0.1", "--protected-mode", "no", "--requirepass", "") as redis:
            command = ["score", chats, "-a", "py:shop_bot:bot", "--model", "offline", "--samples", "2", "--json"]
            command += ["--runner", "ray", "--ray-address", first, "--ray-workers", "4"]
            command += ["--cache", f"redis://{HERE}:{redis.port}/0"]
            variables = {"RAY_ADDRESS": "", "COLLAB_CACHE_HMAC_KEY": HMAC_KEY}
            process = spawn(*command, cwd=tmp_path, env=os.environ | ENVIRONMENT | variables)
            there = 0
            while process.poll() is None and not there:
                there = len(second.pids("ray::Worker"))
                time.sleep(0.02)
            rows, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        assert there, "the second machine took part"
        assert "cannot start" not in said
        assert len(rows.splitlines()) == len(set(rows.splitlines())) >= CHATS
    finally:
        second.kill()
