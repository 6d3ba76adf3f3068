"""A shop with a bot that never asks, and customers with known orders, for `passive_logs.py`."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from collab_order_desk import POLICIES, OrderDeskUser, customers
from collab_order_desk.evaluation import aevaluate

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

    `said` is how a slot's value is spoken, `asked` how a question names the slot where not by its own name.
    """

    name: str
    slots: Mapping[str, tuple[str, ...]]
    confirms: str
    manner: Manner
    menu: str
    said: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
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
        return f"what {' , '.join(map(self.ask, names))} ?"

    def ask(self, name: str) -> str:
        return self.asked.get(name, name)

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
        return {name for name in self.slots if self.ask(name) in text} if text.endswith("?") else set()

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
        user = OrderDeskUser(phrasings=self.phrasings)
        held = run_sync(aevaluate(POLICIES["never-ask"], met, temperature=0.0, user=user))
        return [(each.customer.order, Conversation(id=each.customer.id, messages=each.messages)) for each in held]
