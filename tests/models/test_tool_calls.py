"""Tools on their way to a model, and the calls that come back: one form, whoever the model is and whatever it wrote."""

import json
from dataclasses import replace
from types import SimpleNamespace

import openai
import pytest
from support.faults import Fault, always, refusal
from support.server import LoopbackServer

from collab_sdk import ChatModel, ChatReply, ChatRequest, Engine, as_chat_model
from collab_sdk.cache.record import call_identity, call_key
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import BotError, CollabError, ModelCallError
from collab_sdk.messages import Ending, Message, as_messages
from collab_sdk.models import CallRole
from collab_sdk.spec import ModelSettings, Price
from collab_sdk.testing import FakeChatModel
from collab_sdk.values import dumps, loads

LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
HELLO = as_messages([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "order 5?"}])
PLAIN = ChatRequest(role=CallRole.ASSISTANT, messages=HELLO)
WITH_TOOLS = replace(PLAIN, tools=(LOOK_UP,))


async def no_wait(seconds: float) -> None:
    """A sleep that takes no time."""


def wanted(name="look_up", arguments='{"order":5}', id="c1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls, **choice):
    return always(Fault(message={"content": None, "tool_calls": list(calls)}, choice=choice))


def engine_asked(model: ChatModel, request: ChatRequest = WITH_TOOLS) -> ChatReply:
    return run_sync(Engine(sleep=no_wait).call(model, request))


def at_a_server(api_base: str) -> ChatModel:
    return as_chat_model("m", api_base=api_base)


def through_litellm(api_base: str) -> ChatModel:
    return as_chat_model("deepseek/m", api_base=api_base, api_key="sk-1")


def behind_a_client(api_base: str) -> ChatModel:
    def create(**arguments):
        with openai.OpenAI(base_url=api_base, api_key="sk-1", max_retries=0) as client:
            return client.chat.completions.create(**arguments)

    return as_chat_model(SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create))), model="m")


WAYS = [at_a_server, through_litellm, behind_a_client]


@pytest.mark.parametrize("way", WAYS)
def test_tools_are_sent_and_calls_come_back(way):
    made = wanted(arguments='{"order":   5}')
    with LoopbackServer(faults=calling(made, finish_reason="tool_calls")) as server:
        reply = engine_asked(way(server.api_base))
        engine_asked(way(server.api_base), replace(WITH_TOOLS, tool_choice="look_up"))
        engine_asked(way(server.api_base), replace(WITH_TOOLS, tool_choice="required"))
        engine_asked(way(server.api_base), replace(PLAIN, tool_choice="required"))
    assert (reply.content, reply.tool_calls, reply.finish_reason) == ("", (made,), "tool_calls")
    assert [each.content for each in reply.messages] == [""]
    sent = [received.body for received in server.requests]
    assert [body.get("tools") for body in sent] == [[LOOK_UP], [LOOK_UP], [LOOK_UP], None]
    named = {"type": "function", "function": {"name": "look_up"}}
    assert [body.get("tool_choice") for body in sent] == [None, named, "required", None]


@pytest.mark.parametrize("way", WAYS)
def test_calls_and_results_in_a_history_travel_as_they_are(way):
    history = as_messages(
        [
            {"role": "user", "content": "order 5?"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [wanted(), wanted(id="c2")]},
            {"role": "tool", "content": "", "tool_call_id": "c2"},
            {"role": "tool", "content": "shipped", "tool_call_id": "c1", "name": "look_up"},
        ]
    )
    with LoopbackServer(lambda body: "It has shipped.") as server:
        engine_asked(way(server.api_base), replace(WITH_TOOLS, messages=history))
    sent = server.requests[0].body["messages"]
    assert sent == [message.to_dict() for message in history]


def test_a_bare_function_of_an_old_log_is_sent_as_a_tool():
    with LoopbackServer() as server:
        bare = {"name": "look_up", "parameters": {}}
        engine_asked(at_a_server(server.api_base), replace(PLAIN, tools=(bare, {"type": "function", **bare})))
    assert server.requests[0].body["tools"] == [{"type": "function", "function": bare}] * 2


def test_arguments_that_are_no_json_are_the_models_and_stay_and_are_sent_on_as_an_object():
    broken = wanted(arguments='{"order": 5')
    with LoopbackServer(faults=calling(broken)) as server:
        model = at_a_server(server.api_base)
        reply = engine_asked(model)
        result = Message(role="tool", content="error: no JSON", tool_call_id="c1")
        engine_asked(model, replace(WITH_TOOLS, messages=(*HELLO, *reply.messages, result)))
    assert reply.tool_calls == (broken,)
    [call] = server.requests[1].body["messages"][2]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"arguments": '{"order": 5'}
    assert call["function"]["name"] == "look_up"


ODD_CALLS = {
    "arguments as an object": ([wanted(arguments={"order": "é"})], [wanted(arguments='{"order":"é"}')]),
    "no arguments": ([{"id": "c1", "function": {"name": "f"}}], [wanted("f", "{}")]),
    "empty arguments": ([wanted(arguments="")], [wanted(arguments="")]),
    "no name": ([wanted(None, "{}")], [wanted("", "{}")]),
    "no function": ([{"id": "c1", "type": "function"}], [wanted("", "{}")]),
    "no ids": ([wanted(id=None), wanted(id="")], [wanted(id="call_0"), wanted(id="call_1")]),
    "the same id twice": ([wanted(), wanted(arguments="{}")], [wanted(), wanted(arguments="{}", id="call_1")]),
    "a number as id": ([wanted(id=7)], [wanted(id="7")]),
    "half a character": ([wanted("\ud83d", "\udc00")], [wanted("\ufffd", "\ufffd")]),
}


@pytest.mark.parametrize(("given", "read"), ODD_CALLS.values(), ids=ODD_CALLS.keys())
def test_calls_of_an_odd_form_are_read(given, read):
    with LoopbackServer(faults=calling(*given)) as server:
        assert list(engine_asked(at_a_server(server.api_base)).tool_calls) == read


def test_the_function_call_of_older_servers_is_a_call():
    old = Fault(message={"content": None, "function_call": {"name": "look_up", "arguments": "{}"}})
    with LoopbackServer(faults=always(old)) as server:
        reply = engine_asked(at_a_server(server.api_base))
    assert reply.tool_calls == (wanted(arguments="{}", id="call_0"),)


UNREADABLE = {
    "no list": ("now", "tool_calls must be a list"),
    "a list of texts": (["now"], "tool_calls must be a list of calls of functions"),
    "a thousand": ([wanted(id=str(n)) for n in range(1000)], r"1,000 calls at once; no more than 128"),
    "ten megabytes": ([wanted(arguments="x" * 10_000_000)], r"10,000,0\d\d characters; no more than 8,388,608"),
}


@pytest.mark.parametrize(("calls", "problem"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_are_no_calls_or_too_many_is_one_line(calls, problem):
    with (
        LoopbackServer(faults=always(Fault(message={"content": "x", "tool_calls": calls}))) as server,
        pytest.raises(ModelCallError, match=problem) as error,
    ):
        engine_asked(at_a_server(server.api_base))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_what_is_refused_for_its_length_is_paid_for_all_the_same():
    model = FakeChatModel([ChatReply(content="x" * 9_000_000, usd=0.25)])
    engine = Engine()
    with pytest.raises(ModelCallError, match="characters"):
        run_sync(engine.call(model, PLAIN))
    assert (engine.budget.usd, engine.ledger.total.usd) == (0.25, 0.25)


def test_a_reply_of_calls_alone_is_not_empty_and_half_a_call_is_cut_off():
    model = FakeChatModel([ChatReply(content=" ", tool_calls=(wanted(),))])
    assert engine_asked(model).tool_calls == (wanted(),)
    half = ChatReply(content="", tool_calls=(wanted(arguments='{"or'),), finish_reason="length")
    assert engine_asked(FakeChatModel([half])).ended is Ending.CUT_OFF
    assert engine_asked(FakeChatModel([ChatReply(content="")] * 2)).ended is Ending.EMPTY


STEPS = (Message(role="assistant", content="", tool_calls=(wanted(),)), Message(role="tool", content="shipped"))
BROKEN_REPLIES = {
    "steps that are none": {"steps": ("a", "b")},
    "steps of a user": {"steps": (Message(role="user", content="x"),)},
    "steps of no text": {"steps": (Message(role="tool", content=5),)},
    "no steps at all": {"steps": None},
    "calls that are none": {"tool_calls": ("look_up",)},
    "a call for calls": {"tool_calls": wanted()},
    "calls in a step": {"steps": (Message(role="assistant", content="", tool_calls=(5,)),)},
}


@pytest.mark.parametrize("parts", BROKEN_REPLIES.values(), ids=BROKEN_REPLIES.keys())
def test_an_adapter_that_answers_with_what_are_no_calls_or_steps_is_at_fault(parts):
    with pytest.raises(BotError) as error:
        engine_asked(FakeChatModel([ChatReply(content="hello", **parts)]))
    assert "\n" not in str(error.value)


def test_steps_are_bounded_and_hold_no_thoughts():
    long = tuple(Message(role="assistant", content="x") for _ in range(1001))
    with pytest.raises(ModelCallError, match="1,002 messages"):
        engine_asked(FakeChatModel([ChatReply(content="x", steps=long)]))
    heavy = (Message(role="tool", content="x" * 9_000_000),)
    with pytest.raises(ModelCallError, match="9,000,001 characters"):
        engine_asked(FakeChatModel([ChatReply(content="x", steps=heavy)]))
    thinks = Message(role="assistant", content="<think>\nhm\n</think>\nLet me see.")
    reply = engine_asked(FakeChatModel([ChatReply(content="x", steps=(thinks,))]))
    assert [(step.content, step.reasoning) for step in reply.steps] == [("Let me see.", "hm")]


# Servers without tools.

REFUSALS = [
    (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
    (500, "tools param requires --jinja flag"),
    (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    (404, "No endpoints found that support tool use. To learn more about provider routing, visit: https://x"),
    (400, "This model does not support function calling"),
    (400, "`tools` is not supported with this model"),
    (422, "Unrecognized request argument supplied: tools"),
]


@pytest.mark.parametrize(("status", "said"), REFUSALS)
@pytest.mark.parametrize("way", [at_a_server, behind_a_client])
def test_a_server_without_tools_is_told_of_and_never_asked_without_them(status, said, way):
    with (
        LoopbackServer(faults=always(refusal(status, said))) as server,
        pytest.raises(ModelCallError, match=r"does not take this chat's tools: .*--jinja") as error,
    ):
        engine_asked(way(server.api_base), replace(WITH_TOOLS, settings=ModelSettings(seed=5, temperature=0.5)))
    assert "\n" not in str(error.value)
    assert [received.body["tools"] for received in server.requests] == [[LOOK_UP]]


def test_a_template_without_results_is_not_taken_for_one_without_a_system_role():
    said = "Conversation roles must alternate user/assistant/user/assistant/..."
    history = (*HELLO, STEPS[0], replace(STEPS[1], tool_call_id="c1"))
    with (
        LoopbackServer(faults=always(refusal(400, said))) as server,
        pytest.raises(ModelCallError, match="this chat's tools"),
    ):
        engine_asked(at_a_server(server.api_base), replace(PLAIN, messages=history))
    assert server.count == 1


def test_tools_of_ones_own_are_never_learnt_away():
    own = ModelSettings(extra_body={"tools": [LOOK_UP], "tool_choice": "auto"})
    with (
        LoopbackServer(faults=always(refusal(400, "Unrecognized request argument supplied: tools"))) as server,
        pytest.raises(ModelCallError, match="supplied: tools"),
    ):
        engine_asked(at_a_server(server.api_base), replace(PLAIN, settings=own))
    assert server.count == 1


def test_litellm_is_not_let_to_leave_tools_out():
    model = as_chat_model("perplexity/sonar", api_base="http://127.0.0.1:9", api_key="sk-1")
    with pytest.raises(ModelCallError, match="does not take this chat's tools: LiteLLM knows no way"):
        engine_asked(model)


# Keys, rows and the way to other machines.


def key_of(request: ChatRequest) -> str:
    return call_key(call_identity(as_chat_model("m", api_base="http://h/v1"), request) or {})


def test_tools_are_in_the_key_of_a_call_that_has_some_and_in_no_other():
    assert "tools" not in (call_identity(as_chat_model("m", api_base="http://h/v1"), PLAIN) or {})
    other = {**LOOK_UP, "function": {**LOOK_UP["function"], "description": "x"}}
    asked = [PLAIN, WITH_TOOLS, replace(PLAIN, tools=(other,)), replace(WITH_TOOLS, tool_choice="none")]
    assert len({key_of(request) for request in asked}) == 4
    assert key_of(replace(PLAIN, tool_choice="none")) == key_of(PLAIN)


def test_calls_and_steps_come_out_of_the_cache_as_they_went_in(tmp_path):
    said = ChatReply(content="", tool_calls=(wanted(),), steps=STEPS, finish_reason="tool_calls")
    model = FakeChatModel([said])
    for _ in range(2):
        with Engine(cache=tmp_path) as engine:
            reply = run_sync(engine.call(model, WITH_TOOLS))
        assert reply == said
    assert len(model.requests) == 1


def test_requests_and_replies_with_tools_travel_to_other_machines():
    request = replace(WITH_TOOLS, tool_choice="look_up", messages=(*HELLO, *STEPS))
    reply = ChatReply(content="", tool_calls=(wanted(arguments="{"),), steps=STEPS)
    assert loads(ChatRequest, dumps(request)) == request
    assert loads(ChatReply, dumps(reply)) == reply


def test_a_reply_without_calls_of_a_client_that_is_a_mock_is_text():
    message = SimpleNamespace(content="hello", tool_calls=SimpleNamespace(), function_call=SimpleNamespace())
    completion = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=None)
    create = lambda **arguments: completion  # noqa: E731
    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    assert engine_asked(as_chat_model(client, model="m", price=Price(prompt=0.0, completion=0.0))).content == "hello"


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_in_place_of_a_content_is_what_the_model_said(way):
    refused = {"content": None, "refusal": "I can't help with that."}
    with LoopbackServer(faults=always(Fault(message=refused))) as server:
        assert engine_asked(way(server.api_base)).content == "I can't help with that."


def test_collab_errors_are_the_only_ones_that_odd_calls_raise():
    for calls in ([None], [[]], {}, 5, [5], [{"function": 5}], [{"function": {"name": {}, "arguments": 5}}]):
        with LoopbackServer(faults=always(Fault(message={"content": "x", "tool_calls": calls}))) as server:
            try:
                reply = engine_asked(at_a_server(server.api_base))
            except CollabError:
                continue
        assert all(isinstance(text, str) for call in reply.tool_calls for text in call["function"].values())
