"""What a bot, a simulator or a judge thought is kept apart where replies come in, whichever way they come."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.fakes import judged, scorer_of, user_says
from support.faults import Fault, always
from support.server import LoopbackServer

from collab_sdk import ChatReply, ChatRequest, Engine, Message, as_chat_model
from collab_sdk.cache.record import reply_in
from collab_sdk.errors import EmptyReplyError
from collab_sdk.messages import Ending
from collab_sdk.models.base import CallRole
from collab_sdk.testing import FakeChatModel

SECRET = "Surely a mocha, I will guess. "
THOUGHT = f"<think>{SECRET * 30}</think>\n"
HISTORY = ({"role": "user", "content": "a mocha"}, {"role": "assistant", "content": "Which milk?"})
ASKED = ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content="a mocha"),))


async def no_wait(seconds: float) -> None:
    pass


def call(model: object, engine: Engine | None = None) -> ChatReply:
    return asyncio.run((engine or Engine(sleep=no_wait)).call(as_chat_model(model), ASKED))


def test_what_a_bot_thinks_is_neither_shown_nor_judged_nor_counted():
    seen: list[ChatRequest] = []

    def answered(text: str):
        def answer(request: ChatRequest) -> str:
            seen.append(request)
            return text

        return answer

    bot, user = "Here is your mocha.", user_says("Oat milk, please.")
    scores = [
        scorer_of(
            assistant=answered(before + bot), user=answered(before + user), judge=answered(before + judged())
        ).score(HISTORY, goal="drink: mocha")
        for before in ("", THOUGHT)
    ]
    assert scores[0].metrics == scores[1].metrics
    assert scores[0].metrics["token_penalty"] < 0
    assert scores[1].futures == scores[0].futures
    assert not any(SECRET in message.content for request in seen for message in request.messages)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", ["Which size?", f"{THOUGHT}Which size?"])
def test_reasoning_that_a_server_sends_beside_the_content_is_kept_apart(field, content):
    with LoopbackServer(faults=always(Fault(message={field: "By the rules.", "content": content}))) as server:
        reply = call(as_chat_model("hosted_vllm/tiny", api_base=server.api_base))
    assert reply.content == "Which size?"
    assert reply.reasoning.startswith("By the rules.")
    assert (SECRET in reply.reasoning) is (content != reply.content)


def test_reasoning_of_a_client_is_kept_apart():
    message = SimpleNamespace(content="Which size?", reasoning_content="By the rules.")
    completion = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=None)
    create = SimpleNamespace(create=lambda **_: completion)
    reply = call(as_chat_model(SimpleNamespace(chat=SimpleNamespace(completions=create)), model="tiny"))
    assert (reply.content, reply.reasoning) == ("Which size?", "By the rules.")


def test_a_function_may_answer_with_its_models_thoughts():
    assert call(lambda messages: f"{THOUGHT}Which size?").content == "Which size?"


@pytest.mark.parametrize(
    "answer",
    [THOUGHT, f"<think>{SECRET}", ChatReply(content="", reasoning=SECRET)],
    ids=["thoughts alone", "cut off", "the server's parser takes all"],
)
def test_a_reply_of_thoughts_alone_is_empty(answer):
    model = FakeChatModel(lambda request: answer)
    assert call(model).ended is Ending.EMPTY
    with pytest.raises(EmptyReplyError, match=r"answered with nothing but reasoning"):
        asyncio.run(Engine(sleep=no_wait).call(model, replace(ASKED, role=CallRole.JUDGE)))
    assert len(model.requests) == 3


def test_tokens_that_a_server_counted_are_charged_with_the_thoughts():
    engine = Engine()
    call(FakeChatModel([ChatReply(content=f"{THOUGHT}Which size?", completion_tokens=300)]), engine)
    assert engine.ledger.total.completion_tokens == 300


def test_a_kept_reply_holds_its_reasoning_and_those_kept_before_have_none(tmp_path):
    first = call(FakeChatModel([f"{THOUGHT}Which size?"]), Engine(cache=tmp_path))
    again = call(FakeChatModel([]), Engine(cache=tmp_path))
    assert first == again
    assert again.reasoning == THOUGHT.removeprefix("<think>").rpartition("</think>")[0].strip()
    kept = {"content": "Hi", "finish_reason": "stop", "prompt_tokens": 7, "completion_tokens": 1, "usd": None}
    assert reply_in({"record": {"reply": kept}}).reasoning == ""
    with pytest.raises(ValueError, match="not text"):
        reply_in({"record": {"reply": {**kept, "reasoning": ["a list"]}}})
