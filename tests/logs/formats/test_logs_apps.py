"""Exports of chat apps and sessions of coding agents, in the shapes of their newest versions."""

import html
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import other_texts

from collab_sdk.logs import read_conversations
from collab_sdk.logs.formats.trees import UNUSED


def read(path, rows, *, lines=False):
    """What is read of a file: conversations, the problems of errors, notes."""
    text = "".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows)
    path = path / ("log.jsonl" if lines else "log.json")
    path.write_text(text)
    errors, notes = [], Counter()
    conversations = list(read_conversations([path], on_error=errors.append, notes=notes))
    return conversations, [error.problem for error in errors], notes


def said(conversation):
    return [(message.role, message.content) for message in conversation.messages]


# Claude.ai: conversations.json as kenn-io/agentsview reads it in September 2026 (internal/importer).


def claude_message(name, sender, *blocks, parent=None, **fields):
    about = {"created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:00Z", "attachments": [], "files": []}
    parents = {} if parent is None else {"parent_message_uuid": parent}
    content = [
        {"type": "text", "text": block, "citations": []} if isinstance(block, str) else block for block in blocks
    ]
    return {"uuid": name, "sender": sender, "text": "", "content": content, **about, **parents, **fields}


def claude_chat(*messages, **fields):
    about = {"uuid": "c1", "name": "Weather", "summary": "", "account": {"uuid": "a"}}
    return {**about, "updated_at": "2026-03-01T10:05:00Z", "chat_messages": list(messages), **fields}


ROOT = "00000000-0000-4000-8000-000000000000"
SEARCH = (
    {"type": "thinking", "thinking": "I search.", "summaries": []},
    {"type": "tool_use", "id": None, "name": "web_search", "input": {"query": "weather"}},
    {"type": "tool_result", "tool_use_id": None, "name": "web_search", "content": [{"type": "text", "text": "18 C"}]},
    {"type": "token_budget", "remaining": 1},
    "It is 18 C.",
)


def test_claude_searches_and_answers_in_one_message(tmp_path):
    [chat], errors, notes = read(
        tmp_path, [claude_chat(claude_message("m1", "human", "Weather?"), claude_message("m2", "assistant", *SEARCH))]
    )
    assert errors == []
    assert said(chat) == [("user", "Weather?"), ("assistant", ""), ("tool", "18 C"), ("assistant", "It is 18 C.")]
    assert (chat.messages[1].calls[0].name, chat.messages[1].calls[0].parsed) == ("web_search", {"query": "weather"})
    assert chat.messages[2].tool_call_id == chat.messages[1].calls[0].id
    assert (chat.id, chat.metadata, chat.ended) == ("c1", {"title": "Weather"}, 1772359200.0)
    assert [message.reasoning for message in chat.messages if message.reasoning] == ["I search."]
    assert set(notes) == {"replies with a model's reasoning, which was left out"}


def test_claude_answers_again_under_the_same_parent(tmp_path):
    [chat], errors, notes = read(
        tmp_path,
        [
            claude_chat(
                claude_message("m1", "human", "Weather?", parent=ROOT, index=0),
                claude_message("m2", "assistant", *SEARCH, parent="m1", index=1),
                claude_message("m4", "human", "Tomorrow?", parent="m3", index=3),
                claude_message("m3", "assistant", "No idea.", parent="m1", index=2),
                claude_message("m5", "assistant", "Rain.", parent="m4", index=4),
                claude_message("m6", "human", "And then?", parent="m3", index=5),
                current_leaf_message_uuid="m5",
            )
        ],
    )
    assert errors == []
    assert [text for _, text in said(chat)] == ["Weather?", "No idea.", "Tomorrow?", "Rain."]
    [other] = chat.alternatives[0]
    assert [message.content for message in other] == ["", "18 C", "It is 18 C."]
    assert notes["messages of the user's on other branches of a chat, left out with what follows them"] == 1


def test_claude_names_files_and_falls_back_on_the_text(tmp_path):
    files = {
        "attachments": [{"file_name": "n.md", "file_type": "md", "extracted_content": "SECRET"}],
        "files": [{"file_name": "cat.png", "file_kind": "image"}],
    }
    [chat], _, notes = read(
        tmp_path,
        [
            claude_chat(
                claude_message("m1", "human", "Look", **files),
                claude_message("m2", "assistant", text="A cat."),
                claude_message("m3", "human", attachments=files["attachments"]),
                claude_message("m4", "assistant", {"type": "hologram", "text": "SECRET"}, text="A note."),
            )
        ],
    )
    assert said(chat) == [
        ("user", "Look\n[file]\n[image]"), ("assistant", "A cat."), ("user", "[file]"), ("assistant", "A note."),
    ]  # fmt: skip
    assert notes["parts of messages of the unknown kind hologram, left out"] == 1
    assert notes["[file] in place of content that is not text"] == 2


def test_the_projects_and_users_beside_a_claude_export_are_no_chats(tmp_path):
    projects = [{"uuid": "p", "name": "P", "description": "", "prompt_template": "", "docs": [{"content": "x"}]}]
    users = [{"uuid": "u", "full_name": "Ann", "email_address": "a@b.example"}]
    (tmp_path / "projects.json").write_text(json.dumps(projects))
    (tmp_path / "users.json").write_text(json.dumps(users))
    chat = claude_chat(claude_message("m1", "human", "hi"), claude_message("m2", "assistant", "hello"))
    (tmp_path / "conversations.json").write_text(json.dumps([chat]))
    errors = []
    assert len(list(read_conversations([tmp_path], on_error=errors.append))) == 1
    assert errors == []


# Claude Code 2.1: rows as in daaain/claude-code-log f88bf47 and be3a5a4 (test/test_data).


def cc(kind, name, parent, content=None, **fields):
    about = {"isSidechain": False, "userType": "external", "cwd": "/w", "sessionId": "s1", "version": "2.1.173"}
    row = {"type": kind, "uuid": name, "parentUuid": parent, "timestamp": "2026-06-15T10:00:01.000Z", **about}
    if content is not None:
        message = {"role": kind, "content": content}
        if kind == "assistant":
            message |= {"id": fields.pop("id", f"msg_{name}"), "type": "message", "model": "claude-haiku-4-5"}
        row["message"] = message
    return row | fields


def use(name):
    return {"type": "tool_use", "id": name, "name": "Read", "input": {"file_path": f"/w/{name}"}}


def result(name, text):
    return [{"type": "tool_result", "tool_use_id": name, "content": text}]


def test_a_message_of_claude_code_in_several_rows_is_one_with_the_results_that_hang_on_any(tmp_path):
    [chat], errors, _ = read(
        tmp_path,
        [
            {"type": "summary", "summary": "Fix", "leafUuid": "x"},
            {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}, "isSnapshotUpdate": False},
            {"type": "ai-title", "aiTitle": "Two files", "sessionId": "s1"},
            cc("user", "u1", None, "Read both"),
            cc("assistant", "a1", "u1", [{"type": "thinking", "thinking": "hm", "signature": "x"}], id="m"),
            cc("assistant", "a2", "a1", [{"type": "text", "text": "I read them."}], id="m"),
            cc("assistant", "a3", "a2", [use("t1")], id="m"),
            cc("assistant", "a4", "a3", [use("t2")], id="m"),
            cc("user", "r1", "a3", result("t1", "one"), toolUseResult={"file": "SECRET"}),
            cc("user", "r2", "a4", result("t2", [{"type": "text", "text": "two"}])),
            cc("system", "d", "r2", subtype="turn_duration", durationMs=1),
            cc("assistant", "a5", "d", [{"type": "text", "text": "Done."}]),
        ],
        lines=True,
    )
    assert errors == []
    assert said(chat) == [
        ("user", "Read both"), ("assistant", "I read them."), ("tool", "one"), ("tool", "two"), ("assistant", "Done."),
    ]  # fmt: skip
    assert [call.id for call in chat.messages[1].calls] == ["t1", "t2"]
    assert chat.messages[1].reasoning == "hm"
    assert chat.id == "s1"
    assert chat.metadata == {"model": "claude-haiku-4-5", "title": "Two files"}
    assert chat.ended == 1781517601.0


REMINDER = "<system-reminder>R</system-reminder>"


def queued(name, parent, prompt, mode):
    return cc("attachment", name, parent, attachment={"type": "queued_command", "prompt": prompt, "commandMode": mode})


def test_what_the_program_says_in_the_users_place_is_no_word_of_the_users(tmp_path):
    [chat], errors, notes = read(
        tmp_path,
        [
            cc("user", "c0", None, "<local-command-caveat>Caveat</local-command-caveat>", isMeta=True),
            cc("user", "c1", "c0", "<command-name>/clear</command-name>\n<command-args></command-args>"),
            cc("user", "c2", "c1", "<local-command-stdout>(none)</local-command-stdout>"),
            cc(
                "user", "u1", "c2",
                [
                    {"type": "text", "text": "<ide_opened_file>The user opened a.py</ide_opened_file>"},
                    {"type": "text", "text": f"{REMINDER} Fix it {REMINDER}"},
                    {"type": "image", "source": {"type": "base64", "data": "x"}},
                ],
            ),
            cc("assistant", "a1", "u1", [{"type": "text", "text": "Fixed."}]),
            cc("user", "i1", "a1", [{"type": "text", "text": "[Request interrupted by user]"}]),
            cc("user", "u2", "i1", "<command-message>review</command-message>\n<command-name>/review</command-name>\n"
               "<command-args>the parser</command-args>"),
            cc("user", "m2", "u2", [{"type": "text", "text": "# How to review"}], isMeta=True),
            cc("assistant", "a2", "m2", [{"type": "text", "text": "It is fine."}]),
            cc("assistant", "e", "a2", [{"type": "text", "text": "API Error: 529"}], isApiErrorMessage=True),
            queued("q", "e", "and quickly", "prompt"),
            queued("n", "q", "x", "task-notification"),
            cc("assistant", "a3", "n", [{"type": "text", "text": "Yes."}]),
        ],
        lines=True,
    )  # fmt: skip
    assert errors == []
    assert said(chat) == [
        ("user", "Fix it\n[image]"), ("assistant", "Fixed."), ("user", "/review the parser"),
        ("assistant", "It is fine."), ("user", "and quickly"), ("assistant", "Yes."),
    ]  # fmt: skip
    assert notes["messages that the program put in the user's place, left out"] == 5
    assert notes["errors that the program showed in the assistant's place, left out"] == 1


def test_a_session_of_claude_code_goes_on_over_a_compaction_without_its_summary(tmp_path):
    [chat], errors, notes = read(
        tmp_path,
        [
            cc("user", "u1", None, "Start"),
            cc("assistant", "a1", "u1", [{"type": "text", "text": "Ready"}]),
            cc("user", "b1", "a1", "First attempt"),
            cc("assistant", "b2", "b1", [{"type": "text", "text": "First answer"}]),
            cc("user", "u2", "a1", "Second attempt"),
            cc("assistant", "a2", "u2", [{"type": "text", "text": "Second answer"}]),
            cc("user", "u3", "a2", "Keep going"),
            cc("system", "cb", None, subtype="compact_boundary", logicalParentUuid="a3", content="Compacted"),
            cc("user", "cs", "cb", "This session is being continued", isCompactSummary=True),
            cc("assistant", "a3", "cs", [{"type": "text", "text": "Kept going"}]),
            cc("user", "u4", "a3", "After compaction"),
            cc("assistant", "a4", "u4", [{"type": "text", "text": "Final answer"}]),
        ],
        lines=True,
    )
    assert errors == []
    assert [text for _, text in said(chat)] == [
        "Start", "Ready", "Second attempt", "Second answer", "Keep going", "Kept going", "After compaction",
        "Final answer",
    ]  # fmt: skip
    assert notes["messages of the user's that were taken back, left out with what followed them"] == 1


def test_the_talk_with_subagents_is_counted_and_is_no_chat(tmp_path):
    sub = [
        cc("user", "x1", None, "Survey", isSidechain=True),
        cc("assistant", "x2", "x1", [{"type": "text", "text": "Surveyed"}], isSidechain=True),
    ]
    main = [cc("user", "u1", None, "hi"), cc("assistant", "a1", "u1", [{"type": "text", "text": "hello"}])]
    [chat], errors, notes = read(tmp_path, [*main, *sub], lines=True)
    assert errors == []
    assert said(chat) == [("user", "hi"), ("assistant", "hello")]
    assert notes["messages between the assistant and its subagents, left out"] == 2
    chats, errors, _ = read(tmp_path, sub, lines=True)
    assert (chats, errors) == ([], [])


def test_sessions_of_claude_code_without_ids_or_parents_go_on_in_their_order(tmp_path):
    # A session in the cloud as in simonw/claude-code-transcripts cad133d, and `--output-format stream-json`.
    rows = [
        {"type": "user", "timestamp": "2026-01-01T10:00:00Z", "message": {"role": "user", "content": "Read it"}},
        {
            "type": "assistant",
            "timestamp": "2026-01-01T10:00:01Z",
            "message": {"role": "assistant", "content": [use("t")]},
        },
        {"type": "user", "message": {"role": "user", "content": result("t", "one")}},
        {"type": "assistant", "message": {"role": "assistant", "content": "Done."}},
    ]
    chat = [("user", "Read it"), ("assistant", ""), ("tool", "one"), ("assistant", "Done.")]
    [cloud], errors, _ = read(tmp_path, {"loglines": rows})
    assert (errors, said(cloud)) == ([], chat)
    stream = [
        {"type": "system", "subtype": "init", "tools": ["Read"]},
        *rows,
        {"type": "assistant", "message": {"role": "assistant", "content": "SECRET"}, "parent_tool_use_id": "t"},
        {"type": "result", "subtype": "success", "result": "Done."},
    ]
    [streamed], errors, _ = read(tmp_path, [row | {"session_id": "s9"} for row in stream], lines=True)
    assert (errors, said(streamed), streamed.id) == ([], chat, "s9")
    flat = [row | {"sessionId": "s8", "uuid": str(n), "parentUuid": None} for n, row in enumerate(rows)]
    [first], errors, _ = read(tmp_path, flat, lines=True)
    assert (errors, said(first), first.id) == ([], chat, "s8")


# Codex: rows as in daaain/claude-code-log 774584014 (test/test_data/codex), items of openai/codex 152e7cae
# (codex-rs/protocol/src/models.rs).


def cx(kind, **payload):
    return {"timestamp": "2026-01-02T03:04:05.000Z", "type": kind, "payload": payload}


def item(kind, **fields):
    return cx("response_item", type=kind, **fields)


def spoken(role, *texts):
    kind = "output_text" if role == "assistant" else "input_text"
    return item("message", role=role, content=[{"type": kind, "text": text} for text in texts])


META = cx("session_meta", id="x1", cwd="/w", cli_version="0.101.0", base_instructions={"text": "You are Codex."})
AGENTS = "# AGENTS.md instructions for /w\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>"
ENVIRONMENT = "<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"


def test_a_session_of_codex_is_its_items_in_their_order(tmp_path):
    [chat], errors, notes = read(
        tmp_path,
        [
            META,
            spoken("developer", "<permissions instructions>read-only</permissions instructions>"),
            spoken("user", AGENTS, ENVIRONMENT),
            cx("turn_context", cwd="/w", model="gpt-5-codex"),
            cx("event_msg", type="user_message", message="List the files."),
            spoken("user", "List the files."),
            item("reasoning", summary=[{"type": "summary_text", "text": "I look."}], encrypted_content="SECRET"),
            item("function_call", name="exec_command", arguments='{"cmd":"ls"}', call_id="c1"),
            item("function_call_output", call_id="c1", output="a.txt"),
            item("custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="c2"),
            item("custom_tool_call_output", call_id="c2", output=[{"type": "output_text", "text": "Done!"}]),
            item("local_shell_call", call_id="c3", status="completed", action={"type": "exec", "command": ["ls"]}),
            item("function_call_output", call_id="c3", output="b.txt"),
            item("web_search_call", status="completed", action={"type": "search", "query": "q"}),
            item("ghost_snapshot", ghost_commit={"id": "x"}),
            item("future_item", text="SECRET"),
            cx("compacted", message="SECRET"),
            cx("event_msg", type="agent_message", message="a.txt"),
            spoken("assistant", "a.txt"),
        ],
        lines=True,
    )
    assert errors == []
    assert said(chat) == [
        ("system", "You are Codex."),
        ("system", "<permissions instructions>read-only</permissions instructions>"),
        ("system", f"{AGENTS}\n{ENVIRONMENT}"),
        ("user", "List the files."),
        ("assistant", ""), ("tool", "a.txt"), ("assistant", ""), ("tool", "Done!"), ("assistant", ""),
        ("tool", "b.txt"), ("assistant", ""), ("tool", ""), ("assistant", "a.txt"),
    ]  # fmt: skip
    calls = [call for message in chat.messages for call in message.calls]
    assert [call.name for call in calls] == ["exec_command", "apply_patch", "local_shell", "web_search"]
    assert [m.tool_call_id for m in chat.messages if m.role == "tool"] == [call.id for call in calls]
    assert chat.messages[4].reasoning == "I look."
    assert (chat.id, chat.metadata) == ("x1", {"model": "gpt-5-codex"})
    assert notes["items of a session that are neither messages nor calls, left out"] == 1


def test_turns_that_were_taken_back_and_the_frame_around_a_request_are_left_out(tmp_path):
    framed = "# Context from my IDE setup:\n\n## Open tabs: a.py\n\n## My request for Codex:\nFix it\n"
    [chat], errors, notes = read(
        tmp_path,
        [
            META,
            spoken("user", "hi"),
            spoken("assistant", "hello"),
            spoken("user", "break it"),
            spoken("assistant", "broken"),
            cx("event_msg", type="thread_rolled_back", num_turns=1),
            spoken("user", framed),
            spoken("assistant", "fixed"),
        ],
        lines=True,
    )
    assert errors == []
    assert [text for _, text in said(chat)[1:]] == ["hi", "hello", "Fix it", "fixed"]
    assert notes["turns that were taken back, left out"] == 1


def test_items_of_codex_without_an_envelope_are_a_chat_a_file_or_a_list(tmp_path):
    # As it wrote them until September 2025: AcidicSoil/codex-session-viewer 2a6b193 (docs/example.jsonl).
    head = {"id": "x1", "timestamp": "2025-09-10T18:58:38.331Z", "instructions": None, "git": {}}
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ENVIRONMENT}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List"}]},
        {"type": "reasoning", "id": "r", "summary": [], "content": None, "encrypted_content": "SECRET"},
        {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a.txt"}]},
    ]
    chat = [("system", ENVIRONMENT), ("user", "List"), ("assistant", ""), ("tool", "a.txt"), ("assistant", "a.txt")]
    [conversation], errors, notes = read(tmp_path, [head, {"record_type": "state"}, *items], lines=True)
    assert (errors, said(conversation), conversation.id, notes) == ([], chat, "x1", {})
    conversations, errors, _ = read(tmp_path, [items, items], lines=True)
    assert (errors, [said(one) for one in conversations]) == ([], [chat, chat])


# Open WebUI: chats as in open-webui 00059776 (backend/open_webui/models/chats.py), the blocks of HTML as in its
# `serialize_output` of 0.8, and those of 0.5.


def owui(*messages, current=None, **chat):
    nodes = {message["id"]: message for message in messages}
    for message in messages:
        message["childrenIds"] = [one["id"] for one in messages if one["parentId"] == message["id"]]
    history = {"currentId": current or messages[-1]["id"], "messages": nodes}
    about = {"title": "T", "models": ["m"], "history": history, "messages": list(messages), **chat}
    return {"id": "w1", "user_id": "u", "title": "T", "chat": about, "updated_at": 1700000100, "archived": False}


def turn(name, parent, role, content, **fields):
    return {"id": name, "parentId": parent, "role": role, "content": content, "timestamp": 1700000000, **fields}


def test_open_webui_gives_the_shown_way_the_other_answers_and_the_rating(tmp_path):
    chats = [
        owui(
            turn("u1", None, "user", "Bread?", files=[{"type": "image"}, {"type": "file"}]),
            turn("a1", "u1", "assistant", "White.", model="m", annotation={"rating": 1}),
            turn("b1", "u1", "assistant", "Rye.", model="m2", annotation={"rating": -1}),
            turn("u2", "a1", "user", "Price?"),
            turn("a2", "u2", "assistant", "Two euros.", model="m"),
            params={"system": "Sell bread."},
        )
    ]
    [chat], errors, _ = read(tmp_path, chats)
    assert errors == []
    assert said(chat) == [
        ("system", "Sell bread."), ("user", "Bread?\n[image]\n[file]"), ("assistant", "White."), ("user", "Price?"),
        ("assistant", "Two euros."),
    ]  # fmt: skip
    assert other_texts(chat) == {0: ("Rye.",)}
    assert chat.metadata == {"title": "T", "model": "m", "rating": 1}
    assert (chat.id, chat.ended) == ("w1", 1700000000)
    rated = {"id": "f", "type": "rating", "data": {"rating": 1}, "snapshot": {"chat": chats[0]}}
    for other in (chats[0]["chat"], [rated]):  # a chat by itself, and the history of feedback
        [again], errors, _ = read(tmp_path, other)
        assert errors == []
        assert said(again) == said(chat)


def details(kind, body, **attributes):
    shown = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f'<details type="{kind}" {shown}>\n<summary>Done</summary>\n{body}\n</details>'


def test_reasoning_calls_and_code_in_the_text_of_an_answer_are_no_words(tmp_path):
    arguments = json.dumps(json.dumps({"city": "Rome"}))
    text = "\n".join(
        [
            details("reasoning", html.escape("> Shall I <look>?\n> Yes."), done="true", duration="3"),
            "Let me look.",
            details("tool_calls", "", done="true", id="c1", name="weather", arguments=arguments, result='"18 \\"C\\""'),
            details("code_interpreter", "```python\n1 + 1\n```", done="true", output='{"stdout":"2"}'),
            "It is 18 C. <details><summary>Why</summary>Because.</details>",
        ]
    )
    [chat], errors, _ = read(tmp_path, [owui(turn("u", None, "user", "Rome?"), turn("a", "u", "assistant", text))])
    assert errors == []
    assert said(chat) == [
        ("user", "Rome?"),
        ("assistant", "Let me look."),
        ("tool", '18 "C"'),
        ("tool", '{"stdout":"2"}'),
        ("assistant", "It is 18 C. <details><summary>Why</summary>Because.</details>"),
    ]
    assert chat.messages[1].reasoning == "Shall I <look>?\nYes."
    call, code = chat.messages[1].calls
    assert (call.id, call.name, call.parsed) == ("c1", "weather", {"city": "Rome"})
    assert (code.name, code.parsed) == ("code_interpreter", {"code": "```python\n1 + 1\n```"})


def test_the_calls_of_another_answer_have_ids_that_no_earlier_turn_has(tmp_path):
    tool = details("tool_calls", "", done="true", id="call_0", name="f", arguments='"{}"', result='"7"')
    [chat], errors, _ = read(
        tmp_path,
        [
            owui(
                turn("u1", None, "user", "one"),
                turn("a1", "u1", "assistant", f"{tool}\nSeven."),
                turn("u2", "a1", "user", "two"),
                turn("b2", "u2", "assistant", f"{tool}\nSeven again."),
                turn("a2", "u2", "assistant", "Eight."),
            )
        ],
    )
    assert errors == []
    [[call, found, _]] = chat.alternatives[1]
    assert (call.calls[0].id, found.tool_call_id) == ("call_0_2", "call_0_2")
    assert chat.messages[1].calls[0].id == "call_0"


def test_the_output_of_an_answer_counts_more_than_its_text(tmp_path):
    output = [
        {"type": "reasoning", "summary": None, "content": [{"type": "output_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "18 C"}]},
        {"type": "open_webui:code_interpreter", "id": "ci", "lang": "python", "code": "1", "output": {"result": "1"}},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is 18 C."}]},
    ]
    answer = turn("a", "u", "assistant", details("reasoning", "> hm", done="true"), output=output)
    failed = turn("e", "u2", "assistant", "", error={"content": "SECRET"})
    [chat], errors, notes = read(
        tmp_path, [owui(turn("u", None, "user", "Rome?"), answer, turn("u2", "a", "user", "more"), failed)]
    )
    assert errors == []
    assert said(chat) == [
        ("user", "Rome?"), ("assistant", ""), ("tool", "18 C"), ("assistant", ""), ("tool", '{"result":"1"}'),
        ("assistant", "It is 18 C."), ("user", "more"),
    ]  # fmt: skip
    assert chat.messages[3].calls[0].parsed == {"lang": "python", "code": "1"}
    assert notes["errors that were shown in the assistant's place, left out"] == 1


def webui_db(path, *rows):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE auth (id TEXT)")
        database.execute("CREATE TABLE user (id TEXT)")
        database.execute(
            "CREATE TABLE chat (id TEXT PRIMARY KEY, user_id TEXT, title TEXT, chat JSON, updated_at BIGINT)"
        )
        database.executemany("INSERT INTO chat VALUES (?, ?, ?, ?, 1700000100)", rows)


def test_the_database_of_open_webui_gives_every_chat_that_can_be_read(tmp_path):
    chat = json.dumps(owui(turn("u", None, "user", "hi"), turn("a", "u", "assistant", "hello"))["chat"])
    rows = [("1", "u", "T", chat), ("2", "u", "T", "{"), ("3", "u", "T", None), ("4", "shared-1", "T", chat)]
    webui_db(tmp_path / "webui.db", *rows, ("5", "u", "T", "[" * 100_000), ("6", "u", "T", chat))
    errors, notes = [], Counter()
    chats = list(read_conversations([tmp_path / "webui.db"], on_error=errors.append, notes=notes))
    assert [(one.id, said(one)) for one in chats] == [
        (name, [("user", "hi"), ("assistant", "hello")]) for name in ("1", "6")
    ]
    assert [Path(error.where.partition(",")[0]).name for error in errors] == ["webui.db"] * 3
    assert notes == {"copies of chats that were shared, left out": 1}


# LibreChat: its export as in danny-avila/LibreChat 00b3bc32 (client/src/hooks/Conversations/useExportConversation.ts).


def libre(name, parent, by_user, text, **fields):
    about = {"conversationId": "l1", "createdAt": "2026-05-29T00:33:03Z", "error": False, "unfinished": False}
    sender = "User" if by_user else "GPT-4"
    return {"messageId": name, "parentMessageId": parent, "isCreatedByUser": by_user, "sender": sender, "text": text, **about, **fields}  # fmt: skip  # noqa: E501


STORY = [
    libre("1", "00000000-0000-0000-0000-000000000000", True, "A story"),
    libre("2", "1", False, "Once.", model="gpt-4o"),
    libre("3", "2", True, "More"),
    libre("4", "3", False, "The end.", model="gpt-4o", feedback={"rating": "thumbsUp"}),
    libre("2b", "1", False, "A fox.", model="gpt-4o"),
]


def nested(messages):
    copies = {message["messageId"]: {**message, "children": []} for message in messages}
    for copy in copies.values():
        if copy["parentMessageId"] in copies:
            copies[copy["parentMessageId"]]["children"].append(copy)
    return [copy for copy in copies.values() if copy["parentMessageId"] not in copies]


@pytest.mark.parametrize(
    "messages",
    [{"messages": STORY}, {"messages": nested(STORY)}, {"messagesTree": nested(STORY)}],
    ids=["flat", "nested", "tree"],
)
def test_librechat_exports_branches_flat_or_nested(tmp_path, messages):
    about = {"conversationId": "l1", "endpoint": "openAI", "title": "T", "options": {"model": "gpt-4o"}}
    [chat], errors, _ = read(tmp_path, about | messages)
    assert errors == []
    assert [text for _, text in said(chat)] == ["A story", "Once.", "More", "The end."]
    assert other_texts(chat) == {0: ("A fox.",)}
    assert (chat.id, chat.metadata) == ("l1", {"title": "T", "model": "gpt-4o", "rating": "thumbsUp"})


def test_librechat_has_calls_thoughts_and_marks_in_its_content(tmp_path):
    content = [
        {"type": "think", "think": "hm"},
        {"type": "agent_update", "agent_update": {"agentId": "x"}},
        {"type": "text", "text": {"value": "I look."}},
        {
            "type": "tool_call",
            "tool_call": {"id": "c1", "name": "web", "args": '{"q":1}', "output": "18 C", "progress": 1},
        },
        {
            "type": "tool_call",
            "tool_call": {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}", "output": "7"}},
        },
        {"type": "text", "text": "It is 18 C. \ue202turn0search0 And \\ue202turn0search1, \ue203seven\ue204."},
    ]
    messages = [
        libre("1", None, True, "Rome?", files=[{"type": "image/png"}, {"type": "application/pdf"}]),
        libre("2", "1", False, "", content=content),
        libre("3", "2", True, "Again"),
        libre("4", "3", False, "SECRET", error=True),
        libre("5", "4", False, ":::thinking\nSECRET\n:::\nStill 18."),
    ]
    [chat], errors, notes = read(tmp_path, {"conversationId": "l1", "messages": messages})
    assert errors == []
    assert said(chat) == [
        ("user", "Rome?\n[image]\n[file]"), ("assistant", "I look."), ("tool", "18 C"), ("tool", "7"),
        ("assistant", "It is 18 C. And, seven."), ("user", "Again"), ("assistant", "Still 18."),
    ]  # fmt: skip
    assert [call.name for message in chat.messages for call in message.calls] == ["web", "f"]
    assert notes["errors that were shown in the assistant's place, left out"] == 1


# DeepSeek: conversations.json as DavidShiang/DeepSeek2md 5407cef reads it (model/structs.go).


def deepseek(parent, *fragments, **fields):
    about = {"files": [], "model": "deepseek-reasoner", "inserted_at": "2026-03-01T18:00:00.000000+08:00"}
    return {"parent": parent, "children": [], "message": {**about, "fragments": list(fragments), **fields}}


def test_deepseek_tells_by_its_fragments_who_speaks(tmp_path):
    chat = {
        "id": "d1",
        "title": "Bread",
        "inserted_at": "2026-03-01T17:59:00.000000+08:00",
        "mapping": {
            "root": {"id": "root", "parent": None, "children": ["1"], "message": None},
            "1": deepseek("root", {"type": "REQUEST", "content": "Rye?"}, files=[{"file_name": "a.pdf"}]),
            "2": deepseek("1", {"type": "RESPONSE", "content": "No."}),
            "3": deepseek(
                "1",
                {"type": "SEARCH", "content": None, "results": [{"title": "SECRET"}]},
                {"type": "THINK", "content": "hm"},
                {"type": "RESPONSE", "content": "Yes[citation:1]."},
            ),
        },
    }
    [conversation], errors, notes = read(tmp_path, [chat])
    assert errors == []
    assert said(conversation) == [("user", "Rye?\n[file]"), ("assistant", "Yes.")]
    assert other_texts(conversation) == {0: ("No.",)}
    assert conversation.messages[1].reasoning == "hm"
    assert (conversation.id, conversation.ended) == ("d1", 1772359200.0)
    assert conversation.metadata == {"title": "Bread", "model": "deepseek-reasoner"}
    assert notes["pages that the assistant found and uses of tools that are not logged whole, left out"] == 1


# LM Studio: conversations as YorkieDev/lm-studio-conversation-converter a93e982 reads them (0.3.30).


def version(role, *steps, **fields):
    if role == "user":
        return {"type": "singleStep", "role": role, "content": list(steps)}
    return {"type": "multiStep", "role": role, "senderInfo": {"senderName": "llama"}, "steps": list(steps), **fields}


def block(*content, **style):
    return {"type": "contentBlock", "content": list(content), "style": style, "shouldIncludeInContext": True}


def text(words):
    return {"type": "text", "text": words}


def test_lm_studio_gives_the_selected_versions_and_the_others_as_alternatives(tmp_path):
    call = {
        "type": "toolCallRequest",
        "callId": 7,
        "toolCallRequestId": "r7",
        "name": "stock",
        "parameters": {"of": "rye"},
    }
    found = {"type": "toolCallResult", "callId": 7, "toolCallRequestId": "r7", "content": "12"}
    steps = (block(text("hm"), type="thinking"), block(call), block(found), block(text("Twelve.")))
    long = version("assistant", *steps, {"type": "debugInfoBlock"})
    chat = {
        "name": "Bread",
        "createdAt": 1700000000000,
        "perChatPredictionConfig": {"fields": [{"key": "llm.prediction.systemPrompt", "value": "Sell."}]},
        "messages": [
            {
                "versions": [version("user", text("Rye?"), {"type": "file", "fileType": "image"})],
                "currentlySelected": 0,
            },
            {"versions": [version("assistant", block(text("No."))), long], "currentlySelected": 1},
            {"versions": [version("user", text("Old")), version("user", text("Thanks"))], "currentlySelected": 1},
            {"versions": [version("assistant", block(text("Bye.")))], "currentlySelected": 0},
        ],
    }
    [conversation], errors, notes = read(tmp_path, chat)
    assert errors == []
    assert said(conversation) == [
        ("system", "Sell."), ("user", "Rye?\n[image]"), ("assistant", ""), ("tool", "12"), ("assistant", "Twelve."),
        ("user", "Thanks"), ("assistant", "Bye."),
    ]  # fmt: skip
    assert conversation.messages[2].reasoning == "hm"
    assert (conversation.messages[2].calls[0].id, conversation.messages[2].calls[0].parsed) == ("r7", {"of": "rye"})
    assert other_texts(conversation) == {0: ("No.",)}
    assert (conversation.metadata, conversation.ended) == ({"title": "Bread", "model": "llama"}, 1700000000.0)
    assert notes["messages of the user's on other branches of a chat, left out with what follows them"] == 1


# SillyTavern: as in SillyTavern/SillyTavern 151bcde (public/chats), with the swipes and the reasoning of 1.12.


def test_a_file_of_sillytavern_is_a_chat_whose_swipes_are_alternatives(tmp_path):
    rows = [
        {"user_name": "You", "character_name": "Mia", "create_date": 1, "chat_metadata": {}},
        {"name": "Mia", "is_user": False, "mes": "Welcome!", "swipes": ["Welcome!", "Hello!"], "swipe_id": 0},
        {"name": "You", "is_user": True, "mes": "Rye?", "extra": {"file": {"name": "a.txt"}}},
        {"name": "Mia", "is_user": False, "is_system": True, "mes": "SECRET"},
        {
            "name": "Mia", "is_user": False, "mes": "Yes.", "swipes": ["No.", "Yes."], "swipe_id": 1,
            "send_date": "2026-03-01T10:00:00Z", "extra": {"reasoning": "hm"},
        },
    ]  # fmt: skip
    [chat], errors, notes = read(tmp_path, rows, lines=True)
    assert errors == []
    assert said(chat) == [("assistant", "Welcome!"), ("user", "Rye?\n[file]"), ("assistant", "Yes.")]
    assert other_texts(chat) == {0: ("No.",)}
    assert chat.messages[-1].reasoning == "hm"
    assert (chat.metadata, chat.ended) == ({"title": "Mia"}, 1772359200.0)
    assert notes["messages that the model was not shown, left out"] == 1


# Whatever stands in a tree: one way is read, and nothing that it does not hold.

NAMES = st.sampled_from("abcdef")
WORDS = st.text(alphabet="ab <>\n", max_size=8)
BLOCKS = st.lists(
    st.one_of(
        WORDS.map(lambda text: {"type": "text", "text": text}),
        st.just({"type": "thinking", "thinking": "z"}),
        st.just({"type": "tool_use", "name": "b", "input": {"a": 1}}),
        st.builds(lambda id: {"type": "tool_use", "id": id, "name": "b", "input": {}}, NAMES),
        st.builds(lambda id: {"type": "tool_result", "tool_use_id": id, "content": "a"}, NAMES | st.none()),
        st.just({"type": "zzz", "text": "z"}),
        st.none() | st.integers(),
    ),
    max_size=4,
)


def check(conversation):
    """Every result answers a call, no id is used twice, and nothing is said that was not."""
    whole = [conversation.messages]
    for turn in conversation.turns():
        whole += [(*turn.history, *other) for other in turn.alternatives]
    for messages in whole:
        ids = [call.id for message in messages for call in message.calls]
        assert len(ids) == len(set(ids))
        waiting = set()
        for message in messages:
            waiting |= {call.id for call in message.calls}
            if message.role == "tool":
                waiting.remove(message.tool_call_id)
            assert "z" not in message.content


def check_read(folder, rows, *, lines=False):
    conversations, errors, notes = read(folder, rows, lines=lines)
    assert len(conversations) <= 1
    for conversation in conversations:
        check(conversation)
    return conversations, [*errors, *[UNUSED] * notes[UNUSED]]


@given(
    st.lists(st.tuples(NAMES, NAMES | st.none(), st.sampled_from(["human", "assistant"]), BLOCKS), max_size=8),
    NAMES | st.none(),
)
def test_wild_trees_of_claude_give_one_chat_or_an_error(tmp_path_factory, messages, leaf):
    rows = [
        claude_message(name, sender, parent=parent) | {"content": blocks} for name, parent, sender, blocks in messages
    ]
    chat = claude_chat(*rows, current_leaf_message_uuid=leaf)
    conversations, errors = check_read(tmp_path_factory.mktemp("wild"), [chat])
    assert len(conversations) + len(errors) == 1


@given(
    st.lists(
        st.tuples(NAMES, NAMES | st.none(), st.sampled_from(["user", "assistant"]), BLOCKS, st.booleans(), NAMES),
        max_size=8,
    )
)
def test_wild_sessions_of_claude_code_give_one_chat_or_an_error(tmp_path_factory, rows):
    log = [
        cc(kind, name, parent, blocks, isMeta=meta) | ({"message": {"content": blocks, "id": id}} if id < "c" else {})
        for name, parent, kind, blocks, meta, id in rows
    ]
    check_read(tmp_path_factory.mktemp("wild"), log, lines=True)


@given(
    st.lists(
        st.one_of(
            st.builds(lambda role, text: spoken(role, text), st.sampled_from(["user", "assistant"]), WORDS),
            st.builds(lambda id: item("function_call", name="b", arguments="{}", call_id=id), NAMES | st.none()),
            st.builds(lambda id: item("function_call_output", call_id=id, output="a"), NAMES | st.none()),
            st.builds(lambda n: cx("event_msg", type="thread_rolled_back", num_turns=n), st.integers(-1, 3)),
            st.just(item("zzz", text="z")),
            st.just(cx("compacted", message="z")),
        ),
        max_size=10,
    )
)
def test_wild_sessions_of_codex_give_one_chat_or_an_error(tmp_path_factory, rows):
    check_read(tmp_path_factory.mktemp("wild"), [cx("session_meta", id="x"), *rows], lines=True)


@given(
    st.dictionaries(
        NAMES, st.tuples(NAMES | st.none(), st.sampled_from(["user", "assistant", "system"]), WORDS), max_size=6
    ),
    NAMES | st.none(),
)
def test_wild_trees_of_open_webui_give_one_chat_or_an_error(tmp_path_factory, nodes, current):
    def content(role, words):
        tool = details("tool_calls", "", done="true", id="c1", name="b", arguments='"{}"', result='"a"')
        return words if role != "assistant" else f"{details('reasoning', '> z', done='true')}{words}{tool}"

    messages = {
        name: {"id": name, "parentId": parent, "role": role, "content": content(role, words)}
        for name, (parent, role, words) in nodes.items()
    }
    row = {"id": "x", "title": "t", "chat": {"history": {"currentId": current, "messages": messages}}}
    conversations, errors = check_read(tmp_path_factory.mktemp("wild"), [row])
    assert len(conversations) + len(errors) == 1


@given(st.lists(st.tuples(NAMES, NAMES | st.none(), st.booleans(), BLOCKS | WORDS), max_size=8))
def test_wild_trees_of_librechat_give_one_chat_or_an_error(tmp_path_factory, rows):
    messages = [
        libre(name, parent, by_user, value if isinstance(value, str) else "")
        | ({} if isinstance(value, str) else {"content": value})
        for name, parent, by_user, value in rows
    ]
    conversations, errors = check_read(tmp_path_factory.mktemp("wild"), [{"conversationId": "x", "messages": messages}])
    assert len(conversations) + len(errors) == 1


@pytest.mark.parametrize(
    "forced",
    ["claude", "claude-code", "codex", "open-webui", "librechat", "lm-studio", "deepseek", "sillytavern", "chatgpt"],
)
@pytest.mark.parametrize("row", [{}, {"messages": [1]}, {"mapping": {"a": 1}}, {"type": 1, "payload": 1}, {"chat": 1}])
def test_a_row_of_another_format_is_an_error_where_the_format_is_forced(tmp_path, forced, row):
    (tmp_path / "log.jsonl").write_text(json.dumps(row))
    errors = []
    assert list(read_conversations([tmp_path / "log.jsonl"], format=forced, on_error=errors.append)) == []
    assert len(errors) == 1
