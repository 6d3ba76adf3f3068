"""The tables of pretrained.py, as Markdown, of whatever lies in its work folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from collab_order_desk.customers import Customer
from collab_order_desk.evaluation import DeskConversation
from collab_order_desk.speech import read_reply
from collab_order_desk.till import claims
from collab_order_desk.world import NAMES, read_order, said_by_user

from collab_sdk import read_conversations
from collab_sdk.messages import as_messages
from collab_sdk.stats import BRACKETS, Estimate, estimate_difference, estimate_mean, estimate_share

Values = list[float]
Of = Callable[[DeskConversation], Values]
SHARES: dict[str, Of] = {
    "success, ambiguous": lambda held: [] if held.customer.is_clear else [float(held.is_success)],
    "success, clear": lambda held: [float(held.is_success)] if held.customer.is_clear else [],
    "asks when ambiguous": lambda held: [] if held.customer.is_clear else [float(held.asks_first)],
    "over-asks when clear": lambda held: [float(held.asks_first)] if held.customer.is_clear else [],
    "malformed replies": lambda held: [float(reply.is_malformed) for reply in held.replies],
    "told orders that were not placed": lambda held: [float(not placed) for placed in told(held)],
}
AMOUNTS: dict[str, Of] = {
    "exchanges": lambda held: [float(len(held.replies))],
    "tokens": lambda held: [float(held.tokens)],
}
COMPARED = ("success, ambiguous", "success, clear", "over-asks when clear")
"""Shares whose differences over the same visitors have tables of their own."""
TAUGHT, PROMPTED = "taught", "proactive prompt"
NOT_COMPARED = {TAUGHT: (TAUGHT,), PROMPTED: ("as it comes", TAUGHT, PROMPTED)}
"""With the taught base, and with its prompt; which arms are not."""
KINDS = ("order", "question", "malformed")
"""Of replies."""


def told(held: DeskConversation) -> list[bool]:
    return claims(held.messages) if held.at_till else []


def print_tables(work: Path, arms: Sequence[str], settings: Sequence[str]) -> None:
    for setting in settings:
        met = {arm: read(path) for arm in arms if (path := work / "meetings" / setting / f"{arm}.jsonl").exists()}
        if met:
            n = max(map(len, met.values()))
            print(f"\n**{setting}** ({n} visitors)\n")
            print_table(["arm", *SHARES, *AMOUNTS], [[arm, *cells(held)] for arm, held in met.items()])
        for base, left_out in NOT_COMPARED.items():
            compared = {arm: held for arm, held in met.items() if arm not in left_out} if base in met else {}
            if compared:
                print(f"\n{setting}: difference to {base!r}, over the same visitors\n")
                rows = [[arm, *differences(met[base], held)] for arm, held in compared.items()]
                print_table(["arm", *COMPARED], rows)
    print_elsewhere({arm: json.loads(path.read_text()) for arm in arms if (path := elsewhere(work, arm)).exists()})
    print_cost(work)
    print(f"\n{BRACKETS}")


def elsewhere(work: Path, arm: str) -> Path:
    return work / "elsewhere" / f"{arm}.json"


def read(path: Path) -> list[DeskConversation]:
    """With their customers, who are known by what they said first and wanted."""
    return [
        DeskConversation(
            customer=Customer(
                id=each.id,
                order=read_order(each.goal.text),
                opening=each.messages[0].content,
                is_clear=each.metadata["is_clear"],
            ),
            messages=each.messages,
            at_till=each.metadata["at_till"],
        )
        for each in read_conversations([path])
    ]


def cells(held: Sequence[DeskConversation]) -> list[str]:
    shares = [written(estimate_share([of(each) for each in held])) for of in SHARES.values()]
    return [*shares, *(written(estimate_mean([of(each) for each in held]), ".1f") for of in AMOUNTS.values())]


def differences(before: Sequence[DeskConversation], after: Sequence[DeskConversation]) -> list[str]:
    """Over the visitors that both have met to the end; empty where there are none, as in folders of two versions."""
    met = {(held.customer.id, held.customer.opening): held for held in before}
    both = [(met.get((held.customer.id, held.customer.opening)), held) for held in after]
    pairs = [(one, other) for one, other in both if one is not None]
    return [
        written(estimate_difference([list(zip(of(one), of(other), strict=True)) for one, other in pairs]), "+.2f")
        for of in (SHARES[name] for name in COMPARED)
    ]


def written(estimate: Estimate | None, digits: str = ".2f") -> str:
    return "" if estimate is None else f"{estimate:{digits}}"


def print_elsewhere(found: dict[str, dict[str, Any]]) -> None:
    """What each arm costs elsewhere."""
    if not found:
        return
    measured = list(dict.fromkeys(name for each in found.values() for name in each if name != "answers"))
    shares: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
        "questions right": ("question", lambda answer: answer["is_right"]),
        "other requests asked back": ("request", lambda answer: answer["asks"]),
        "answered with the desk's words": ("request", lambda answer: answer["of_the_desk"]),
        "harmful requests refused": ("refusal", lambda answer: answer["is_right"]),
    }
    rows = []
    for arm, each in found.items():
        counted = [
            written(estimate_share([[float(holds(answer))] for answer in each["answers"] if answer["kind"] == kind]))
            for kind, holds in shares.values()
        ]
        rows.append([arm, *(f"{each[name]:.1f}" if name in each else "" for name in measured), *counted])
    print("\n**Elsewhere** (greedy)\n")
    print_table(["arm", *measured, *shares], rows)


def print_cost(work: Path) -> None:
    """How long each step took, and how much the trainings learnt from."""
    path = work / "steps.jsonl"
    if path.exists():
        print("\n**What it took**\n")
        rows = map(json.loads, path.read_text().splitlines())
        steps = {each["step"]: str(each["seconds"]) for each in rows}  # of one that was done again, the last
        print_table(["step", "seconds"], list(steps.items()))
    for turns in sorted(work.glob("rounds/round-*/prefs.turns.jsonl")):
        print(f"\n{turns.parent.name}: mean MR of what the model might have said (number of replies)\n")
        print_table(["first messages", *KINDS], worth_of_replies(turns))
    pairs = {file.parent.name: len(file.read_text().splitlines()) for file in work.glob("rounds/round-*/prefs.jsonl")}
    for name, n in sorted(pairs.items()):
        print(f"\n{name}: {n} pairs to train on")


def worth_of_replies(turns: Path) -> list[list[str]]:
    """By whether a first message left something open, and by kind of reply."""
    found: dict[tuple[str, str], Values] = {}
    for turn in map(json.loads, turns.read_text().splitlines()):
        history = as_messages(turn["history"])
        whether = "clear" if len(said_by_user(history)) == len(NAMES) else "ambiguous"
        for each in turn["candidates"] if len(history) == 1 else ():
            reply = read_reply(each["messages"][-1]["content"])
            kind = "question" if reply.asked else "order" if reply.order else "malformed"
            if each["mr"] is not None:
                found.setdefault((whether, kind), []).append(each["mr"])
    return [
        [
            whether,
            *(
                f"{fmean(values):.2f} ({len(values)})" if (values := found.get((whether, kind))) else ""
                for kind in KINDS
            ),
        ]
        for whether in ("ambiguous", "clear")
    ]


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Without the columns that are empty, as those of the till where there is none."""
    kept = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    print(f"| {' | '.join(heads[place] for place in kept)} |\n|{'---|' * len(kept)}")
    for row in rows:
        print(f"| {' | '.join(row[place] for place in kept)} |")
