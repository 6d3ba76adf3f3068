"""Calls of the conversation that was opened first go first, whatever they are for."""

import asyncio
import json

import pytest
from support.fakes import judged, scorer_of, transcript_in, user_says

from collab_sdk import (
    ChatRequest,
    Conversation,
    Engine,
    Goal,
    Message,
    MRScorer,
    PreferenceExporter,
    Simulator,
    as_chat_model,
)
from collab_sdk.concurrency import run_sync
from collab_sdk.evaluation import Evaluator
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole
from collab_sdk.spec import Limits
from collab_sdk.tasks import get_task
from collab_sdk.testing import FakeChatModel


def ask(conversation_id: str, text: str) -> ChatRequest:
    messages = (Message(role="user", content=text),)
    return ChatRequest(role=CallRole.ASSISTANT, messages=messages, conversation_id=conversation_id)


def chats(count: int) -> list[Conversation]:
    spoken = ("a coffee", "Which one?", "a mocha", "Here it is.")
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(spoken)]
    return [Conversation(id=f"chat-{n}", messages=as_messages(messages)) for n in range(count)]


def test_what_the_first_conversation_asks_later_goes_before_what_others_asked_earlier():
    asked: list[str] = []
    engine = Engine(limits=Limits(concurrency=1))

    async def bot(messages: list[dict[str, str]]) -> str:
        asked.append(messages[-1]["content"])
        for _ in range(9):
            await asyncio.sleep(0)  # until the others have asked
        return "ok"

    model = as_chat_model(bot)

    async def work(conversation_id: str) -> None:
        with engine.opened(conversation_id):
            for step in range(2):
                await engine.call(model, ask(conversation_id, f"{conversation_id}{step}"))

    async def main() -> None:
        await asyncio.gather(*map(work, "abc"))

    asyncio.run(main())
    assert asked == ["a0", "b0", "a1", "b1", "c0", "c1"]


class Orders:
    """The calls of a run: for which conversation each was, and as which the engine lets it in."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: dict[str, set[int]] = {}

    def note(self, request: ChatRequest) -> None:
        assert request.conversation_id, f"a call by the {request.role} says no conversation"
        self.seen.setdefault(request.conversation_id, set()).add(self.engine.order_of(request.conversation_id))

    def check(self, *ids: str) -> None:
        assert self.seen == {name: {order} for order, name in enumerate(ids)}
        assert {self.engine.order_of(name) for name in ids} == {0}, "a conversation is remembered"


def scorer(orders: Orders) -> MRScorer:
    def judge(request: ChatRequest) -> str:
        orders.note(request)
        return json.dumps({"goal": "a mocha", "open": []}) if request.role is CallRole.GOAL else judged()

    def user(request: ChatRequest) -> str:
        orders.note(request)
        return user_says(f"more {request.sample}")

    def assistant(request: ChatRequest) -> str:
        orders.note(request)
        return f"answer {request.sample}"

    return scorer_of(assistant=assistant, user=user, judge=judge, engine=orders.engine)


@pytest.mark.parametrize("work", ["score", "export"])
def test_every_call_of_a_run_belongs_to_a_conversation_that_is_forgotten_at_its_end(work):
    orders = Orders(Engine())
    by = scorer(orders)

    async def main() -> None:
        conversations = [Conversation(id=chat.id, messages=_renamed(chat)) for chat in chats(5)]
        found = by.ascore_all(conversations) if work == "score" else PreferenceExporter(by).ascore_all(conversations)
        async for outcome in found:
            assert outcome.error is None

    asyncio.run(main())
    orders.check(*(f"chat-{n}" for n in range(5)))


def _renamed(chat: Conversation) -> tuple[Message, ...]:
    """So that no two conversations have a call in common."""
    return tuple(Message(role=each.role, content=f"{each.content} {chat.id}") for each in chat.messages)


def test_every_call_of_an_evaluation_belongs_to_a_conversation_in_the_order_of_the_goals():
    orders = Orders(engine := Engine())

    def judge(request: ChatRequest) -> str:
        orders.note(request)
        if "useful_questions:" in transcript_in(request):
            return json.dumps({"useful_questions": {"reason": "", "questions": []}})
        if request.reply_schema is None:
            return "<artefact>4</artefact>"
        return json.dumps({"interactivity": {"reason": "", "score": 0.5}})

    def user(request: ChatRequest) -> str:
        orders.note(request)
        return user_says(f"go on {request.sample}")

    def bot(request: ChatRequest) -> str:
        orders.note(request)
        return f"Which one, {request.sample}?"

    goals = [Conversation(id=f"goal-{n}", messages=(), goal=Goal(text=f"2 + {n}?", reference="4")) for n in range(3)]
    simulator = Simulator(FakeChatModel(user, name="user"), engine=engine)
    evaluator = Evaluator(get_task("math-chat"), simulator=simulator, judge=FakeChatModel(judge, name="judge"))

    async def main() -> None:
        async for outcome in evaluator.aplay_all(FakeChatModel(bot, name="bot"), goals):
            assert outcome.error is None

    run_sync(main())
    orders.check(*(f"math-chat/goal-{n}" for n in range(3)))
