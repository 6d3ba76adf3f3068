"""Rows of the logs that log calls, and how the tests read them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from collab_sdk.logs import read_conversations
from collab_sdk.types import Conversation

HI, HELLO = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def read_logs(folder: Path, *files: Iterable[Any], **options: Any) -> tuple[list[Conversation], list[tuple[str, str]]]:
    """The conversations in files of these rows, `0.jsonl` and so on, and the errors as (where, problem)."""
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    errors = []
    conversations = list(read_conversations(paths, on_error=errors.append, **options))
    return conversations, [(Path(error.where).name, error.problem) for error in errors]


def said(conversation):
    return [(message.role, message.content) for message in conversation.messages]


def lc(name, content, **kwargs):
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content, **kwargs}}


def run(name, history, *replies, thread="T", at=0, **fields):
    metadata = {"thread_id": thread, "ls_model_name": "gpt-4o"} if thread else {}
    return {
        "id": name,
        "trace_id": name,
        "session_id": "the project",
        "run_type": "llm",
        "start_time": f"2026-01-01T00:00:{at:02}",
        "end_time": f"2026-01-01T00:00:{at:02}.5",
        "inputs": {"messages": [history]},
        "outputs": {"generations": [[{"text": "", "message": reply} for reply in replies]]},
        "extra": {"metadata": metadata, "invocation_params": {"temperature": 0.5, "api_key": "secret"}},
        **fields,
    }


def anthropic(text):
    """A message of Anthropic's API, as its response is."""
    return {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}


def response(text, *before):
    """A response of OpenAI's Responses API."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"object": "response", "output": [*before, message]}


def observation(name, history, reply, session="S", **fields):
    return {
        "id": name,
        "trace_id": "t",
        "type": "GENERATION",
        "session_id": session,
        "user_id": "ann",
        "start_time": "2024-05-29 13:46:19.963000",
        "end_time": "2024-05-29 13:46:20.963000",
        "input": json.dumps(history),
        "output": json.dumps(reply),
        "provided_model_name": "gpt-4o",
        "model_parameters": json.dumps({"temperature": 0, "api_key": "secret"}),
        **fields,
    }


def request(name, text, **body):
    return {"custom_id": name, "method": "POST", "body": {"messages": [{"role": "user", "content": text}], **body}}


def answer(name, *texts, **response):
    choices = [{"message": {"role": "assistant", "content": text}} for text in texts]
    return {"id": f"batch-{name}", "custom_id": name, "response": {"body": {"choices": choices}, **response}}


def span(name, history, replies, *, conversation="C", **attributes):
    return {
        "name": "chat gpt-4o",
        "context": {"trace_id": "0xt", "span_id": name},
        "start_time": "2026-01-01T00:00:00Z",
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.conversation.id": conversation,
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.input.messages": json.dumps(history),
            "gen_ai.output.messages": json.dumps(replies),
            **attributes,
        },
    }


def parts(role, *texts):
    return {"role": role, "parts": [{"type": "text", "content": text} for text in texts]}
