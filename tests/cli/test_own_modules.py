"""`py:MODULE:NAME` for metrics and tasks: what needs no package to be used on the command line."""

import json
import sys

import pytest
from support.cli import collab, write_chats

from collab_sdk.errors import UsageError
from collab_sdk.tasks import get_task, load_task

METRICS = """
from dataclasses import dataclass


def short(messages):
    return 1.0 / len(messages)


def at_most(messages, limit):
    return float(len(messages) <= limit)


@dataclass(frozen=True)
class Words:
    limit: int = 10
    name: str = "words"

    def value(self, evidence):
        return float(sum(len(message.content.split()) for message in evidence.messages) <= self.limit)


a_number = 3
"""
TASKS = """
from collab_sdk import Conversation, Goal
from collab_sdk.tasks import Task


def read(row):
    return Conversation(id=row["id"], messages=(), goal=Goal(text=row["wants"]))


def made():
    yield {"id": "one", "wants": "drink: a mocha"}
    yield {"id": "two", "wants": "drink: a latte"}


TASK = Task(name="my-desk", metric="goal", read=read, made=made, exchanges=2)
NO_TASK = {"name": "my-desk"}
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "my_metrics.py").write_text(METRICS)
    (tmp_path / "my_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_metrics", "my_tasks"):
        sys.modules.pop(name, None)


def scored(folder, *metrics):
    arguments = [part for metric in metrics for part in ("--metric", metric)]
    result = collab("score", write_chats(folder / "chats.jsonl", 1), "--model", "offline", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_function_of_ones_own_is_a_metric(modules):
    for row in scored(modules, "py:my_metrics:short=1"):
        assert set(row["metrics"]) == {"short"}
        assert row["mr"] == pytest.approx(row["metrics"]["short"])
        assert 0 < row["mr"] < 1


def test_a_function_takes_its_further_parameters_as_options(modules):
    assert {row["mr"] for row in scored(modules, "py:my_metrics:at_most=2,limit=99")} == {2.0}
    assert {row["mr"] for row in scored(modules, "py:my_metrics:at_most=2,limit=1")} == {0.0}


def test_a_class_of_ones_own_is_a_metric_with_its_options(modules):
    assert {row["mr"] for row in scored(modules, "py:my_metrics:Words=1,limit=9999")} == {1.0}
    [made_with, *_] = [row["made_with"] for row in scored(modules, "py:my_metrics:Words=1,limit=1", "goal")]
    assert "9999" not in json.dumps(made_with["metrics"])
    assert made_with["metrics"]["words"]["limit"] == 1


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ("py:my_metrics:Words=1,limits=3", "no option 'limits': it has limit"),
        ("py:my_metrics:Words=1,limit=many", "limit"),
        ("py:my_metrics:a_number=1", "int is not a metric"),
        ("py:my_metrics:longer=1", "'py:my_metrics:longer' cannot be imported"),
        ("py:my_metrics=1", "must read py:MODULE:NAME"),
    ],
)
def test_a_metric_that_is_none_is_one_line(modules, metric, problem):
    result = collab("score", write_chats(modules / "chats.jsonl", 1), "--model", "offline", "--metric", metric)
    assert result.exit_code == 1, result.output
    assert problem in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_task_of_ones_own_is_evaluated_by_its_name(modules):
    assert get_task("py:my_tasks:TASK").name == "my-desk"
    output = modules / "result.json"
    result = collab("evaluate", "-t", "py:my_tasks:TASK", "-a", "offline", "--model", "offline", "-o", output)
    assert result.exit_code == 0, result.output
    assert "2 of 2" in result.stdout
    row = json.loads(output.read_text())
    assert row["task"] == "my-desk"
    assert row["made_with"]["evaluation"]["tasks"] == ["py:my_tasks:TASK"]


def test_a_task_of_ones_own_reads_rows_of_a_file(modules):
    rows = modules / "rows.jsonl"
    rows.write_text(json.dumps({"id": "three", "wants": "tea"}) + "\n")
    [conversation] = load_task(get_task("py:my_tasks:TASK"), rows, on_error=pytest.fail)
    assert conversation.id == "three"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("py:my_tasks:NO_TASK", "'py:my_tasks:NO_TASK' is not a task: expected a collab_sdk.tasks.Task, found dict."),
        ("py:my_tasks:OTHER", "'py:my_tasks:OTHER' cannot be imported: AttributeError: "),
        ("py:my_tasks", "'py:my_tasks' must read py:MODULE:NAME"),
    ],
)
def test_what_is_no_task_is_one_line(modules, name, problem):
    with pytest.raises(UsageError):
        get_task(name)
    result = collab("evaluate", "-t", name, "-a", "offline", "--model", "offline")
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert problem in line
