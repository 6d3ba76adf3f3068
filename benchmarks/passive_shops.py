"""Shops with a bot that never asks, and customers with known orders, for `passive_logs.py`."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from collab_order_desk import POLICIES, customers
from collab_order_desk.evaluation import aevaluate
from collab_order_desk.world import SLOTS

from collab_sdk import ChatRequest, Conversation, Message
from collab_sdk.concurrency import run_sync
from collab_sdk.prompts import unfence_goal, unfence_transcript

PATIENCE = 2
"""Wrong orders, and useless questions, at which a customer leaves."""
Order = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How customers speak; `{}` is what they have to say."""

    requests: tuple[str, ...]
    answers: tuple[str, ...]
    corrections: tuple[str, ...]
    joiner: str
    content: tuple[str, ...] = ("thanks",)
    farewells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A menu, how the bot speaks of it, and how customers do.

    `said` is how a slot's value is spoken, `asked` how a question names the slot.
    """

    name: str
    slots: Mapping[str, tuple[str, ...]]
    confirms: str
    manner: Manner
    menu: str
    said: Mapping[str, str]
    asked: Mapping[str, str]
    what: str = ""
    """The noun of a request that names no value of the first slot."""

    @cached_property
    def _values(self) -> re.Pattern[str]:
        every = sorted((value for values in self.slots.values() for value in values), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?<!\bno )(?:{'|'.join(map(re.escape, every))})(?!\w)", re.IGNORECASE)

    def read(self, text: str) -> dict[str, str]:
        """The values that a text names, by slot."""
        slot_of = {value: name for name, values in self.slots.items() for value in values}
        return {slot_of[value.lower()]: value.lower() for value in self._values.findall(text)}

    def told(self, messages: Sequence[Message]) -> dict[str, str]:
        return self.read("\n".join(message.content for message in messages if message.role == "user"))

    def missing(self, messages: Sequence[Message]) -> list[str]:
        told = self.told(messages)
        return [name for name in self.slots if name not in told]

    def guess(self, messages: Sequence[Message]) -> str:
        """The bot that never asks: what was said, and anything for the rest."""
        spoken = "\0".join(message.content for message in messages if message.role != "system")
        draw = random.Random(spoken)
        order = {name: draw.choice(values) for name, values in self.slots.items()} | self.told(messages)
        return self.confirms.format(**{name: self.say(name, value) for name, value in order.items()})

    def question(self, messages: Sequence[Message]) -> str:
        """For all that is missing, or else one that is answered already."""
        names = self.missing(messages) or [random.Random(messages[-1].content).choice(list(self.slots))]
        return f"what {' , '.join(self.asked[name] for name in names)} ?"

    def say(self, name: str, value: str) -> str:
        return self.said.get(name, "{}").format("for here" if value == "here" else value)

    def speak(self, order: Order, names: Sequence[str]) -> str:
        return self.manner.joiner.join(self.say(name, order[name]) for name in names)

    def visit(self, wanted: Order, messages: Sequence[Message]) -> tuple[str, bool]:
        """What a customer says next, and whether they leave with it. What they do not want, they do not care about."""
        draw = random.Random("\0".join(message.content for message in messages))
        wrong, useless, said, last = 0, 0, set(self.told(messages[:1])), {}
        for message in messages:
            if message.role == "user":
                said |= set(self.told([message]))
            elif message.role == "assistant":
                asked = self._asked(message.content)
                last = {} if asked else self.read(message.content)
                wrong += not asked and any(last.get(name) != value for name, value in wanted.items())
                useless += bool(asked) and not asked & (set(wanted) - said)
        manner = self.manner
        if last and all(last.get(name) == value for name, value in wanted.items()):
            return draw.choice(manner.content), True
        if wrong >= PATIENCE or useless >= PATIENCE:
            return draw.choice(manner.farewells), True
        if last:
            off = [name for name, value in wanted.items() if last.get(name) != value]
            first = [name for name in off if name in said] or off
            return draw.choice(manner.corrections).format(self.speak(wanted, [draw.choice(first)])), False
        news = [name for name in self.slots if name in asked and name in wanted and name not in said]
        repeated = news or [name for name in asked if name in wanted]
        return (draw.choice(manner.answers).format(self.speak(wanted, repeated)) if repeated else "any"), False

    def _asked(self, text: str) -> set[str]:
        return {name for name, words in self.asked.items() if words in text} if text.endswith("?") else set()

    def customer(self, request: ChatRequest) -> str:
        """The simulated user's answer."""
        prompt = request.messages[-1].content
        message, done = self.visit(self.read(unfence_goal(prompt)), unfence_transcript(prompt))
        return json.dumps({"reason": "", "done": done, "message": message})

    def chats(self, n: int) -> list[tuple[Order, Conversation]]:
        """Orders, and what came of them at the bot that never asks."""
        draw = random.Random(self.name)
        return [self._chat(f"{self.name}-{number}", draw) for number in range(n)]

    def _chat(self, id: str, draw: random.Random) -> tuple[Order, Conversation]:
        order = {name: draw.choice(values) for name, values in self.slots.items()}
        n_open = 0 if draw.random() < 0.35 else draw.randint(1, len(order) - 1)
        named = draw.sample(list(order), len(order) - n_open)
        first = next(iter(self.slots))
        parts = self.speak(order, [name for name in self.slots if name in named])
        if first not in named:
            parts = self.manner.joiner.join(filter(None, [self.what, parts]))
        messages = [Message(role="user", content=draw.choice(self.manner.requests).format(parts))]
        done = False
        while not done:
            messages.append(Message(role="assistant", content=self.guess(messages)))
            said, done = self.visit(order, messages)
            messages.append(Message(role="user", content=said))
        return order, Conversation(id=id, messages=tuple(messages))


@dataclass(frozen=True, kw_only=True)
class OrderDesk(Shop):
    """The desk of the package, whose own customers make the logs."""

    phrasings: str | None = None

    def chats(self, n: int) -> list[tuple[Order, Conversation]]:
        met = customers(n, seed=7, phrasings=self.phrasings)
        held = run_sync(aevaluate(POLICIES["never-ask"], met, temperature=0.0, phrasings=self.phrasings))
        return [(each.customer.order, Conversation(id=each.customer.id, messages=each.messages)) for each in held]


def desk(name: str, phrasings: str | None) -> OrderDesk:
    return OrderDesk(
        name=name,
        phrasings=phrasings,
        slots={slot.name: slot.values for slot in SLOTS},
        confirms="okay , one {size} {drink} with {milk} and {syrup} , {service} .",
        said={"milk": "{} milk", "syrup": "{} syrup"},
        asked={slot.name: slot.asked for slot in SLOTS},
        menu=(
            "You take orders at a coffee bar. Drinks: latte, mocha, cappuccino, americano, "
            "espresso, macchiato, cortado "
            "and chai. Sizes: small, medium or large. Milk can be whole, skim, oat, soy or almond. "
            "Syrups: vanilla, hazelnut, "
            "caramel, chocolate, honey. Service: here or to go."
        ),
        manner=Manner(
            requests=("{}",),
            answers=("{} please", "{}"),
            corrections=("not quite , i would like {} please", "no , {} please"),
            joiner=" , ",
            farewells=("never mind",),
        ),
    )


PIZZA = Shop(
    name="pizza",
    slots={
        "pizza": ("margherita", "pepperoni", "hawaiian", "four cheese", "veggie"),
        "size": ("personal", "regular", "family"),
        "crust": ("thin", "stuffed", "sourdough", "gluten free"),
        "dip": ("garlic", "ranch", "chilli", "no dip at all"),
        "service": ("delivery", "collection"),
    },
    confirms="Great! That's a {size} {pizza} on {crust}, {dip} on the side, for {service}.",
    said={"crust": "{} crust", "dip": "{} dip", "size": "{} size"},
    asked={"pizza": "pizza", "size": "size", "crust": "crust", "dip": "dip", "service": "delivery or collection"},
    what="a pizza",
    menu=(
        "You are Gina, who takes orders for Gina's Pizza. Be quick and friendly.\n\nMenu\n"
        "- Pizza: margherita, pepperoni, hawaiian, four cheese, veggie\n- Size: personal, regular, family\n"
        "- Crust: thin, stuffed, sourdough, gluten free\n- Dip: garlic, ranch, chilli, no dip at all\n"
        "- Service: delivery or collection"
    ),
    manner=Manner(
        requests=("Evening! We'd love {}.", "Could you do {} for tonight?", "{} if you'd be so kind"),
        answers=("Let's say {}.", "{}, cheers"),
        corrections=("Hmm, that isn't it, we asked for {}.", "Nope, should've been {}!"),
        joiner=", ",
        content=("Lovely, cheers!", "Brilliant, thank you so much."),
        farewells=("You know what, we'll cook.", "This is hopeless, goodnight."),
    ),
)
HOTEL = Shop(
    name="hotel",
    slots={
        "room": ("single", "double", "twin", "suite"),
        "view": ("sea", "garden", "street"),
        "board": ("breakfast", "half board", "full board"),
        "floor": ("ground", "middle", "top"),
        "parking": ("garage", "outdoor parking"),
    },
    confirms="Your booking: {room}, {view}, {board}, {floor}, {parking}. See you soon.",
    said={"room": "{} room", "view": "{} view", "floor": "{} floor"},
    asked={"room": "kind of room", "view": "view", "board": "board", "floor": "floor", "parking": "parking"},
    what="a room",
    menu=(
        "Hotel Miramar, bookings assistant. We have single, double, twin or suite rooms. The view "
        "is sea, garden or street. "
        "Board is one of: breakfast, half board, full board. Guests choose the ground, middle or top floor. "
        "Parking: garage or outdoor parking."
    ),
    manner=Manner(
        requests=("Good day, please reserve {} for my stay.", "I am looking to book {}.", "Reservation: {}."),
        answers=("{}.", "I would rather have {}, please."),
        corrections=("Excuse me, this does not match what I asked: {}.", "Please change it to {}."),
        joiner=" and ",
        content=("Perfect, thank you very much.", "Wonderful, that is exactly right."),
        farewells=("I shall look for another hotel.", "Kindly cancel everything, I am done."),
    ),
)
GARAGE = Shop(
    name="car rental",
    slots={
        "car": ("compact", "estate", "minivan", "convertible", "pickup truck"),
        "gearbox": ("manual", "automatic"),
        "fuel": ("petrol", "diesel", "electric", "hybrid"),
        "cover": ("basic cover", "full cover"),
        "return": ("airport", "downtown", "station"),
    },
    confirms="ok! {car} w/ {gearbox} + {fuel} + {cover}; drop-off {return}",
    said={"return": "at the {}"},
    asked={"car": "car", "gearbox": "gearbox", "fuel": "fuel", "cover": "cover", "return": "drop-off"},
    what="some car",
    menu="# Rules\nNever promise discounts.\n# Fleet\nCar = compact / estate / minivan / convertible / pickup truck\n"
    "Gearbox = manual / automatic\nFuel = petrol / diesel / electric / hybrid\nCover = basic cover / full cover\n"
    "Drop-off = airport / downtown / station",
    manner=Manner(
        requests=("need wheels: {}", "yo can u sort me {}", "{} for next week thx"),
        answers=("{}", "{} i guess"),
        corrections=("nah {}", "wrong!! {}"),
        joiner=" ",
        content=("sweet ty", "nice one"),
        farewells=("ur bot sucks", "calling ur competitor lol"),
    ),
)
FLOWERS = Shop(
    name="flowers",
    slots={
        "flower": ("roses", "tulips", "lilies", "peonies"),
        "colour": ("red", "white", "yellow", "pink"),
        "amount": ("a dozen", "twenty", "fifty"),
        "wrapping": ("paper", "cloth", "a vase"),
        "card": ("birthday card", "blank card", "sympathy card"),
    },
    confirms="Noted - {amount} {colour} {flower} in {wrapping}, plus {card}. We start right away!",
    said={"wrapping": "wrapped in {}", "card": "a {}"},
    asked={"flower": "flowers", "colour": "colour", "amount": "how many", "wrapping": "wrapping", "card": "card"},
    what="a bouquet",
    menu=(
        "You answer for Fleur & Co. What we sell: roses, tulips, lilies or peonies. Every colour "
        "is red, white, yellow or "
        "pink. Amount: a dozen, twenty or fifty. Wrapping can be paper, cloth or a vase. Card: birthday "
        "card, blank card or "
        "sympathy card. Never talk about politics."
    ),
    manner=Manner(
        requests=("Hi dear, I was hoping for {}", "My aunt turns 80, so {} it should be.", "Do you have {}?"),
        answers=("Oh, {} I think!", "{}, dear"),
        corrections=("Oh no dear, I had {} in mind", "Sorry to be a pain, but {} would be it"),
        joiner=" & ",
        content=("That will be lovely!", "Oh how nice of you."),
        farewells=("I better walk to the market.", "Goodness, my neighbour will do it."),
    ),
)
PRINTER = Shop(
    name="print shop",
    slots={
        "product": ("flyers", "posters", "booklets", "stickers"),
        "format": ("a3", "a4", "a5"),
        "paper": ("glossy", "matte", "recycled"),
        "run": ("100 copies", "250 copies", "1000 copies"),
        "ink": ("black and white", "full color"),
        "shipping": ("express", "standard"),
    },
    confirms=(
        "Job created. Product {product}; format {format}; paper {paper}; run {run}; ink {ink}; shipping {shipping}."
    ),
    said={},
    asked={
        "product": "product",
        "format": "format",
        "paper": "paper",
        "run": "run",
        "ink": "ink",
        "shipping": "shipping",
    },
    what="a print job",
    menu=(
        "Order intake, internal. Allowed values. product: flyers | posters | booklets | stickers. "
        "format: A3 | A4 | A5. "
        "paper: glossy | matte | recycled. run: 100 copies | 250 copies | 1000 copies. ink: black "
        "and white | full color. "
        "shipping: express | standard."
    ),
    manner=Manner(
        requests=("PO 4471, please print {}.", "We require {}.", "Please quote and produce {}."),
        answers=("Use {}.", "{}"),
        corrections=("This deviates from our request. {} was specified.", "Rework: {}."),
        joiner="; ",
        content=("Approved, thank you.", "Good to proceed."),
        farewells=("We withdraw the request.", "Our buyer will contact a different vendor."),
    ),
)
SALON = Shop(
    name="hair salon",
    slots={
        "service": ("cut", "colouring", "blow dry", "perm"),
        "stylist": ("ana", "bo", "chris"),
        "day": ("monday", "wednesday", "saturday"),
        "time": ("morning", "noon", "evening"),
        "drink": ("tea", "prosecco", "water"),
    },
    confirms="You're in for a {service} with {stylist} on {day} {time}, {drink} included :)",
    said={},
    asked={"service": "service", "stylist": "stylist", "day": "day", "time": "time of day", "drink": "drink"},
    what="an appointment",
    menu=(
        "Salon assistant. Services: cut, colouring, blow dry, perm. Stylists are Ana, Bo and "
        "Chris. Days: monday, wednesday "
        "and saturday. Time of day: morning, noon or evening. Guests choose from tea, prosecco or water as their drink."
    ),
    manner=Manner(
        requests=("hey!! can you squeeze me in: {}", "{} pls pls", "hiya, after {} this week"),
        answers=("{} works", "hmm {}!"),
        corrections=("eek no, {}", "wait i meant {}"),
        joiner=" / ",
        content=("yay perfect", "amazing see you then"),
        farewells=("ugh i'll just do it myself", "k nvm bye"),
    ),
)
SHOPS: tuple[Shop, ...] = (
    desk("order desk", None),
    desk("order desk, other phrasings", "chatty"),
    PIZZA,
    HOTEL,
    GARAGE,
    FLOWERS,
    PRINTER,
    SALON,
)
