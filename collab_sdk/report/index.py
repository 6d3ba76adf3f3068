"""A line for each conversation: what a list shows of it, sorts by and filters by, without opening it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from collab_sdk.report.fields import Row

SNIPPET = 140
"""Characters of what a conversation begins with."""
WORST, FILE = ("low", "Worst reply first (lowest {score})"), ("file", "In file order")
FALL, LOST = ("fall", "Largest fall of {score} first"), ("lost", "Most lost futures first")
ORDERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pairs": (WORST, ("unsure", "Least certain pair first"), ("margin", "Largest margin first"), FALL, LOST, FILE),
    "scores": (WORST, FALL, LOST, FILE),
    "evaluation": (("low", "Lowest reward first"), ("apart", "Furthest apart first"), FILE),
    "check": (FILE,),
}
"""By kind: the numbers that a list is sorted by, and what the choice says, with a place for what scores are called; the
first is chosen until another is."""


@dataclass(kw_only=True, slots=True)
class Index:
    """The lines so far, and how many conversations each filter leaves."""

    kind: str
    lines: list[Row] = field(default_factory=list)
    pairs: list[list[object]] = field(default_factory=list)
    """Of each pair: its id, the places of its conversation and turn, its margin and its confidence."""
    tags: Counter[str] = field(default_factory=Counter)
    _keys: Counter[str] = field(default_factory=Counter)

    def add(self, chat: Row, *, block: int) -> None:
        self._keys[chat["id"]] += 1
        repeated = self._keys[chat["id"]]
        chat["key"] = chat["id"] if repeated == 1 else f"{chat['id']}~{repeated}"
        line = {"key": chat["key"], "id": chat["id"], "block": block, "title": _title(chat)}
        line |= {"pairs": self._line_of_turns, "scores": self._line_of_turns}.get(self.kind, self._line_of_plays)(chat)
        self.tags.update(line["tags"])
        self.lines.append(line)

    def to_dict(self) -> Row:
        return {"lines": self.lines, "pairs": self.pairs}

    def _line_of_turns(self, chat: Row) -> Row:
        tags: dict[str, None] = {}
        curve: list[float | None] = []
        sizes: list[float] = []
        sureness: list[float] = []
        for place, turn in enumerate(chat["turns"]):
            response = shown_candidate(turn)
            curve.append(response["mr"] if response else None)
            tags |= dict.fromkeys(_tags(turn))
            if turn["pair"]:
                pair = turn["pair"]
                self.pairs.append([pair["id"], len(self.lines), place, pair["margin"], pair["confidence"]])
                sizes.append(pair["margin"] or 0.0)
                sureness += [] if pair["confidence"] is None else [pair["confidence"]]
        if self.kind == "pairs":
            tags.setdefault("pair" if sizes else "no pair")
        known = [mr for mr in curve if mr is not None]
        falls = [before - after for before, after in pairwise(known)]
        return {
            "turns": len(chat["turns"]),
            "unit": chat["per"],
            "curve": [None if mr is None else round(mr, 3) for mr in curve],
            "tags": list(tags),
            "fall": max(falls, default=None),
            "low": min(known, default=None),
            "lost": sum(candidate["lost"] for turn in chat["turns"] for candidate in turn["candidates"]) or None,
            "margin": max(sizes, default=None),
            "unsure": min(sureness, default=None),
        }

    def _line_of_plays(self, chat: Row) -> Row:
        plays = chat.get("plays", [])
        rewards = [play["reward"] for play in plays if play["reward"] is not None]
        tags = ["failed"] if any(one["error"] for one in [*plays, *chat.get("users", [])]) else []
        if plays and chat["task"]:
            tags.append(f"task {chat['task']}")
        return {
            "turns": len(plays) or len(chat.get("users", [])),
            "unit": "bot" if plays else "turn",
            "curve": [],
            "tags": tags,
            "low": min(rewards, default=None),
            "apart": max(rewards) - min(rewards) if rewards else None,
        }


def shown_candidate(turn: Row) -> Row | None:
    """The response that was given, or else the best one."""
    logged = [one for one in turn["candidates"] if one["source"] == "logged"]
    scored = [one for one in turn["candidates"] if one["mr"] is not None]
    return next(iter([*logged, *sorted(scored, key=lambda one: -one["mr"]), *turn["candidates"]]), None)


def _tags(turn: Row) -> list[str]:
    tags = ["failed"] if turn["lost"] or any(_failed(candidate) for candidate in turn["candidates"]) else []
    if turn["refused"]:
        tags.append(f"refused: {turn['refused']}")
    if turn["held_out"] and turn["pair"]:
        tags.append("held out")
    if turn["review"]:
        tags.append(f"reviewed: {turn['review'].get('decision')}")
    return tags


def _failed(candidate: Row) -> bool:
    return bool(candidate["lost"]) or any(future["error"] for future in candidate["futures"])


def _title(chat: Row) -> str:
    said = next((message["content"] for message in chat.get("messages", []) if message["role"] == "user"), "")
    return " ".join(said[: 4 * SNIPPET].split())[:SNIPPET]
