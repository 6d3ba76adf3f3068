"""What LangChain's messages are recorded as."""

import asyncio
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from support.langchain_apps import KeptCalls, graph_of, harvest, line, look_up, replies, says

USER = {"messages": [("user", "hello")]}


def sent(*messages: BaseMessage) -> list[dict[str, Any]]:
    return list(harvest(says("a"), list(messages)).only.messages)


CALL = {"name": "look_up", "args": {"order": "für 7"}, "id": "1"}


def test_messages_become_openais():
    assert sent(
        SystemMessage("Be kind."),
        HumanMessage("hello", name="ann"),
        AIMessage("", tool_calls=[CALL], name="bot"),
        ToolMessage("shipped", tool_call_id="1", name="look_up"),
        ChatMessage(role="developer", content="Be brief."),
        ChatMessage(role="stranger", content="hm"),
    ) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello", "name": "ann"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "für 7"}'}}
            ],
        },
        {"role": "tool", "content": "shipped", "name": "look_up", "tool_call_id": "1"},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hm"},
    ]


THOUGHTS = [
    {"type": "thinking", "thinking": "hm", "signature": "x"},
    {"type": "reasoning", "reasoning": "hm"},
    {"type": "text", "text": "Yes, "},
    {"type": "tool_use", "id": "1", "name": "look_up", "input": {}},
    "it is.",
]


def test_thoughts_are_left_out_and_the_text_around_them_joined():
    assert sent(AIMessage(THOUGHTS)) == [{"role": "assistant", "content": "Yes, it is."}]
    thinking = GenericFakeChatModel(messages=iter([AIMessage(THOUGHTS)]))
    assert harvest(thinking).only.replies == ({"role": "assistant", "content": "Yes, it is."},)


DATA = "iVBORw0KGgo" * 1000
IMAGES = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
    {"type": "image", "base64": DATA, "mime_type": "image/png"},
    {"type": "image", "source_type": "base64", "data": DATA, "mime_type": "image/png"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
    {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}", "filename": "a.pdf"}},
    {"type": "media", "mime_type": "image/png", "data": DATA},
    {"image": {"format": "png", "source": {"bytes": DATA.encode()}}},
]


@pytest.mark.parametrize("image", IMAGES)
def test_media_are_referenced_and_not_stored(image):
    [message] = sent(HumanMessage([{"type": "text", "text": "what is this?"}, image]))
    assert message["content"][0] == {"type": "text", "text": "what is this?"}
    assert DATA[:100] not in str(message)
    assert "sha256" in str(message["content"][1])


def test_tool_calls_that_are_no_json_are_kept_as_they_came():
    broken = {"name": "look_up", "args": "{broken", "id": "1", "error": None, "type": "invalid_tool_call"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", invalid_tool_calls=[broken])]))
    [reply] = harvest(model).only.replies
    assert reply["tool_calls"][0]["function"]["arguments"] == "{broken"


def test_a_refusal_is_what_the_user_saw():
    refused = AIMessage("", additional_kwargs={"refusal": "I cannot help with that."})
    assert replies(harvest(GenericFakeChatModel(messages=iter([refused])))) == ["I cannot help with that."]


def test_the_tools_that_a_model_is_offered_are_kept_as_it_sends_them():
    schema = {"type": "function", "function": {"name": "look_up"}}
    assert harvest(says("a").bind(tools=[schema, look_up])).only.tools == (schema,)


class TextModel(LLM):
    @property
    def _llm_type(self) -> str:
        return "text"

    def _call(self, prompt: str, **options: Any) -> str:
        return f"{prompt}!"


def test_a_model_of_texts_is_a_conversation_of_two():
    assert harvest(TextModel()).transcripts() == {None: ["user: hello", "assistant: hello!"]}


def test_what_a_reply_becomes_in_the_next_history_is_the_same_message():
    agent = graph_of(
        ("bot", lambda state: {"messages": [says("a").invoke(state["messages"]).model_copy(update={"name": "bot"})]}),
        checkpointer=InMemorySaver(),
    )
    kept = KeptCalls()
    config = {"callbacks": [CollabCallbackHandler(kept, sync=True)], "configurable": {"thread_id": "t"}}
    for _ in range(2):
        asyncio.run(agent.ainvoke(USER, config))
    first, second = kept.calls
    assert second.messages[:2] == (*first.messages, *first.replies)
    assert line(second.messages[1]) == "assistant: a"
