"""Servers that do not take all of a request teach it once, in one run and for all that resume it."""

import json
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from support.faults import Body, Fault
from support.server import LoopbackServer

from collab_sdk import (
    Engine,
    MRScorer,
    PreferenceExporter,
    Rollout,
    Simulator,
    as_chat_model,
    read_conversations,
)
from collab_sdk.cache import MemoryCache
from collab_sdk.concurrency import run_sync
from collab_sdk.engine import ask_json
from collab_sdk.errors import EndpointError, ModelCallError, SampleError, UnreadableReplyError
from collab_sdk.messages import Message
from collab_sdk.models import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.spec import ModelSettings
from collab_sdk.testing import FakeChatModel

CHAT = [{"role": "user", "content": "A mocha, please."}, {"role": "assistant", "content": "Which milk?"}]


def refused(message: str, *, status: int = 400, param: str | None = None) -> Fault:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return Fault(status=status, body={"error": error})


def lm_studio(number: int, body: Body) -> Fault | None:
    if body.get("response_format", {}).get("type") == "json_object":
        return refused("'response_format.type' must be 'json_schema' or 'text'")
    return None


def only_json_object(number: int, body: Body) -> Fault | None:
    if body.get("response_format", {}).get("type") == "json_schema":
        return refused("response_format: json_schema is not supported by this model", param="response_format")
    return None


def no_response_format(number: int, body: Body) -> Fault | None:
    if "response_format" in body:
        row = {"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}
        return Fault(status=422, body={"detail": [row]})
    return None


def reasoning(number: int, body: Body) -> Fault | None:
    if body.get("temperature", 1) != 1:
        said = "Unsupported value: 'temperature' does not support 0.8. Only the default (1) value is supported."
        return refused(said, param="temperature")
    if "max_tokens" in body:
        said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        return refused(said, param="max_tokens")
    return None


def gemma(number: int, body: Body) -> Fault | None:
    if body["messages"][0]["role"] == "system":
        return refused("System role not supported", status=500)
    return None


def mistral(number: int, body: Body) -> Fault | None:
    roles = [message["role"] for message in body["messages"]]
    if roles[0] == "system":
        return refused("Conversation roles must alternate user/assistant/user/assistant/...")
    return None


SERVERS = [lm_studio, only_json_object, no_response_format, reasoning, gemma, mistral]


def scorer(server: LoopbackServer, engine: Engine, *, name: str = "small") -> MRScorer:
    model = as_chat_model(name, api_base=server.api_base, max_tokens=200)
    rollout = Rollout(assistant=model, simulator=Simulator(model, engine=engine), samples=2)
    return MRScorer(rollout, judge=model)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("server_of", SERVERS)
@pytest.mark.parametrize("name", ["small", "hosted_vllm/small"])
def test_a_server_that_refuses_a_parameter_is_asked_without_it_and_loses_no_sample(server_of, name):
    engine = Engine()
    with LoopbackServer(faults=server_of) as server:
        score = scorer(server, engine, name=name).score(CHAT, goal="a mocha with oat milk")
    assert score.errors == ()
    assert score.value is not None
    assert engine.ledger.total.failures == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("server_of", SERVERS)
def test_what_was_learnt_is_kept_so_that_a_resumed_run_asks_nothing(server_of, tmp_path):
    with LoopbackServer(faults=server_of) as server:
        for _ in range(2):
            asked = server.count
            with Engine(cache=tmp_path / "cache") as engine:
                value = scorer(server, engine).score(CHAT, goal="a mocha with oat milk").value
        assert value is not None
        assert 0 < asked == server.count


def test_each_lesson_is_said_once_and_costs_one_refusal():
    refusals: Counter[str] = Counter()

    def faults(number: int, body: Body) -> Fault | None:
        for name in ("temperature", "seed"):
            if name in body:
                refusals[name] += 1
                return refused(f"Unknown parameter: '{name}'", param=name)
        return None

    engine = Engine()
    with LoopbackServer(faults=faults) as server, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = as_chat_model("small", api_base=server.api_base, seed=1)
        MRScorer(Rollout(assistant=model, simulator=Simulator("offline", engine=engine)), judge="offline").score(
            CHAT, goal="a mocha with oat milk"
        )
    lessons = [str(each.message) for each in said if "does not take" in str(each.message)]
    assert sorted(lessons) == [
        "small does not take seed; it is left out.",
        "small does not take temperature; it is left out.",
    ]
    in_flight = 3
    assert all(count <= in_flight for count in refusals.values())


def call(engine: Engine, model: ChatModel, request: ChatRequest) -> ChatReply:
    return run_sync(engine.call(model, request))


def ask(text: str = "hello", **settings: object) -> ChatRequest:
    asked = ModelSettings(**settings)  # type: ignore[arg-type]
    return ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content=text),), settings=asked)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. Please reduce max_tokens.",
        "max_tokens is too large: 9000.",
        "temperature must be between 0 and 2",
        "The response was flagged by the content policy.",
        "The conversation talks about temperature records.",
    ],
)
def test_a_refusal_that_is_about_something_else_teaches_nothing(said):
    engine = Engine()
    model_settings = {"temperature": 0.5, "max_tokens": 9000}
    if "talks about" in said:  # names a word of the chat, not a parameter that was sent
        model_settings = {"top_p": 0.5}
    with LoopbackServer(faults=lambda number, body: refused(said)) as server:
        model = as_chat_model("small", api_base=server.api_base)
        with pytest.raises(ModelCallError, match="small"):
            call(engine, model, ask(**model_settings))
    assert server.count == 1


def test_a_schema_that_is_refused_after_others_were_taken_is_the_only_one_that_is_not_sent():
    def faults(number: int, body: Body) -> Fault | None:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        return refused("Invalid schema for response_format 'reply'") if "b" in schema.get("properties", {}) else None

    def wanting(name: str) -> ChatRequest:
        schema = {"type": "object", "properties": {name: {"type": "string"}}}
        return ChatRequest(role=CallRole.JUDGE, messages=ask(name).messages, reply_schema=schema)

    engine = Engine()
    with LoopbackServer(lambda body: '{"a": "x"}', faults=faults) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = as_chat_model("small", api_base=server.api_base)
        for name in ("a", "b", "c"):
            call(engine, model, wanting(name))
    formats = [request.body["response_format"]["type"] for request in server.requests]
    assert formats == ["json_schema", "json_schema", "json_object", "json_schema"]


def test_the_key_is_made_of_what_was_sent(tmp_path):
    """So that two servers, one of which takes no temperature, never share a reply."""
    keys = []

    class Watched(MemoryCache):
        async def aput(self, key, reply, *, request):
            keys.append((request.get("settings"), request.get("messages")))
            return await super().aput(key, reply, request=request)

    engine = Engine(cache=Watched())
    with LoopbackServer(faults=reasoning) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(engine, as_chat_model("small", api_base=server.api_base), ask(temperature=0.5, max_tokens=9))
    [sent] = [settings for settings, messages in keys if messages]
    assert sent == {"extra_body": {"max_completion_tokens": 9}}
    assert server.requests[-1].body == {
        "model": "small",
        "messages": [{"role": "user", "content": "hello"}],
        "max_completion_tokens": 9,
    }


def test_a_model_that_is_never_readable_ends_the_run_with_what_it_said(tmp_path):
    chats = [
        {"id": str(n), "messages": [{"role": "user", "content": f"A mocha {n}."}, CHAT[1]], "goal": "a mocha"}
        for n in range(100)
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))

    def brain(body: Body) -> str:
        return "I would like an oat milk mocha" if "play a human user" in body["messages"][0]["content"] else "Sure."

    with LoopbackServer(brain) as server:
        with pytest.raises(EndpointError, match=r"never in a readable form.*It said: 'I would like an oat milk mocha'"):
            PreferenceExporter(scorer(server, Engine())).export(
                read_conversations([tmp_path / "chats.jsonl"]), tmp_path / "pairs.jsonl"
            )
        assert server.count < 1000


def test_a_chat_that_is_refused_for_what_the_server_took_before_teaches_nothing():
    def faults(number: int, body: Body) -> Fault | None:
        said = "temperature is not supported", "System role not supported", "response_format is not supported"
        return refused(said[int(body["messages"][-1]["content"])]) if body["messages"][-1]["content"] != "hi" else None

    def asking(text: str) -> ChatRequest:
        messages = (Message(role="system", content="Be brief."), Message(role="user", content=text))
        settings = ModelSettings(temperature=0.5)
        return ChatRequest(role=CallRole.JUDGE, messages=messages, settings=settings, reply_schema={"type": "object"})

    engine = Engine()
    with LoopbackServer(lambda body: "{}", faults=faults) as server:
        model = as_chat_model("small", api_base=server.api_base)
        call(engine, model, asking("hi"))
        for number in range(3):
            with pytest.raises(ModelCallError, match="not supported"):
                call(engine, model, asking(str(number)))
        assert server.count == 4


def test_a_schema_is_asked_for_in_every_way_before_its_calls_are_lost():
    """As at LM Studio, which takes schemas, but neither this one nor json_object."""

    def faults(number: int, body: Body) -> Fault | None:
        asked = body.get("response_format", {})
        properties = asked.get("json_schema", {}).get("schema", {}).get("properties", {})
        is_refused = "b" in properties or asked.get("type") == "json_object"
        return refused("response_format is not supported in this form") if is_refused else None

    def wanting(name: str) -> ChatRequest:
        schema = {"type": "object", "properties": {name: {"type": "string"}}}
        return ChatRequest(role=CallRole.JUDGE, messages=ask(name).messages, reply_schema=schema)

    with LoopbackServer(lambda body: '{"a": "x"}', faults=faults) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine, model = Engine(), as_chat_model("small", api_base=server.api_base)
        for name in ("a", "b", "b", "c"):
            call(engine, model, replace(wanting(name), sample=str(server.count)))
    formats = [request.body.get("response_format", {}).get("type") for request in server.requests]
    assert formats == ["json_schema", "json_schema", "json_object", None, None, "json_schema"]


def test_a_few_conversations_that_are_never_readable_do_not_end_the_run():
    engine, model = Engine(), FakeChatModel(lambda request: "no" if "hard" in request.messages[0].content else "{}")

    async def asked(text: str) -> None:
        request = ChatRequest(
            role=CallRole.JUDGE, messages=ask(text).messages, reply_schema={"type": "object"}, conversation_id=text[:6]
        )
        await ask_json(engine, model, request, dict)

    for number in range(25):
        with pytest.raises(UnreadableReplyError):
            run_sync(asked(f"hard 1 {number}"))
    run_sync(asked("easy"))


def test_a_model_of_thoughts_alone_is_given_up_too():
    thinking = FakeChatModel(lambda _: ChatReply(content="", reasoning="hm"))

    async def asked(number: int) -> None:
        request = replace(ask(str(number)), reply_schema={"type": "object"}, conversation_id=str(number))
        await ask_json(engine, thinking, request, dict)

    engine = Engine(sleep=at_once)
    with pytest.raises(EndpointError, match="never in a readable form"):
        for number in range(25):
            with suppress(SampleError):
                run_sync(asked(number))


async def at_once(seconds: float) -> None:
    """In place of a wait."""
