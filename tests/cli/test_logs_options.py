"""What the command line says about logs and formats."""

import json

from support.cli import chat_row, collab, write_chats

from collab_sdk.logs import log_format_names, preference_format_names


def test_log_format_reads_the_logs_as_of_that_format(tmp_path):
    row = chat_row(0) | {"chosen": "yes", "rejected": "no"}  # looks like a preference row
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps(row))

    def responses(*options):
        result = collab("score", path, "--model", "offline", "--json", "--cache-dir", tmp_path / "cache", *options)
        return [json.loads(line)["response"][-1]["content"] for line in result.stdout.splitlines()]

    assert "yes" in responses()
    assert responses("--log-format", "openai") == ["Sure, done.", "Which size?"]


def test_an_unknown_log_format_is_a_usage_error_that_lists_the_known_ones(tmp_path):
    result = collab("score", write_chats(tmp_path / "chats.jsonl"), "--model", "offline", "--log-format", "csv")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(f"'csv' is unknown. Known: {', '.join(log_format_names())}.")


def test_what_was_left_out_is_said_once_at_the_end(tmp_path):
    parts = [{"type": "text", "text": "this?"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    rows = [chat_row(number) for number in range(2)]
    for row in rows:
        row["messages"][0]["content"] = parts
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = collab("score", path, "--model", "offline")
    assert result.exit_code == 0
    assert result.stderr.count("Note: 2 x [image] in place of content that is not text") == 1


def test_every_preference_format_can_be_asked_for(tmp_path):
    chats = write_chats(tmp_path / "chats.jsonl")
    for format in preference_format_names():
        target = tmp_path / format / "prefs.jsonl"
        target.parent.mkdir()
        result = collab(
            "export-prefs",
            chats,
            "--model",
            "offline",
            "-o",
            target,
            "--format",
            format,
            "--cache-dir",
            tmp_path / "cache",
        )
        assert result.exit_code == 0, result.stderr
        assert target.exists()
        assert (target.parent / "dataset_info.json").exists() is (format == "llama-factory")


def test_an_export_reads_what_an_export_wrote(tmp_path):
    chats, prefs = write_chats(tmp_path / "chats.jsonl"), tmp_path / "prefs.jsonl"
    options = ("--model", "offline", "--cache-dir", tmp_path / "cache")
    assert collab("export-prefs", chats, *options, "-o", prefs).exit_code == 0
    again = collab("export-prefs", prefs, *options, "-o", tmp_path / "again.jsonl")
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "again.jsonl").read_text()
