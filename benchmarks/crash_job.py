"""The export that crash.py kills: every call is noted where a kill cannot take it back.

    python benchmarks/crash_job.py FOLDER CACHE [--chats 24]

`CACHE.journal` gets a line when the job begins, when the model is asked and when it answers, and when the cache has
acknowledged the reply. `offline` answers, after a lognormal latency (median 30 ms) that hangs on the call alone.
"""

import argparse
import asyncio
import math
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from job import chats

from collab_sdk import Engine, MRScorer, PreferenceExporter, Rollout, Simulator
from collab_sdk.cache import call_identity, call_key
from collab_sdk.cache.disk import DiskCache
from collab_sdk.models import ChatReply, ChatRequest
from collab_sdk.offline import OfflineModel
from collab_sdk.spec import Limits

CEILING = 16


class Journal:
    """Each line is one write to a file opened for appending, so that processes can share it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, event: str, key: str) -> None:
        os.write(self._file, f"{event} {key}\n".encode())


class NotedModel(OfflineModel):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    async def achat(self, request: ChatRequest) -> ChatReply:
        key = call_key(call_identity(self, request) or {})
        self._journal.note("asked", key)
        await asyncio.sleep(random.Random(key).lognormvariate(math.log(0.03), 0.5))
        reply = await super().achat(request)
        self._journal.note("answered", key)
        return reply


class NotedCache(DiskCache):
    def __init__(self, directory: Path, journal: Journal) -> None:
        super().__init__(directory)
        self._journal = journal

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        kept = await super().aput(key, reply, request=request)
        self._journal.note("kept", key)
        return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--chats", type=int, default=24)
    options = parser.parse_args()

    journal = Journal(options.cache.with_suffix(".journal"))
    journal.note("began", str(os.getpid()))
    model = NotedModel(journal)
    engine = Engine(cache=NotedCache(options.cache, journal), limits=Limits(concurrency=CEILING))
    rollout = Rollout(assistant=model, simulator=Simulator(model, engine=engine), window=1, samples=2)
    PreferenceExporter(MRScorer(rollout)).export(chats(options.chats, turns=2), options.folder / "prefs.jsonl")


if __name__ == "__main__":
    main()
