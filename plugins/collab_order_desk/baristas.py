"""How baristas speak: those of the scripted policies and those whom models learn from."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from collab_order_desk.speech import write_order, write_question
from collab_order_desk.world import NAMES, Order


@dataclass(frozen=True, kw_only=True, slots=True)
class Barista:
    """Writes orders, and questions about at least one slot."""

    order: Callable[[Order, Random], str]
    question: Callable[[Collection[str], Random], str]


TERSE = Barista(order=lambda order, random: write_order(order), question=lambda slots, random: write_question(slots))
"""In the desk's own few words."""
_ORDERS = (
    "Sure, that's one {}, {}.",
    "Got it: one {}, {}.",
    "Okay, one {}, {}. Coming right up!",
    "Of course. One {}, {}.",
    "Perfect! I'll get your {}, {}.",
    "Great, so that's a {}, {}.",
    "Thank you! One {}, {}, is on its way.",
    "One {}, {}, coming up!",
)
_NOUNS = (
    "{size} {drink} with {milk} milk and {syrup} syrup",
    "{size} {drink} with {syrup} syrup and {milk} milk",
    "{size} {milk} milk {drink} with {syrup} syrup",
    "{size} {syrup} {drink} with {milk} milk",
)
_SERVICE = {"here": ("for here", "for here", "to drink here"), "to go": ("to go", "to go", "to take away")}
_ALONE = {
    "drink": ("What would you like to drink?", "Which drink can I get you?"),
    "size": ("What size would you like?", "Which size, please?", "Would you like that small, medium or large?"),
    "milk": ("Which milk would you like?", "What kind of milk would you like?"),
    "syrup": ("Which syrup would you like?", "And what syrup can I add?"),
    "service": ("Is that for here or to go?", "For here or to go?", "Will you drink it here or take it away?"),
}
_TOGETHER = ("What {} would you like?", "Which {} can I get you?", "Could you tell me which {} you'd like?")
_BEFORE_A_QUESTION = ("", "", "Sure! ", "Happy to help. ", "Of course! ")


def _order(order: Order, random: Random) -> str:
    noun = random.choice(_NOUNS).format(**order)
    return random.choice(_ORDERS).format(noun, random.choice(_SERVICE[order["service"]]))


def _question(slots: Collection[str], random: Random) -> str:
    asked = [name for name in NAMES if name in slots]
    before, things = random.choice(_BEFORE_A_QUESTION), [name for name in asked if name != "service"]
    if len(things) < 2 or random.random() < 0.3:
        return before + " ".join(random.choice(_ALONE[name]) for name in asked)
    *first, last = things
    question = random.choice(_TOGETHER).format(f"{', '.join(first)} and {last}")
    if "service" in slots:
        question = random.choice(
            (f"{question[:-1]}, and is that for here or to go?", f"{question} And for here or to go?")
        )
    return before + question


NATURAL = Barista(order=_order, question=_question)
"""In natural sentences."""
DESK_PROMPT = (
    "You take orders at a coffee bar. An order has a drink (latte, mocha, cappuccino, americano, espresso, macchiato, "
    "cortado or chai), a size (small, medium or large), a milk (whole, skim, oat, soy or almond), a syrup (vanilla, "
    "hazelnut, caramel, chocolate or honey), and is for here or to go. Reply in one or two sentences: repeat the whole "
    "order, or ask for what is missing."
)
"""What a model is told that was never taught the desk's trade."""
