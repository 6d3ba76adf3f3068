"""The job that benchmarks measure: preference pairs from logged chats, every call to a loopback endpoint.

    python benchmarks/job.py API_BASE [--chats 16] [--concurrency 256] [--cache DIR] [--grow]

Prints JSON: seconds and CPU seconds of the job itself, the imports at the top left out. A chat has 4 assistant turns; a
turn has 3 candidates (the logged one and two fresh), 3 futures each, window 2, and a judge call a future, the observed
one too: 48 calls. `--grow` does the same work as collabllm does: no logs, 3 fresh candidates, each turn goes on from
the best of the last.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path

from collab_sdk import (
    ChatModel,
    Conversation,
    Engine,
    Goal,
    Message,
    MRScorer,
    PreferenceExporter,
    Rollout,
    Simulator,
    as_chat_model,
)
from collab_sdk.concurrency import all_settled
from collab_sdk.spec import Limits

TOPICS = "a speech for my sister's wedding|a week in Lisbon with two children|a cover letter for a lab job".split("|")
GOAL = "topic: {topic}\nlength: about 400 words\ntone: warm, not formal\nmust have: a concrete first step\nnumber: {n}"


def goal_of(n: int) -> str:
    return GOAL.format(topic=TOPICS[n % len(TOPICS)], n=n)


def chats(n: int, *, turns: int = 4) -> list[Conversation]:
    """Logged chats, all different."""
    return [
        Conversation(
            id=f"chat-{number}",
            messages=tuple(
                message
                for turn in range(turns)
                for message in (
                    Message(role="user", content=f"I need help, part {turn} of {number}. {TOPICS[turn % 3]}, please."),
                    Message(
                        role="assistant", content=f"Here is a draft of part {turn} for {number}. " + "Words. " * 30
                    ),
                )
            ),
            goal=Goal(text=goal_of(number)),
        )
        for number in range(n)
    ]


def scorer_of(model: ChatModel, engine: Engine) -> MRScorer:
    rollout = Rollout(assistant=model, simulator=Simulator(model, engine=engine), window=2, samples=3)
    return MRScorer(rollout, metrics={"interactivity": 1.0})


async def export(scorer: MRScorer, conversations: list[Conversation]) -> int:
    """Returns how many samples failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = await PreferenceExporter(scorer, candidates=3, fixed_samples=True).aexport(
            conversations, Path(folder) / "p.jsonl"
        )
    return report.samples - report.samples_ok


async def grow(scorer: MRScorer, number: int, *, turns: int = 4) -> int:
    """One chat as collabllm makes it: its `synthetic.generate_multiturn_dataset` in our words."""
    goal, lost = Goal(text=goal_of(number)), 0
    opening = await scorer.rollout.simulator.areply([], goal=goal, sample=f"{number}")
    history = [Message(role="user", content=opening.message)]
    for turn in range(turns):
        place = f"{number}/{turn}"
        drawn = await all_settled(scorer.rollout.arespond(history, sample=f"{place}/{n}") for n in range(3))
        best, *others = await scorer.arank(history, drawn, goal=goal, conversation_id=place)
        lost += sum(score.n - score.n_ok for score in (best, *others))
        history += [*best.response, best.futures[-1].messages[0]]
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("api_base")
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--cache")
    parser.add_argument("--grow", action="store_true")
    options = parser.parse_args()

    model = as_chat_model("hosted_vllm/bench", api_base=options.api_base)
    scorer = scorer_of(model, Engine(cache=options.cache, limits=Limits(concurrency=options.concurrency)))

    async def work() -> int:
        if options.grow:
            return sum(await all_settled(grow(scorer, number) for number in range(options.chats)))
        return await export(scorer, chats(options.chats))

    started, cpu = time.perf_counter(), time.process_time()
    lost = asyncio.run(work())
    report = {
        "job_s": time.perf_counter() - started,
        "job_cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lost": lost,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
