"""What is killed on a cluster costs what was in flight, and nothing is lost or there twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from support.brain import offline_brain
from support.cli import bot_calls, chat_row, spawn, write_bot, write_chats
from support.server import LoopbackServer

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from support.ray_cluster import ENVIRONMENT, Node, head, kill

pytestmark = pytest.mark.slow

CEILING = 8
CHATS = 8


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
        self.command += ["--samples", "2", "--fixed-samples"]  # one job: a pilot would start all workers twice
        self.command += ["--concurrency", str(CEILING), "--cache", "cache", "-o", "prefs.jsonl"]
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
    rows = [chat_row(number) for number in range(20)]
    deadly = ["chat-3", "chat-4", "chat-17"]
    for number in (3, 4, 17):
        rows[number]["messages"][0]["content"] = "a deadly wish"
    for name, kept in (("all", rows), ("harmless", [row for row in rows if row["id"] not in deadly])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    body = "import os\nif 'deadly' in messages[0]['content']:\n    os._exit(1)\nreturn f'{len(messages)}. What size?'"
    options = ["-a", write_bot(tmp_path, body), "--model", "offline", "--samples", "1", "--json", "--cache"]
    on_ray = ["--runner", "ray", "--ray-address", address, "--ray-workers", "2"]
    local = spawn("score", "harmless.jsonl", *options, "a", cwd=tmp_path)
    there = spawn("score", "all.jsonl", *options, "b", *on_ray, cwd=tmp_path, env=os.environ | ENVIRONMENT)
    stdout, stderr = there.communicate(timeout=240)
    assert there.returncode == 3, stderr
    failed = [line for line in stderr.splitlines() if line.startswith("Failed")]
    assert len(failed) == len(deadly) == 3
    assert all("The process that worked on this conversation died 3 times." in line for line in failed)
    assert [line.split(":")[1].strip() for line in failed] == deadly
    assert "raylet" not in stderr
    assert stdout == local.communicate()[0]
    assert len({json.loads(line)["conversation_id"] for line in stdout.splitlines()}) == 17


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
    second = Node.joined(tmp_path, address)
    try:
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


def test_a_node_with_another_endpoint_ends_the_run_before_any_call(cluster, tmp_path):
    _, address = cluster
    elsewhere = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    second = Node.joined(tmp_path, address, environment=elsewhere)
    try:
        write_chats(tmp_path / "chats.jsonl", 4)
        bot = write_bot(tmp_path, "return 'What size?'")
        command = ["score", "chats.jsonl", "-a", bot, "--simulator", "offline", "--judge", "openai/gpt-4o-mini"]
        command += ["--cache", "cache", "--runner", "ray", "--ray-address", address, "--ray-workers", "3"]
        process = spawn(*command, cwd=tmp_path, env=os.environ | ENVIRONMENT)
        _, stderr = process.communicate(timeout=240)
    finally:
        second.kill()
    assert process.returncode == 1
    assert "cannot start: models.judge.api_base is 'http://127.0.0.1:9/v1', not None." in stderr.splitlines()[-1]
    assert bot_calls(tmp_path) == 0


def test_workers_wait_for_cpus_say_so_and_are_as_many_as_those_that_join(undisturbed, tmp_path):
    files, calls = undisturbed
    both_are_there = threading.Event()

    async def brain(body):
        await asyncio.to_thread(both_are_there.wait, 100.0)
        return await offline_brain(body)

    with head(tmp_path, cpus=0) as (_, address), LoopbackServer(brain) as server:
        run = Run(tmp_path, server, address)
        run.command[run.command.index("--concurrency") + 1] = "32"
        del run.command[run.command.index("--ray-workers") :]
        process = run.start()
        assert process.stderr is not None
        said = next(line for line in process.stderr if "Ray workers have not started" in line)
        assert "1 of 1 Ray workers have not started after 10 s: the cluster has 0 CPUs, 0 of them free." in said
        second = Node.joined(tmp_path, address)
        try:
            most = 0
            while process.poll() is None:
                most = max(most, len(second.pids("ray::Worker")))
                if most == 2:
                    both_are_there.set()
                time.sleep(0.1)
            run.finish(process)
        finally:
            second.kill()
        assert most == 2
        assert server.count == calls
    assert run.files == files


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
    seconds = [0.05]
    with LoopbackServer(latency=lambda: seconds[0]) as server:
        run = Run(tmp_path, server, address)
        process = run.start()
        run.wait_for_calls(process, 60)
        seconds[0] = 2.0
        run.wait_for_calls(process, server.count - run.before + 1)
        process.send_signal(signal.SIGINT)
        seconds[0] = 0.05
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
