"""The export of ChatGPT: a tree for each conversation."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import other_texts

from collab_sdk.logs import read_conversations


def node(name, parent, role="user", text=None, *, content=None, **message):
    """A node of the mapping; without text or content, one that holds no message."""
    if text is not None:
        content = {"content_type": "text", "parts": [text]}
    said = {"author": {"role": role}, "content": content, "recipient": "all", **message} if content else None
    return {name: {"id": name, "parent": parent, "children": [], "message": said}}


def tree(*nodes, current="end", **fields):
    mapping = {name: value for one in nodes for name, value in one.items()}
    return {"id": "g1", "title": "Coffee", "create_time": 1.5, "current_node": current, "mapping": mapping, **fields}


def read(tmp_path, *trees):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(list(trees)))
    errors = []
    conversations = list(read_conversations([path], on_error=errors.append))
    return conversations, [(Path(error.where).name, error.problem) for error in errors]


def said(conversation):
    return [(message.role, message.content) for message in conversation.messages]


START = (node("root", None), node("sys", "root", "system", ""), node("u1", "sys", "user", "hi"))


def test_the_conversation_is_the_way_from_the_current_node_up(tmp_path):
    [conversation], errors = read(
        tmp_path,
        tree(
            *START,
            node("a1", "u1", "assistant", "hello", metadata={"model_slug": "gpt-4"}),
            node("edited", "a1", "user", "what?"),
            node("lost", "edited", "assistant", "as I said"),
            node("u2", "a1", "user", "thanks"),
            node("end", "u2", "assistant", "welcome", metadata={"model_slug": "gpt-4o"}),
        ),
    )
    assert errors == []
    assert said(conversation) == [
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "thanks"),
        ("assistant", "welcome"),
    ]
    assert conversation.id == "g1"
    assert conversation.metadata == {"title": "Coffee", "create_time": 1.5, "model": "gpt-4o"}
    assert conversation.alternatives == {}


def test_regenerated_answers_are_alternatives_also_behind_thoughts_that_no_one_sees(tmp_path):
    thoughts = {"content_type": "thoughts", "thoughts": [{"content": "hm"}]}
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("a1", "u1", "assistant", "one"),
            node("a2", "u1", "assistant", "two"),
            node("same", "u1", "assistant", "two"),
            node("u2", "a2", "user", "more"),
            node("think", "u2", "assistant", content=thoughts),
            node("end", "think", "assistant", "three"),
            node("a4", "u2", "assistant", "four"),
        ),
    )
    assert [message.content for message in conversation.messages] == ["hi", "two", "more", "three"]
    assert other_texts(conversation) == {0: ("one",), 1: ("four",)}


def test_tools_are_called_by_their_name_and_answer(tmp_path):
    code = {"content_type": "code", "language": "python", "text": "print(1)"}
    result = {"content_type": "execution_output", "text": "1"}
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("call", "u1", "assistant", content=code, recipient="python"),
            node("run", "call", "tool", content=result, author={"role": "tool", "name": "python"}),
            node("end", "run", "assistant", "It is 1."),
        ),
    )
    _, call, answer, last = conversation.messages
    assert call.tool_calls[0]["function"] == {"name": "python", "arguments": '{"input":"print(1)"}'}
    assert (answer.role, answer.content, answer.name) == ("tool", "1", "python")
    assert answer.tool_call_id == call.tool_calls[0]["id"]
    assert [turn.response for turn in conversation.turns()] == [(call, answer, last)]


def test_images_are_named_speech_is_text_and_custom_instructions_are_the_system_prompt(tmp_path):
    instructions = {"content_type": "user_editable_context", "user_profile": "I am Ann.", "user_instructions": "Brief."}
    parts = [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"},
        {"content_type": "audio_transcription", "text": "what is this"},
        "please",
    ]
    [conversation], _ = read(
        tmp_path,
        tree(
            node("root", None),
            node("custom", "root", "user", content=instructions),
            node("u1", "custom", "user", content={"content_type": "multimodal_text", "parts": parts}),
            node("end", "u1", "assistant", "a cat"),
        ),
    )
    assert said(conversation)[:2] == [("system", "I am Ann.\nBrief."), ("user", "[image]\nwhat is this\nplease")]


def test_without_a_current_node_the_last_leaf_is_the_end(tmp_path):
    trees = tree(*START, node("a1", "u1", "assistant", "one"), node("a2", "u1", "assistant", "two"), current=None)
    [conversation], _ = read(tmp_path, trees)
    assert conversation.messages[-1].content == "two"


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (tree(node("end", "b"), node("b", "end")), "the message tree has a cycle at node end"),
        (tree(node("a", "b"), node("b", "a"), current=None), "the message tree is a cycle"),
        (tree(node("end", "gone", "assistant", "x")), "the parent of node end is not in the mapping"),
        (tree(*START, current="gone"), "current_node gone is not in the mapping"),
        (tree(*START, node("end", "u1", "narrator", "x")), "node end: unknown role 'narrator'"),
        (tree(*START, node("end", "u1", content={"parts": [5]})), "node end: a content part must be text"),
        (tree(*START, current="u1"), "no assistant message"),
        ({"mapping": {}}, "no messages"),
        ({"mapping": [1]}, "mapping must be an object of nodes"),
        ({"mapping": {"a": 1}}, "mapping must be an object of nodes"),
        ({"mapping": {"a": {"message": 1}}}, "node a: a message must be an object"),
    ],
)
def test_a_broken_tree_is_an_error_with_its_place_and_the_others_are_read(tmp_path, bad, problem):
    good = tree(*START, node("end", "u1", "assistant", "fine"))
    conversations, [(where, found)] = read(tmp_path, bad | {"id": "bad"}, good)
    assert [conversation.id for conversation in conversations] == ["g1"]
    assert where == "conversations.json, item 1"
    assert found.startswith(problem)


def test_a_second_conversation_with_the_same_id_is_refused(tmp_path):
    good = tree(*START, node("end", "u1", "assistant", "fine"))
    other = tree(node("u1", None, "user", "another question"), node("end", "u1", "assistant", "fine"))
    conversations, [(where, problem)] = read(tmp_path, good, other)
    assert len(conversations) == 1
    assert where == "conversations.json, item 2"
    assert problem.startswith("duplicate id 'g1'")


names = st.sampled_from("abcdef")
wild_nodes = st.builds(
    lambda name, parent, role, text: node(name, parent, role, text),
    names,
    names | st.none(),
    st.sampled_from(["user", "assistant", "system", "tool"]),
    st.text(max_size=3) | st.none(),
)


@given(nodes=st.lists(wild_nodes, max_size=8), current=names | st.none() | st.integers())
def test_wild_trees_raise_nothing_but_input_errors(tmp_path_factory, nodes, current):
    conversations, errors = read(tmp_path_factory.mktemp("wild"), tree(*nodes, current=current))
    assert len(conversations) + len(errors) == 1
    for conversation in conversations:
        assert set(conversation.alternatives) <= {turn.index for turn in conversation.turns()}
