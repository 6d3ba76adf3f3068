"""What it saves, and what it costs in trust, that all futures of a turn with one goal are judged in one call.

    python benchmarks/group_judging.py [CHATS] [--limit 60] [--turns 100] [--json out.json]

Calls: an export with the offline stand-in as every part, one by one and in groups; it judges by rules, so that its
verdicts cannot depend on what stands beside a future. CHATS is a file of logs; without it the package's own sample.

Order: scripted judges see groups of six equally good futures, and the same groups in the opposite order. `honest` is
right about every future; `first` gives a point more of ten to each of the first half of those that it sees. `moves` is
the mean change of a future's score between the two orders; `best minus worst` should be 0, as all are equally good. One
by one neither judge has an order to go by.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from table import Row, finish, judged, show

from collab_sdk import Engine, Goal, MRScorer, PreferenceExporter, Rollout, Simulator, read_conversations
from collab_sdk.messages import Message
from collab_sdk.metrics import Judge
from collab_sdk.metrics.goal import GoalCoverage
from collab_sdk.models import ChatRequest
from collab_sdk.offline import sample_chats_path
from collab_sdk.prompts import unfence_continuations, unfence_points
from collab_sdk.testing import FakeChatModel

FUTURES = 6
POINTS = 10


def exported(chats: Path, limit: int, *, judge_groups: bool, folder: Path) -> tuple[Row, list[Any]]:
    """What an export takes, and its pairs."""
    engine = Engine()
    rollout = Rollout(assistant="offline", simulator=Simulator("offline", engine=engine))
    exporter = PreferenceExporter(MRScorer(rollout, judge="offline"), judge_groups=judge_groups)
    report = exporter.export(read_conversations(chats, limit=limit), folder / "prefs.jsonl")
    usage = engine.ledger.to_dict()
    pairs = [json.loads(line) for line in (folder / "prefs.jsonl").read_text().splitlines()]
    row = {
        "judged": "in groups" if judge_groups else "one by one",
        "turns": report.turns,
        "pairs": report.pairs,
        "judge calls": usage["judge"]["calls"],
        "a turn": usage["judge"]["calls"] / report.turns,
        "all calls": sum(each["calls"] for each in usage.values() if isinstance(each, dict) and "calls" in each),
    }
    return row, [(pair["conversation_id"], pair["turn"], pair["chosen"], pair["rejected"]) for pair in pairs]


def answer_of(request: ChatRequest, *, favours_first: bool) -> str:
    """A judge to which every future meets five of ten requirements."""
    prompt = request.messages[-1].content
    shown = len(unfence_continuations(prompt))
    points = len(unfence_points("requirements", prompt))
    if not points:
        return json.dumps({"requirements": [f"wish {number}" for number in range(POINTS)]})

    def judgement(place: int) -> dict[str, Any]:
        met = POINTS // 2 + (favours_first and place < shown / 2)
        verdicts = [{"number": number, "met": number <= met} for number in range(1, points + 1)]
        return {"goal": {"reason": "", "verdicts": verdicts}}

    continuations = [{"number": place + 1, "judgement": judgement(place)} for place in range(shown)]
    return json.dumps({"continuations": continuations} if shown else judgement(0))


async def moved(name: str, turns: int, *, in_groups: bool) -> Row:
    """How far the scores of equally good futures go apart, and how far each moves with the order."""
    model = FakeChatModel(lambda request: answer_of(request, favours_first=name == "first"), name=name)
    judge = Judge(model, engine=Engine())
    moves, spreads = [], []
    for turn in range(turns):
        goal = Goal(text=f"ten wishes, {turn}")
        rubrics = {"goal": GoalCoverage().rubric(goal)}
        history = (Message(role="user", content=f"a coffee, {turn}"),)
        futures = [(Message(role="assistant", content=f"Here you are ({turn}, {n})."),) for n in range(FUTURES)]
        scores = []
        for backwards in (False, True):
            if in_groups:
                found = await judge.ajudge_group(history, futures, goal=goal, rubrics=rubrics, backwards=backwards)
            else:
                found = [
                    await judge.ajudge((*history, *future), goal=goal, rubrics=rubrics, backwards=backwards)
                    for future in futures
                ]
            scores.append([each["goal"].value for each in found])
        forth, back = scores
        moves.append(fmean(abs(one - other) for one, other in zip(forth, back, strict=True)))
        spreads.append(max(forth) - min(forth))
    return {
        "judge": name,
        "judged": "in groups" if in_groups else "one by one",
        "moves": fmean(moves),
        "best minus worst": fmean(spreads),
        "calls a turn": (len(model.requests) - turns) / (2 * turns),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chats", nargs="?", type=Path, default=sample_chats_path())
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    runs: list[tuple[Row, list[Any]]] = []
    for judge_groups in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(exported(options.chats, options.limit, judge_groups=judge_groups, folder=Path(folder)))
    (alone, pairs), (together, same) = runs
    orders = [
        asyncio.run(moved(name, options.turns, in_groups=in_groups))
        for name in ("honest", "first")
        for in_groups in (False, True)
    ]
    others = sum(one not in pairs for one in same) + sum(one not in same for one in pairs)
    verdicts = [
        judged("judge calls, share of one by one", together["judge calls"] / alone["judge calls"], at_most=0.7),
        judged("pairs that one of the two exports lacks", others, at_most=0),
        judged("moves, honest judge", max(row["moves"] for row in orders if row["judge"] == "honest"), at_most=0),
        judged("moves, the judge that favours what comes first, in groups", orders[-1]["moves"], at_least=0.05),
    ]
    show([alone, together])
    print()
    finish(orders, verdicts, options.path, exports=[alone, together])


if __name__ == "__main__":
    main()
