"""Conversations from which a base learns to speak the order desk: a barista who mostly takes orders at once.

As a chat model would, the barista asks now and then, whether or not there is need, and asks about everything that is
missing when told to be proactive. Where there is a till, the barista places most orders there before telling the
customer of them, and of the others only says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from collab_order_desk.customers import Customer, customers
from collab_order_desk.phrasings import TRAINED
from collab_order_desk.speech import read_reply, write_order, write_question
from collab_order_desk.till import PLACED, place
from collab_order_desk.user import reply
from collab_order_desk.world import NAMES, SLOTS, Order, said_by_user
from collab_sdk.messages import Message
from collab_sdk.prompts import load_prompt

PROACTIVE = 0.15
"""The share of lessons under the proactive prompt."""
ASKS_IF_OPEN, ASKS_IF_CLEAR = 0.2, 0.1
ASKS_IF_CLEAR_AND_PROACTIVE = 0.4
PLACES = 0.7
"""The share of orders that are placed at the till, where there is one."""
ASKS_ALL, ASKS_SOME = 0.5, 0.85
"""Below the first, a question is about all that is missing; below the second about part of it; else about anything."""


def lessons(n: int, *, seed: int, at_till: bool = False) -> Iterator[list[Message]]:
    """`n` conversations about training orders, some under the proactive prompt."""
    random = Random(f"lessons/{seed}")  # noqa: S311 - no secret
    placing = Random(f"till/{seed}")  # noqa: S311 - no secret
    for customer in customers(n, seed=seed):
        lesson = _lesson(customer, random)
        yield [each for message in lesson for each in _at_till(message, placing)] if at_till else lesson


def _at_till(message: Message, random: Random) -> list[Message]:
    """The message, after the call that makes it true, or without."""
    order = read_reply(message.content).order if message.role == "assistant" else None
    if order is None or random.random() >= PLACES:
        return [message]
    call = Message(role="assistant", content="", tool_calls=(place(order, id="till"),))
    return [call, Message(role="tool", content=PLACED, tool_call_id="till"), message]


def _lesson(customer: Customer, random: Random) -> list[Message]:
    proactive = random.random() < PROACTIVE
    messages = list(customer.history)
    guess: Order = {slot.name: random.choice(slot.values) for slot in SLOTS}
    phrasings, done = random.choice(sorted(TRAINED)), False
    while not done:
        text = _answer(messages, guess, proactive=proactive, random=random)
        guess = read_reply(text).order or guess
        messages.append(Message(role="assistant", content=text))
        text, done = reply(customer.order, messages, phrasings=phrasings, random=random)
        messages.append(Message(role="user", content=text))
    spoken = messages[:-1]  # nobody answers a user who has left
    return [Message(role="system", content=load_prompt("proactive").text), *spoken] if proactive else spoken


def _answer(messages: Sequence[Message], guess: Order, *, proactive: bool, random: Random) -> str:
    said = said_by_user(messages)
    missing = [name for name in NAMES if name not in said]
    if proactive:
        asks = bool(missing) or random.random() < ASKS_IF_CLEAR_AND_PROACTIVE
    else:
        asks = random.random() < (ASKS_IF_OPEN if missing else ASKS_IF_CLEAR)
    return write_question(_wondered(missing, proactive, random)) if asks else write_order(_completed(said, guess))


def _wondered(missing: Sequence[str], proactive: bool, random: Random) -> Sequence[str]:
    """The slots of a question."""
    kind = random.random()
    if missing and (proactive or kind < ASKS_ALL):
        return missing
    of = missing if missing and kind < ASKS_SOME else NAMES
    return random.sample(of, random.randint(1, len(of)))


def _completed(said: Mapping[str, str], guess: Order) -> Order:
    return {**guess, **said}
