"""How many decisions of a tool-using agent get a score.

    python benchmarks/rated_decisions.py ROWS [--model offline] [--samples 2] [--limit N] [--json out.json]

ROWS holds a decision a row: `history` (messages with calls and results), `decision` (an assistant message: text or a
call). Each becomes a conversation without tools or goal: the tools are inferred from the calls in the file, the goal
from the conversation. The decision is scored as `collab score --per decision` does: its call is run by recorded results
or a simulated tool, the assistant goes on, the simulated user answers. `model` plays every part. A decision that calls
a tool without a name cannot be played, and is counted.

Whether the scores agree with people is told by `collab check-judge --rated ROWS`.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from table import Row, finish, judged, show

from collab_sdk import Conversation, Engine, MRScore, MRScorer, Rollout, Simulator, read_conversations
from collab_sdk.errors import SampleError
from collab_sdk.tools import with_tools

TARGET = 0.99
CONCURRENT = 32


def conversations(rows: list[dict[str, Any]], folder: Path) -> list[Conversation]:
    """The rows as a log of chats would hold them, read as one."""
    path = folder / "decisions.jsonl"
    chats = ({"id": str(n), "messages": [*row["history"], row["decision"]]} for n, row in enumerate(rows))
    path.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return list(with_tools(read_conversations([path]), again=lambda: read_conversations([path])))


async def score_all(scorer: MRScorer, chats: list[Conversation]) -> list[MRScore | str]:
    """The score of each chat's last decision, or why there is none."""
    gate = asyncio.Semaphore(CONCURRENT)

    async def score(chat: Conversation) -> MRScore | str:
        *_, decision = chat.decisions()
        async with gate:
            try:
                goal = await scorer.goals.aread(chat)
                return await scorer.ascore_turn(decision, goal, chat)
            except SampleError as error:
                return str(error)

    return await asyncio.gather(*map(score, chats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", default="offline")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    with options.rows.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, options.limit)]
    with tempfile.TemporaryDirectory() as folder:
        chats = conversations(rows, Path(folder))
    engine = Engine()
    simulator = Simulator(options.model, engine=engine)
    rollout = Rollout(assistant=options.model, simulator=simulator, samples=options.samples)
    started = time.perf_counter()
    scores = asyncio.run(score_all(MRScorer(rollout, judge=options.model, per="decision"), chats))
    seconds = time.perf_counter() - started

    table: list[Row] = []
    kinds = ["call" if row["decision"].get("tool_calls") else "text" for row in rows]
    for kind in ("call", "text", "all"):
        chosen = [score for score, each in zip(scores, kinds, strict=True) if kind in ("all", each)]
        scored = sum(map(_has_value, chosen))
        table.append(
            {"decisions": kind, "rated": len(chosen), "scored": scored, "%": 100 * scored / max(1, len(chosen))}
        )
    share = table[-1]["scored"] / len(rows)
    usage = engine.ledger.to_dict()
    finish(table, [judged("share with a score", share, at_least=TARGET)], options.path, usage=usage, seconds=seconds)
    print(f"\n{len(rows)} decisions in {seconds:.0f} s\n")
    show([{"role": role, "calls": each["calls"], "cached": each["cache_hits"]} for role, each in usage.items()])
    for reason, count in missing(scores).most_common(5):
        print(f"{count} without a score: {reason}")


def missing(scores: list[MRScore | str]) -> Counter[str]:
    reasons = (each if isinstance(each, str) else each.errors[0] for each in scores if not _has_value(each))
    return Counter(reasons)


def _has_value(score: MRScore | str) -> bool:
    return isinstance(score, MRScore) and score.value is not None


if __name__ == "__main__":
    main()
