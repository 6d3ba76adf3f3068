"""Bots that run their own tools: what they did is kept, told apart from the history, and scored with what they said."""

import asyncio
import copy
import json
from types import SimpleNamespace

import openai
import pytest
from langchain_core.messages import AIMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseReasoningItem,
)
from support.fakes import judged, user_says
from support.server import LoopbackServer

from collab_sdk import ChatReply, ChatRequest, Engine, MRScorer, Rollout, Simulator, as_chat_model
from collab_sdk.errors import BotError, ToolError
from collab_sdk.messages import Message, as_messages, unanswered_calls
from collab_sdk.models import CallRole
from collab_sdk.testing import FakeChatModel

LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def call(name="look_up", arguments='{"order":5}', id="a1", content=""):
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": id, "type": "function", "function": function}],
    }


def result(content="SHIPPED", id="a1"):
    return {"role": "tool", "content": content, "tool_call_id": id}


def user(text):
    return {"role": "user", "content": text}


def says(text="It has shipped."):
    return {"role": "assistant", "content": text}


HISTORY = [
    {"role": "system", "content": "Be kind."},
    user("hello"),
    says("Hello. How can I help you?"),
    user("order 5?"),
]
STEPS = [call(), result(), says()]
AGAIN = [*HISTORY, call(id="call00000"), result(id="call00000")]
"""A history that ends with the result of a call which we ran."""


def answer(bot, history=HISTORY, **fields) -> ChatReply:
    request = ChatRequest(role=CallRole.ASSISTANT, messages=as_messages(history), **fields)
    return asyncio.run(as_chat_model(bot).achat(request))


def did(reply: ChatReply) -> list[str]:
    """What a reply holds, a line a message."""
    lines = []
    for message in reply.messages:
        calls = [f"{each.name}({each.arguments})" for each in message.calls]
        lines.append(" ".join(filter(None, [message.role, message.content, *calls])))
    return lines


DONE = ['assistant look_up({"order":5})', "tool SHIPPED", "assistant It has shipped."]


def langchain(messages):
    """The same as LangChain's own objects."""
    made = []
    for row in messages:
        calls = [
            {"id": each["id"], "name": each["function"]["name"], "args": json.loads(each["function"]["arguments"])}
            for each in row.get("tool_calls", ())
        ]
        kinds = {
            "system": lambda row: SystemMessage(row["content"]),
            "user": lambda row: HumanMessage(row["content"]),
            "assistant": lambda row, calls=calls: AIMessage(row["content"], tool_calls=calls),
            "tool": lambda row: ToolMessage(row["content"], tool_call_id=row["tool_call_id"], name="look_up"),
        }
        made.append(kinds[row["role"]](row))
    return made


def pydantic(messages):
    """OpenAI's own objects where the assistant speaks, as its client returns them."""
    return [ChatCompletionMessage(**row) if row["role"] == "assistant" else row for row in messages]


def items(messages):
    """The same as items of OpenAI's Responses API, as its Agents SDK returns them."""
    made = []
    for row in messages:
        if row["role"] == "tool":
            made.append({"type": "function_call_output", "call_id": row["tool_call_id"], "output": row["content"]})
            continue
        if row["role"] != "assistant":
            made.append(row)
        elif row["content"]:
            parts = [{"type": "output_text", "text": row["content"], "annotations": []}]
            made.append({"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": parts})
        for each in row.get("tool_calls", ()):
            made.append({"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]})
            made.append({"type": "function_call", "id": "f", "call_id": each["id"], **each["function"]})
    return made


def item_objects(messages):
    """The same as objects of OpenAI's client, where the model made them."""
    kinds = {
        "message": ResponseOutputMessage,
        "function_call": ResponseFunctionToolCall,
        "reasoning": ResponseReasoningItem,
    }
    return [kinds[item["type"]](**item) if item.get("type") in kinds else item for item in items(messages)]


def anthropic(messages):
    """The same with calls and results among the parts of the content."""
    made = []
    for row in messages:
        parts = [{"type": "text", "text": row["content"]}] if row["content"] and row["role"] != "tool" else []
        for each in row.get("tool_calls", ()):
            called = {"name": each["function"]["name"], "input": json.loads(each["function"]["arguments"])}
            parts.append({"type": "tool_use", "id": each["id"], **called})
        if row["role"] == "tool":
            content = [{"type": "text", "text": row["content"]}]
            parts = [{"type": "tool_result", "tool_use_id": row["tool_call_id"], "content": content}]
        made.append({"role": "user" if row["role"] == "tool" else row["role"], "content": parts})
    return made


RETURNED = {
    "what is new": lambda history: STEPS,
    "the whole list": lambda history: [*history, *STEPS],
    "a state": lambda history: {"messages": [*history, *STEPS]},
    "a state of LangChain's": lambda history: {"messages": langchain([*history, *STEPS])},
    "what is new, of LangChain's": lambda history: langchain(STEPS),
    "OpenAI's objects": lambda history: pydantic([*history, *STEPS]),
    "without the system prompt": lambda history: [*history[1:], *STEPS],
    "trimmed": lambda history: [*history[-1:], *STEPS],
    "trimmed by LangGraph": lambda history: {"messages": langchain([*history[-2:], *STEPS])},
    "summarised": lambda history: [{"role": "system", "content": "They greeted."}, history[-1], *STEPS],
    "summarised as a user": lambda history: [user("So far: they greeted."), *STEPS],
    "with a question that was rewritten": lambda history: [*history[:-1], user("Status of order 5"), *STEPS],
    "with a summary and a rewritten question": lambda history: [user("So far: x"), history[2], user("Y"), *STEPS],
    "with another prompt": lambda history: [{"role": "developer", "content": "Use tools."}, *history[1:], *STEPS],
    "with notes between": lambda history: [*STEPS[:2], user("a note of one agent for another"), STEPS[2]],
    "with the question handed on": lambda history: [*history, *STEPS[:2], history[-1], STEPS[2]],
    "items": lambda history: items(STEPS),
    "items with the history": lambda history: items([*history, *STEPS]),
    "items that are objects": lambda history: item_objects([*history, *STEPS]),
    "a response": lambda history: SimpleNamespace(object="response", output=item_objects(STEPS)),
    "Anthropic's blocks": lambda history: anthropic(STEPS),
    "Anthropic's blocks with the history": lambda history: anthropic([*history, *STEPS]),
    "with all questions rewritten": lambda history: [
        *(user("[Monday] " + row["content"]) if row["role"] == "user" else row for row in history),
        *STEPS,
    ],
    "without ids": lambda history: [
        {"role": "assistant", "content": None, "function_call": call()["tool_calls"][0]["function"]},
        {"role": "function", "name": "look_up", "content": "SHIPPED"},
        says(),
    ],
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED.keys())
def test_what_a_bot_did_is_kept_and_told_apart_from_the_history(returned):
    reply = answer(lambda messages: returned(copy.deepcopy(list(messages))))
    assert did(reply) == DONE
    assert unanswered_calls(reply.messages) == ()


BY_THE_QUESTION = (
    *("summarised as a user", "without ids", "trimmed by LangGraph", "with a question that was rewritten"),
    *("with a summary and a rewritten question", "with the question handed on"),
)
"""Where the question is no longer the last message, these are something else."""


@pytest.mark.parametrize("name", [name for name in RETURNED if name not in BY_THE_QUESTION])
def test_a_history_that_ends_with_the_result_of_a_call_of_ours_is_told_apart_too(name):
    reply = answer(lambda messages: RETURNED[name](copy.deepcopy(list(messages))), AGAIN)
    assert did(reply) == DONE


def test_a_reply_that_repeats_an_earlier_one_is_new():
    repeats = [user("a"), says("Which one?"), user("b")]
    for bot in (lambda m: [says("Which one?")], lambda m: [*m, says("Which one?")], lambda m: "Which one?"):
        assert did(answer(bot, repeats)) == ["assistant Which one?"]
    assert did(answer(lambda m: [user("rewritten"), says("Which one?")], repeats)) == ["assistant Which one?"]


YES = [user("yes"), says("Anything else?"), user("yes")]


@pytest.mark.parametrize(
    "returned",
    [
        [*YES, says("Done.")],
        [*YES[:2], user("yes [Monday]"), says("Done.")],
        [user("yes [Monday]"), YES[1], user("yes [Monday]"), says("Done.")],
        [YES[2], says("Done.")],
        [says("Done.")],
    ],
    ids=["whole", "rewritten", "all rewritten", "trimmed", "new"],
)
def test_a_question_that_was_asked_before_is_found_by_its_place(returned):
    assert did(answer(lambda messages: returned, YES)) == ["assistant Done."]


def test_a_reply_may_be_that_of_the_turn_before_when_the_question_was_rewritten():
    returned = [*YES[:2], user("yes [Monday]"), YES[1]]
    assert did(answer(lambda messages: returned, YES)) == ["assistant Anything else?"]


def test_the_same_call_with_the_same_id_after_its_result_is_a_new_one():
    history = [user("order 5?"), call(id="1"), result("pending", "1")]
    again = [call(id="1"), result("pending", "1"), says("Still pending.")]
    made = ['assistant look_up({"order":5})', "tool pending", "assistant Still pending."]
    assert did(answer(lambda messages: again, history)) == made
    assert did(answer(lambda messages: [*messages, *again], history)) == made
    assert did(answer(lambda messages: [user("[Monday] order 5?"), *history[1:], *again], history)) == made


def completion(**message):
    choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", **message}}
    return ChatCompletion.model_validate(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    )


OURS_TO_RUN = {
    "a dict": call(),
    "a completion": completion(content=None, tool_calls=call()["tool_calls"]),
    "the JSON of a completion": completion(content=None, tool_calls=call()["tool_calls"]).model_dump(),
    "Anthropic's message": anthropic([call()])[0],
    "Anthropic's object": SimpleNamespace(
        type="message",
        role="assistant",
        content=[SimpleNamespace(type="tool_use", id="a1", name="look_up", input={"order": 5})],
    ),
    "an item": items([call()])[1:],
    "an AIMessage": langchain([call()])[0],
    "a list": [call()],
    "a list that begins with done ones": [call(id="z"), result(id="z"), call()],
}


@pytest.mark.parametrize("value", OURS_TO_RUN.values(), ids=OURS_TO_RUN.keys())
def test_calls_that_a_bot_makes_last_are_left_to_us(value):
    reply = answer(lambda messages: value)
    assert [each.name for each in unanswered_calls(reply.messages)] == ["look_up"]
    assert reply.tool_calls[0]["function"]["arguments"] == '{"order":5}'


def test_arguments_that_langchain_could_not_read_stay_as_the_model_wrote_them():
    message = AIMessage(
        [{"type": "tool_use", "id": "1", "name": "look_up", "input": {}}, {"type": "text", "text": "Let me see."}],
        invalid_tool_calls=[{"id": "1", "name": "look_up", "args": '{"order": ', "error": None}],
    )
    assert did(answer(lambda messages: message)) == ['assistant Let me see. look_up({"order": )']


def test_results_that_are_empty_are_results():
    assert did(answer(lambda messages: [call(), result(""), says()]))[1] == "tool"
    assert did(answer(lambda messages: [call(), FunctionMessage("ok", name="look_up"), says()]))[1] == "tool ok"


IMAGE = [{"type": "text", "text": "The map:"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}]
NO_RESULT = {
    "an image": result(IMAGE),
    "an image of LangChain's": ToolMessage(IMAGE, tool_call_id="a1"),
    "an image of Anthropic's": user([{"type": "tool_result", "tool_use_id": "a1", "content": [{"type": "image"}]}]),
    "an image among items": items([result([{"type": "input_image", "image_url": "data:"}])])[0],
    "a long text": result("x" * 200_001),
}


@pytest.mark.parametrize("given", NO_RESULT.values(), ids=NO_RESULT.keys())
def test_a_result_that_no_tool_of_ours_might_give_loses_the_sample(given):
    with pytest.raises(ToolError, match="A tool of the bot returned"):
        answer(lambda messages: [call(), given, says()])


def test_a_long_result_of_the_history_is_no_fault_of_the_bot():
    history = [*AGAIN[:-1], result("x" * 200_001, "call00000")]
    assert did(answer(lambda messages: [*messages, says()], history)) == DONE[2:]


REFUSED = "I can't help with that."
REFUSALS = {
    "a dict": {"role": "assistant", "content": None, "refusal": REFUSED},
    "a list": [{"role": "assistant", "content": None, "refusal": REFUSED}],
    "a completion": completion(content=None, refusal=REFUSED),
    "the JSON of a completion": completion(content=None, refusal=REFUSED).model_dump(),
    "an item": [
        ResponseOutputMessage(
            id="m",
            type="message",
            role="assistant",
            status="completed",
            content=[ResponseOutputRefusal(type="refusal", refusal=REFUSED)],
        )
    ],
}


@pytest.mark.parametrize("value", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_what_the_user_reads(value):
    assert did(answer(lambda messages: value)) == [f"assistant {REFUSED}"]


def test_a_completion_and_its_json_say_why_they_ended():
    ended = completion(content="Hello.")
    for value in (ended, ended.model_dump()):
        reply = answer(lambda messages, value=value: value)
        assert (reply.content, reply.finish_reason) == ("Hello.", "tool_calls")


WRONG = [
    ([call(), result()], "a message with role 'tool'"),
    ([says(), user("and?")], "a message with role 'user'"),
    (langchain([call(), result()]), "a message with role 'tool'"),
    ([says(), says() | {"content": None}], "expected text, a message"),
    ([{"role": "assistant", "content": 5}, says()], "cannot be read"),
    (
        [{"role": "assistant", "content": "", "tool_calls": ["look_up"]}, says()],
        "must be a list of calls",
    ),
    (["text", says()], "The bot returned str"),
    ([call(), result() | {"role": "tool_result"}, says()], "unknown role or type: 'tool_result'"),
    ([{"type": "web_search_call", "id": "w"}, says()], "unknown role or type: 'web_search_call'"),
    ([*items([call(), result()])], "a message with role 'function_call_output'"),
    ([call(), says([{"type": "tool_result", "tool_use_id": "a1", "content": "x"}]), says()], "tool_result"),
]


@pytest.mark.parametrize(("value", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_list_that_is_no_reply_is_one_line(value, problem):
    with pytest.raises(BotError, match=problem) as error:
        answer(lambda messages: value)
    assert "\n" not in str(error.value)


def test_a_bot_may_repeat_what_a_tool_of_ours_said():
    said = "The order has shipped and arrives tomorrow morning."
    assert (
        answer(lambda messages: list(messages)[-1]["content"], [*AGAIN[:-1], result(said, "call00000")]).content == said
    )


def test_tools_go_to_a_function_that_asks_for_them():
    given = []
    answer(lambda messages, tools: given.append(tools) or "x", tools=(LOOK_UP,))
    answer(lambda messages, tools=None: given.append(tools) or "x", tools=(LOOK_UP,))
    answer(lambda messages, tools=("my own",): given.append(tools) or "x", tools=(LOOK_UP,))
    answer(lambda messages, tools: given.append(tools) or "x")
    assert given == [[LOOK_UP], [LOOK_UP], ("my own",), []]


# Five lines each.


def scored(bot):
    """The score of a chat, whose futures hold what the bot did."""
    engine = Engine()
    simulator = Simulator(FakeChatModel(lambda _: user_says("order 5?"), name="user"), engine=engine)
    rollout = Rollout(assistant=bot, simulator=simulator, window=1, samples=1)
    scorer = MRScorer(rollout, metrics={"goal": 1.0}, judge=FakeChatModel(lambda _: judged(), name="judge"))
    return scorer.score(HISTORY[1:3], goal="to know where order 5 is")


def shown(score) -> list[str]:
    [future] = score.futures
    assert future.error is None
    return did(ChatReply(content="", steps=future.messages[1:]))[:-1]


def test_a_function_that_returns_its_steps_is_scored_with_them():
    def bot(messages, metadata):
        assert metadata["simulated"]
        return [call(), result(), says()]

    assert shown(scored(bot)) == DONE


def test_a_bot_on_an_openai_client_is_scored_with_its_steps():
    def brain(body):
        if body["messages"][-1]["role"] == "tool":
            return f"It is {body['messages'][-1]['content']}."
        return ChatReply(content="", tool_calls=tuple(call()["tool_calls"]), finish_reason="tool_calls")

    with LoopbackServer(brain) as server, openai.OpenAI(base_url=server.api_base, api_key="sk-1") as client:

        def bot(messages):
            start = len(messages)
            while (message := ask(messages)).tool_calls:
                results = [result("SHIPPED", each.id) for each in message.tool_calls]
                messages += [message.model_dump(exclude_none=True), *results]
            return [*messages[start:], message]

        def ask(messages):
            return client.chat.completions.create(model="m", messages=messages, tools=[LOOK_UP]).choices[0].message

        assert shown(scored(bot)) == [*DONE[:2], "assistant It is SHIPPED."]


def test_a_call_that_is_left_to_us_is_run_by_the_tools_of_the_rollout():
    history = [*HISTORY[1:3], user("order 5?"), *STEPS]
    engine = Engine()
    bot = as_chat_model(lambda messages: says() if list(messages)[-1]["role"] == "tool" else call(id="x"))
    simulator = Simulator(FakeChatModel(lambda _: user_says("and again?"), name="user"), engine=engine)
    rollout = Rollout(assistant=bot, simulator=simulator, window=1, samples=1, tools=["recorded"])
    [future] = rollout.futures(history, goal="to know where order 5 is", tools=[LOOK_UP])
    assert future.error is None
    assert did(ChatReply(content="", steps=future.messages[1:]))[:-1] == DONE


def test_ids_that_begin_anew_in_every_message_are_told_apart():
    steps = [
        call(id="0"),
        result("one", "0"),
        call(id="0"),
        result("two", "0"),
        call(id="0"),
        result("three", "0"),
        says(),
    ]
    [future] = scored(lambda messages: steps).futures
    ids = [each.id for message in future.messages for each in message.calls]
    answered = [message.tool_call_id for message in future.messages if message.role == "tool"]
    assert ids == answered
    assert len(set(ids)) == 3


def test_a_bot_may_return_our_own_messages():
    steps = as_messages(STEPS)
    assert did(answer(lambda messages: [*as_messages(messages), *steps])) == DONE
    assert did(answer(lambda messages: Message(role="assistant", content="x"))) == ["assistant x"]
    assert did(answer(lambda messages: SimpleNamespace(role="assistant", content="x"))) == ["assistant x"]
