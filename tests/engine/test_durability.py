"""Nothing acknowledged is lost, and nothing is paid for twice, across processes and kills."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from collab_sdk import ChatReply
from collab_sdk.cache.batching import BatchThread
from collab_sdk.cache.disk import DiskCache
from collab_sdk.cache.lease import FileLeases

WORKER = """
import asyncio, os, sys
from collab_sdk import ChatReply, ChatRequest, Engine, Limits, Message

class Upstream:
    name, fingerprint, price = "upstream", {"model": "upstream"}, None
    def __init__(self):
        self.log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async def achat(self, request):
        text = request.messages[0].content
        os.write(self.log, f"{text}\\n".encode())
        await asyncio.sleep(0.002)
        return ChatReply(content="answer to " + text)

async def main():
    engine, model = Engine(cache=sys.argv[1], limits=Limits(concurrency=8)), Upstream()
    async def one(number):
        request = ChatRequest(role="assistant", messages=(Message(role="user", content=str(number)),))
        reply = await engine.call(model, request)
        print(number, flush=True)
        assert reply.content == f"answer to {number}"
    await asyncio.gather(*(one(number) for number in range(int(sys.argv[3]))))

asyncio.run(main())
"""


def worker(folder: Path, calls: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder / "cache"), str(folder / "upstream.log"), str(calls)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def upstream(folder: Path) -> Counter[str]:
    return Counter((folder / "upstream.log").read_text().split())


def test_processes_that_share_a_cache_pay_for_each_call_once(tmp_path):
    workers = [worker(tmp_path, 150) for _ in range(3)]
    for process in workers:
        answered, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(answered.split()) == 150
    assert upstream(tmp_path) == {str(number): 1 for number in range(150)}


def test_a_killed_process_loses_nothing_it_acknowledged_and_repeats_only_what_was_in_flight(tmp_path):
    acknowledged: set[str] = set()
    kills = 0
    while True:
        process = worker(tmp_path, 400)
        assert process.stdout is not None
        for count, line in enumerate(process.stdout, start=1):
            acknowledged.add(line.strip())
            if count == 400 or (count >= 30 and len(acknowledged) < 400 and len(acknowledged) > 90 * (kills + 1)):
                break
        if len(acknowledged) == 400:
            process.communicate()
            break
        process.send_signal(signal.SIGKILL)
        acknowledged.update(process.communicate()[0].split())
        kills += 1
        cache = DiskCache(tmp_path / "cache")
        assert cache.stats().records >= len(acknowledged)
        cache.close()
    assert kills >= 2
    repeated = sum(times - 1 for times in upstream(tmp_path).values())
    assert repeated <= 8 * kills


def test_a_second_opener_in_the_process_does_not_let_go_of_what_the_first_holds(tmp_path):
    """Or another process that closes the cache would take it for the last, and clear away what is still written to."""
    first, second = DiskCache(tmp_path), DiskCache(tmp_path)
    asyncio.run(first.aput("ab" * 32, ChatReply(content="one"), request={}))
    other = "import sys; from collab_sdk.cache.disk import DiskCache; DiskCache(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", other, str(tmp_path)], check=True)
    asyncio.run(first.aput("cd" * 32, ChatReply(content="two"), request={}))
    assert asyncio.run(DiskCache(tmp_path).aget("cd" * 32)) == ChatReply(content="two")
    first.close()
    second.close()


def test_a_lease_is_held_by_one_and_given_to_the_next(tmp_path):
    async def main() -> list[str]:
        first, second = FileLeases(tmp_path / "leases"), FileLeases(tmp_path / "leases")
        seen: list[str] = []

        async def hold(leases: FileLeases, name: str) -> None:
            async with leases.hold("ab" * 32):
                seen.append(f"{name} in")
                await asyncio.sleep(0.02)
                seen.append(f"{name} out")

        await asyncio.gather(hold(first, "first"), hold(second, "second"))
        async with first.hold("ab" * 32), second.hold("cd" * 32):
            seen.append("different keys")
        first.close()
        second.close()
        return seen

    assert asyncio.run(main()) == ["first in", "first out", "second in", "second out", "different keys"]


def test_what_gathers_during_a_commit_is_committed_together_and_then_acknowledged():
    groups: list[list[int]] = []

    def commit(group: list[int]) -> list[int]:
        groups.append(group)
        return [-number for number in group]

    writer = BatchThread(commit, name="test")

    async def main() -> None:
        results = await asyncio.gather(*(writer.do(number) for number in range(100)))
        assert results == [-number for number in range(100)]
        assert sorted(number for group in groups for number in group) == list(range(100))

    asyncio.run(main())
    writer.close()
    assert len(groups) < 100


def test_a_commit_that_fails_is_told_to_everyone_who_waited_and_to_nobody_after():
    def commit(group: list[int]) -> list[int]:
        if -1 in group:
            raise OSError("disk full")
        return group

    async def main() -> None:
        writer = BatchThread(commit, name="test")
        with pytest.raises(OSError, match="disk full"):
            await writer.do(-1)
        await writer.do(2)
        writer.close()
        await writer.do(3)  # a closed writer starts again
        writer.close()

    asyncio.run(main())
