import io
import json
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fakes import says

from collab_sdk.errors import NotEnoughSamplesError, OutputError, UnknownNameError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import (
    get_chat_writer,
    get_preference_format,
    in_order_of_calls,
    preference_format_names,
    read_conversations,
)
from collab_sdk.messages import as_messages
from collab_sdk.preferences.files import ExportFiles
from collab_sdk.preferences.report import ScoredConversation, ScoredTurn
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair, Turn

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}}
OTHER_TOOL = {"type": "function", "function": {"name": "order", "parameters": {"properties": {"n": {"minimum": 1}}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}

QUESTION = [{"role": "user", "content": "weather?"}]
TOOL_STEPS = [
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "rain", "tool_call_id": "c1"},
]


LOOKED_UP = [*TOOL_STEPS, {"role": "assistant", "content": "It rains."}]


def score(response: str | list[dict], value: float | None) -> MRScore:
    messages = says(response) if isinstance(response, str) else as_messages(response)
    return MRScore(response=messages, futures=(), value=value, stderr=None)


def pair(
    *, prompt=QUESTION, chosen=0.75, rejected=0.5, tools=(), better="It rains.", worse="No idea."
) -> PreferencePair:
    return PreferencePair(
        conversation_id="chat-1",
        turn=2,
        prompt=as_messages(prompt),
        chosen=score(better, chosen),
        rejected=score(worse, rejected),
        tools=tools,
    )


def row_of(format: str, one: PreferencePair | None = None) -> dict:
    """The only row of a pair."""
    [row] = get_preference_format(format).rows(one or pair())
    return row


def written(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Formats


def test_a_trl_row_holds_prompt_both_replies_and_where_they_come_from():
    assert row_of("trl") == {
        "schema": "collab/preference/v1",
        "prompt": QUESTION,
        "chosen": [{"role": "assistant", "content": "It rains."}],
        "rejected": [{"role": "assistant", "content": "No idea."}],
        "score_chosen": 0.75,
        "score_rejected": 0.5,
        "margin": 0.25,
        "confidence": None,
        "conversation_id": "chat-1",
        "turn": 2,
    }


def with_arguments(call: dict, arguments: object) -> dict:
    return {**call, "function": {**call["function"], "arguments": arguments}}


FOR_TEMPLATES = ["trl", "trl-implicit", "ultrafeedback", "kto", "sft"]


@pytest.mark.parametrize("format", FOR_TEMPLATES)
def test_rows_for_templates_have_tools_as_text_and_the_arguments_of_calls_as_objects(format):
    one = pair(prompt=QUESTION + TOOL_STEPS, tools=(TOOL,), better=LOOKED_UP[:1])
    assert get_preference_format(format).cannot_hold(one) is None
    row = get_preference_format(format).rows(one)[0]
    assert json.loads(row["tools"]) == [TOOL]
    called = {**TOOL_STEPS[0], "tool_calls": [with_arguments(CALL, {"city": "Rome"})]}
    messages = [*row.get("messages", ()), *row.get("chosen", ()), *row.get("completion", ())]
    prompt = row["prompt"] if format in ("trl", "kto") else messages
    assert prompt[1:3] == [called, TOOL_STEPS[1]]
    assert messages[-1] == called


NO_OBJECTS = ["[1]", '{"n": NaN}', '{"n": 1e999}', "[" * 100_000, '"five"', "five", '{"city": "Ro']


@pytest.mark.parametrize("format", [*FOR_TEMPLATES, "llama-factory"])
@pytest.mark.parametrize("arguments", NO_OBJECTS)
def test_a_pair_with_arguments_that_are_no_json_object_is_left_out_of_rows_that_have_objects(arguments, format):
    called = [{"role": "assistant", "content": "", "tool_calls": [with_arguments(CALL, arguments)]}]
    problem = "calls whose arguments are no JSON object"
    assert get_preference_format(format).cannot_hold(pair(worse=called)) == problem
    before = [*QUESTION, *called, TOOL_STEPS[1], *LOOKED_UP[2:], *QUESTION]
    assert get_preference_format(format).cannot_hold(pair(prompt=before)) == problem


@pytest.mark.parametrize("arguments", ['{"n": 18446744073709551616}', '{"n": [-9223372036854775809]}', '{"":' * 500])
def test_arguments_at_which_datasets_gives_up_a_whole_file_are_left_out(arguments):
    arguments += "1" * arguments.count('{"":') + "}" * arguments.count('{"":')
    called = [{"role": "assistant", "content": "", "tool_calls": [with_arguments(CALL, arguments)]}]
    for format in FOR_TEMPLATES:
        assert get_preference_format(format).cannot_hold(pair(worse=called)) is not None


@pytest.mark.parametrize("format", ["openai", "together"])
def test_rows_for_servers_have_the_arguments_of_calls_as_text(format):
    logged = {**TOOL_STEPS[0], "tool_calls": [with_arguments(CALL, {"city": "Rome"})]}
    row = row_of(format, pair(prompt=[*QUESTION, logged, TOOL_STEPS[1]]))
    assert row["input"]["messages"][1] == {**logged, "tool_calls": [with_arguments(CALL, '{"city":"Rome"}')]}


def test_what_the_assistant_did_is_in_a_row_with_the_results_that_it_got():
    row = row_of("trl", pair(better=LOOKED_UP))
    assert [message["role"] for message in row["chosen"]] == ["assistant", "tool", "assistant"]
    assert row["chosen"][1:] == LOOKED_UP[1:]


NO_RESULT = "calls without a name or without a result"
SYSTEM = {"role": "system", "content": "Be brief."}
PREAMBLE = [{**TOOL_STEPS[0], "content": "One moment."}, TOOL_STEPS[1], {"role": "assistant", "content": "Rain."}]
CANNOT_HOLD = [
    ("openai", {"better": LOOKED_UP}, "calls in a response"),
    ("openai", {"worse": [TOOL_STEPS[0]]}, "calls in a response"),
    ("openai", {"better": [LOOKED_UP[2], LOOKED_UP[2]]}, "several messages in a response"),
    ("openai", {"prompt": [*QUESTION, TOOL_STEPS[0], *QUESTION]}, NO_RESULT),
    ("openai", {"prompt": QUESTION + TOOL_STEPS, "tools": (TOOL,)}, None),
    ("openai", {"prompt": [*QUESTION, TOOL_STEPS[0], *QUESTION, TOOL_STEPS[1]]}, NO_RESULT),
    ("openai", {"prompt": [*QUESTION, TOOL_STEPS[1], *QUESTION]}, NO_RESULT),
    ("openai", {"prompt": QUESTION + QUESTION}, None),
    ("together", {"prompt": QUESTION + QUESTION}, "several messages in a row by one side"),
    ("together", {"prompt": [*QUESTION, TOOL_STEPS[0], *QUESTION]}, NO_RESULT),
    ("together", {"better": LOOKED_UP}, "calls in a response"),
    ("together", {"prompt": [LOOKED_UP[2], *QUESTION, *LOOKED_UP, *QUESTION], "tools": (TOOL,)}, None),
    ("fireworks", {"prompt": QUESTION + TOOL_STEPS}, "calls in the prompt"),
    ("fireworks", {"prompt": [*QUESTION, SYSTEM]}, "a system message that is not the first"),
    ("fireworks", {"prompt": [SYSTEM, *QUESTION]}, None),
    ("fireworks", {"tools": (TOOL,)}, None),
    ("axolotl", {"prompt": QUESTION + TOOL_STEPS}, "calls in the prompt"),
    ("axolotl", {"tools": (TOOL,)}, None),
    ("axolotl", {"better": LOOKED_UP}, "calls in a response"),
    ("axolotl", {"worse": " It rains."}, "white space around a response"),
    ("axolotl", {"better": "It rains.\n"}, "white space around a response"),
    ("axolotl", {"worse": "No"}, "a response of one word"),
    ("axolotl", {"worse": "[[dummy_message]]"}, "a response of one word"),
    ("axolotl", {"worse": "No."}, None),
    ("llama-factory", {"better": LOOKED_UP}, "several messages in a response"),
    ("llama-factory", {"worse": [TOOL_STEPS[0]], "prompt": QUESTION + LOOKED_UP + QUESTION}, None),
    ("llama-factory", {"worse": [PREAMBLE[0]]}, "text beside calls"),
    ("llama-factory", {"prompt": [*QUESTION, *PREAMBLE, *QUESTION]}, "text beside calls"),
    ("llama-factory", {"prompt": [*QUESTION, *TOOL_STEPS, *QUESTION]}, "results that the assistant did not answer"),
    *((format, {"better": PREAMBLE, "tools": (TOOL,)}, None) for format in ("trl", "trl-implicit", "kto", "sft")),
]


@pytest.mark.parametrize(("format", "parts", "problem"), CANNOT_HOLD)
def test_a_format_says_what_it_cannot_hold(format, parts, problem):
    assert get_preference_format(format).cannot_hold(pair(**parts)) == problem


def test_a_pair_that_a_format_cannot_hold_is_left_out_counted_and_a_refused_turn(tmp_path):
    with ExportFiles(tmp_path / "p.jsonl", format="openai", eval_fraction=0.0) as files:
        for one in (pair(), pair(better=LOOKED_UP), pair(worse=[TOOL_STEPS[0]]), pair(worse="Perhaps.")):
            turn = Turn(index=one.turn, history=one.prompt, response=one.chosen.response)
            scored = ScoredConversation(goal=Goal(text="g"), turns=(ScoredTurn(turn=turn, pair=one),))
            files.write(Conversation(id=one.conversation_id, messages=one.prompt), scored)
    assert files.left_out == {"calls in a response": 2}
    assert len(written(tmp_path / "p.jsonl")) == 2
    refused = "openai's rows cannot hold calls in a response"
    turns = [(row["refused"], row["written_to"]) for row in written(tmp_path / "p.turns.jsonl")]
    places = [{"file": "p.jsonl", "line": 1}, {"file": "p.jsonl", "line": 2}]
    assert turns == [(None, places[0]), (refused, None), (refused, None), (None, places[1])]


@pytest.mark.parametrize("format", preference_format_names())
def test_tools_that_are_no_functions_are_in_no_row_and_told(format):
    writer = get_preference_format(format)
    searching = pair(tools=({"type": "web_search"}, TOOL, {"type": "function", "function": {"name": ""}}))
    shown = "tools" if format == "axolotl" else "tools that are not functions"
    assert (writer.cannot_hold(searching), writer.does_without(searching)) == (None, shown)
    assert writer.does_without(pair()) is None
    if format not in ("axolotl", "llama-factory"):
        assert writer.does_without(pair(tools=(TOOL,))) is None
        assert writer.rows(searching) == writer.rows(pair(tools=(TOOL,)))
    assert "tools" not in row_of("sft", pair(tools=({"type": "web_search"},)))


def test_a_pair_of_which_a_format_does_not_show_the_tools_is_counted(tmp_path):
    with ExportFiles(tmp_path / "p.jsonl", format="axolotl", eval_fraction=0.0) as files:
        for one in (pair(), pair(tools=(TOOL,)), pair(tools=(TOOL,), better=LOOKED_UP)):
            turn = Turn(index=one.turn, history=one.prompt, response=one.chosen.response)
            scored = ScoredConversation(goal=Goal(text="g"), turns=(ScoredTurn(turn=turn, pair=one),))
            files.write(Conversation(id=one.conversation_id, messages=one.prompt), scored)
    assert (files.incomplete, files.left_out) == ({"tools": 1}, {"calls in a response": 1})
    assert len(written(tmp_path / "p.jsonl")) == 2


def test_a_trl_implicit_row_has_the_prompt_in_both_sides_and_no_margin_for_the_loss():
    row = row_of("trl-implicit")
    assert row["chosen"] == [*QUESTION, {"role": "assistant", "content": "It rains."}]
    assert row["rejected"] == [*QUESTION, {"role": "assistant", "content": "No idea."}]
    assert not {"prompt", "margin"} & row.keys()


def test_kto_rows_label_each_response():
    better, worse = get_preference_format("kto").rows(pair())
    assert better == {
        "prompt": QUESTION,
        "completion": [{"role": "assistant", "content": "It rains."}],
        "label": True,
        "score": 0.75,
        "conversation_id": "chat-1",
        "turn": 2,
    }
    assert (worse["completion"][0]["content"], worse["label"], worse["score"]) == ("No idea.", False, 0.5)


def test_an_axolotl_row_has_single_messages_as_its_sides():
    assert row_of("axolotl") == {
        "messages": QUESTION,
        "chosen": {"role": "assistant", "content": "It rains."},
        "rejected": {"role": "assistant", "content": "No idea."},
    }


def test_an_ultrafeedback_row_has_the_first_request_and_whole_conversations():
    system = {"role": "system", "content": "Be brief."}
    row = row_of("ultrafeedback", pair(prompt=[system, *QUESTION]))
    assert row["prompt"] == "weather?"
    assert row["messages"] == row["chosen"] == [system, *QUESTION, {"role": "assistant", "content": "It rains."}]
    assert row["rejected"][-1]["content"] == "No idea."
    assert (row["score_chosen"], row["score_rejected"]) == (0.75, 0.5)
    assert row["prompt_id"] == row_of("ultrafeedback", pair(prompt=[system, *QUESTION], chosen=1.0))["prompt_id"]
    assert row["prompt_id"] != row_of("ultrafeedback")["prompt_id"]


@pytest.mark.parametrize("format", ["openai", "together", "fireworks"])
def test_an_openai_row_is_strict_and_has_nothing_else(format):
    parallel = {"parallel_tool_calls": True} if format == "openai" else {}
    assert row_of(format, pair(tools=(TOOL,))) == {
        "input": {"messages": QUESTION, "tools": [TOOL], **parallel},
        "preferred_output": [{"role": "assistant", "content": "It rains."}],
        "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
    }


def test_an_sft_row_is_the_prompt_with_the_better_reply_and_reads_back_as_a_chat(tmp_path):
    row = row_of("sft")
    assert row == {"messages": [*QUESTION, {"role": "assistant", "content": "It rains."}]}
    with JsonlWriter(tmp_path / "sft.jsonl") as out:
        out.write(row)
    [conversation] = read_conversations([tmp_path / "sft.jsonl"])
    assert conversation.messages[-1].content == "It rains."


def test_only_rows_for_trl_say_where_they_come_from():
    saying = {
        name
        for name in preference_format_names()
        for row in get_preference_format(name).rows(pair())
        if "conversation_id" in row
    }
    assert saying == {"trl", "trl-implicit", "kto"}


def test_the_tools_of_a_chat_go_with_its_rows():
    assert json.loads(row_of("sft", pair(tools=(TOOL,)))["tools"]) == [TOOL]


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'trl'\? Known: axolotl, fireworks, kto"):
        get_preference_format("trll")


def test_a_pair_without_a_score_becomes_no_row():
    with pytest.raises(NotEnoughSamplesError):
        get_preference_format("trl").rows(pair(rejected=None))


def test_datasets_loads_trl_rows_with_and_without_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    pairs = [
        pair(),
        pair(prompt=QUESTION + TOOL_STEPS, tools=(TOOL,)),
        pair(tools=(OTHER_TOOL, TOOL), chosen=1.0, rejected=0.0),
    ]
    path = tmp_path / "prefs.jsonl"
    with JsonlWriter(path) as out:
        for one in pairs:
            out.write(row_of("trl", one))

    table = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))

    assert table["chosen"][0] == [{"role": "assistant", "content": "It rains."}]
    assert table["score_chosen"][:] == [0.75, 0.75, 1.0]
    assert [tools and json.loads(tools) for tools in table["tools"]] == [None, [TOOL], [OTHER_TOOL, TOOL]]
    assert table["prompt"][1][1]["tool_calls"] == [with_arguments(CALL, {"city": "Rome"})]


# Files


def test_a_file_appears_under_its_name_only_when_it_is_complete(tmp_path):
    path = tmp_path / "out.jsonl"
    with JsonlWriter(path) as out:
        out.write({"n": 1})
        assert not path.exists()
        assert written(tmp_path / "out.jsonl.partial") == [{"n": 1}]
    assert written(path) == [{"n": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_after_an_exception_before_anything_was_written_nothing_is_left(tmp_path):
    with pytest.raises(KeyboardInterrupt), JsonlWriter(tmp_path / "out.jsonl"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_after_an_exception_the_old_file_stands_and_the_rows_so_far_are_kept_beside_it(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), JsonlWriter(path) as out:
        out.write({"n": 1})
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert written(tmp_path / "out.jsonl.partial") == [{"n": 1}]


def test_a_complete_file_replaces_the_old_one_also_behind_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "out.jsonl"
    target.write_text("old")
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    with JsonlWriter(link) as out:
        out.write({"n": 1})
    assert link.is_symlink()
    assert written(target) == [{"n": 1}]


def test_the_same_rows_give_the_same_compact_utf_8_bytes(tmp_path):
    for name in ("a", "b"):
        with JsonlWriter(tmp_path / name) as out:
            out.write({"text": "Köln 😀\u2028\n", "n": [1, 2.0]})
    content = (tmp_path / "a").read_bytes()
    assert content == '{"text":"Köln 😀\u2028\\n","n":[1,2.0]}\n'.encode()
    assert content == (tmp_path / "b").read_bytes()


def test_a_lone_surrogate_in_a_reply_does_not_stop_the_file(tmp_path):
    with JsonlWriter(tmp_path / "out") as out:
        out.write({"text": "a\ud800b"})
    assert written(tmp_path / "out") == [{"text": "a\ufffdb"}]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("missing/out.jsonl", "missing does not exist"),
        ("folder", "it is a folder"),
        ("", "it is a folder"),
        ("file/out.jsonl", "does not exist"),
        ("pipe", "it is not a regular file"),
        ("loop", "[Ll]oop|symbolic links"),
        ("null\0byte", "null byte"),
        ("x" * 300, "File name too long"),
        ("blocked", "Is a directory"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_before_the_first_row(tmp_path, path, problem):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "blocked.partial").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=problem) as caught:
        JsonlWriter(tmp_path / path)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_or_file_is_refused_before_the_first_row(tmp_path):
    protected = tmp_path / "protected.jsonl"
    protected.touch(0o444)
    with pytest.raises(OutputError, match="permission denied"):
        JsonlWriter(protected)
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="permission denied"):
        JsonlWriter(tmp_path / "new.jsonl")
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("row", [{"x": float("nan")}, {"x": {1, 2}}])
def test_a_row_that_is_no_json_is_an_output_error_and_the_others_are_kept(tmp_path, row):
    with pytest.raises(OutputError, match="a row is no JSON"), JsonlWriter(tmp_path / "out") as out:
        out.write({"n": 1})
        out.write(row)
    assert written(tmp_path / "out.partial") == [{"n": 1}]


def test_a_full_disk_is_an_output_error_and_leaves_the_target_alone(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputError, match="Cannot write"), JsonlWriter(tmp_path / "out") as out:
            out.write({"text": "x" * 200})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()


def test_a_dash_writes_to_stdout_after_what_was_printed_and_leaves_it_open(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    print("before")
    with JsonlWriter("-") as out:
        out.write({"city": "Köln"})
    print("after")
    stdout.flush()
    assert stdout.buffer.getvalue() == 'before\n{"city":"Köln"}\nafter\n'.encode()


def test_a_reader_of_stdout_that_leaves_is_no_output_error(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe, flush=pipe.flush))
        with pytest.raises(BrokenPipeError), JsonlWriter("-") as out:
            out.write({"n": 1})


def test_a_file_that_is_being_written_is_refused_to_a_second_writer_until_the_first_is_done(tmp_path):
    path = tmp_path / "out.jsonl"
    with JsonlWriter(path) as first:
        first.write({"n": 1})
        with pytest.raises(OutputError, match="another run is writing this file"):
            JsonlWriter(path)
        first.write({"n": 2})
    assert written(path) == [{"n": 1}, {"n": 2}]
    with JsonlWriter(path) as second:
        second.write({"n": 3})
    assert written(path) == [{"n": 3}]


def test_what_a_failed_writer_left_is_replaced_whole(tmp_path):
    with pytest.raises(KeyboardInterrupt), JsonlWriter(tmp_path / "out") as out:
        out.write({"text": "long " * 100})
        raise KeyboardInterrupt
    with JsonlWriter(tmp_path / "out") as out:
        out.write({"n": 1})
    assert written(tmp_path / "out") == [{"n": 1}]


def test_a_writer_that_comes_while_another_finishes_leaves_its_file_alone(tmp_path, monkeypatch):
    """It has opened the partial file of the first, which is renamed before it can be locked."""
    from collab_sdk.files import writing

    flock = writing.fcntl.flock
    path = tmp_path / "out"
    first = JsonlWriter(path)
    first.write({"n": 1})

    def finish_first(file, how):
        monkeypatch.setattr(writing.fcntl, "flock", flock)
        first.__exit__(None, None, None)
        flock(file, how)

    monkeypatch.setattr(writing.fcntl, "flock", finish_first)
    with JsonlWriter(path) as second:
        assert written(path) == [{"n": 1}]
        second.write({"n": 2})
    assert written(path) == [{"n": 2}]


def test_held_out_chats_of_an_earlier_run_are_never_left_beside_pairs_made_of_them(tmp_path):
    (tmp_path / "p.eval.jsonl").write_text("old")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"p\.eval\.jsonl holds out chats .* delete it, or give .*--eval-fraction"):
        ExportFiles(tmp_path / "p.jsonl", format="trl", eval_fraction=0.0)
    assert sorted(tmp_path.iterdir()) == before
    with ExportFiles(tmp_path / "p.jsonl", format="trl", eval_fraction=0.1):
        pass
    assert (tmp_path / "p.eval.jsonl").read_text() == "old"  # nothing was scored


def calls_of(*cities: str) -> dict:
    """A message that asks for the weather in several cities at once; the ids of the calls are the cities."""
    function = {"name": "weather", "arguments": "{}"}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{**CALL, "id": city, "function": function} for city in cities],
    }


def result_of(city: str) -> dict:
    return {"role": "tool", "content": f"rain in {city}", "tool_call_id": city}


OUT_OF_ORDER = [
    calls_of("Rome", "Oslo"),
    result_of("Oslo"),
    result_of("Rome"),
    {"role": "assistant", "content": "Rain."},
]
IN_ORDER = ["rain in Rome", "rain in Oslo"]


@pytest.mark.parametrize("format", ["kto", "sft", "trl", "trl-implicit", "ultrafeedback", "llama-factory"])
def test_results_stand_in_the_order_of_their_calls(format):
    prompt = [*QUESTION, *OUT_OF_ORDER, {"role": "user", "content": "sure?"}]
    text = str(get_preference_format(format).rows(pair(prompt=prompt, tools=(TOOL,))))
    assert text.index(IN_ORDER[0]) < text.index(IN_ORDER[1])


@pytest.mark.parametrize("format", ["kto", "sft", "trl", "trl-implicit", "ultrafeedback"])
def test_results_within_a_side_stand_in_the_order_of_their_calls(format):
    text = str(get_preference_format(format).rows(pair(better=OUT_OF_ORDER, tools=(TOOL,))))
    assert text.index(IN_ORDER[0]) < text.index(IN_ORDER[1])


def test_results_in_sharegpt_stand_in_the_order_of_their_calls():
    chat = Conversation(id="c", messages=as_messages([*QUESTION, *OUT_OF_ORDER]))
    turns = get_chat_writer("sharegpt")(chat)["conversations"]
    assert [turn["value"] for turn in turns if turn["from"] == "observation"] == IN_ORDER


def test_only_results_in_a_row_that_answer_known_calls_change_places():
    late = [calls_of("Rome", "Oslo"), result_of("Oslo"), {"role": "assistant", "content": "Wait."}, result_of("Rome")]
    assert in_order_of_calls(late) == late, "nobody had the second result when it was said"
    stray = [calls_of("Rome", "Oslo"), result_of("Oslo"), result_of("Bern"), result_of("Rome")]
    assert in_order_of_calls(stray) == [stray[0], stray[3], stray[2], stray[1]]
    again = [calls_of("Rome", "Oslo"), calls_of("Oslo", "Rome"), result_of("Oslo"), result_of("Rome")]
    assert in_order_of_calls(again) == again, "ids may be used again, in rows that others wrote"


def test_llama_factory_gets_no_call_without_a_result():
    prompt = [*QUESTION, calls_of("Rome"), {"role": "user", "content": "hello?"}]
    assert get_preference_format("llama-factory").cannot_hold(pair(prompt=prompt)) == "calls without a result"
    answered = [*QUESTION, calls_of("Rome"), result_of("Rome"), {"role": "assistant", "content": "Rain."}, *QUESTION]
    assert get_preference_format("llama-factory").cannot_hold(pair(prompt=answered)) is None
