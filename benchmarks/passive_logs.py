"""Do goals read from the logs of a bot that never asks say the same of a question and a guess as the true goals do?

    python benchmarks/passive_logs.py [--chats 100] [--shops ...] [--show 3] [--json out.json]

Customers with known orders meet a bot that takes every order at once and guesses what was not said: the order desk of
`collab_order_desk`, and shops with other menus and other ways to speak. The orders are taken out of the logs, and the
stand-in's goal reader infers them again, once from the chats alone and once from chats whose system prompt names what
there is. At every turn the bot's guess is ranked against the question for all that was unsaid by then, or, where
nothing was, a question without use. The reward is the desk's: 1/2 success + 1/2 right slots - min(0.01 tokens, 1),
window 2, three futures, played by the shop's own rules. A turn agrees if the same of the two wins by the inferred goals
as by the true one. `asked for alone` is what goals say that hold only what the user said: by them nothing is open, and
the guess wins.

Whoever plays here is a rule, and so is the goal reader: the figures say that the method holds, not how well a language
model reads your logs. The reader was written with the order desk in view and corrected for the next three shops;
flowers, print shop and hair salon came last, and no later correction moved their figures.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from passive_menus import SHOPS
from passive_shops import Order, Shop
from table import finish, judged

from collab_sdk import Conversation, Engine, Evidence, Goal, Message, MRScorer, Rollout, Simulator, TokenPenalty
from collab_sdk.concurrency import run_sync
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import Turn

TARGET = 90.0


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Whether the question beat the guess at one turn, by the true goal, by those read, by what was asked for."""

    turn: Turn
    missing: Sequence[str]
    goals: Sequence[Goal]
    true: bool
    inferred: bool
    asked_for: bool


def scorer_of(shop: Shop, goals_per_turn: int | None) -> MRScorer:
    def success(evidence: Evidence) -> float:
        return float(rights(evidence) == 1)

    def rights(evidence: Evidence) -> float:
        orders = [message.content for message in evidence.messages if message.role == "assistant"]
        last = next((shop.read(text) for text in reversed(orders) if not text.endswith("?")), {})
        wanted = shop.read(evidence.goal.text)
        return fmean(last.get(name) == value for name, value in wanted.items()) if wanted else float(bool(last))

    def bot(messages: Sequence[Mapping[str, Any]]) -> str:
        return shop.guess([Message(role=each["role"], content=each["content"]) for each in messages])

    engine = Engine(limits=Limits(concurrency=256))
    rollout = Rollout(assistant=bot, simulator=Simulator(FakeChatModel(shop.customer), engine=engine), tools="none")
    metrics: Mapping[Any, float] = {success: 0.5, rights: 0.5, TokenPenalty(rate=0.01): 1.0}
    return MRScorer(rollout, metrics=metrics, judge="offline", goals_per_turn=goals_per_turn)


async def rank_all(
    shop: Shop, chats: Sequence[tuple[Order, Conversation]], *, with_menu: bool, goals_per_turn: int | None
) -> list[Ranked]:
    scorer = scorer_of(shop, goals_per_turn)

    async def rank(order: Order, log: Conversation) -> list[Ranked]:
        if with_menu:
            log = Conversation(id=log.id, messages=(Message(role="system", content=shop.menu), *log.messages))
        read, true = await scorer.goals.aread(log), Goal(text="\n".join(f"{key}: {order[key]}" for key in order))
        found = []
        for turn in log.turns():
            goals = await scorer.agoals(turn, read, log.id)
            responses = [turn.text, shop.question(turn.history)]
            won = []
            for each in (true, goals, Goal(text=read.text)):
                best, worst = await scorer.arank(turn.history, responses, goal=each)
                won.append(best.value != worst.value and best.text == responses[1])
            missing = shop.missing(turn.history)
            found.append(
                Ranked(turn=turn, missing=missing, goals=goals, true=won[0], inferred=won[1], asked_for=won[2])
            )
        return found

    ranked = await asyncio.gather(*(rank(order, log) for order, log in chats))
    return [each for turns in ranked for each in turns]


def row_of(shop: Shop, ranked: Sequence[Ranked], *, with_menu: bool) -> dict[str, Any]:
    open_turns = [each for each in ranked if each.missing]
    return {
        "shop": shop.name,
        "menu": "in the prompt" if with_menu else "in no prompt",
        "turns": len(ranked),
        "open": len(open_turns),
        "question wins, true goal %": 100 * fmean(each.true for each in ranked),
        "goals read %": 100 * fmean(each.inferred for each in ranked),
        "asked for alone %": 100 * fmean(each.asked_for for each in ranked),
        "agree, goals read %": 100 * fmean(each.true == each.inferred for each in ranked),
        "at open turns %": 100 * fmean(each.true == each.inferred for each in open_turns),
        "agree, asked for alone %": 100 * fmean(each.true == each.asked_for for each in ranked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=100, help="of each shop")
    parser.add_argument("--shops", nargs="+", choices=[shop.name for shop in SHOPS], help="these alone")
    parser.add_argument("--goals-per-turn", type=int)
    parser.add_argument("--show", type=int, default=0, help="so many turns of each shop that do not agree")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    started, rows = time.perf_counter(), []
    for shop in SHOPS:
        if options.shops and shop.name not in options.shops:
            continue
        chats = shop.chats(options.chats)
        for with_menu in (True, False):
            ranked = run_sync(rank_all(shop, chats, with_menu=with_menu, goals_per_turn=options.goals_per_turn))
            rows.append(row_of(shop, ranked, with_menu=with_menu))
            for each in [each for each in ranked if each.true != each.inferred][: options.show]:
                show(each)
    verdicts = [
        judged(f"{row['shop']}, menu {row['menu']}: agree %", row["agree, goals read %"], at_least=TARGET)
        for row in rows
    ]
    finish(rows, verdicts, options.path, chats=options.chats, seconds=time.perf_counter() - started)


def show(ranked: Ranked) -> None:
    print(f"\nthe {'question' if ranked.true else 'guess'} wins by the true goal; unsaid: {', '.join(ranked.missing)}")
    for message in (*ranked.turn.history, *ranked.turn.response, *ranked.turn.rest):
        print(f"    {message.role}: {message.content}")
    for goal in ranked.goals:
        print(f"  goal: {' | '.join(goal.text.splitlines())}")


if __name__ == "__main__":
    main()
