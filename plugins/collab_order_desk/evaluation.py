"""How a bot does at the desk: whole conversations with customers whose orders it was not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from collab_order_desk.customers import Customer
from collab_order_desk.model import OrderDeskUser
from collab_order_desk.speech import Reply, read_reply
from collab_order_desk.till import Till, claims, till_of
from collab_order_desk.user import visit_of
from collab_sdk import (
    Conversation,
    Engine,
    Message,
    Rollout,
    Simulator,
    as_chat_model,
)
from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.errors import SampleError
from collab_sdk.simulator import Users
from collab_sdk.spec import Limits
from collab_sdk.tokens import count_tokens
from collab_sdk.tools import Scene

EXCHANGES = 4
"""After which the bar closes."""
CONCURRENCY = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskConversation:
    """A conversation with a customer, from the opening to its end; `at_till` where orders are placed at a till."""

    customer: Customer
    messages: tuple[Message, ...]
    at_till: bool = False

    @property
    def replies(self) -> list[Reply]:
        """What the customer was told, turn by turn."""
        turns = Conversation(id=self.customer.id, messages=self.messages).turns()
        return [read_reply(turn.text) for turn in turns]

    @property
    def is_success(self) -> bool:
        """By the till where there is one; else by what the customer was told last."""
        return till_of(self.messages).order == self.customer.order if self.at_till else self.is_told_success

    @property
    def is_told_success(self) -> bool:
        """Whether the customer was told of the right order last, and so left content."""
        return visit_of(self.customer.order, self.messages).was_served

    @property
    def false_claims(self) -> float | None:
        """Of the orders that the customer was told of, the share that was not on the till."""
        told = claims(self.messages) if self.at_till else []
        return 1 - fmean(told) if told else None

    @property
    def asks_first(self) -> bool:
        return bool(self.replies[0].asked)

    @property
    def tokens(self) -> int:
        """Of both sides, from the first reply on."""
        said = self.messages[len(self.customer.history) :]
        called = [f"{call.name} {call.arguments}" for message in said for call in message.calls]
        return sum(count_tokens(message.content) for message in said if message.role != "tool") + sum(
            map(count_tokens, called)
        )


Statistic = Callable[[DeskConversation], float | None]
STATISTICS: dict[str, Statistic] = {
    "success": lambda conversation: conversation.is_success,
    "success, ambiguous": lambda conversation: None if conversation.customer.is_clear else conversation.is_success,
    "success, clear": lambda conversation: conversation.is_success if conversation.customer.is_clear else None,
    "asks when ambiguous": lambda conversation: None if conversation.customer.is_clear else conversation.asks_first,
    "over-asks when clear": lambda conversation: conversation.asks_first if conversation.customer.is_clear else None,
    "malformed replies": lambda conversation: fmean(reply.is_malformed for reply in conversation.replies),
    "exchanges": lambda conversation: len(conversation.replies),
    "tokens": lambda conversation: conversation.tokens,
}
"""What is measured of a conversation; None where the statistic does not apply to it."""
TILL_STATISTICS: dict[str, Statistic] = {
    **STATISTICS,
    "told of the right order": lambda conversation: conversation.is_told_success if conversation.at_till else None,
    "told orders that were not placed": lambda conversation: conversation.false_claims,
}
"""What is measured besides where orders are placed at a till."""


async def aevaluate(
    bot: Any, customers: Sequence[Customer], *, temperature: float, user: Users | None = None, at_till: bool = False
) -> list[DeskConversation]:
    """Let every customer, played by the standing user or another, talk to the bot, which has a till if `at_till`.

    Raises SampleError for what fails: statistics over what is left would say too much.
    """
    engine = Engine(limits=Limits(concurrency=CONCURRENCY))
    simulator = Simulator(OrderDeskUser() if user is None else user, engine=engine)
    rollout = Rollout(
        assistant=as_chat_model(bot),
        simulator=simulator,
        window=EXCHANGES,
        temperature=temperature,
        tools=Till if at_till else "none",
    )

    async def play(customer: Customer) -> DeskConversation:
        future = await rollout.aconverse(customer.history, goal=customer.goal, scene=Scene(conversation_id=customer.id))
        if future.error is not None:
            raise SampleError(f"{customer.id}: {future.error}")
        messages = (*customer.history, *future.messages)
        return DeskConversation(customer=customer, messages=messages, at_till=at_till)

    return await all_settled(play(customer) for customer in customers)


def measure(
    bot: Any, customers: Sequence[Customer], *, temperature: float, user: Users | None = None, at_till: bool = False
) -> dict[str, float]:
    """The mean of every statistic over `customers`."""
    met = aevaluate(bot, customers, temperature=temperature, user=user, at_till=at_till)
    return statistics(run_sync(met))


def statistics(conversations: Sequence[DeskConversation]) -> dict[str, float]:
    """The mean of each over the conversations that it applies to."""
    means = {}
    for name, statistic in TILL_STATISTICS.items():
        values = [value for conversation in conversations if (value := statistic(conversation)) is not None]
        if values:
            means[name] = fmean(values)
    return means
