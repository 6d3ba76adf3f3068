"""What a preference format cannot hold is told once, at the end of an export."""

import json

from support.cli import collab
from support.training import LOOK_UP, turn

CHAT = {
    "id": "chat",
    "messages": [
        {"role": "user", "content": "what of order 5?"},
        *turn(5),
        {"role": "user", "content": "thanks, and a latte"},
        {"role": "assistant", "content": "Which size?"},
    ],
    "tools": [LOOK_UP],
    "goal": "to know the state of order 5",
    "alternatives": {"0": ["Which order do you mean?"], "1": ["Here you are, all done."]},
}
ANY_MARGIN = ("--min-margin", "0", "--min-z", "0", "--candidates", "2")


def export(folder, format):
    logs = folder / "chats.jsonl"
    logs.write_text(json.dumps(CHAT))
    return collab("export-prefs", logs, "--model", "offline", "-o", folder / "p.jsonl", "--format", format, *ANY_MARGIN)


def test_pairs_with_calls_are_left_out_of_files_for_openai_and_counted(tmp_path):
    result = export(tmp_path, "openai")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert (
        f"1 pair has calls in a response, which openai's rows cannot hold: left out of {tmp_path / 'p.jsonl'}." in lines
    )
    assert any(line.startswith("1 pair from 2 turns of 1 conversation") for line in lines)
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 1


def test_an_export_of_which_nothing_can_be_written_gives_no_result(tmp_path):
    result = export(tmp_path, "axolotl")
    assert result.exit_code == 1
    assert "2 pairs have tools, which axolotl's rows cannot hold" in result.stderr
    assert "no pair was written" in result.stderr


def test_trl_rows_hold_all_of_it(tmp_path):
    result = export(tmp_path, "trl")
    assert result.exit_code == 0
    assert "cannot hold" not in result.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2
