"""Whether `check-sim` tells users apart that are known, and how often its intervals hold.

    python benchmarks/conditional.py CHATS [--draws 3] [--halves 20] [--worlds 0] [--chats 100] [--json out.json]

Users: at every place of the real chats where the user had the word, a known one plays. `retrieved` is the seat
`logs:CHATS`, which says what the user of another chat said in a similar situation; `random` says what a user said
somewhere in another chat, `parrot` what the assistant has just said; `offline` is the stand-in, which follows the goal.
`real` are the real users, of whom one half is compared with the other, as the command prints them. The row of `random`
is of its first draw, the verdicts are of all.

Halves: real users against real users, over random halves of the chats, each with folds of its own. Both AUC are 0.5.

Worlds: invented chats, as many as one likes. The user of each draw answers as real ones do there, or with some chance
what they would say to another question, and with some chance formally. What is true of a figure is its mean over all
draws; coverage is the share of draws whose interval holds that.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from table import Row, finish, judged, show

from collab_sdk import Conversation, Goal, MRScorer, Rollout, Simulator, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.fidelity import (
    CheckedConversation,
    ComparedTurn,
    SimulatorCheck,
    UserStatistic,
    user_statistics,
    user_turns,
)
from collab_sdk.fidelity.conditional import Reply, compared_fit, fit_scores
from collab_sdk.fidelity.telling_apart import two_sample_test
from collab_sdk.messages import as_messages
from collab_sdk.stats import Estimate

ORDER = ("real", "retrieved", "random", "parrot")
LEAST = 0.93
"""Coverage; 0.95 is meant."""
MARGINAL, FITS, INDEX = "told apart, AUC", "fits, AUC", "index"
CEILING, LESS = "index of real halves", "index, difference"
User = Callable[..., Any]
"""Of the messages and the sample, which names the chat and the turn."""


def checked(user: User | str, conversations: Sequence[Conversation]) -> list[CheckedConversation]:
    rollout = Rollout(assistant="offline", simulator=Simulator(user), window=0)
    check = SimulatorCheck(MRScorer(rollout, judge="offline", metrics={"goal": 1.0}))

    async def every() -> list[CheckedConversation]:
        return [outcome.value async for outcome in check.acheck_all(conversations) if outcome.value]

    return run_sync(every())


def statistics_of(user: User | str, conversations: Sequence[Conversation]) -> dict[str, UserStatistic]:
    return {each.name: each for each in user_statistics(checked(user, conversations))}


def places_of(conversations: Sequence[Conversation]) -> dict[str, ComparedTurn]:
    return {
        f"{turn.conversation_id}/user-turn-{turn.turn}": turn
        for chat in conversations
        for turn in user_turns(chat, chat.goal or Goal(text=""))
    }


def known_users(path: str, conversations: Sequence[Conversation], *, seed: int) -> dict[str, User | str]:
    places = places_of(conversations)

    async def at_random(messages: Any, sample: str) -> str:
        own = places[sample].conversation_id
        texts = [turn.real for turn in places.values() if turn.real and turn.conversation_id != own]
        return random.Random(f"{seed} {sample}").choice(texts)

    async def parrot(messages: Any) -> str:
        return str(messages[-1]["content"])

    return {"retrieved": f"logs:{path}", "random": at_random, "parrot": parrot, "offline": "offline"}


def compare_users(path: str, conversations: Sequence[Conversation], draws: int) -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    found = defaultdict[str, list[dict[str, UserStatistic]]](list)
    for seed in range(draws):
        for name, user in known_users(path, conversations, seed=seed).items():
            if seed and name != "random":
                continue
            began = time.process_time()
            found[name].append(statistics_of(user, conversations))
            if not seed:
                rows.append(_user_row(name, found[name][0], time.process_time() - began))
    some = found["parrot"][0]
    rows.insert(0, _user_row("real", some, 0.0, is_real=True))
    means = {name: fmean(each[INDEX].simulated.mean for each in found[name]) for name in ORDER[1:]}
    means["real"] = some[INDEX].real or 0.0
    verdicts = [
        judged(f"index: {one} less {other}", means[one] - means[other], at_least=1.0) for one, other in pairwise(ORDER)
    ]
    fits = {name: [each[FITS].simulated for each in found[name]] for name in ("retrieved", "random")}
    gap = fmean(each.mean for each in fits["random"]) - fmean(each.mean for each in fits["retrieved"])
    verdicts += [
        judged("fits: random less retrieved", gap, at_least=0.05),
        judged("fits: lowest end of random's", min(each.low or 0.0 for each in fits["random"]), at_least=0.5),
        judged("told apart: parrot", some[MARGINAL].simulated.low or 0.0, at_least=0.5),
    ]
    return rows, verdicts


def _user_row(name: str, found: Mapping[str, UserStatistic], seconds: float, *, is_real: bool = False) -> Row:
    def shown(figure: str, form: str) -> str:
        one = found[figure]
        return f"{(one.ceiling or one.real) if is_real else one.simulated:{form}}"

    parts = [part for part, each in found.items() if each.part_of == INDEX]
    return {
        "user": name,
        **{figure: shown(figure, ".2f") for figure in (MARGINAL, FITS)},
        "echo": f"{found['echo'].real if is_real else found['echo'].simulated.mean:.2f}",
        INDEX: shown(INDEX, ".1f"),
        **{f"- {part}": f"{found[part].real if is_real else found[part].simulated.mean:.0f}" for part in parts},
        "s": seconds,
    }


def compare_halves(conversations: Sequence[Conversation], halves: int) -> tuple[list[Row], list[Row]]:
    turns = defaultdict[str, list[ComparedTurn]](list)
    for turn in places_of(conversations).values():
        if turn.real:
            turns[turn.conversation_id].append(turn)
    found: dict[str, list[Estimate]] = {MARGINAL: [], FITS: []}
    for seed in range(halves):
        names = sorted(turns)
        random.Random(seed).shuffle(names)
        sides = names[: len(names) // 2], names[len(names) // 2 :]
        pairs = [
            (one, [(mine.real, its.real) for mine, its in zip(turns[one], turns[other], strict=False)])
            for one, other in zip(*sides, strict=False)
        ]
        if (marginal := two_sample_test(pairs)) is not None:
            found[MARGINAL].append(marginal[0])
        replies = [
            Reply(conversation_id=name, asked=turn.history[-1].content, own=turn.earlier[-1], text=turn.real)
            for name in names
            for turn in turns[name]
        ]
        scores = defaultdict[str, list[float]](list)
        for reply, score in zip(replies, fit_scores(replies, replies), strict=True):
            scores[reply.conversation_id].append(score)
        found[FITS].append(compared_fit(*({name: scores[name] for name in side} for side in sides)))
    rows, verdicts = [], []
    for name, estimates in found.items():
        row = _coverage_row("halves", len(turns), name, estimates, truth=0.5)
        rows.append(row)
        # Of that many draws, with the standard error that they leave.
        error = (0.95 * 0.05 / halves) ** 0.5
        verdicts.append(judged(f"{name}: coverage", row["coverage"], at_least=LEAST - 2 * error))
        off = abs(row["mean"] - 0.5)
        verdicts.append(judged(f"{name}: mean above .5 or below", off, at_most=0.02 + 2 * row["sd"] / halves**0.5))
    return rows, verdicts


def _coverage_row(
    what: str, chats: int, name: str, estimates: Sequence[Estimate], *, truth: float | None = None
) -> Row:
    means = [each.mean for each in estimates]
    truth = fmean(means) if truth is None else truth
    held = [each.low <= truth <= each.high for each in estimates if each.low is not None and each.high is not None]
    return {
        "what": what,
        "chats": chats,
        "figure": name,
        "draws": len(held),
        "mean": fmean(means),
        "sd": stdev(means),
        "half width": fmean(
            (each.high - each.low) / 2 for each in estimates if each.low is not None and each.high is not None
        ),
        "coverage": fmean(held),
    }


QUESTIONS: Mapping[str, Sequence[str]] = {
    "Which milk would you like?": ("oat", "soy please", "whole milk", "oat milk", "any is fine"),
    "What size should it be?": ("large", "a small one", "medium", "the big one", "small please"),
    "For here or to go?": ("to go", "for here", "here please", "take away", "to go please"),
    "Is this order correct?": ("yes", "yes it is", "looks right", "no, I said decaf", "correct"),
    "Anything else with that?": ("no thanks", "a muffin", "that's all", "what pastries do you have?", "nope"),
}
FORMAL = "I would very much like the following: "


def world(rng: random.Random, chats: int) -> list[Conversation]:
    made = []
    for number in range(chats):
        is_loud = rng.random() < 0.3
        opening = rng.choice(("a mocha", "one latte", "can I get a flat white?"))
        messages = [{"role": "user", "content": opening.upper() if is_loud else opening}]
        for asked in rng.sample(list(QUESTIONS), rng.randint(1, 4)):
            said = rng.choice(QUESTIONS[asked])
            messages += [
                {"role": "assistant", "content": asked},
                {"role": "user", "content": said.upper() if is_loud else said},
            ]
        made.append(Conversation(id=f"chat-{number}", messages=as_messages(messages), goal=Goal(text="drink: mocha")))
    return made


def invented_user(rng: random.Random, *, deaf: float, formal: float) -> User:
    async def says(messages: Any) -> str:
        asked = str(messages[-1]["content"])
        if rng.random() < deaf:
            asked = rng.choice([other for other in QUESTIONS if other != asked])
        said = rng.choice(QUESTIONS[asked])
        said = said.upper() if str(messages[0]["content"]).isupper() else said
        return FORMAL + said if rng.random() < formal else said

    return says


WORLDS = {"listens": (0.0, 0.0), "half deaf": (0.5, 0.0), "half formal": (0.0, 0.5), "both": (0.4, 0.3)}


def compare_worlds(worlds: int, chats: int) -> tuple[list[Row], list[Row]]:
    rows, verdicts = [], []
    for name, (deaf, formal) in WORLDS.items():
        found = defaultdict[str, list[Estimate]](list)
        for seed in range(worlds):
            rng = random.Random(f"{name} {seed}")
            statistics = statistics_of(invented_user(rng, deaf=deaf, formal=formal), world(rng, chats))
            for figure in (MARGINAL, FITS, INDEX):
                found[figure].append(statistics[figure].simulated)
            if (ceiling := statistics[INDEX].ceiling) is not None:
                found[CEILING].append(ceiling)
            if (less := statistics[INDEX].difference) is not None:
                found[LESS].append(less)
        rows += [_coverage_row(name, chats, figure, estimates) for figure, estimates in found.items()]
    error = (0.95 * 0.05 / (worlds * len(WORLDS))) ** 0.5
    for figure in (MARGINAL, FITS, INDEX, CEILING, LESS):
        coverage = fmean(row["coverage"] for row in rows if row["figure"] == figure)
        verdicts.append(judged(f"{figure}: coverage in worlds", coverage, at_least=LEAST - 2 * error))
    return rows, verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chats", help="two-person chats, or such as coffee_chats.jsonl of Taskmaster-4")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--halves", type=int, default=20)
    parser.add_argument("--worlds", type=int, default=0)
    parser.add_argument("--invented", type=int, default=100, help="chats of a world")
    parser.add_argument("--json")
    options = parser.parse_args()
    conversations = list(read_conversations([options.chats]))
    users, verdicts = compare_users(options.chats, conversations, options.draws)
    show(users)
    print()
    rows, more = compare_halves(conversations, options.halves) if options.halves > 1 else ([], [])
    verdicts += more
    if options.worlds > 1:
        of_worlds, more = compare_worlds(options.worlds, options.invented)
        rows, verdicts = rows + of_worlds, verdicts + more
    finish(rows or users, verdicts, options.json, users=users)


if __name__ == "__main__":
    main()
