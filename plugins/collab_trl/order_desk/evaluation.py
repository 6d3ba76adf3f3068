"""How a bot does at the desk: whole conversations with visitors whose orders it was not trained on."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk import ChatModel, ChatReply, ChatRequest, Engine, Message, Rollout, Simulator, as_chat_model
from collab_sdk.concurrency import all_settled
from collab_sdk.engine import run_sync
from collab_sdk.errors import SampleError
from collab_sdk.tasks.order_desk import OrderDeskUser, Visitor
from collab_sdk.tasks.order_desk.speech import Reply, read_reply
from collab_sdk.tasks.order_desk.user import visit_of
from collab_sdk.tokens import count_tokens
from collab_trl.online.policy import as_heard

EXCHANGES = 4
"""After which the bar closes."""
CONCURRENCY = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Visited:
    """A conversation as it went."""

    visitor: Visitor
    messages: tuple[Message, ...]

    @property
    def replies(self) -> list[Reply]:
        return [read_reply(message.content) for message in self.messages if message.role == "assistant"]

    @property
    def is_success(self) -> bool:
        return visit_of(self.visitor.order, self.messages).was_served

    @property
    def asks_first(self) -> bool:
        return bool(self.replies[0].asked)

    @property
    def tokens(self) -> int:
        """Of both sides, from the first reply on."""
        said = self.messages[len(self.visitor.history) :]
        return sum(count_tokens(message.content) for message in said)


Figure = Callable[[Visited], float | None]
FIGURES: dict[str, Figure] = {
    "success": lambda visited: visited.is_success,
    "success, ambiguous": lambda visited: None if visited.visitor.is_clear else visited.is_success,
    "success, clear": lambda visited: visited.is_success if visited.visitor.is_clear else None,
    "asks when ambiguous": lambda visited: None if visited.visitor.is_clear else visited.asks_first,
    "over-asks when clear": lambda visited: visited.asks_first if visited.visitor.is_clear else None,
    "malformed replies": lambda visited: statistics.fmean(reply.is_malformed for reply in visited.replies),
    "exchanges": lambda visited: len(visited.replies),
    "tokens": lambda visited: visited.tokens,
}
"""What is measured of a conversation; None where the figure is not about it."""


class AsHeard:
    """A bot as its users hear it: what has no words or no end is said all the same, and is malformed."""

    def __init__(self, bot: ChatModel) -> None:
        self._bot = bot
        self.name, self.fingerprint, self.price = bot.name, bot.fingerprint, bot.price
        self.timeout = None

    async def achat(self, request: ChatRequest) -> ChatReply:
        return as_heard(await self._bot.achat(request))


async def avisit(
    bot: Any, visitors: Sequence[Visitor], *, temperature: float, phrasings: str | None = None
) -> list[Visited]:
    """Let every visitor talk to the bot. `phrasings` as in OrderDeskUser.

    Raises SampleError for what fails: figures over what is left would say too much.
    """
    engine = Engine(concurrency=CONCURRENCY)
    simulator = Simulator(OrderDeskUser(phrasings=phrasings), engine=engine)
    rollout = Rollout(
        assistant=AsHeard(as_chat_model(bot)), simulator=simulator, window=EXCHANGES, temperature=temperature
    )

    async def visit(visitor: Visitor) -> Visited:
        future = await rollout.aconverse(visitor.history, goal=visitor.goal, conversation_id=visitor.id)
        if future.error is not None:
            raise SampleError(f"{visitor.id}: {future.error}")
        return Visited(visitor=visitor, messages=(*visitor.history, *future.messages))

    return await all_settled(visit(visitor) for visitor in visitors)


def measure(
    bot: Any, visitors: Sequence[Visitor], *, temperature: float, phrasings: str | None = None
) -> dict[str, float]:
    """The mean of every figure over `visitors`."""
    return figures(run_sync(avisit(bot, visitors, temperature=temperature, phrasings=phrasings)))


def figures(visits: Sequence[Visited]) -> dict[str, float]:
    means = {}
    for name, figure in FIGURES.items():
        values = [value for visited in visits if (value := figure(visited)) is not None]
        if values:
            means[name] = statistics.fmean(values)
    return means
