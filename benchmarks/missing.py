"""Whether a bot that rambles into its token limit gains by it: scripted bots, users and judges.

    python benchmarks/missing.py [--samples 400] [--json out.json]

Each reply is judged as equally good, so that only the token penalty tells the bots apart: the steady bot takes 300
words, the rambler 50 or, at half of its draws, as many as the limit of 1,000 tokens lets through. `dropped` is the
rambler's MR over the futures that were not cut off, as if the others were missing.
"""

import argparse
import json
import random
from statistics import fmean
from typing import Any

from table import finish, judged

from collab_sdk import ChatReply, ChatRequest, Engine, MRScore, MRScorer, Rollout, Simulator
from collab_sdk.testing import FakeChatModel

LIMIT, SHORT, STEADY = 1_000, 50, 300
HISTORY = [{"role": "user", "content": "hi"}]
JUDGEMENT = {
    "requirements": ["an answer"],
    "goal": {"reason": "", "verdicts": [{"number": 1, "met": True}]},
    "interactivity": {"reason": "", "score": 1.0},
}


def rambler(request: ChatRequest) -> ChatReply:
    if random.Random(request.sample).random() < 0.5:
        return ChatReply(content="word " * LIMIT, finish_reason="length")
    return ChatReply(content="word " * SHORT)


def steady(request: ChatRequest) -> ChatReply:
    return ChatReply(content="word " * STEADY)


def score(bot: Any, samples: int) -> MRScore:
    user = FakeChatModel(lambda _: json.dumps({"reason": "", "done": False, "message": "go on"}), name="user")
    simulator = Simulator(user, engine=Engine())
    rollout = Rollout(assistant=FakeChatModel(bot, name=bot.__name__), simulator=simulator, window=1, samples=samples)
    judge = FakeChatModel(lambda _: json.dumps(JUDGEMENT), name="judge")
    [found] = MRScorer(rollout, judge=judge).rank(HISTORY, ["yes"], goal="hi")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for bot in (steady, rambler):
        found = score(bot, options.samples)
        whole = [
            future.reward
            for future in found.futures
            if future.reward is not None and not any(message.ended for message in future.messages)
        ]
        rows.append(
            {
                "bot": bot.__name__,
                "futures": found.n,
                "cut off": found.n_broken_off,
                "MR, cut off dropped": fmean(whole),
                "MR": float(found),
            }
        )
    lead = rows[1]["MR"] - rows[0]["MR"]
    finish(rows, [judged("MR of the rambler, less the steady bot's", lead, at_most=0.0)], options.path)


if __name__ == "__main__":
    main()
