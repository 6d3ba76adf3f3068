"""Conversations from which a base learns to speak the order desk: a barista who mostly takes orders at once.

As a chat model would, the barista asks now and then, whether or not there is need, and asks about everything that is
missing when told to be proactive. Where there is a till, the barista places most orders there before telling the
customer of them, and of the others only says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from collab_order_desk.baristas import NATURAL, TERSE, Barista
from collab_order_desk.customers import Customer, customers
from collab_order_desk.natural import NATURAL as NATURAL_PHRASINGS
from collab_order_desk.phrasings import TRAINED
from collab_order_desk.speech import read_reply
from collab_order_desk.till import PLACED, place
from collab_order_desk.user import reply
from collab_order_desk.world import NAMES, SLOTS, Order, said_by_user
from collab_sdk.messages import Message
from collab_sdk.prompts import load_prompt
from collab_sdk.simulator import END_OF_CONVERSATION, flip_roles

PROACTIVE = 0.15
"""The share of lessons under the proactive prompt."""
PLACES = 0.7
"""The share of orders that are placed at the till, where there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """When the barista of the lessons asks, and about what."""

    asks_if_open: float = 0.2
    asks_if_clear: float = 0.1
    asks_if_clear_and_proactive: float = 0.4
    asks_all: float = 0.5
    """The share of questions about all that is missing."""
    asks_some: float = 0.35
    """The share of those about part of it; the others are about anything."""
    proactive_asks_all: bool = True
    """Whether the barista who was told to be proactive asks about all that is missing, or about any number of it."""


HABITS = Habits()
INQUISITIVE = Habits(asks_if_open=0.5, asks_all=0.2, asks_some=0.7, proactive_asks_all=False)
"""Of a barista who asks more, and about any number of things, so that it can be found out how many are best."""


def lessons(
    n: int, *, seed: int, at_till: bool = False, habits: Habits = HABITS, phrasings: str | None = None
) -> Iterator[list[Message]]:
    """`n` conversations about training orders, some under the proactive prompt.

    `phrasings` are the users' as in OrderDeskUser; where they are natural sentences, so are the barista's.
    """
    random = Random(f"lessons/{seed}")  # noqa: S311 - no secret
    placing = Random(f"till/{seed}")  # noqa: S311 - no secret
    for customer in customers(n, seed=seed, phrasings=phrasings):
        lesson = _lesson(customer, habits, random, phrasings)[:-1]  # nobody answers a user who has left
        yield [each for message in lesson for each in _at_till(message, placing)] if at_till else lesson


def user_lessons(n: int, *, seed: int, habits: Habits = HABITS) -> Iterator[list[Message]]:
    """As many conversations with their sides changed, from which a model learns to speak as the standing user."""
    random = Random(f"user lessons/{seed}")  # noqa: S311 - no secret
    for customer in customers(n, seed=seed):
        spoken = [message for message in _lesson(customer, habits, random) if message.role != "system"]
        spoken[-1] = replace(spoken[-1], content=f"{spoken[-1].content}\n{END_OF_CONVERSATION}")
        yield list(flip_roles(spoken, customer.goal))


def _at_till(message: Message, random: Random) -> list[Message]:
    """The message, after the call that makes it true, or without."""
    order = read_reply(message.content).order if message.role == "assistant" else None
    if order is None or random.random() >= PLACES:
        return [message]
    call = Message(role="assistant", content="", tool_calls=(place(order, id="till"),))
    return [call, Message(role="tool", content=PLACED, tool_call_id="till"), message]


def _lesson(customer: Customer, habits: Habits, random: Random, phrasings: str | None = None) -> list[Message]:
    proactive = random.random() < PROACTIVE
    messages = list(customer.history)
    guess: Order = {slot.name: random.choice(slot.values) for slot in SLOTS}
    barista, done = NATURAL if phrasings in NATURAL_PHRASINGS else TERSE, False
    phrasings = phrasings or random.choice(sorted(TRAINED))
    while not done:
        text = _answer(messages, guess, habits, barista, proactive=proactive, random=random)
        guess = read_reply(text).order or guess
        messages.append(Message(role="assistant", content=text))
        text, done = reply(customer.order, messages, phrasings=phrasings, random=random)
        messages.append(Message(role="user", content=text))
    return [Message(role="system", content=load_prompt("proactive").text), *messages] if proactive else messages


def _answer(
    messages: Sequence[Message], guess: Order, habits: Habits, barista: Barista, *, proactive: bool, random: Random
) -> str:
    said = said_by_user(messages)
    missing = [name for name in NAMES if name not in said]
    if proactive:
        asks = bool(missing) or random.random() < habits.asks_if_clear_and_proactive
    else:
        asks = random.random() < (habits.asks_if_open if missing else habits.asks_if_clear)
    if asks:
        return barista.question(_wondered(missing, habits, proactive, random), random)
    return barista.order(_completed(said, guess), random)


def _wondered(missing: Sequence[str], habits: Habits, proactive: bool, random: Random) -> Sequence[str]:
    """The slots of a question."""
    kind = random.random()
    if missing and (kind < habits.asks_all or (proactive and habits.proactive_asks_all)):
        return missing
    is_about_missing = proactive or kind < habits.asks_all + habits.asks_some
    of = missing if missing and is_about_missing else NAMES
    return random.sample(of, random.randint(1, len(of)))


def _completed(said: Mapping[str, str], guess: Order) -> Order:
    return {**guess, **said}
