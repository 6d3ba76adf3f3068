"""How users at the desk speak. Some phrasings are kept for evaluation."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from collab_order_desk.natural import NATURAL
from collab_order_desk.speech import listed
from collab_order_desk.wording import Phrasings
from collab_order_desk.world import Order

VAGUE = ("no , that is not what i wanted", "not quite , that is wrong")
ACCEPTANCES = ("okay thanks", "okay")
FAREWELLS = ("never mind , i will go somewhere else", "forget it , this takes too long")
WHAT = ("what ?", "sorry , what ?")


def _prose(said: Order, random: Random) -> Sequence[str]:
    noun = " ".join(["a", *([said["size"]] if "size" in said else []), said.get("drink", "coffee")])
    extras = " and ".join(_part(name, said[name]) for name in ("milk", "syrup") if name in said)
    service = _part("service", said["service"]) if "service" in said else ""
    return [" ".join(filter(None, [noun, extras and f"with {extras}", service]))]


def _list(said: Order, random: Random) -> Sequence[str]:
    parts = [_part(name, value) for name, value in said.items()]
    random.shuffle(parts)
    return [listed(parts) if "drink" in said else listed(["coffee", *parts])]


def _spoken(said: Order, random: Random) -> str:
    return listed(_part(name, value) for name, value in said.items())


def _part(name: str, value: str) -> str:
    if name == "milk":
        return f"{value} milk"
    return "for here" if value == "here" else value


def _few_words(
    *, requests: Sequence[str], phrased: Callable[..., Any], answers: Sequence[str], corrections: Sequence[str]
) -> Phrasings:
    return Phrasings(
        requests=requests,
        phrased=phrased,
        answers=answers,
        corrections=corrections,
        spoken=_spoken,
        vague=VAGUE,
        reminders=("i said {}", "{} , i said that"),
        thanks=("thanks",),
        acceptances=ACCEPTANCES,
        farewells=FAREWELLS,
        what=WHAT,
    )


TRAINED: Mapping[str, Phrasings] = {
    "plain": _few_words(
        requests=("can i get {} ?", "i would like {} please", "could i have {} ?"),
        phrased=_prose,
        answers=("{} please", "{}"),
        corrections=("no , that is not what i wanted , i would like {} please", "not quite , i would like {} please"),
    ),
    "curt": _few_words(
        requests=("{}", "{} please", "hi , {}"),
        phrased=_list,
        answers=("{}", "{} thanks"),
        corrections=("no no , that is wrong , {}", "{} , not that , that is wrong"),
    ),
}
UNSEEN: Mapping[str, Phrasings] = {
    "chatty": _few_words(
        requests=("hello there , {} for me please", "i want {} today"),
        phrased=_prose,
        answers=("let me have {}", "i like {}"),
        corrections=("sorry , i wanted {} , that is not quite what i like", "that is wrong , i want {} please"),
    )
}
PHRASINGS: Mapping[str, Phrasings] = {**TRAINED, **UNSEEN, **NATURAL}
