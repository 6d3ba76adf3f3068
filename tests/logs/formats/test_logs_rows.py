"""Chats as people keep them in rows, and compared responses: shapes, spellings, orders, and what is missing."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import collab

from collab_sdk import read_conversations

USER, REPLY, OTHER = (
    {"role": r, "content": c} for r, c in (("user", "Hi"), ("assistant", "Hello."), ("assistant", "Yo"))
)
MORE = [{"role": "user", "content": "Rye?"}, {"role": "assistant", "content": "Yes."}]
CHAT = [("user", "Hi"), ("assistant", "Hello.")]
LONGER = [*CHAT, ("user", "Rye?"), ("assistant", "Yes.")]


@pytest.fixture
def read(tmp_path):
    """Reads rows: the chats, the problems, and what was counted."""

    def read(*rows, **options):
        path = tmp_path / "log.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        errors, notes = [], Counter()
        chats = list(read_conversations([path], on_error=errors.append, notes=notes, **options))
        return chats, [error.problem for error in errors], notes

    return read


@pytest.fixture
def read_one(read):
    def read_one(*rows):
        chats, problems, _ = read(*rows)
        assert problems == []
        [chat] = chats
        return chat

    return read_one


def said(chat):
    return [(message.role, message.content) for message in chat.messages]


def as_table(value):
    """The value with its numbers and flags as text, as tables of texts have them."""
    if isinstance(value, dict):
        return {key: as_table(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_table(each) for each in value]
    return str(value) if isinstance(value, int | float) else value


def others(chat):
    return {turn: [[one.content for one in other] for other in found] for turn, found in chat.alternatives.items()}


# Shapes of a chat


@pytest.mark.parametrize(
    "value",
    [
        [USER, REPLY],
        json.dumps([USER, REPLY]),  # a column of a CSV or Parquet file
        json.dumps(json.dumps([USER, REPLY])),
        str([USER, REPLY]),
        str([tuple(message.values()) for message in (USER, REPLY)]),
        [json.dumps(USER), json.dumps(REPLY)],  # what LangChain's message stores keep in Redis
        {"role": ["user", "assistant"], "content": ["Hi", "Hello."]},  # a sequence of features, as datasets 2 had it
        {"object": "list", "data": [USER, REPLY]},
        [["Hi", "Hello."]],  # Gradio 4's ChatInterface
        [["human", "Hi"], ["ai", "Hello."]],  # LangChain's short form
        [{"user": "Hi", "bot": "Hello."}],
        [{"user": "Hi"}, {"bot": "Hello."}],
        [{"input": "Hi", "output": "Hello."}],  # LDJnr/Capybara
        [{"prompt": "Hi", "response": "Hello."}],
        [{"Question": "Hi", "Answer": "Hello."}],
    ],
)
@pytest.mark.parametrize("key", ["messages", "conversations", "conversation"])
def test_a_chat_is_read_in_every_shape_that_tells_who_speaks(read_one, key, value):
    assert said(read_one({key: value})) == CHAT


def test_exchanges_go_on_and_may_wait_for_an_answer(read_one):
    assert said(read_one({"history": [["Hi", "Hello."], ["Rye?", None]]})) == LONGER[:3]


@pytest.mark.parametrize(
    "text",
    [
        "[{'role': 'user', 'content': 'Hi'}\n {'role': 'assistant', 'content': 'x'}]",  # how NumPy shows it
        "[['user' 'Hi'], ['assistant' 'x']]",
        "[{'role': 'user', 'content': nan}]",
        "[{'role': 'user', 'content': print(1)}]",
        "[{'role': 'user', 'content': b'Hi'}]",
        "[{'role': 'user', 'content': 'Hi'",
        "[" * 5000 + "'",
        "[{'role': 'user', 'content': '" + "x" * 2_000_000 + "'}]",
    ],
    ids=["numpy", "strings without commas", "nan", "a call", "bytes", "cut off", "nested", "long"],
)
def test_text_that_may_mean_something_else_is_an_error_and_never_what_was_said(read, text):
    chats, [problem], _ = read({"messages": text})
    assert chats == []
    assert "json.dumps" in problem


def test_texts_without_speakers_are_refused_but_for_those_of_ultrachat(read):
    chats, [problem], _ = read({"messages": ["Hi", "Hello."]}, {"id": "0", "data": ["Hi", "Hello.", "Rye?", "Yes."]})
    assert [said(chat) for chat in chats] == [LONGER]
    assert problem.startswith("message 1: a message must be an object")


def test_pairs_with_a_role_that_is_not_known_are_no_exchanges(read):
    _, [problem], _ = read({"messages": [["user", "Hi"], ["narrator", "x"]]})
    assert problem.startswith("message 2: unknown role 'narrator'")


def test_nulls_in_the_columns_of_other_kinds_of_rows_do_not_matter(read):
    columns = dict.fromkeys(("messages", "conversations", "conversation", "prompt", "completion", "chosen", "rejected"))
    rows = [{"messages": [USER, REPLY]}, {"conversations": [USER, REPLY]}, {"conversation": [USER, REPLY]}]
    rows.append({"prompt": "Hi", "chosen": "Hello.", "rejected": "Yo"})
    chats, problems, _ = read(*({**columns, **row} for row in rows))
    assert (problems, [said(chat) for chat in chats]) == ([], [CHAT] * 4)


def test_calls_and_results_that_the_ai_sdk_had_beside_the_text_are_read(read_one):
    # UIMessage of ai 4.1, before parts held them
    call = {"state": "result", "step": 0, "toolCallId": "k", "toolName": "stock", "args": {"item": "rye"}, "result": 12}
    messages = [
        {"id": "1", "role": "user", "content": "Rye?"},
        {"id": "2", "role": "assistant", "content": "Twelve.", "toolInvocations": [call]},
    ]
    expected = [("user", "Rye?"), ("assistant", ""), ("tool", "12"), ("assistant", "Twelve.")]
    assert said(read_one({"messages": messages})) == expected
    parts = [{"type": "tool-invocation", "toolInvocation": call}, {"type": "text", "text": "Twelve."}]
    assert said(read_one({"messages": [messages[0], {**messages[1], "parts": parts}]})) == expected  # 4.2 has both


@pytest.mark.parametrize("key", ["dialogue", "dialog", "turns", "chat", "chat_history", "history", "items"])
def test_a_chat_may_stand_under_other_names(read_one, key):
    chat = read_one({"chat_id": "c", key: [{"speaker": "User", "text": "Hi"}, {"speaker": "BOT", "text": "Hello."}]})
    assert (chat.id, said(chat)) == ("c", CHAT)


def test_the_system_of_dialogue_corpora_is_the_assistant(read_one):
    # Schema-Guided Dialogue, dstc8: {"dialogue_id", "services", "turns": [{"speaker", "utterance", "frames"}]}
    turns = [{"speaker": s, "utterance": u, "frames": []} for s, u in (("USER", "Hi"), ("SYSTEM", "Hello."))]
    assert said(read_one({"dialogue_id": "1_0", "services": ["r"], "turns": turns})) == CHAT


def test_messages_whose_times_run_backwards_are_newest_first(read_one):
    chat = read_one(
        {"messages": [{**REPLY, "createdAt": "2026-01-01T00:00:02Z"}, {**USER, "createdAt": 1767225601000}]}
    )
    assert said(chat) == CHAT  # one in milliseconds
    times = [{**REPLY, "created_at": "2026-01-01T00:00:02Z"}, {**USER, "created_at": "2026-01-01T00:00:01Z"}]
    newest_first = read_one({"messages": times})
    assert (said(newest_first), newest_first.ended) == (CHAT, 1767225602.0)


def test_rows_in_objects_and_lists_are_chats_of_their_own(read):
    rows = [{"id": "a", "messages": [USER, REPLY]}, {"id": "b", "conversation": [USER, REPLY]}]
    for wrapped in ({"export": 1, "conversations": rows}, {"data": {"items": rows}}, {"chats": [rows]}):
        chats, problems, _ = read(wrapped)
        assert (problems, [chat.id for chat in chats]) == ([], ["a", "b"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("### Human: Hi### Assistant: Hello.", CHAT),  # timdettmers/openassistant-guanaco
        ("\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Rye?\n\nAssistant: Yes.", LONGER),
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n", CHAT),
    ],
)
def test_a_transcript_is_parted_into_its_messages(read_one, text, expected):
    assert said(read_one({"text": text})) == expected


# What stands beside the messages


def test_id_time_model_and_rating_are_kept(read_one):
    about = {"conversation_id": "c1", "user_id": "u", "created_at": "2026-01-01T00:00:00Z", "rating": 5, "model": "m"}
    chat = read_one({**about, "messages": [USER, REPLY]})
    assert (chat.id, chat.ended, chat.metadata) == ("c1", 1767225600.0, {"rating": 5, "model": "m"})


@pytest.mark.parametrize("key", ["conversationId", "chat_id", "session-id", "thread_id", "uuid", "dialog_id"])
def test_a_chat_is_known_by_any_common_id(read_one, key):
    assert read_one({key: "c1", "messages": [USER, REPLY]}).id == "c1"


def test_a_second_id_is_kept_in_the_metadata(read_one):
    chat = read_one({"id": 7.0, "session_id": "s", "messages": [USER, REPLY]})
    assert (chat.id, chat.metadata) == ("7", {"session_id": "s"})


@pytest.mark.parametrize("key", ["system", "system_prompt", "instructions", "systemInstruction"])
@pytest.mark.parametrize("prompt", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_system_prompt_beside_the_messages_comes_first_and_once(read_one, key, prompt):
    assert said(read_one({key: prompt, "messages": [USER, REPLY]})) == [("system", "Be brief."), *CHAT]
    repeated = [{"role": "system", "content": "Be brief."}, USER, REPLY]
    assert said(read_one({key: prompt, "messages": repeated})) == [("system", "Be brief."), *CHAT]


# What is not to be learnt from


@pytest.mark.parametrize(
    "flag", [{"weight": 0}, {"weight": 0.0}, {"loss": False}, {"train": False}]
)  # OpenAI's and Together's; ms-swift's 3.8; Axolotl's message_field_training
@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_a_reply_that_nothing_is_to_be_learnt_from_is_never_a_response_of_a_pair(tmp_path, flag, key):
    path, pairs = tmp_path / "chats.jsonl", tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"system": "s", key: [USER, {**REPLY, **flag}, *MORE]}))
    notes = Counter()
    [chat] = read_conversations([path], notes=notes)
    assert [turn.is_untrained for turn in chat.turns()] == [True, False]
    assert [turn.is_untrained for turn in chat.decisions()] == [True, False]
    assert list(notes.values()) == [1]
    options = ("--model", "offline", "--min-margin", 0, "--cache-dir", tmp_path / "cache", "-o", pairs)
    result = collab("export-prefs", path, *options)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert {len(row["prompt"]) for row in rows} <= {4}
    assert "the log excludes the response from training" in (tmp_path / "pairs.turns.jsonl").read_text()


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "completion": "Hello.", "label": False},  # TRL's KTO
        {"prompt": "Hi", "completion": "Hello.", "label": 0},
        {"prompt": [USER], "completion": [REPLY], "label": "False"},
        {"prompt": "Hi", "chosen": "Hello.", "rejected": None, "label": False},
        {"messages": [USER, REPLY], "label": False},  # LLaMA-Factory data/kto_en_demo.json at e62a1f4; ms-swift
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "kto_tag": False},
        {"instruction": "Hi", "input": "", "output": "Hello.", "kto_tag": False},  # its converter.py at 908cd68
    ],
)
def test_a_label_of_false_is_kept_and_the_response_is_never_learnt_from(read, row):
    [chat], _, notes = read(row)
    assert said(chat) == CHAT
    assert chat.untrained_turns == {0}
    assert "excludes from training" in " ".join(notes)
    [kept] = (key for key in ("label", "kto_tag") if key in row)
    assert chat.metadata[kept] == row[kept]
    for good in (True, "True"):
        [chat], _, notes = read({**row, kept: good})
        assert (chat.untrained_turns, notes) == (frozenset(), {})
    [chat], _, _ = read(as_table(row))
    assert chat.untrained_turns == {0}


def test_a_label_of_a_chat_may_be_the_number_of_a_class(read_one):
    for label in (0, "0", "no"):
        assert read_one({"messages": [USER, REPLY], "label": label}).untrained_turns == frozenset()


@pytest.mark.parametrize("flag", [{"weight": 0}, {"weight": "0"}, {"weight": "0.0"}, {"train": "no"}, {"loss": "f"}])
@pytest.mark.parametrize("is_tree", [False, True])
def test_a_row_may_say_that_nothing_is_to_be_learnt_from_its_message(read, flag, is_tree):
    rows = message_rows(*LONGER, chat_id="a", weight="")
    rows[1] |= flag
    for place, row in enumerate(rows if is_tree else []):
        row |= {"message_id": f"m{place}", "parent_id": f"m{place - 1}" if place else ""}
    [chat], problems, notes = read(*rows)
    assert (problems, said(chat), chat.untrained_turns) == ([], LONGER, {0})
    assert list(notes.values()) == [1]


def test_what_is_not_learnt_from_comes_through_a_store_and_our_own_rows(tmp_path):
    path, store, rows = (tmp_path / name for name in ("chats.jsonl", "chats.db", "rows.jsonl"))
    path.write_text(json.dumps({"id": "c", "messages": [USER, {**REPLY, "weight": 0}, *MORE]}))
    assert collab("logs", "import", path, "--store", store).exit_code == 0
    assert collab("logs", "export", store, "-o", rows).exit_code == 0
    for source in (store, rows):
        [chat] = read_conversations([source])
        assert chat.untrained_turns == {0}


# One message a row


def message_rows(*messages, **beside):
    return [{**beside, "role": role, "content": content} for role, content in messages]


@pytest.mark.parametrize("key", ["conversation_id", "sessionId", "thread_id", "chat_id", "conversation", "dialogue_id"])
def test_messages_of_several_chats_are_gathered_by_their_id(read, key):
    one, two = message_rows(*LONGER, **{key: "c1"}), message_rows(*CHAT, **{key: 2})
    chats, problems, _ = read(one[0], two[0], *one[1:3], two[1], one[3])
    assert problems == []
    assert {chat.id: said(chat) for chat in chats} == {"c1": LONGER, "2": CHAT}


@pytest.mark.parametrize(
    "place", [{"index": 2}, {"turn": 2}, {"timestamp": "2026-01-01T00:00:02Z"}, {"createdAt": 1767225602000}]
)
def test_messages_are_ordered_by_number_or_time(read_one, place):
    [(key, second)] = place.items()
    first = "2026-01-01T00:00:01Z" if isinstance(second, str) else second - 1
    rows = message_rows(*CHAT, session_id="s")
    assert said(read_one({**rows[1], key: second}, {**rows[0], key: first})) == CHAT
    assert said(read_one({**rows[0], key: first}, {**rows[1], key: second})) == CHAT


def test_a_table_of_texts_is_ordered_by_its_numbers_and_its_flags_tell_who_speaks(read_one):
    rows = [
        {"conversation_id": "1", "turn": str(n), "is_user": str(n % 2 == 1), "text": str(n), "sent_at": ""}
        for n in range(1, 12)
    ]
    chat = read_one(*rows[::-1])
    assert [content for _, content in said(chat)] == [str(n) for n in range(1, 12)]
    assert [role for role, _ in said(chat)] == ["user", "assistant"] * 5 + ["user"]


@pytest.mark.parametrize("places", [("9.0", "10.0"), (" 9", "+10"), ("9", "1e1"), ("1767225600000", "1767225600001.5")])
@pytest.mark.parametrize("key", ["index", "turn", "message_index", "timestamp"])
def test_numbers_that_are_text_order_messages_by_their_size(read_one, key, places):
    first, second = ({**row, key: place} for row, place in zip(message_rows(*CHAT, chat_id="c"), places, strict=True))
    chat = read_one(second, first)
    assert said(chat) == CHAT
    assert (chat.ended is not None) == (key == "timestamp" and len(second[key]) > 9)
    odd = {**first, key: "N/A"}  # no number: the messages stay as they come
    assert said(read_one(second, odd)) == CHAT[::-1]


@pytest.mark.parametrize(
    ("yes", "no"), [("t", "f"), ("1.0", "0.0"), ("yes", "no"), ("Y", "N"), (1, 0), ("TRUE", "FALSE")]
)
def test_flags_that_tell_who_speaks_may_be_written_in_any_way(read, yes, no):
    rows = [{"chat_id": "c", "is_user": flag, "text": text} for flag, (_, text) in zip((yes, no), CHAT, strict=True)]
    [chat], _, _ = read(*rows)
    assert said(chat) == CHAT
    chats, [problem], _ = read(rows[0], {**rows[1], "is_user": "perhaps"})
    assert (chats, problem.startswith("message 2: ")) == ([], True)


def test_without_number_or_time_for_all_messages_stay_as_they_come(read_one):
    rows = message_rows(*LONGER, session_id="s")
    rows[2]["index"] = 0
    assert said(read_one(*rows)) == LONGER


def test_times_that_are_not_read_are_counted_where_they_would_order_messages(read):
    rows = [{**row, "timestamp": f"1/10/2025 9:0{n}"} for n, row in enumerate(message_rows(*CHAT, chat_id="c"))]
    [chat], _, notes = read(*rows[::-1])
    assert said(chat) == CHAT[::-1]
    assert notes == {"times in no known form: the messages of their chats are read in the order of the log": 2}
    [chat], _, notes = read(*({**row, "index": n} for n, row in reversed(list(enumerate(rows)))))
    assert (said(chat), notes) == (CHAT, {})


def test_messages_without_the_id_of_a_chat_are_one_error(read):
    chats, problems, _ = read(*message_rows(*LONGER))
    assert chats == []
    [problem] = problems
    assert problem.startswith("one message a row, and no conversation_id")


def test_a_speaker_that_is_not_known_costs_its_chat_alone(read):
    rows = [*message_rows(("narrator", "x"), *CHAT, chat_id="a"), *message_rows(*CHAT, chat_id="b")]
    [chat], [problem], _ = read(*rows)
    assert chat.id == "b"
    assert problem.startswith("message 1: unknown role 'narrator'")


def test_what_is_said_twice_is_kept_and_what_is_exported_twice_is_not(read_one):
    twice = [*CHAT, *CHAT]
    assert said(read_one(*message_rows(*twice, chat_id="a"))) == twice
    rows = [{**row, "message_id": n} for n, row in enumerate(message_rows(*CHAT, chat_id="a"))]
    assert said(read_one(*rows, *rows)) == CHAT


def test_a_thread_of_assistants_comes_newest_first(read_one):
    # OpenAI's GET /v1/threads/{id}/messages
    def message(place, role, text):
        content = [{"type": "text", "text": {"value": text, "annotations": []}}]
        about = {"id": f"msg_{place}", "object": "thread.message", "created_at": 1767225600 + place // 2}
        return {**about, "thread_id": "th_1", "role": role, "content": content}

    messages = [message(place, role, text) for place, (role, text) in enumerate(LONGER)]
    chat = read_one({"object": "list", "data": messages[::-1], "first_id": "msg_3", "has_more": False})
    assert (chat.id, said(chat), chat.ended) == ("th_1", LONGER, 1767225601.0)
    assert said(read_one(*messages)) == LONGER
    assert (
        said(read_one({"id": "th_1", "object": "thread", "messages": {"object": "list", "data": messages[::-1]}}))
        == LONGER
    )


@pytest.mark.parametrize("shown", [CHAT, LONGER, LONGER[1:]])
def test_messages_of_a_thread_in_one_second_are_listed_newest_first(read_one, shown):
    data = [
        {"id": f"m{n}", "object": "thread.message", "created_at": 1767225600, "thread_id": "t", "role": role,
         "content": [{"type": "text", "text": {"value": text}}]}
        for n, (role, text) in enumerate(shown)
    ]  # fmt: skip
    assert said(read_one({"object": "list", "data": data[::-1]})) == shown
    if shown[0][0] == "user":  # as with order=asc
        assert said(read_one({"object": "list", "data": data})) == shown


def test_items_of_a_conversation_are_listed_newest_first_and_have_no_times(read_one):
    # OpenAI's GET /v1/conversations/{id}/items; openai-python 3.57.0, ConversationItemList
    kinds = {"user": "input_text", "assistant": "output_text"}
    items = [
        {"type": "message", "id": f"m{n}", "status": "completed", "role": role,
         "content": [{"type": kinds[role], "text": text}]}
        for n, (role, text) in enumerate(LONGER)
    ]  # fmt: skip
    for data in (items, items[::-1]):
        page = {"object": "list", "data": data, "first_id": data[0]["id"], "last_id": data[-1]["id"], "has_more": False}
        assert said(read_one(page)) == LONGER


def test_a_chat_may_begin_with_a_greeting_and_wait_for_an_answer(read_one):
    greeted = [REPLY, USER]
    assert said(read_one({"messages": greeted})) == CHAT[::-1]


def test_the_messages_of_a_chatbot_app_hold_parts(read_one):
    # vercel/ai-chatbot lib/db/schema.ts at d759a71, table Message_v2
    def message(place, role, *parts):
        about = {"id": f"m{place}", "chatId": "c", "createdAt": f"2026-01-01T00:00:0{place}.000Z", "attachments": []}
        return {**about, "role": role, "parts": list(parts)}

    call = {
        "type": "tool-stock",
        "toolCallId": "k",
        "state": "output-available",
        "input": {"item": "rye"},
        "output": 12,
    }
    rows = [
        message(1, "user", {"type": "text", "text": "Rye?"}),
        message(2, "assistant", {"type": "step-start"}, call, {"type": "text", "text": "Twelve."}),
    ]
    for found in (rows, [{**row, "parts": json.dumps(row["parts"])} for row in rows[::-1]]):
        chat = read_one(*found)
        assert said(chat) == [("user", "Rye?"), ("assistant", ""), ("tool", "12"), ("assistant", "Twelve.")]
        assert chat.id == "c"


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("is_nested", [True, False])
def test_messages_in_langchain_s_stores_are_read_whole(read_one, as_text, is_nested):
    # langchain-community's SQLChatMessageHistory (nested, as text), n8n's Postgres Chat Memory (flat, JSONB)
    def row(number, kind, text):
        message = (
            {"type": kind, "data": {"content": text, "type": kind}} if is_nested else {"type": kind, "content": text}
        )
        return {"id": number, "session_id": "s", "message": json.dumps(message) if as_text else message}

    chat = read_one(row(1, "human", "Hi"), row(2, "ai", "Hello."))
    assert (chat.id, said(chat)) == ("s", CHAT)


# Trees

OASST = {"message_tree_id": "t", "lang": "en"}  # LAION-AI/Open-Assistant oasst-data/oasst_data/schemas.py at ae95e42


def test_of_a_message_tree_the_way_of_best_rank_is_the_chat(read):
    def message(id, parent, role, text, rank=None):
        return {**OASST, "message_id": id, "parent_id": parent, "role": role, "text": text, "rank": rank}

    rows = [
        message("r", None, "prompter", "Hi"),
        message("a1", "r", "assistant", "Yo", 1),
        message("x1", "a1", "prompter", "What?", 0),
        message("a0", "r", "assistant", "Hello.", 0),
        message("p1", "a0", "prompter", "Oat?", 1),
        message("p0", "a0", "prompter", "Rye?", 0),
        message("e", "p0", "assistant", "Yes."),
    ]
    [chat], problems, notes = read(*rows[::-1])
    assert problems == []
    assert (chat.id, said(chat), others(chat)) == ("t", LONGER, {0: [["Yo"]]})
    assert list(notes.values()) == [1]  # the other question, which nobody answered

    def nested(row):
        return {**row, "replies": [nested(one) for one in rows if one["parent_id"] == row["message_id"]]}

    [chat], problems, _ = read({"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": nested(rows[0])})
    assert problems == []
    assert (chat.id, said(chat), others(chat)) == ("t", LONGER, {0: [["Yo"]]})


def test_of_messages_with_parents_but_no_ranks_the_latest_way_is_the_chat(read_one):
    parents = [(1, None, "user", "Hi"), (2, 1, "assistant", "Yo"), (3, 1, "assistant", "Hello.")]
    parents += [(4, 3, "user", "Rye?"), (5, 4, "assistant", "Yes.")]
    rows = [{"chat_id": "c", "id": i, "parent_id": p, "role": role, "content": text} for i, p, role, text in parents]
    chat = read_one(*rows)
    assert (said(chat), others(chat)) == (LONGER, {0: [["Yo"]]})


def test_a_very_deep_tree_is_read_without_recursion(read_one):
    roles = ("user", "assistant")
    rows = [{"chat_id": "c", "id": n, "parent_id": n - 1, "role": roles[n % 2], "content": str(n)} for n in range(3000)]
    assert len(read_one(*rows).messages) == 3000


# Instructions


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Hi", "input": "", "output": "Hello."}, CHAT),
        ({"instruction": "Hi", "input": "there", "output": "Hello."}, [("user", "Hi\nthere"), CHAT[1]]),
        ({"instruction": "Hi", "context": "", "response": "Hello.", "category": "x"}, CHAT),  # databricks-dolly-15k
        (
            {"id": "1", "system_prompt": "s", "question": "Hi", "response": "Hello."},
            [("system", "s"), *CHAT],
        ),  # OpenOrca
        ({"query": "Rye?", "response": "Yes.", "history": [["Hi", "Hello."]]}, LONGER),  # ms-swift
        ({"prompt": "Hi", "response": "Hello."}, CHAT),
        ({"chat_history": [["Hi", "Hello."]], "question": "Rye?", "answer": "Yes."}, LONGER),  # LangChain's retrieval
        ({"history": '[["Hi", "Hello."]]', "instruction": "Rye?", "output": "Yes."}, LONGER),
        (
            {
                "chat_history": [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Hello."}],
                "prompt": "Rye?",
            },
            LONGER[:3],
        ),
        ({"Question": "Hi", "Answer": "Hello."}, CHAT),
        ({"input": "Hi", "output": "Hello."}, CHAT),
        ({"inputs": "Hi", "targets": "Hello."}, CHAT),  # CohereForAI/aya_dataset
        ({"problem": "Hi", "solution": "Hello.", "answer": "42"}, CHAT),
        ({"user": "alice", "prompt": "Hi", "response": "Hello."}, CHAT),
        ({"user": "Hi", "bot": "Hello."}, CHAT),
        ({"prompt": json.dumps([USER, REPLY, MORE[0]]), "response": json.dumps([MORE[1]])}, LONGER),
        ({"prompt": str([USER]), "completion": str([REPLY])}, CHAT),
    ],
)
def test_an_exchange_with_its_sides_under_keys_of_their_own_is_a_chat(read_one, row, expected):
    assert said(read_one(row)) == expected


def test_requests_and_replies_of_an_api_are_not_what_anybody_said(read):
    row = {"request": json.dumps({"model": "m", "messages": [USER]}), "response": json.dumps({"choices": []})}
    chats, problems, notes = read(row)
    assert (chats, problems) == ([], [])
    assert notes == {"calls without a reply, left out": 1}


# Gemini


def test_google_ai_studio_s_chats_keep_thoughts_apart_and_name_what_is_attached(read):
    # as AI Studio saved it to Drive in 2026, with chunks that repeat their text as parts
    chunks = [
        {"text": "Hi", "role": "user", "tokenCount": 1, "createTime": "2026-01-01T00:00:00Z"},
        {"driveImage": {"id": "x"}, "role": "user"},
        {"text": "Greet.", "role": "model", "isThought": True, "parts": [{"text": "Greet.", "thought": True}]},
        {"text": "Hello.", "role": "model", "finishReason": "STOP", "parts": [{"text": "Hel"}, {"text": "lo."}],
         "createTime": "2026-01-01T00:00:05Z"},
    ]  # fmt: skip
    row = {"runSettings": {"model": "models/gemini-2.5-pro", "temperature": 1.0}, "systemInstruction": {}}
    row |= {"chunkedPrompt": {"chunks": chunks, "pendingInputs": [{"text": "draft", "role": "user"}]}}
    [chat], problems, notes = read(row)
    assert problems == []
    assert said(chat) == [("user", "Hi\n[image]"), ("assistant", "Hello.")]
    assert chat.messages[1].reasoning == "Greet."
    assert (chat.metadata, chat.ended) == ({"model": "models/gemini-2.5-pro"}, 1767225605.0)
    assert sum(notes.values()) == 2


def test_gemini_contents_hold_calls_and_results(read_one):
    # Vertex AI's "Prepare supervised fine-tuning data", 2025
    contents = [
        {"parts": [{"text": "Rye?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "stock", "args": {"item": "rye"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "stock", "response": {"n": 12}}}]},
        {"role": "model", "parts": [{"text": "Twelve."}]},
    ]
    tools = [{"functionDeclarations": [{"name": "stock", "parameters": {"type": "object"}}]}]
    chat = read_one(
        {"systemInstruction": {"role": "system", "parts": [{"text": "s"}]}, "contents": contents, "tools": tools}
    )
    assert [role for role, _ in said(chat)] == ["system", "user", "assistant", "tool", "assistant"]
    assert chat.messages[2].calls[0].parsed == {"item": "rye"}
    assert [tool["function"]["name"] for tool in chat.tools] == ["stock"]


# Compared responses


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]},
        {"prompt": "Hi", "chosen": "Hello.", "rejected": "Yo"},
        {"prompt": "Hi", "chosen": [REPLY], "rejected": [OTHER]},
        {"chosen": [USER, REPLY], "rejected": [USER, OTHER]},
        {"prompt": [USER], "chosen": [USER, REPLY], "rejected": [USER, OTHER]},
        {"prompt": "Hi", "messages": [USER, REPLY], "chosen": [USER, REPLY], "rejected": [USER, OTHER]},
        {"prompt": json.dumps([USER]), "chosen": json.dumps([REPLY]), "rejected": json.dumps([OTHER])},
        {"prompt": str([USER]), "chosen": str([REPLY]), "rejected": str([OTHER])},
        {"chosen": json.dumps([USER, REPLY]), "rejected": json.dumps([USER, OTHER])},
        {"instruction": "Hi", "input": "", "chosen": "Hello.", "rejected": "Yo"},  # LLaMA-Factory at 908cd68
        {"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello."},
         "rejected": {"from": "gpt", "value": "Yo"}},  # its data/dpo_en_demo.json at 3075df1
        {"system": "", "question": "Hi", "chosen": "Hello.", "rejected": "Yo"},  # Intel/orca_dpo_pairs
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Yo"},  # hh-rlhf
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello.", "rejected": " Yo"},  # Dahoas/static-hh
        {"input": {"messages": [USER]}, "preferred_output": [REPLY], "non_preferred_output": [OTHER]},
        {"messages": [USER, REPLY], "rejected_response": "Yo"},  # ms-swift 3.8, Custom dataset
        {"messages": [USER, REPLY], "rejected_messages": [USER, OTHER]},
        {"prompt": "Hi", "response_0": "Yo", "response_1": "Hello.", "better_response_id": 1},  # PKU-SafeRLHF
        {"context": [USER], "response1": "Hello.", "response2": "Yo", "overall_preference": -2},  # nvidia/HelpSteer3
        {"history": "Hi", "human_ref_A": "Hello.", "human_ref_B": "Yo", "labels": 1},  # stanfordnlp/SHP
        {"prompt": "Hi", "response_a": "Yo", "response_b": "Hello.", "score_a": 1, "score_b": 9.5},
        {"prompt": "Hi", "response1": "Hello.", "response2": "Yo", "rating_1": 5, "rating_2": 4},
        {"qid": 1, "question": "Hi", "response_j": "Hello.", "response_k": "Yo"},  # lvwerra/stack-exchange-paired
        {"prompt": '["Hi"]', "response_a": '["Yo"]', "response_b": '["Hello."]',
         "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},  # lmsys/lmsys-arena-human-preference-55k
        {"instruction": "Hi", "completions": [
            {"response": "Yo", "overall_score": 4.0, "model": "a"},
            {"response": "Hello.", "overall_score": 8.5, "model": "b"},
        ]},  # openbmb/UltraFeedback, fixed overall_score
        {"prompt": "\n\nHuman: Hi\n\nAssistant: ", "answers": [
            {"answer": "Yo", "rank": 2.0}, {"answer": "Hello.", "rank": 1.0},
        ]},  # berkeley-nest/Nectar
        {"instruction": "Hi", "generations": ["Yo", "Hello."], "ratings": [1, 5]},  # argilla's distilabel
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "completions": [
            {"score": 0, "completion": {"role": "model", "parts": [{"text": "Yo"}]}},
            {"score": 1, "completion": {"role": "model", "parts": [{"text": "Hello."}]}},
        ]},  # Vertex AI's "Prepare preference tuning data for Gemini models"
    ],
)  # fmt: skip
def test_the_better_response_is_the_chat_and_the_other_an_alternative(read_one, row):
    for written in (row, as_table(row)):
        chat = read_one(written)
        assert (said(chat), others(chat)) == (CHAT, {0: [["Yo"]]})


def test_responses_are_compared_by_numbers_that_all_of_them_have(read):
    scores = [{"overall_score": "N/A", "rating": "2"}, {"overall_score": "1.0", "rating": "10"}]
    row = {"instruction": "Hi", "completions": [
        {"response": text, **about} for text, about in zip(("Yo", "Hello."), scores, strict=True)
    ]}  # fmt: skip
    [chat], _, notes = read(row)
    assert (said(chat), others(chat), notes) == (CHAT, {0: [["Yo"]]}, {})
    for one in row["completions"]:
        one["rating"] = one["overall_score"]
    [chat], _, notes = read(row)
    assert [message.content for message in chat.messages] == ["Hi", "Yo"]
    assert notes == {"rows that do not say which response is better: the first is read as the chat": 1}


@pytest.mark.parametrize("system", ["system", "system_prompt"])
def test_a_system_prompt_of_a_pair_stands_before_both_sides(read_one, system):
    for row in (
        {system: "s", "prompt": "Hi", "chosen": "Hello.", "rejected": "Yo"},
        {system: "s", "chosen": [USER, REPLY], "rejected": [USER, OTHER]},
    ):
        chat = read_one(row)
        assert (said(chat), others(chat)) == ([("system", "s"), *CHAT], {0: [["Yo"]]})


def test_a_rejected_end_of_a_chat_with_a_system_prompt_is_an_alternative(read_one):
    chat = read_one({"system": "s", "messages": [USER, REPLY, *MORE], "rejected_response": "No."})
    assert (said(chat), others(chat)) == ([("system", "s"), *LONGER], {1: [["No."]]})


def test_alpaca_s_history_stands_before_both_sides(read_one):
    chat = read_one({"instruction": "Rye?", "history": [["Hi", "Hello."]], "chosen": "Yes.", "rejected": "No."})
    assert (said(chat), others(chat)) == (LONGER, {1: [["No."]]})


def test_sides_that_part_early_are_compared_where_they_part(read_one):
    row = {"chosen": [USER, REPLY, *MORE], "rejected": [USER, OTHER, {"role": "user", "content": "Bye"}, {**OTHER}]}
    for pair in (row, {"prompt": [USER], "chosen": row["chosen"][1:], "rejected": row["rejected"][1:]}):
        chat = read_one(pair)
        assert (said(chat), others(chat)) == (LONGER, {0: [["Yo"]]})


def test_a_chosen_response_may_have_several_rejected_ones(read_one):
    chat = read_one({"prompt": "Hi", "chosen": "Hello.", "rejected": ["Yo", "", "Hm"]})
    assert (said(chat), others(chat)) == (CHAT, {0: [["Yo"], ["Hm"]]})


def test_a_side_that_answers_another_question_is_counted_and_no_alternative(read):
    rejected = [USER, REPLY, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye."}]
    [chat], problems, notes = read({"chosen": [USER, REPLY, *MORE], "rejected": rejected})
    assert (problems, said(chat), others(chat)) == ([], LONGER, {})
    assert notes == {"rejected responses that do not answer the same messages, left out": 1}


@pytest.mark.parametrize("key", ["prompt", "chosen", "rejected"])
def test_broken_json_in_a_side_is_an_error_and_never_words(read, key):
    row = {"prompt": "Hi", "chosen": "Hello.", "rejected": "Yo"}
    chats, problems, _ = read({**row, key: '[{"role": "user", "content": "H'})
    assert (chats, len(problems)) == ([], 1)
    assert said(read({**row, key: "[1, 2]"})[0][0])  # which may well be said


def test_a_missing_response_is_named(read):
    _, problems, _ = read({"prompt": "Hi", "chosen": None, "rejected": "Yo"}, {"prompt": "Hi", "completion": ""})
    assert problems == ["chosen is missing: there is no response", "completion is missing: there is no response"]


@pytest.mark.parametrize(
    ("winner", "expected"), [("model_a", "Hello."), ("A", "Hello."), ("model_b", "Yo"), ("n", "Yo"), ("tie", "Hello.")]
)
@pytest.mark.parametrize("as_text", [True, False])
def test_in_an_arena_the_winner_is_the_chat(read, winner, expected, as_text):
    sides = {"conversation_a": [USER, REPLY], "conversation_b": [USER, OTHER]}  # lmsys/chatbot_arena_conversations
    sides = {key: json.dumps(side) if as_text else side for key, side in sides.items()}
    about = {"question_id": "q", "model_a": "m", "model_b": "n", "judge": "j", "turn": 1, "tstamp": 1682351591.1}
    [chat], problems, notes = read({**about, "winner": winner, **sides})
    assert (problems, chat.id, chat.ended) == ([], "q", 1682351591.1)
    assert chat.messages[1].content == expected
    assert others(chat) == {0: [["Yo" if expected == "Hello." else "Hello."]]}
    assert chat.metadata["winner"] == winner
    assert chat.metadata["model"] == ("m" if expected == "Hello." else "n")
    assert bool(notes) == (winner == "tie")


def test_arena_s_later_turns_are_no_alternatives_of_each_other(read_one):
    row = {
        "conversation_a": [USER, REPLY, *MORE],
        "conversation_b": [USER, OTHER, MORE[0], {**OTHER}],
        "winner": "model_a",
    }
    assert others(read_one(row)) == {0: [["Yo"]]}


def test_responses_without_scores_are_read_in_their_order_and_counted(read):
    [chat], _, notes = read({"instruction": "Hi", "completions": [{"response": "Hello."}, {"response": "Yo"}]})
    assert (said(chat), others(chat)) == (CHAT, {0: [["Yo"]]})
    assert notes == {"rows that do not say which response is better: the first is read as the chat": 1}


# Spellings, orders, missing keys

ROLES = {
    "user": ["user", "User", "HUMAN", "human", "customer", "prompter", "HumanMessage", "end-user", "person"],
    "assistant": ["assistant", "AI", "ai", "gpt", "bot", "Model", "AIMessage", "agent", "chatgpt", "virtual assistant"],
    "system": ["system", "System", "developer", "SystemMessage"],
}
SPEAKERS = ["role", "from", "sender", "speaker", "author", "Role", "senderType"]
TEXTS = ["content", "value", "text", "message", "Content", "body", "utterance", "messageText"]
CHATS = ["messages", "conversations", "conversation", "dialogue", "turns", "chat_history"]
words = st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=20).filter(str.strip)


@st.composite
def spelled_chats(draw):
    """What was said, and a row with it in some spelling, its keys in any order, with some beside them."""
    turns = draw(st.lists(st.tuples(words, words), min_size=1, max_size=3))
    expected = [pair for asked, answered in turns for pair in (("user", asked), ("assistant", answered))]
    if draw(st.booleans()):
        expected = [("system", draw(words)), *expected]
    speaker, text = draw(st.sampled_from(SPEAKERS)), draw(st.sampled_from(TEXTS))
    messages = []
    for role, content in expected:
        fields = [(speaker, draw(st.sampled_from(ROLES[role]))), (text, content)]
        fields += draw(
            st.lists(st.sampled_from([("id", "m"), ("tokens", 5), ("name", None), ("tool_calls", None)]), max_size=2)
        )
        messages.append(dict(draw(st.permutations(fields))))
    value = draw(st.sampled_from([messages, json.dumps(messages)]))
    key = draw(st.sampled_from(CHATS))
    beside = draw(
        st.lists(
            st.sampled_from([("id", "c"), ("tools", None), ("source", "s"), ("metadata", {}), ("n", 1)]), max_size=3
        )
    )
    if key not in CHATS[:3]:
        value = messages
    return expected, dict(draw(st.permutations([(key, value), *beside])))


@settings(max_examples=200, deadline=None)
@given(found=spelled_chats())
def test_chats_read_alike_whatever_the_spelling_and_the_order_of_keys(found, tmp_path_factory):
    expected, row = found
    path = Path(tmp_path_factory.mktemp("rows")) / "log.jsonl"
    path.write_text(json.dumps(row))
    [chat] = read_conversations([path])
    assert said(chat) == expected


@settings(max_examples=200, deadline=None)
@given(found=spelled_chats(), data=st.data())
def test_a_message_without_speaker_or_words_is_an_error_and_never_a_guess(found, data, tmp_path_factory):
    _, row = found
    key = next(key for key in CHATS if key in row)
    messages = json.loads(row[key]) if isinstance(row[key], str) else row[key]
    place = data.draw(st.integers(1, len(messages) - 1))
    gone = data.draw(st.sampled_from([name for name in messages[place] if name in (*SPEAKERS, *TEXTS)]))
    del messages[place][gone]
    path = Path(tmp_path_factory.mktemp("rows")) / "log.jsonl"
    path.write_text(json.dumps({**row, key: messages}))
    errors = []
    assert list(read_conversations([path], on_error=errors.append)) == []
    assert len(errors) == 1


def test_a_prompt_that_begins_with_many_blanks_is_read_in_time_by_its_length(read_one):
    blanks = " " * 300_000  # in quadratic time this takes half an hour
    assert said(read_one({"prompt": f"{blanks}Hi", "chosen": "Hello.", "rejected": "Yo"}))[0][1].strip() == "Hi"
