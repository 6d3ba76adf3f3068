"""How users at the desk speak. One set of phrasings is kept for evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from collab_order_desk.speech import listed
from collab_order_desk.world import NAMES, Order


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrasings:
    """`requests` hold the order, as `prose` or as a list of its parts; the others hold what the user has to say."""

    requests: tuple[str, ...]
    prose: bool
    answers: tuple[str, ...]
    corrections: tuple[str, ...]


TRAINED: Mapping[str, Phrasings] = {
    "plain": Phrasings(
        requests=("can i get {} ?", "i would like {} please", "could i have {} ?"),
        prose=True,
        answers=("{} please", "{}"),
        corrections=("no , that is not what i wanted , i would like {} please", "not quite , i would like {} please"),
    ),
    "curt": Phrasings(
        requests=("{}", "{} please", "hi , {}"),
        prose=False,
        answers=("{}", "{} thanks"),
        corrections=("no no , that is wrong , {}", "{} , not that , that is wrong"),
    ),
}
UNSEEN: Mapping[str, Phrasings] = {
    "chatty": Phrasings(
        requests=("hello there , {} for me please", "i want {} today"),
        prose=True,
        answers=("let me have {}", "i like {}"),
        corrections=("sorry , i wanted {} , that is not quite what i like", "that is wrong , i want {} please"),
    )
}
PHRASINGS = {**TRAINED, **UNSEEN}
VAGUE = ("no , that is not what i wanted", "not quite , that is wrong")
REMINDERS = ("i said {}", "{} , i said that")
THANKS = ("thanks",)
ACCEPTANCES = ("okay thanks", "okay")
FAREWELLS = ("never mind , i will go somewhere else", "forget it , this takes too long")
WHAT = ("what ?", "sorry , what ?")


def opening(order: Order, named: Sequence[str], phrasings: Phrasings, random: Random) -> str:
    """The first message of a user who names these slots of their order, and thereby settles nothing else."""
    said = {name: order[name] for name in NAMES if name in named}
    return random.choice(phrasings.requests).format(_prose(said) if phrasings.prose else _list(said, random))


def spoken(order: Order, slots: Sequence[str]) -> str:
    return listed(_part(name, order[name]) for name in slots)


def _prose(said: Order) -> str:
    noun = " ".join(["a", *([said["size"]] if "size" in said else []), said.get("drink", "coffee")])
    extras = " and ".join(_part(name, said[name]) for name in ("milk", "syrup") if name in said)
    service = _part("service", said["service"]) if "service" in said else ""
    return " ".join(filter(None, [noun, extras and f"with {extras}", service]))


def _list(said: Order, random: Random) -> str:
    parts = [_part(name, value) for name, value in said.items()]
    random.shuffle(parts)
    return listed(parts) if "drink" in said else listed(["coffee", *parts])


def _part(name: str, value: str) -> str:
    if name == "milk":
        return f"{value} milk"
    return "for here" if value == "here" else value
