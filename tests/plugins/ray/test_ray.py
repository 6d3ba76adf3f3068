"""Runs on Ray: the same rows as on one machine, one limit for all workers, errors in one line."""

import json
import os
import sys
import time

import pytest
from support.caches import DiskPlace
from support.cli import bot_calls, chat_row, collab, write_bot, write_chats
from support.faults import Fault
from support.server import LoopbackServer

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

pytestmark = pytest.mark.slow

NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Jon", "Kim", "Lou")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Ray that this process is connected to, and every run here joins."""
    from support.ray_cluster import CPUS, ENVIRONMENT, head

    os.environ.update(ENVIRONMENT | {"RAY_BACKEND_LOG_LEVEL": "fatal"})
    with head(tmp_path_factory.mktemp("c"), cpus=CPUS) as (_, address):
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def on_ray(workers: int) -> list[str]:
    return ["--runner", "ray", "--ray-workers", str(workers)]


def files(tmp_path, name: str) -> list[bytes]:
    """Of an export, with the name of its file left out."""
    return [(tmp_path / f"{name}{part}.jsonl").read_bytes().replace(name.encode(), b"") for part in ("", ".turns")]


@pytest.mark.usefixtures("cluster")
def test_the_same_job_gives_the_same_bytes_here_and_on_1_2_and_4_workers(tmp_path):
    # Each with a goal of its own: what one requires is asked for once in each process.
    rows = [chat_row(number, goal=f"what: as said\nsize: large\nname: {name}") for number, name in enumerate(NAMES)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["export-prefs", "chats.jsonl", "--model", "hosted_vllm/x", "--samples", "2", "--concurrency", "32"]
    with LoopbackServer() as server:
        command += ["--api-base", server.api_base]
        local = collab(*command, "-o", "local.jsonl", "--cache", "a")
        assert local.exit_code == 0, local.output
        paid = server.count
        first = collab(*command, "-o", "two.jsonl", "--cache", "b", *on_ray(2))
        assert first.exit_code == 0, first.output
        assert server.count == 2 * paid, "every call was made once"
        looked_up = {}
        for workers, cache in ((4, "b"), (1, "a")):
            again = collab(*command, "-o", f"warm{workers}.jsonl", "--cache", cache, *on_ray(workers))
            assert again.exit_code == 0, again.output
            looked_up[workers] = usage_of(again)
        assert server.count == 2 * paid, "a warm cache answers everything"
    assert files(tmp_path, "two") == files(tmp_path, "local")
    assert files(tmp_path, "warm4") == files(tmp_path, "warm1") == files(tmp_path, "local")
    assert looked_up[4] == [], "what was finished on Ray is not even looked up again"
    assert [line[1] for line in looked_up[1]] == ["0"] * len(looked_up[1]) != []
    assert first.stdout == local.stdout == ""
    assert usage_of(first) == usage_of(local)
    assert "12/12" in first.stderr
    noise = [line for line in first.stderr.splitlines() if "ray" in line.lower()]
    assert noise == []


def usage_of(result) -> list[list[str]]:
    """Calls by role and in all; without call time, which differs."""
    lines = (line.split() for line in result.stderr.splitlines())
    rows = [line for line in lines if line and line[0] in ("assistant", "simulator", "judge", "total")]
    return [row[:5] for row in rows if "·" not in row]  # a first line may begin with the judge


@pytest.mark.usefixtures("cluster")
def test_all_workers_keep_to_one_rate_limit(tmp_path):
    rate, burst = 40.0, 4.0
    bucket = {"tokens": burst, "at": time.monotonic()}

    def refuse(number, body):
        now = time.monotonic()
        bucket["tokens"] = min(burst, bucket["tokens"] + (now - bucket["at"]) * rate)
        bucket["at"] = now
        if bucket["tokens"] < 1:
            return Fault(status=429, body={"error": {"message": "slow down"}})
        bucket["tokens"] -= 1
        return None

    logs = write_chats(tmp_path / "chats.jsonl", 8)
    arrivals = []

    def latency():
        arrivals.append(time.monotonic())
        return 0.05

    with LoopbackServer(faults=refuse, latency=latency) as server:
        command = ["score", logs, "--model", "hosted_vllm/x", "--api-base", server.api_base, "--samples", "1"]
        result = collab(*command, "--json", "--requests-per-minute", "1800", *on_ray(4))
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 16
    assert len(arrivals) > 60
    assert (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) <= 30 * 1.02
    assert "retried" not in result.stderr, "the server's bucket was never empty"


@pytest.mark.usefixtures("cluster")
def test_a_chat_that_fails_is_reported_and_the_others_go_on(tmp_path):
    rows = [chat_row(0), chat_row(1, goal=None), chat_row(2)]
    (tmp_path / "chats.jsonl").write_text("not json\n" + "".join(json.dumps(row) + "\n" for row in rows))
    warn = "import warnings\nwarnings.warn('This bot counts.')\n"
    bot = write_bot(tmp_path, f"{warn}return f'{{len(list(messages))}} messages. What size?'", name="counting")

    def judge(body):
        return "no goal to be seen"

    with LoopbackServer(judge) as server:
        options = ["--simulator", "offline", "--judge", "hosted_vllm/x", "--api-base", server.api_base]
        command = ["score", "chats.jsonl", "-a", bot, *options, "--metric", "token_penalty=1", "--json"]
        local = collab(*command, "--cache", "a")
        place = DiskPlace(tmp_path / "a")
        for key, _ in list(place.open().rows()):
            place.write(key, b"junk")
        place.close()
        there = collab(*command, "--cache", "a", *on_ray(2))
    assert there.exit_code == local.exit_code == 3
    assert local.stderr.count("This bot counts.") == there.stderr.count("Warning: This bot counts.") == 1
    assert "in the cache could not be read, and had to be paid for again" in there.stderr
    assert "could not be read, and" not in local.stderr
    assert there.stdout == local.stdout
    assert len(there.stdout.splitlines()) == 4
    failed = [line for line in local.stderr.splitlines() if line.startswith("Failed")]
    assert len(failed) == 2
    assert [line for line in there.stderr.splitlines() if line.startswith("Failed")] == failed


@pytest.mark.usefixtures("cluster")
def test_a_spent_budget_ends_the_run_exactly_there_and_the_same_command_goes_on(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 6)
    bot = write_bot(tmp_path, "return f'{len(list(messages))} messages. What size?'", name="paid")
    every_pair = ("--min-margin", "0", "--min-confidence", "0")
    command = ["export-prefs", logs, "-a", bot, "--model", "offline", "--samples", "2", *every_pair, "-o"]
    assert collab(*command, "local.jsonl", "--cache", "a").exit_code == 0
    whole = bot_calls(tmp_path)
    (tmp_path / "calls.txt").unlink()
    limited = [*command, "there.jsonl", "--cache", "b", *on_ray(2)]
    stopped = collab(*limited, "--max-calls", "100")
    assert stopped.exit_code == 4, stopped.output
    assert "Stopped: The limit of 100 calls is reached." in stopped.stderr
    [total] = [line for line in usage_of(stopped) if line[0] == "total"]
    assert total[1] == "100"
    assert not (tmp_path / "there.jsonl").exists()
    assert collab(*limited).exit_code == 0
    assert files(tmp_path, "there") == files(tmp_path, "local")
    assert bot_calls(tmp_path) == whole, "nothing was paid twice"


@pytest.mark.usefixtures("cluster")
def test_an_evaluation_of_two_bots_gives_the_same_figures(tmp_path):
    command = ["evaluate", "-a", "proactive:offline", "-a", "offline", "-t", "order-desk", "--model", "offline"]
    command += ["--simulator", "order-desk", "--limit", "2"]
    local = collab(*command, "--cache", "a")
    there = collab(*command, "--cache", "b", *on_ray(2))
    assert local.exit_code == there.exit_code == 0, there.output
    assert there.stdout == local.stdout
    assert usage_of(there) == usage_of(local)


@pytest.mark.usefixtures("cluster")
def test_several_users_play_the_same_futures_on_workers(tmp_path):
    pytest.importorskip("sklearn")
    logs = write_chats(tmp_path / "chats.jsonl", 6)
    (tmp_path / "homes.py").write_text(
        "def user(messages):\n    if len(messages) > 4:\n        raise ValueError('gone home')\n    return 'large'\n"
    )
    users = [part for name in ("logs:chats.jsonl=2", "offline", "py:homes:user") for part in ("--simulator", name)]
    command = ["export-prefs", logs, "--model", "offline", *users, "--samples", "3"]
    local = collab(*command, "-o", "local.jsonl", "--cache", "a")
    there = collab(*command, "-o", "there.jsonl", "--cache", "b", *on_ray(2))
    assert local.exit_code == there.exit_code, there.output
    assert files(tmp_path, "there") == files(tmp_path, "local")
    told = [result.stderr[result.stderr.index("Users, in") :].splitlines()[:4] for result in (local, there)]
    assert told[0] == told[1]
    assert "user failed" in "".join(told[0])


@pytest.mark.usefixtures("cluster")
def test_workers_whose_logs_of_users_are_others_end_the_run_before_any_call(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    monkeypatch.setattr("collab_ray.runner.logs_of_users", lambda spec: {"logs:chats.jsonl": "of another time"})
    result = collab("score", logs, "--model", "offline", "--simulator", "logs:chats.jsonl", *on_ray(1))
    assert result.exit_code == 1
    assert (
        "logs:chats.jsonl holds other chats there than where the command was typed." in result.stderr.splitlines()[-1]
    )


@pytest.mark.usefixtures("cluster")
def test_workers_with_another_version_of_the_package_end_the_run_before_any_call(tmp_path, monkeypatch):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    monkeypatch.setattr("collab_sdk.__version__", "9.9.9")
    result = collab("score", logs, "--model", "offline", *on_ray(1))
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "and the command is 9.9.9: pip install 'collab-sdk[ray]==9.9.9' on every node." in last


@pytest.mark.usefixtures("cluster")
def test_a_directory_as_cache_is_refused_on_several_machines(tmp_path, monkeypatch):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    nodes = [{"Alive": True, "NodeManagerHostname": name} for name in ("one", "two")]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    result = collab("score", logs, "--model", "offline", *on_ray(1))
    assert result.exit_code == 1
    assert "--cache redis://HOST" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "No Ray cluster answers at 127.0.0.1:1: Connection refused. Start one with `ray start --head`"),
        ("ray://127.0.0.1:10001", "Ray's client protocol is not supported. Run the command on a node"),
        ("somewhere", "'somewhere' must read HOST:PORT, such as 10.0.0.1:6379, or auto."),
    ],
    ids=["nobody there", "client protocol", "no port"],
)
def test_an_address_that_cannot_be_used_is_one_line(address, said, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    result = collab("score", logs, "--model", "offline", "--runner", "ray", "--ray-address", address)
    assert result.exit_code == 1
    assert said in result.stderr.splitlines()[-1]


def test_a_missing_ray_names_the_extra(tmp_path, monkeypatch):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = collab("score", logs, "--model", "offline", "--runner", "ray")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: --runner ray needs Ray: pip install 'collab-sdk[ray]'"


def test_an_unknown_runner_lists_those_there_are(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    result = collab("score", logs, "--model", "offline", "--runner", "spark")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: Unknown runner 'spark'. Known: local, ray."
