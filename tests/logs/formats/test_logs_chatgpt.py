"""The export of ChatGPT: a tree for each conversation."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import other_texts

from collab_sdk.logs import read_conversations
from collab_sdk.logs.formats.trees import UNUSED


def node(name, parent, role="user", text=None, *, content=None, **message):
    """A node of the mapping; without text or content, one that holds no message."""
    if text is not None:
        content = {"content_type": "text", "parts": [text]}
    said = {"author": {"role": role}, "content": content, "recipient": "all", **message} if content else None
    return {name: {"id": name, "parent": parent, "children": [], "message": said}}


def tree(*nodes, current="end", **fields):
    mapping = {name: value for one in nodes for name, value in one.items()}
    return {"id": "g1", "title": "Coffee", "create_time": 1.5, "current_node": current, "mapping": mapping, **fields}


def write(tmp_path, *trees):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(list(trees)))
    return path


def read(tmp_path, *trees):
    path = write(tmp_path, *trees)
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
        (tree(*START, node("end", "u1", "narrator", "x")), "node end: unknown role 'narrator'"),
        (tree(*START, node("end", "u1", content={"parts": [5]})), "no assistant message"),
        (tree(*START, current="u1"), "no assistant message"),
        ({"mapping": {"a": 1}, "current_node": "a"}, "mapping must be an object of nodes"),
        ({"mapping": {"a": {"message": 1}}}, "node a: a message must be an object"),
        ({"mapping": [1]}, "no known chat format: found the keys 'mapping'"),
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


def test_a_web_search_is_a_call_with_its_result_and_the_answer_behind_it_ends_the_turn(tmp_path):
    # The shapes of an export of February 2026, as mohamed-chs/convoviz 3f50ee7 describes them.
    query = {"content_type": "code", "language": "unknown", "text": '{"search_query":[{"q":"bakery"}]}'}
    pages = [{"domain": "b.example", "entries": [{"title": "Bakery", "url": "https://b.example", "snippet": "Open."}]}]
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Search", "content": "I look it up."}]}
    page = {"content_type": "sonic_webpage", "url": "https://b.example", "title": "Bakery", "text": "All of the page"}
    web = {"role": "tool", "name": "web.run"}
    [conversation], errors = read(
        tmp_path,
        tree(
            *START,
            node("t1", "u1", "assistant", content=thoughts),
            node("c1", "t1", "assistant", content=query, recipient="web.run", id="c1"),
            node("r1", "c1", text="", author=web, metadata={"search_result_groups": pages}),
            node("r2", "r1", content=page, author=web),
            node("rr", "r2", "assistant", content={"content_type": "reasoning_recap", "content": "Thought for 6s"}),
            node("end", "rr", "assistant", "It opens at 8.", channel="final"),
        ),
    )
    assert errors == []
    _, call, result, answer = conversation.messages
    assert (call.calls[0].name, call.calls[0].parsed) == ("web.run", {"search_query": [{"q": "bakery"}]})
    assert result.tool_call_id == call.calls[0].id == "c1"
    assert result.content == "Bakery\nhttps://b.example\nOpen.\nBakery\nhttps://b.example\nAll of the page"
    assert answer.content == "It opens at 8."
    assert [turn.response for turn in conversation.turns()] == [(call, result, answer)]


def test_a_search_that_no_node_answers_has_its_result_beside_the_answer(tmp_path):
    # As gpt-5-3 searches since April 2026.
    pages = [{"entries": [{"title": "Bakery", "snippet": "Open."}]}]
    by_search = {"role": "assistant", "metadata": {"real_author": "tool:web"}}
    [conversation], errors = read(
        tmp_path,
        tree(
            *START,
            node("c", "u1", "assistant", content={"content_type": "code", "text": 'search("bakery")'}, recipient="web"),
            node("end", "c", text="At 8.", author=by_search, channel="final", metadata={"search_result_groups": pages}),
        ),
    )
    assert errors == []
    assert said(conversation)[1:] == [("assistant", ""), ("tool", "Bakery\nOpen."), ("assistant", "At 8.")]
    assert conversation.messages[2].tool_call_id == conversation.messages[1].calls[0].id


def test_a_result_without_text_stays_the_result_of_its_call(tmp_path):
    images = {"messages": [{"message_type": "image", "image_url": "file://1"}, {"message_type": "stream", "text": "7"}]}
    for about, content in (({}, ""), ({"aggregate_result": images}, "7\n[image]")):
        [conversation], errors = read(
            tmp_path,
            tree(
                *START,
                node("c", "u1", "assistant", "", recipient="python"),
                node("r", "c", text="", author={"role": "tool", "name": "python"}, metadata=about),
                node("end", "r", "assistant", "Done."),
            ),
        )
        assert errors == []
        _, call, result, _ = conversation.messages
        assert call.calls[0].arguments == "{}"
        assert (result.tool_call_id, result.content) == (call.calls[0].id, content)


def test_what_is_said_before_and_between_calls_belongs_to_the_answer(tmp_path):
    python = {"role": "tool", "name": "python"}
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("p1", "u1", "assistant", "I read the file.", channel="commentary"),
            node("c1", "p1", "assistant", "open('s')", recipient="python", channel="commentary"),
            node("r1", "c1", text="1", author=python),
            node("hm", "r1", "assistant", "One column, then.", channel="analysis"),
            node("p2", "hm", "assistant", "One column; I plot it.", channel="commentary"),
            node("a1", "p2", "assistant", "Sales rise.", channel="final"),
            node("u2", "a1", "user", "and June?"),
            node("end", "u2", "assistant", "It falls."),
        ),
    )
    turns = list(conversation.turns())
    assert [[m.content for m in turn.response if m.role == "assistant" and m.content] for turn in turns] == [
        ["I read the file.", "One column; I plot it.", "Sales rise."],
        ["It falls."],
    ]


def test_an_answer_behind_another_search_is_an_alternative_with_its_calls_and_results(tmp_path):
    web = {"role": "tool", "name": "web.run"}
    [conversation], errors = read(
        tmp_path,
        tree(
            *START,
            node("c1", "u1", "assistant", "first", recipient="web.run"),
            node("r1", "c1", text="one", author=web),
            node("a1", "r1", "assistant", "From one."),
            node("c2", "u1", "assistant", "second", recipient="web.run"),
            node("r2", "c2", text="two", author=web),
            node("end", "r2", "assistant", "From two."),
            node("a3", "r2", "assistant", "Also from two."),
            node("c4", "r2", "assistant", "third", recipient="web.run"),
            node("c5", "u1", "assistant", "given up", recipient="web.run"),
        ),
    )
    assert errors == []
    assert [message.content for message in conversation.messages] == ["hi", "", "two", "From two."]
    found = [[(m.role, m.content) for m in other] for other in conversation.alternatives[0]]
    assert sorted(found) == [
        [("assistant", ""), ("tool", "one"), ("assistant", "From one.")],
        [("assistant", ""), ("tool", "two"), ("assistant", "Also from two.")],
    ]
    for other in conversation.alternatives[0]:
        assert other[1].tool_call_id == other[0].calls[0].id


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "One euro \ue200cite\ue202turn0search0\ue202turn0search3\ue201. Up\u30104:0\u2020source\u3011.",
            "One euro. Up.",
        ),
        ("\ue203Anything else?\ue204", "Anything else?"),
        ('Ask \ue200entity\ue202["person","Ada Lovelace","mathematician"]\ue201 now', "Ask Ada Lovelace now"),
        ("Ask \ue200entity\ue202Ada\ue201.", "Ask Ada."),
        ("See \ue200link_title\ue202The shop\ue202turn0search1\ue201!", "See The shop!"),
        ("See \ue200url\ue202the shop\ue202https://s.example\ue201!", "See the shop!"),
        ('\ue200image_group\ue202{"query":["a cat"]}\ue201\n\nA cat.', "A cat."),
        ("The file says so \ue200filecite\ue202turn1file0\ue202L1-L3\ue201", "The file says so"),
        ("Cut off \ue200cite\ue202turn0sea", "Cut off"),
        ("a \ue200cite\ue202x\ue201b", "a b"),
        ("an old one:contentReference[oaicite:0]{index=0}.", "an old one."),
        (
            "Get [the file](sandbox:/mnt/data/a.csv)\u3010note\u3011",
            "Get [the file](sandbox:/mnt/data/a.csv)\u3010note\u3011",
        ),
        ("  kept  as it is \n", "  kept  as it is \n"),
    ],
)
def test_marks_of_citations_go_and_those_of_entities_become_their_names(tmp_path, text, clean):
    [conversation], _ = read(tmp_path, tree(*START, node("end", "u1", "assistant", text)))
    assert conversation.messages[-1].content == clean


def test_marks_that_lost_their_private_characters_are_known_by_their_references(tmp_path):
    references = [{"matched_text": "citeturn0search0"}, {"matched_text": "costs"}, {"matched_text": " "}, 5]
    about = {"content_references": references}
    [conversation], _ = read(
        tmp_path, tree(*START, node("end", "u1", "assistant", "It costs one euro citeturn0search0.", metadata=about))
    )
    assert conversation.messages[-1].content == "It costs one euro."


def test_marks_in_the_arguments_of_calls_go_too_where_they_are_escaped(tmp_path):
    canvas = json.dumps({"content": "One euro \ue200cite\ue202turn0search0\ue201.", "n": [1, "\ue203x\ue204"]})
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("c", "u1", "assistant", canvas, recipient="canmore.create_textdoc"),
            node("r", "c", text="ok", author={"role": "tool", "name": "canmore.create_textdoc"}),
            node("end", "r", "assistant", "There."),
        ),
    )
    assert conversation.messages[1].calls[0].parsed == {"content": "One euro.", "n": [1, "x"]}


def test_of_speech_the_words_are_read_and_a_recording_without_any_is_named(tmp_path):
    recording = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": {"format": "wav"}}
    heard = {"content_type": "audio_transcription", "text": "open today?", "direction": "in"}
    for parts, text in (([heard, recording], "open today?"), ([recording], "[audio]")):
        content = {"content_type": "multimodal_text", "parts": parts}
        [conversation], _ = read(
            tmp_path, tree(*START[:2], node("u1", "sys", content=content), node("end", "u1", "assistant", "Yes."))
        )
        assert said(conversation)[0] == ("user", text)


def test_hidden_messages_are_no_words_of_anybodys_and_are_counted(tmp_path):
    hidden = {"is_visually_hidden_from_conversation": True}
    instructions = {"about_user_message": "I am Ann.", "about_model_message": "Be brief."}
    notes = Counter()
    [conversation] = read_conversations(
        [
            write(
                tmp_path,
                tree(
                    node("root", None),
                    node("s", "root", "system", "", weight=0.0, metadata=hidden),
                    node("i", "s", "user", "No longer available", metadata=hidden | {"is_user_system_message": True}),
                    node(
                        "j", "i", "user", "",
                        metadata=hidden | {"is_user_system_message": True, "user_context_message_data": instructions},
                    ),
                    node("d", "j", "developer", "Use metres."),
                    node("u1", "d", "user", "hi"),
                    node("h", "u1", "user", "Go on, model.", metadata=hidden),
                    node("g", "h", "assistant", "Working...", metadata=hidden),
                    node("end", "g", "assistant", "hello"),
                ),
            )
        ],
        notes=notes,
    )  # fmt: skip
    assert said(conversation) == [
        ("system", "I am Ann.\nBe brief."),
        ("system", "Use metres."),
        ("user", "hi"),
        ("assistant", "hello"),
    ]
    assert notes == {"messages that are hidden from the conversation, left out": 2}


def test_what_is_missing_of_a_tree_costs_no_more_than_itself(tmp_path):
    notes = Counter()
    answer = node("end", "u1", "assistant", "fine")
    path = write(
        tmp_path,
        tree(*START, answer, current="gone") | {"id": "a"},
        tree(node("u1", "gone", "user", "hi"), answer) | {"id": "b"},
        tree(*START, answer, node("odd", "u1", "narrator", "x")) | {"id": "c"},
    )
    conversations = list(read_conversations([path], notes=notes))
    assert [said(conversation) for conversation in conversations] == [[("user", "hi"), ("assistant", "fine")]] * 3
    assert notes == {
        "chats whose last message is missing, read up to the last one that is there": 1,
        "chats whose beginning is missing, read from there on": 1,
        "other answers that cannot be read, left out": 1,
    }


def test_contents_and_results_of_no_known_kind_are_counted_and_are_no_text(tmp_path):
    notes = Counter()
    strange = {"content_type": "hologram", "text": "SECRET", "parts": ["SECRET"]}
    parts = {"content_type": "multimodal_text", "parts": ["see", {"content_type": "smell", "text": "SECRET"}]}
    path = write(
        tmp_path,
        tree(
            *START,
            node("c", "u1", "assistant", "x", recipient="lab"),
            node("r", "c", content=strange, author={"role": "tool", "name": "lab"}),
            node("orphan", "r", "assistant", "one"),
            node("u2", "orphan", "user", content=strange),
            node("a2", "u2", "assistant", content=strange),
            node("a3", "a2", "assistant", "two"),
            node("u3", "a3", "user", content=parts),
            node("lost", "u3", text="SECRET", author={"role": "tool", "name": "file_search"}),
            node("end", "lost", "assistant", "three"),
        ),
    )
    [conversation] = read_conversations([path], notes=notes)
    assert said(conversation) == [
        ("user", "hi"), ("assistant", ""), ("tool", ""), ("assistant", "one"), ("user", ""), ("assistant", "two"),
        ("user", "see"), ("assistant", "three"),
    ]  # fmt: skip
    assert notes == {
        "parts of messages of the unknown kind hologram, left out": 3,
        "parts of messages of the unknown kind smell, left out": 1,
        "results of tools that nobody called, left out": 1,
    }


def test_a_file_that_came_with_a_message_is_named(tmp_path):
    files = {"attachments": [{"name": "a.pdf", "mime_type": "application/pdf"}, {"mime_type": "image/png"}]}
    [conversation], _ = read(
        tmp_path,
        tree(*START[:2], node("u1", "sys", "user", "read it", metadata=files), node("end", "u1", "assistant", "Yes.")),
    )
    assert said(conversation)[0] == ("user", "read it\n[file]")


def test_an_answer_that_is_excluded_is_no_turn_to_learn_from(tmp_path):
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("a1", "u1", "assistant", "one", weight=0.0),
            node("u2", "a1", "user", "more", weight=1.0),
            node("end", "u2", "assistant", "two", weight=1.0),
        ),
    )
    assert conversation.untrained_turns == frozenset({0})


def test_a_chat_ends_when_its_last_message_was_written_and_keeps_its_assistant(tmp_path):
    [conversation], _ = read(
        tmp_path,
        tree(
            *START,
            node("end", "u1", "assistant", "fine", create_time=1756000001.5),
            update_time=1756000400.0,
            gizmo_id="g-123",
        ),
    )
    assert conversation.ended == 1756000001.5
    assert conversation.metadata["gizmo_id"] == "g-123"


def test_a_tree_ten_thousand_nodes_deep_with_a_branch_at_each_is_read(tmp_path):
    deep = [node("u0", None, "user", "hi"), node("n0", "u0", "assistant", "0")]
    for n in range(1, 5000):
        deep += [node(f"n{n}", f"n{n - 1}", "assistant", str(n)), node(f"b{n}", f"n{n - 1}", "assistant", f"b{n}")]
    notes = Counter()
    [conversation] = read_conversations([write(tmp_path, tree(*deep, current="n4999"))], notes=notes)
    assert len(conversation.messages) == 5001
    assert len(conversation.alternatives[0]) == 100
    assert sum(notes.values()) == 4899


names = st.sampled_from("abcdefghij")
texts = st.text(alphabet='ab \ue200\ue201\ue202\ue203\u3010\u2020\u3011[]"', max_size=12)
contents = texts.map(lambda text: {"content_type": "text", "parts": [text]}) | st.sampled_from(
    [
        {"content_type": "thoughts", "thoughts": [{"content": "zz"}]},
        {"content_type": "code", "text": '{"q":"\\ue200x"}'},
        {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, 5, None]},
        {"content_type": "zz", "text": "zz"},
        {},
    ]
)
wild_nodes = st.builds(
    lambda name, parent, role, content, recipient, about: node(
        name, parent, role, content=content, recipient=recipient, metadata=about
    ),
    names,
    names | st.none(),
    st.sampled_from(["user", "assistant", "assistant", "system", "tool", "tool"]),
    contents,
    st.sampled_from(["all", "all", "python", None, 5]),
    st.sampled_from([None, {}, {"is_visually_hidden_from_conversation": True}, {"content_references": [5]}]),
)


@given(nodes=st.lists(wild_nodes, max_size=12), current=names | st.none() | st.integers())
def test_wild_trees_give_one_way_each_or_an_error(tmp_path_factory, nodes, current):
    path, errors, notes = write(tmp_path_factory.mktemp("wild"), tree(*nodes, current=current)), [], Counter()
    conversations = list(read_conversations([path], on_error=errors.append, notes=notes))
    assert len(conversations) + len(errors) + notes[UNUSED] == 1
    for conversation in conversations:
        assert set(conversation.alternatives) <= {turn.index for turn in conversation.turns()}
        whole = [conversation.messages]
        for turn in conversation.turns():
            whole += [(*turn.history, *other) for other in turn.alternatives]
        for messages in whole:
            check_whole(messages)


def check_whole(messages):
    """Every result answers a call, ids are unique, no mark is left, and nothing is said that the tree does not hold."""
    ids = [call.id for message in messages for call in message.calls]
    assert len(ids) == len(set(ids))
    waiting = set()
    for message in messages:
        waiting |= {call.id for call in message.calls}
        if message.role == "tool":
            waiting.remove(message.tool_call_id)
        text = message.content + "".join(call.arguments for call in message.calls)
        assert not any("\ue200" <= character <= "\ue2ff" for character in text)
        assert "z" not in text
