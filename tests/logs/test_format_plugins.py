"""Formats of logs and of preference files that another package brings."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from collab_cli.main import main
from support.cli import collab, write_chats

from collab_sdk import read_conversations
from collab_sdk.errors import InputError, UsageError
from collab_sdk.logs import get_log_format, get_preference_format, log_format_names, preference_format_names
from collab_sdk.logs.formats.registry import log_formats
from collab_sdk.plugins import _registered

MODULE = """
from collab_sdk import Conversation, Message
from collab_sdk.errors import InputError
from collab_sdk.logs import CallFormat, ConversationFormat, LoggedCall, PreferenceFormat


def read(row):
    if not isinstance(row["asked"], str):
        raise InputError("asked must be text")
    messages = Message(role="user", content=row["asked"]), Message(role="assistant", content=row["said"])
    return Conversation(id="", messages=messages)


def read_call(row):
    history = ({"role": "user", "content": row["q"]},)
    return LoggedCall(run_id=row["call"], messages=history, replies=({"role": "assistant", "content": row["a"]},))


def rows(pair):
    return [{"good": pair.chosen.text, "bad": pair.rejected.text}]


FAQ = ConversationFormat(name="faq", known_by="asked and said", matches=lambda row: "asked" in row, read=read)
EAGER = ConversationFormat(
    name="eager", known_by="asked", priority=5, matches=lambda row: row.get("asked") == "chosen", read=read
)
CALLS = CallFormat(name="calls", known_by="call", matches=lambda row: "call" in row, read=read_call)
SIDES = PreferenceFormat(rows=rows)
"""
ENTRY_POINTS = """\
[collab_sdk.log_formats]
faq = foreign_formats:FAQ
eager = foreign_formats:EAGER
calls = foreign_formats:CALLS
[collab_sdk.preference_formats]
sides = foreign_formats:SIDES
gone = foreign_formats_that_are_gone:SIDES
"""


def forget() -> None:
    _registered.cache_clear()
    log_formats.cache_clear()
    sys.modules.pop("foreign_formats", None)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with these entry points, for this test."""

    def install(entry_points: str, module: str = MODULE) -> None:
        site = tmp_path / "site"
        info = site / "foreign-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        (site / "foreign_formats.py").write_text(module)
        monkeypatch.syspath_prepend(site)
        forget()

    yield install
    monkeypatch.undo()
    forget()


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_log_of_a_foreign_format_is_known_by_its_rows(install, tmp_path):
    install(ENTRY_POINTS)
    log = write(tmp_path / "faq.jsonl", {"asked": "open today?", "said": "Until six."}, {"asked": 1, "said": ""})
    errors: list[InputError] = []
    [chat] = read_conversations([log], on_error=errors.append)
    assert [message.content for message in chat.messages] == ["open today?", "Until six."]
    assert [str(error) for error in errors] == [f"{log}:2: asked must be text"]


def test_a_foreign_log_of_calls_is_gathered_to_conversations(install, tmp_path):
    install(ENTRY_POINTS)
    [chat] = read_conversations([write(tmp_path / "calls.jsonl", {"call": "r1", "q": "open today?", "a": "Yes."})])
    assert [message.content for message in chat.messages] == ["open today?", "Yes."]


def test_formats_are_tried_by_priority_and_foreign_ones_last_unless_they_say_otherwise(install):
    install(ENTRY_POINTS)
    names = [format.name for format in log_formats()]
    assert names == [
        "eager", "preferences", "claude", "litellm", "ranked", "open-webui", "claude-code", "helicone", "librechat",
        "codex", "lm-studio", "call-rows", "sillytavern", "openai", "sharegpt", "deepseek", "chatgpt", "gemini",
        "lmsys", "wildchat", "taskmaster", "dialogues", "oasst", "langsmith", "langfuse", "bedrock", "openai-batch",
        "mlflow", "otel", "call-pairs", "message-rows", "transcripts", "instructions", "calls",
        "faq",
    ]  # fmt: skip
    assert sorted(names) == log_format_names()


def test_every_format_has_the_name_of_its_entry_point():
    assert all(get_log_format(name).name == name for name in log_format_names())


def test_a_foreign_log_format_can_be_asked_for_and_is_listed(install, tmp_path):
    install(ENTRY_POINTS)
    log = write(tmp_path / "faq.jsonl", {"messages": [], "asked": "open today?", "said": "Until six."})
    assert collab("score", log, "--model", "offline").exit_code != 0
    result = collab("score", log, "--model", "offline", "--log-format", "faq", "--cache-dir", tmp_path / "cache")
    assert result.exit_code == 0, result.stderr
    assert "faq" in CliRunner().invoke(main, ["score", "--help"]).output


def test_an_export_writes_a_foreign_preference_format(install, tmp_path):
    install(ENTRY_POINTS)
    chats, prefs = write_chats(tmp_path / "chats.jsonl", 6), tmp_path / "prefs.jsonl"
    options = ("--model", "offline", "--cache-dir", tmp_path / "cache", "--format", "sides")
    result = collab("export-prefs", chats, *options, "-o", prefs)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in prefs.read_text().splitlines()]
    assert rows
    assert all(row.keys() == {"good", "bad"} for row in rows)
    assert "sides" in preference_format_names()


def test_a_preference_format_that_cannot_be_loaded_is_named(install, tmp_path):
    install(ENTRY_POINTS)
    with pytest.raises(UsageError, match="'gone' cannot be loaded from foreign_formats_that_are_gone:SIDES: No module"):
        get_preference_format("gone")


def test_a_log_format_that_cannot_be_loaded_is_named_when_a_log_is_read(install, tmp_path):
    install("[collab_sdk.log_formats]\nbroken = foreign_formats:NOTHING\n")
    with pytest.raises(UsageError, match="The log format 'broken' cannot be loaded from foreign_formats:NOTHING: "):
        list(read_conversations([write_chats(tmp_path / "chats.jsonl")]))


def test_help_loads_no_format(install):
    install(ENTRY_POINTS)
    assert CliRunner().invoke(main, ["score", "--help"]).exit_code == 0
    assert "foreign_formats" not in sys.modules


def test_the_format_in_contributing_reads_its_tickets(install, tmp_path):
    contributing = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    section = contributing[contributing.index("### A log format") :]
    [code, entry_point] = re.findall(r"^```(?:python|toml)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[:2]
    group = entry_point.replace('project.entry-points."', "").replace('"]', "]").replace('"', "")
    install(group.replace("collab_sdk.logs.formats.desk", "foreign_formats"), code)
    thread = [{"by": "customer", "said": "open today?"}, {"event": "assigned"}, {"by": "agent", "said": "Until six."}]
    log = write(tmp_path / "desk.jsonl", {"ticket": "T-1", "opened": "2026-01-02T03:04:05Z", "thread": thread})
    notes = Counter()
    [chat] = read_conversations([log], notes=notes)
    assert (chat.id, chat.ended) == ("T-1", 1767323045.0)
    assert [(one.role, one.content) for one in chat.messages] == [("user", "open today?"), ("assistant", "Until six.")]
    assert notes == {"entries of a ticket in which nobody speaks, left out": 1}
    bad = write(tmp_path / "bad.jsonl", {"ticket": "T-2", "thread": []}, {"ticket": "T-3", "thread": 5})
    errors = []
    assert list(read_conversations([bad], on_error=errors.append)) == []
    assert len(errors) == 2


def test_a_mistake_in_a_foreign_format_costs_its_row_alone(install, tmp_path):
    install(ENTRY_POINTS)
    log = write(tmp_path / "faq.jsonl", {"asked": "open?"}, {"asked": "open?", "said": "Yes."})
    errors = []
    [chat] = read_conversations([log], on_error=errors.append)
    assert chat.messages[-1].content == "Yes."
    assert str(errors[0]).endswith("faq.jsonl:1: the format faq cannot read it (KeyError: 'said')")
