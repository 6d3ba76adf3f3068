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
ANY_MARGIN = ("--min-margin", "0", "--min-confidence", "0", "--candidates", "2")


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
    assert "1 pair has calls in a response, which axolotl's rows cannot hold" in result.stderr
    assert "1 pair has calls in the prompt, which axolotl's rows cannot hold" in result.stderr
    assert "no pair was written" in result.stderr


def test_a_pair_of_texts_goes_to_axolotl_with_a_note_of_the_tools_that_it_does_not_show(tmp_path):
    others = [[{"role": "assistant", "content": text}] for text in ("Which one?", "I do not know, really.")]
    logs = tmp_path / "chats.jsonl"
    logs.write_text(json.dumps({**CHAT, "alternatives": {"0": others}}))
    options = ("--format", "axolotl", "--min-margin", "0", "--min-confidence", "0", "--candidates", "3")
    result = collab("export-prefs", logs, "--model", "offline", "-o", tmp_path / "p.jsonl", *options)
    assert result.exit_code == 0
    written = (tmp_path / "p.jsonl").read_text()
    assert len(written.splitlines()) == 1
    assert "tool" not in written
    note = f"Note: 1 pair in {tmp_path / 'p.jsonl'} had tools, which axolotl's rows do not show the model."
    assert note in result.stderr.splitlines()


def test_trl_rows_hold_all_of_it(tmp_path):
    result = export(tmp_path, "trl")
    assert result.exit_code == 0
    assert "cannot hold" not in result.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2
