"""`collab evaluate`: tables, files, resuming, budgets, and one clear line for bad input."""

import json
import re
import sys

import pytest
from support.cli import bot_calls, chat_row, collab, write_bot, write_chats
from support.server import LoopbackServer

ROWS = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(1, 7)]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "maths.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def bot(tmp_path, monkeypatch):
    """Makes a `py:` bot of a function body; its module is forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda body: write_bot(tmp_path, body)
    sys.modules.pop("bots", None)


def maths(data, *arguments, model="offline"):
    return collab("evaluate", "-t", "math-chat", "--data", data, "--model", model, *arguments)


def test_two_bots_are_compared_figure_by_figure(data, tmp_path):
    target = tmp_path / "result.json"
    result = maths(data, "-a", "offline", "-a", "proactive:offline", "-o", target)
    assert result.exit_code == 0, result.output
    for part in (
        "math-chat",
        "accuracy",
        "interactivity",
        "Δ vs offline",
        "6 of 6",
        "k tokens read",
        "exchanges",
        "ends",
    ):
        assert part in result.stdout
    assert "[" not in result.stdout, "six conversations are too few for an interval; their counts stand there"
    [row] = [json.loads(line) for line in target.read_text().splitlines()]
    assert row["schema"] == "collab/evaluation/v1"
    assert row["bots"] == ["offline", "proactive:offline"]
    assert [len(bot["conversations"]) for bot in row["results"]] == [6, 6]
    accuracy = next(figure for figure in row["figures"] if figure["name"] == "accuracy")
    by_hand = [sum(chat["metrics"]["accuracy"] for chat in bot["conversations"]) / 6 for bot in row["results"]]
    assert [mean["mean"] for mean in accuracy["means"]] == pytest.approx(by_hand)
    assert accuracy["differences"][0]["mean"] == pytest.approx(by_hand[1] - by_hand[0])


def test_figures_fit_80_columns_with_the_differences_below_where_they_do_not_fit_beside(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    desk = ("evaluate", "-t", "order-desk", "--simulator", "order-desk", "--judge", "order-desk", "--limit", 20)
    result = collab(*desk, "-a", "offline", "-a", "proactive:offline")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    below = lines[lines.index("") + 1 :]
    assert [line.split() for line in below[:2]] == [["proactive:offline"], ["order-desk", "Δ", "vs", "offline"]]
    for figures in (lines[: lines.index("")], below):
        [exchanges] = [line for line in figures if line.startswith("exchanges")]
        assert re.fullmatch(r"exchanges( +[+-]?[\d.]+ \[[+-]?[\d.]+, [+-]?[\d.]+\])+", exchanges)
    monkeypatch.setenv("COLUMNS", "120")
    assert "" not in collab(*desk, "-a", "offline", "-a", "proactive:offline").stdout.splitlines()


def test_a_bot_that_is_right_scores_one(data, tmp_path, bot):
    target = tmp_path / "result.json"
    solver = bot("import re\nn = re.findall('[0-9]+', messages[0]['content']) or [0]\nreturn f'It is {2 * int(n[0])}.'")
    maths(data, "-a", solver, "-o", target)
    figures = {figure["name"]: figure["means"][0] for figure in json.loads(target.read_text())["figures"]}
    assert figures["accuracy"]["mean"] == 1


def test_a_second_run_makes_no_call_and_says_the_same(data, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    one = maths(data, "-a", "offline", "-o", first)
    two = maths(data, "-a", "offline", "-o", second)
    assert one.stdout == two.stdout
    before, after = (json.loads(path.read_text()) for path in (first, second))
    assert before["figures"] == after["figures"]
    assert after["results"][0]["usage"]["calls"] == 0


def test_a_budget_stops_the_run_and_the_same_command_goes_on(data):
    stopped = maths(data, "-a", "offline", "--max-calls", 20)
    assert stopped.exit_code == 4
    assert stopped.stdout == ""
    assert "run the same command again" in stopped.stderr
    assert maths(data, "-a", "offline").stdout == maths(data, "-a", "offline").stdout


def test_a_dry_run_makes_no_call_and_its_estimate_is_an_upper_one(data, tmp_path, bot):
    name = bot("return 'No idea.'")
    dry = maths(data, "-a", name, "--dry-run")
    assert dry.exit_code == 0
    assert bot_calls(tmp_path) == 0
    estimated = int(next(line for line in dry.stdout.splitlines() if line.startswith("assistant")).split()[1])
    maths(data, "-a", name)
    assert 0 < bot_calls(tmp_path) <= estimated == 6 * 8


def test_conversations_that_a_bot_cannot_stand_are_missing_and_exit_with_3(data, bot):
    result = maths(data, "-a", bot("if '3' in str(messages): raise RuntimeError('out of order')\nreturn 'It is 4.'"))
    assert result.exit_code == 3
    assert "5 of 6" in result.stdout
    assert "failed 1" in result.stdout
    assert "1 missing of py:bots:bot: py:bots:bot raised RuntimeError: out of order" in result.stderr
    assert "If every missing conversation had the lowest, or the highest, value seen, py:bots" in result.stderr
    assert "py:bots:bot would have: accuracy +" in result.stderr


def test_a_bot_that_never_answers_ends_the_run_with_one_line(data, bot):
    result = maths(data, "-a", bot("raise RuntimeError('out of order')"))
    assert result.exit_code == 1
    assert "has never answered; the run stops" in result.stderr
    assert result.stdout == ""


def test_a_row_without_reference_is_named_and_the_others_are_played(data):
    data.write_text(data.read_text() + json.dumps({"question": "Unanswerable?"}) + "\n")
    result = maths(data, "-a", "offline", "--exchanges", 2)
    assert result.exit_code == 3
    assert f"Failed: {data}:7: no 'answer' or 'solution' in it" in result.stderr
    assert "6 of 6" in result.stdout


def test_the_goals_of_logged_chats_are_a_task(tmp_path):
    logs = tmp_path / "chats.jsonl"
    logs.write_text("".join(json.dumps(chat_row(number)) + "\n" for number in range(3)))
    result = collab("evaluate", "-t", "logs", "--data", logs, "-a", "offline", "--model", "offline", "--samples", 2)
    assert result.exit_code == 0, result.output
    assert "goal" in result.stdout
    assert "6 of 6" in result.stdout


def test_a_document_is_asked_for_by_its_summary(tmp_path):
    articles = tmp_path / "articles.jsonl"
    articles.write_text(json.dumps({"title": "Dawn", "text": "I want a poem about dawn. It must be short."}) + "\n")
    target = tmp_path / "result.json"
    result = collab(
        *("evaluate", "-t", "medium-docedit", "--data", articles, "-a", "offline", "--model", "offline", "-o", target)
    )
    assert result.exit_code == 0, result.output
    figures = [figure["name"] for figure in json.loads(target.read_text())["figures"]]
    assert figures[:2] == ["bleu", "interactivity"]


def test_bots_over_http_are_evaluated_like_any_other(data):
    with LoopbackServer() as server:
        result = maths(data, "--api-base", server.api_base, "--limit", 2, model="hosted_vllm/tiny")
        assert result.exit_code == 0, result.output
        assert server.count > 6
    assert "2 of 2" in result.stdout


def test_the_figures_can_be_had_as_a_picture(data, tmp_path):
    picture = tmp_path / "figures.png"
    result = maths(data, "-a", "offline", "--plot", picture)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


BAD = {
    "unknown task": (["-t", "maths"], 1, "Known: abg-coqa, bigcodebench-chat"),
    "unknown bot": (["-t", "logs", "-a", "py:no_such_module:bot"], 1, "cannot be imported"),
    "no user": (["-t", "logs", "-a", "offline"], 1, "--simulator"),
    "no model": (["-t", "logs"], 1, "--model offline"),
    "twice": (["-t", "logs", "-a", "offline", "-a", "offline", "--model", "offline"], 1, "given twice"),
    "no task": (["-a", "offline"], 2, "--task"),
    "no such file": (["-t", "math-chat", "--data", "nowhere.jsonl", "--model", "offline"], 1, "nowhere.jsonl"),
    "no file at all": (["-t", "abg-coqa", "--model", "offline"], 1, "--data FILE"),
    "one file, two tasks": (["-t", "logs", "-t", "math-chat", "--data", "x", "--model", "offline"], 1, "One --data"),
    "no prompt": (["-t", "logs", "-a", "prompt:no.txt@offline", "--model", "offline"], 1, "no.txt"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
    arguments, code, said = BAD[name]
    if name == "unknown task":
        arguments = [*arguments, "--model", "offline"]
    if name == "unknown bot":
        arguments = [*arguments, "--model", "offline"]
    result = collab("evaluate", *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_file_without_one_usable_row_is_an_error_before_any_call(tmp_path):
    empty = tmp_path / "rows.jsonl"
    empty.write_text('{"nothing": "here"}\n')
    result = maths(empty)
    assert result.exit_code == 1
    assert "no row of it can be used for the task math-chat" in result.stderr


def test_an_output_that_cannot_be_written_is_found_before_any_call(data, tmp_path, bot):
    result = maths(data, "-a", bot("return 'x'"), "-o", tmp_path / "no" / "result.json")
    assert result.exit_code == 1
    assert "does not exist" in result.stderr
    assert bot_calls(tmp_path) == 0


def test_code_is_not_run_where_there_is_no_sandbox(tmp_path, monkeypatch):
    from collab_sdk.sandbox import find_isolation

    row = {"task_id": "T/0", "prompt": "def f():\n    '''One.'''\n", "entry_point": "f", "test": "def check(f): pass"}
    rows = tmp_path / "code.jsonl"
    rows.write_text(json.dumps(row) + "\n")
    command = ("evaluate", "-t", "bigcodebench-chat", "--data", rows, "--model", "offline")
    monkeypatch.setenv("PATH", "")
    find_isolation.cache_clear()
    try:
        result = collab(*command)
        assert result.exit_code == 1
        assert "install bubblewrap" in result.stderr
        unsafe = collab(*command, "--unsafe-exec")
        assert unsafe.exit_code == 0, unsafe.output
        assert "unprotected" in unsafe.stderr
    finally:
        find_isolation.cache_clear()


def by_persona(tmp_path, *arguments):
    logs = write_chats(tmp_path / "chats.jsonl", 12)
    evaluated = ("evaluate", "-t", "logs", "--data", logs, "-a", "offline", "--model", "offline", "--by-persona")
    return collab(*evaluated, "--persona", "impatient", "--persona", "terse", *arguments)


def test_a_row_for_each_persona_stands_beside_the_main_table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    target = tmp_path / "result.json"
    result = by_persona(tmp_path, "-o", target, "--plot", tmp_path / "plot.png", "--samples", 2)
    assert result.exit_code == 0, result.output
    main, rows = result.stdout.split("\n\n")
    _, table = main.split("8 exchanges at most\n")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "24 of 24" in table
    assert "impatient" not in table
    for part in ("Δ vs none", "  none", "  impatient", "  terse", "user gave up", "24 of 24"):
        assert part in rows
    [row] = [json.loads(line) for line in target.read_text().splitlines()]
    [found] = row["by_persona"]
    assert (found["bot"], found["personas"]) == ("offline", ["none", "impatient", "terse"])
    assert found["conversations"] == [24] * 3
    assert len(row["results"][0]["conversations"]) == 72
    left = next(figure for figure in found["figures"] if figure["name"] == "user gave up")
    chats = row["results"][0]["conversations"]
    for place, name in enumerate(found["personas"]):
        ends = [chat["end"] == "user gave up" for chat in chats if chat["persona"] == name]
        assert left["means"][place]["mean"] == pytest.approx(sum(ends) / 24)
    assert left["means"][1]["mean"] > left["means"][0]["mean"]
    [figure] = [figure for figure in row["figures"] if figure["name"] == "exchanges"]
    assert figure["means"][0]["n"] == 24
    assert row["made_with"]["evaluation"]["by_persona"] is True
    assert [each["name"] for each in row["made_with"]["personas"]] == ["impatient", "terse"]
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    page = collab("report", target, "-o", tmp_path / "report.html")
    assert page.exit_code == 0, page.output
    assert "By persona: offline" in (tmp_path / "report.html").read_text()


def test_a_dry_run_by_persona_is_an_upper_estimate(tmp_path):
    dry = by_persona(tmp_path, "--dry-run")
    assert dry.exit_code == 0
    estimated = {line.split()[0]: int(line.split()[1]) for line in dry.stdout.splitlines()[1:]}
    by_persona(tmp_path, "-o", tmp_path / "result.json")
    [row] = [json.loads(line) for line in (tmp_path / "result.json").read_text().splitlines()]
    usage = row["results"][0]["usage_by_role"]
    assert usage["simulator"]["calls"]
    for role, used in usage.items():
        assert used["calls"] + used["cache_hits"] <= estimated[role]


def test_by_persona_without_personas_is_refused(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    evaluated = ("evaluate", "-t", "logs", "--data", logs, "--model", "offline", "--by-persona")
    for arguments in ((), ("--persona", "none")):
        result = collab(*evaluated, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "name some, with --persona" in result.stderr
