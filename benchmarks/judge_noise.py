"""What it costs in noise that a judge splits the goal anew for every future, beside one list for each goal.

    python benchmarks/judge_noise.py [--turns 200] [--json out.json]

Every turn has three candidates that are equally good: each misses the same one of four wishes. A scripted judge is
right about what was delivered, but it splits the goal into three, four, five or six requirements, as judges do who are
asked twice. `anew` asks for requirements and verdicts in one answer, future by future; `listed` is the metric `goal`,
which has them listed once. `spread` is the mean difference of the best and the worst candidate's MR, which should be 0.
Pairs are those by the raw margin, as the paper selects them (`min_confidence` 0), and by the product's default rule.
"""

import argparse
import json
import tempfile
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any
from zlib import crc32

from table import Row, finish, judged

from collab_sdk import Conversation, Engine, Goal, MRScorer, PreferenceExporter, Rollout, Simulator
from collab_sdk.messages import Message
from collab_sdk.metrics import Evidence, Judgement, Rubric
from collab_sdk.models import ChatRequest
from collab_sdk.prompts import unfence_points
from collab_sdk.testing import FakeChatModel

SPLITS = (3, 4, 4, 5, 6)
"""How many requirements the goal is split into; one of them is the wish that nobody delivers."""
RULES = {"by margin": 0.0, "default": 0.9}


class SplitAnew:
    """The share of requirements that the judge lists and ticks off in one answer."""

    name = "anew"

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(
            criterion="Split the goal into requirements, and say of each whether it was delivered.", read=_share
        )

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def _share(answer: Any) -> Judgement:
    return Judgement(value=fmean(answer))


def answer_of(request: ChatRequest) -> str:
    """The judge: another split for every text that it is shown, and the first requirement is never met."""
    prompt = request.messages[-1].content
    count = Random(crc32(prompt.encode())).choice(SPLITS)
    listed = len(unfence_points("requirements", prompt))
    verdicts = [{"number": number, "met": number > 1} for number in range(1, listed + 1)]
    return json.dumps(
        {
            "requirements": [f"wish {number}" for number in range(count)],
            "goal": {"reason": "", "verdicts": verdicts},
            "anew": [number > 0 for number in range(count)],
        }
    )


def exported(metric: Any, turns: int, min_confidence: float, folder: Path) -> Row:
    """What an export makes of so many turns."""
    engine = Engine()
    # No two futures are alike.
    user = FakeChatModel(
        lambda request: json.dumps({"message": f"thanks for {request.sample}", "done": True, "reason": ""}), name="user"
    )
    bot = FakeChatModel(lambda request: f"Here you are ({request.sample}).", name="bot")
    rollout = Rollout(assistant=bot, simulator=Simulator(user, engine=engine), window=2)
    scorer = MRScorer(rollout, metrics={metric: 1.0}, judge=FakeChatModel(answer_of, name="judge"))
    messages = (Message(role="user", content="a coffee"), Message(role="assistant", content="Here you are."))
    chats = [Conversation(id=f"c{n}", messages=messages, goal=Goal(text=f"four wishes, {n}")) for n in range(turns)]
    PreferenceExporter(scorer, min_confidence=min_confidence).export(chats, folder / "prefs.jsonl")
    rows = [json.loads(line) for line in (folder / "prefs.turns.jsonl").read_text().splitlines()]
    scores = [[candidate["mr"] for candidate in row["candidates"]] for row in rows]
    pairs = [row["pair"] for row in rows if row["pair"]]
    usage = engine.ledger.to_dict()
    return {
        "pairs %": 100 * len(pairs) / len(rows),
        "spread": fmean(max(each) - min(each) for each in scores),
        "judge calls a turn": usage["judge"]["calls"] / len(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    rows: list[Row] = []
    for rule, min_confidence in RULES.items():
        for name, metric in (("anew", SplitAnew()), ("listed", "goal")):
            with tempfile.TemporaryDirectory() as folder:
                found = exported(metric, options.turns, min_confidence, Path(folder))
            rows.append({"requirements": name, "pairs": rule, **found})
    listed = [row for row in rows if row["requirements"] == "listed"]
    verdicts = [
        judged("% of turns that give a pair, listed", max(row["pairs %"] for row in listed), at_most=0),
        judged("spread, listed", max(row["spread"] for row in listed), at_most=1e-9),
    ]
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
