"""What users do in the same situations: those of the hidden population, as logged, and those who play them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collab_order_desk.speech import read_reply
from collab_order_desk.world import named_in, read_order, said_by_user

from collab_sdk import Conversation, Engine, Goal, Message, Simulator
from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.errors import SampleError
from collab_sdk.simulator import Users
from collab_sdk.spec import Limits

Row = dict[str, Any]
"""Who reacted to what in which chat: whether they `left`, how many things they `told`; or why that is missing."""


def kind_of(goal: Mapping[str, str], history: Sequence[Message]) -> str:
    """What the bot has just done, as its user sees it."""
    reply, said = read_reply(history[-1].content), said_by_user(history)
    if reply.order is not None:
        return "gives the right order" if reply.order == goal else "gives a wrong order"
    if not reply.asked - said.keys():
        return "says nothing useful"
    return "asks for one or two things" if len(reply.asked) <= 2 else "asks for more than two things"


def compare_users(chats: Sequence[Conversation], users: Mapping[str, Users]) -> list[Row]:
    """What was done in these visits, and what each of `users` does in their place, once."""
    engine = Engine(limits=Limits(concurrency=512))
    rows = [each for chat in chats for each in reactions(chat)]
    for name, user in users.items():
        rows += run_sync(played_again(chats, Simulator(user, engine=engine), name))
    return rows


def goal_of(chat: Conversation) -> Goal:
    return chat.goal or Goal(text="")


def situations(chat: Conversation) -> Iterator[tuple[int, Sequence[Message]]]:
    """Where a user reacts to the bot."""
    for place, message in enumerate(chat.messages):
        if message.role == "user" and place:
            yield place, chat.messages[:place]


def reaction(chat: Conversation, history: Sequence[Message], *, who: str, said: str, left: bool) -> Row:
    kind = kind_of(read_order(goal_of(chat).text), history)
    return {"user": who, "chat": chat.id, "kind": kind, "left": left, "told": len(set(named_in(said)))}


def reactions(chat: Conversation) -> list[Row]:
    last = len(chat.messages) - 1
    return [
        reaction(chat, history, who="hidden", said=chat.messages[place].content, left=place == last)
        for place, history in situations(chat)
    ]


async def played_again(chats: Sequence[Conversation], simulator: Simulator, who: str) -> list[Row]:
    async def again(chat: Conversation, place: int, history: Sequence[Message]) -> Row:
        draw = f"{chat.id}/{place}"
        try:
            turn = await simulator.areply(history, goal=goal_of(chat), sample=draw, conversation_id=chat.id)
        except SampleError as error:
            return {"user": who, "chat": chat.id, "failed": str(error)}
        return reaction(chat, history, who=who, said=turn.message, left=turn.done)

    found = await all_settled(again(chat, place, history) for chat in chats for place, history in situations(chat))
    return list(found)
