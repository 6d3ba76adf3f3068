"""Rows of a task as chats to train on: what is asked for, what is left as it is, and who is told what."""

import asyncio
import json

import pytest
from support.fakes import user_says

from collab_sdk import Conversation, Engine, Goal, Message, Rollout, Simulator
from collab_sdk.errors import SampleError
from collab_sdk.tasks import OpeningWriter, is_opening
from collab_sdk.testing import FakeChatModel

GOAL = Goal(text="problem: 2 + 2?\nwanted: its answer", reference="4")
SAID = (Message(role="user", content="what is it?"),)


def writer(*, user=(), bot=(), judge=(), exchanges=0):
    engine = Engine()
    answers = {"user": user, "bot": bot, "judge": judge}
    parts = {name: FakeChatModel(said, name=name) for name, said in answers.items()}
    rollout = Rollout(
        assistant=parts["bot"], simulator=Simulator(parts["user"], engine=engine), window=2, samples=1, engine=engine
    )
    return OpeningWriter(rollout=rollout, judge=parts["judge"], exchanges=exchanges), parts


def written(row, **parts):
    made, models = writer(**parts)
    return asyncio.run(made.awrite(row)), models


def test_the_user_writes_the_first_message_and_the_bot_is_not_asked():
    row = Conversation(id="r", messages=(), goal=GOAL, metadata={"ambiguous": True})
    chat, models = written(row, user=[user_says("what is two and two")])
    assert [(message.role, message.content) for message in chat.messages] == [("user", "what is two and two")]
    assert (chat.id, chat.goal, chat.metadata) == ("r", GOAL, {"ambiguous": True})
    assert not models["bot"].requests
    assert is_opening(chat)
    assert not is_opening(row)


def test_a_row_that_has_goal_and_message_costs_nothing():
    row = Conversation(id="r", messages=SAID, goal=GOAL)
    chat, models = written(row)
    assert chat == row
    assert not any(model.requests for model in models.values())


def test_a_goal_that_is_missing_is_summed_up_from_the_reference_which_the_user_never_sees():
    row = Conversation(id="r", messages=(), goal=Goal(text="", reference="Dawn broke over the harbour."))
    chat, models = written(row, user=[user_says("a scene please")], judge=[json.dumps({"goal": "what: a scene"})])
    assert chat.goal == Goal(text="what: a scene", reference="Dawn broke over the harbour.")
    [asked] = models["user"].requests
    assert "what: a scene" in asked.messages[-1].content
    assert not any("Dawn broke" in message.content for message in asked.messages)


def test_conversations_are_played_up_to_so_many_exchanges():
    row = Conversation(id="r", messages=(), goal=GOAL)
    chat, _ = written(row, user=[user_says("two and two"), user_says("sure?")], bot=["Five.", "Four."], exchanges=2)
    assert [message.content for message in chat.messages] == ["two and two", "Five.", "sure?", "Four."]


def test_the_first_message_is_the_same_whether_the_conversation_is_played_or_not():
    row, asked = Conversation(id="r", messages=(), goal=GOAL), []
    for exchanges in (0, 1):
        _, models = written(row, user=[user_says("two and two")], bot=["Four."], exchanges=exchanges)
        asked.append(models["user"].requests[0])
    assert asked[0] == asked[1], "so that the cache pays for it once"


def test_a_user_who_leaves_at_once_gives_no_chat():
    row = Conversation(id="r", messages=(), goal=GOAL)
    for exchanges in (0, 1):
        with pytest.raises(SampleError, match="left before"):
            written(row, user=[user_says("", done=True)] * 3, exchanges=exchanges)
