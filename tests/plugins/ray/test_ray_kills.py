"""What is killed on a cluster costs what was in flight, and nothing is lost or there twice."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from support.cli import chat_row, spawn, write_bot, write_chats
from support.server import LoopbackServer

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from support.ray_cluster import ENVIRONMENT, Node, head, kill

pytestmark = pytest.mark.slow

CEILING = 8
CHATS = 16


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with head(tmp_path_factory.mktemp("c")) as (node, address):
        yield node, address


class Run:
    """An export on the cluster, its every call answered by a loopback server after a moment."""

    def __init__(self, folder, server: LoopbackServer, address: str | None) -> None:
        self.folder, self.server = folder, server
        write_chats(folder / "chats.jsonl", CHATS)
        self.command = ["export-prefs", "chats.jsonl", "--model", "hosted_vllm/x", "--api-base", server.api_base]
        self.command += ["--samples", "2", "--concurrency", str(CEILING), "--cache", "cache", "-o", "prefs.jsonl"]
        if address is not None:
            self.command += ["--runner", "ray", "--ray-address", address, "--ray-workers", "2"]

    def start(self, **options: Any) -> subprocess.Popen[str]:
        self.before = self.server.count
        return spawn(*self.command, cwd=self.folder, env=os.environ | ENVIRONMENT, **options)

    def wait_for_calls(self, process: subprocess.Popen[str], calls: int) -> None:
        while self.server.count < self.before + calls:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def finish(self, process: subprocess.Popen[str], code: int = 0) -> str:
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == code, stderr
        return stderr

    @property
    def files(self) -> list[str]:
        """What was written, without the address of the server, which is another one in every run."""
        texts = [(self.folder / name).read_text() for name in ("prefs.jsonl", "prefs.turns.jsonl")]
        return [text.replace(self.server.api_base, "SERVER") for text in texts]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of the same job on one machine, and how many calls it takes."""
    with LoopbackServer() as server:
        run = Run(tmp_path_factory.mktemp("whole"), server, None)
        run.finish(run.start())
        return run.files, server.count


def slowly() -> float:
    return 0.05


def test_a_killed_worker_costs_what_it_had_in_flight(cluster, undisturbed, tmp_path):
    node, address = cluster
    files, calls = undisturbed
    with LoopbackServer(latency=slowly) as server:
        run = Run(tmp_path, server, address)
        process = run.start()
        run.wait_for_calls(process, 60)
        workers = node.pids("ray::Worker")
        assert len(workers) == 2
        kill(workers[0])
        run.finish(process)
        assert server.count - calls <= CEILING
    assert run.files == files
    ids = [json.loads(line)["conversation_id"] for line in files[1].splitlines()]
    assert len(ids) == 2 * len(set(ids)) == 2 * CHATS


def test_a_chat_that_kills_its_process_fails_and_the_others_go_on(cluster, tmp_path):
    _, address = cluster
    rows = [chat_row(number) for number in range(12)]
    deadly = [row["id"] for row in rows if "toast" in row["messages"][0]["content"]]
    for name, kept in (("all", rows), ("harmless", [row for row in rows if row["id"] not in deadly])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    body = "import os\nif 'toast' in messages[0]['content']:\n    os._exit(1)\nreturn f'{len(messages)}. What size?'"
    options = ["-a", write_bot(tmp_path, body), "--model", "offline", "--samples", "1", "--json", "--cache"]
    on_ray = ["--runner", "ray", "--ray-address", address, "--ray-workers", "2"]
    local = spawn("score", "harmless.jsonl", *options, "a", cwd=tmp_path)
    there = spawn("score", "all.jsonl", *options, "b", *on_ray, cwd=tmp_path, env=os.environ | ENVIRONMENT)
    stdout, stderr = there.communicate(timeout=240)
    assert there.returncode == 3, stderr
    failed = [line for line in stderr.splitlines() if line.startswith("Failed")]
    assert len(failed) == len(deadly) == 3
    assert all("The process that worked on this conversation died 3 times." in line for line in failed)
    assert stdout == local.communicate()[0]


def test_without_the_coordinator_the_run_ends_and_the_same_command_goes_on(cluster, undisturbed, tmp_path):
    node, address = cluster
    files, calls = undisturbed
    with LoopbackServer(latency=slowly) as server:
        run = Run(tmp_path, server, address)
        process = run.start()
        run.wait_for_calls(process, 60)
        [coordinator] = node.pids("ray::Coordinator")
        kill(coordinator)
        said = run.finish(process, code=1)
        assert said.splitlines()[-1].startswith("Error: Ray lost a part of the run")
        assert "Traceback" not in said
        run.finish(run.start())
        assert server.count - calls <= CEILING
    assert run.files == files


def test_a_lost_machine_costs_what_it_had_in_flight(cluster, undisturbed, tmp_path):
    _, address = cluster
    files, calls = undisturbed
    second = Node(tmp_path, f"--address={address}", "--object-store-memory=80000000")
    try:
        second.wait_for("Ray runtime started")
        with LoopbackServer(latency=slowly) as server:
            run = Run(tmp_path, server, address)
            run.command += ["--ray-workers", "3"]  # more than the first has room for
            process = run.start()
            while not second.pids("ray::Worker"):
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            run.wait_for_calls(process, 60)
            second.kill()
            run.finish(process)
            assert server.count - calls <= CEILING
        assert run.files == files
    finally:
        second.kill()


def test_a_killed_command_goes_on_where_it_was(cluster, undisturbed, tmp_path):
    _, address = cluster
    files, calls = undisturbed
    with LoopbackServer(latency=slowly) as server:
        run = Run(tmp_path, server, address)
        process = run.start()
        run.wait_for_calls(process, 100)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "prefs.jsonl").exists()
        run.finish(run.start())
        assert server.count - calls <= CEILING
    assert run.files == files


def test_an_interrupted_run_keeps_every_reply_and_goes_on(cluster, undisturbed, tmp_path):
    _, address = cluster
    files, calls = undisturbed
    with LoopbackServer(latency=slowly) as server:
        run = Run(tmp_path, server, address)
        process = run.start()
        run.wait_for_calls(process, 60)
        process.send_signal(signal.SIGINT)
        said = run.finish(process, code=130)
        assert "Traceback" not in said
        run.finish(run.start())
        assert server.count == calls
    assert run.files == files


def test_a_cluster_of_another_version_is_one_line(cluster, tmp_path):
    _, address = cluster
    write_chats(tmp_path / "chats.jsonl", 2)
    code = "import ray; ray.__version__ = '1.2.3'; from collab_cli.main import main; main()"
    command = [sys.executable, "-c", code, "score", "chats.jsonl", "--model", "offline", "--runner", "ray"]
    result = subprocess.run(
        [*command, "--ray-address", address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | ENVIRONMENT,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"Error: The cluster at {address} runs Ray ")
    assert "and this is Ray 1.2.3" in last
    assert last.endswith("use the same here and there.")
