"""What a pair costs whose order fresh futures confirm: the present rule against the previous one.

    python benchmarks/confirmed_pairs.py CHATS.jsonl [--chats 100] [--fresh 30] [--model offline] [--json out.json]

Both rules relabel the same logged chats at default settings, with the same draws. Then `--fresh` futures that neither
has seen are played of both sides of every pair, and a pair is confirmed if its chosen side is better on average over
them. The previous rule went on until best and worst of a turn would stay so, and kept them if their margin was 0.02 and
half a standard error.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from previous_rule import PreviousRuleExporter
from table import finish, judged

from collab_sdk import Conversation, Engine, MRScorer, PreferenceExporter, Rollout, Simulator, read_conversations
from collab_sdk.types import PreferencePair


@dataclass
class Relabelled:
    calls: int
    pairs: list[tuple[Conversation, PreferencePair]]


async def relabel(kind: type[PreferenceExporter], chats: list[Conversation], model: str, cache: Path) -> Relabelled:
    scorer = scorer_of(model, cache)
    pairs = [
        (outcome.conversation, turn.pair)
        async for outcome in kind(scorer).ascore_all(chats)
        if outcome.value is not None
        for turn in outcome.value.turns
        if turn.pair is not None
    ]
    total = scorer.engine.ledger.total
    return Relabelled(calls=total.calls + total.cache_hits, pairs=pairs)


def scorer_of(model: str, cache: Path) -> MRScorer:
    engine = Engine(cache=cache)
    return MRScorer(Rollout(assistant=model, simulator=Simulator(model, engine=engine)), judge=model)


async def confirm(found: Relabelled, model: str, cache: Path, *, fresh: int) -> int:
    """How many of the pairs are in the right order by so many futures that are new."""
    scorer = scorer_of(model, cache)

    async def is_right(log: Conversation, pair: PreferencePair) -> bool:
        goal = await scorer.goals.aread(log)
        turn = next(each for each in log.turns() if each.index == pair.turn)
        other = replace(log, id=f"{log.id}/fresh")
        better, worse = [
            await scorer.ascore_turn(replace(turn, response=side.response), goal, other, samples=fresh)
            for side in (pair.chosen, pair.rejected)
        ]
        return float(better) > float(worse)

    return sum(await asyncio.gather(*(is_right(*each) for each in found.pairs)))


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    chats = list(read_conversations([options.chats_file], limit=options.chats))
    rows = []
    rules = {"previous": PreviousRuleExporter, "present": PreferenceExporter}
    for name, kind in rules.items():
        with TemporaryDirectory() as folder:
            found = await relabel(kind, chats, options.model, Path(folder))
            right = await confirm(found, options.model, Path(folder), fresh=options.fresh)
        rows.append(
            {
                "rule": name,
                "calls": found.calls,
                "pairs": len(found.pairs),
                "confirmed": right,
                "calls a confirmed pair": found.calls / right if right else float("inf"),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chats_file", metavar="CHATS.jsonl", type=Path)
    parser.add_argument("--chats", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=30)
    parser.add_argument("--model", default="offline")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    started = time.perf_counter()
    previous, present = rows = asyncio.run(measure(options))
    fewer = 100 * (1 - present["calls a confirmed pair"] / previous["calls a confirmed pair"])
    more = 100 * (present["calls"] / previous["calls"] - 1)
    verdicts = [
        judged("calls a confirmed pair, fewer %", fewer, at_least=20),
        judged("calls of the whole run, more %", more, at_most=10),
    ]
    finish(rows, verdicts, options.path, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
