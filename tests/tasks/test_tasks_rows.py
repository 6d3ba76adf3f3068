"""What the rows of each data set mean, and what is said about rows and files that cannot be used."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collab_sdk import Engine, Goal
from collab_sdk.errors import InputError, UnknownNameError, UsageError
from collab_sdk.tasks import BriefWriter, LeftOutError, Task, get_task, load_task, no_rows, task_names
from collab_sdk.testing import FakeChatModel


def raise_(error):
    raise error


def loaded(name, rows, tmp_path, *, on_error=raise_):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(load_task(get_task(name), path, on_error=on_error))


@pytest.mark.parametrize(
    ("row", "reference"),
    [
        ({"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"}, "4"),
        ({"problem": "Halve it.", "solution": r"So \boxed{1}. No: \boxed{\frac{1}{2}}."}, r"\frac{1}{2}"),
        ({"problem": "2 + 2?", "answer": "4", "solution": "unread"}, "4"),
        ({"problem": "2 + 2?", "answer": 4, "solution": "unread"}, "4"),
        ({"problem": "2 + 2?", "answer": None, "solution": r"It is \boxed{4}."}, "4"),
        ({"problem": "2 + 2?", "answer": " ", "solution": r"It is \boxed{4}."}, "4"),
    ],
)
def test_a_maths_row_is_a_problem_and_its_final_answer(row, reference, tmp_path):
    [conversation] = loaded("math-chat", [row], tmp_path)
    assert conversation.goal.reference == reference
    assert row.get("problem", row.get("question")) in conversation.goal.text
    assert conversation.messages == ()


UNUSABLE = (
    {"question": "2 + 2?"},
    {"problem": "x", "answer": "", "solution": "a stray } brace"},
    {"problem": "x", "answer": True},
    {"problem": "x", "solution": "no box"},
    {"answer": "4"},
    [1],
    7,
)


@pytest.mark.parametrize("row", UNUSABLE)
def test_a_row_without_problem_or_reference_is_named_and_left_out(row, tmp_path):
    errors = []
    good = {"question": "2 + 2?", "answer": "#### 4"}
    assert len(loaded("math-chat", [good, row, good], tmp_path, on_error=errors.append)) == 2
    assert str(errors[0]).startswith(f"{tmp_path / 'rows.jsonl'}:2: ")


def test_a_code_row_is_a_request_and_a_program_that_tests_the_answer(tmp_path):
    human_eval = {
        "task_id": "HumanEval/0",
        "prompt": "import math\n\ndef f(x):\n    '''Doubles.'''\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    }
    big_code_bench = {"task_id": "B/0", "instruct_prompt": "Double it.", "entry_point": "f", "test": "class T: ..."}
    first, second = loaded("bigcodebench-chat", [human_eval, big_code_bench], tmp_path)
    assert (first.id, second.id) == ("HumanEval/0", "B/0")
    assert first.goal.reference.startswith("import math")
    assert first.goal.reference.endswith("check(f)")
    assert "unittest" in second.goal.reference
    assert "Double it." in second.goal.text


ODD_FIELDS = st.dictionaries(
    st.sampled_from(
        "id story target_turn history_turns ambiguity clarification_turn answers question answer clr_ans org_ans "
        "problem solution title text url test entry_point instruct_prompt task_id".split()
    ),
    st.recursive(
        st.sampled_from((None, True, 0, 4.5, "", "x", "ambiguous", "non_ambiguous", "}", "####")),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(("question", "answer", "answers", "clr_ans", "org_ans")), inner, max_size=3
            )
        ),
        max_leaves=6,
    ),
)
WHOLE_ABG = {
    "story": "Ann ran.",
    "target_turn": {"question": "Who?", "answer": "Ann"},
    "history_turns": [],
    "ambiguity": "ambiguous",
    "clarification_turn": {"answers": [{"clr_ans": "She.", "org_ans": "Ann"}]},
}


@pytest.mark.parametrize("name", ["abg-coqa", "math-chat", "bigcodebench-chat", "medium-docedit"])
@given(fields=ODD_FIELDS)
@settings(max_examples=60, deadline=None)
def test_a_row_of_any_shape_is_read_or_is_bad_input(name, fields):
    for row in (fields, {**WHOLE_ABG, **fields}):
        try:
            conversation = get_task(name).read(row)
        except InputError:
            continue
        assert isinstance(conversation.goal.text, str)
        assert all(isinstance(message.content, str) for message in conversation.messages)


@pytest.mark.parametrize(
    "odd",
    [
        {"history_turns": ["x"]},
        {"history_turns": "x"},
        *({"clarification_turn": {"answers": answers}} for answers in (["text"], {"x": 1}, 5)),
    ],
)
def test_odd_abg_coqa_rows_are_named_and_left_out(odd, tmp_path):
    errors = []
    assert len(loaded("abg-coqa", [{**WHOLE_ABG, **odd}, WHOLE_ABG], tmp_path, on_error=errors.append)) == 1
    assert str(errors[0]).startswith(f"{tmp_path / 'rows.jsonl'}:1: ")
    assert "to be a list of objects" in str(errors[0])


def test_a_mistake_in_a_task_of_ones_own_costs_the_row_alone(tmp_path):
    path, errors = tmp_path / "rows.jsonl", []
    path.write_text('{"a": 1}\n')
    task = Task(name="own", metric=None, read=lambda row: row["b"])
    assert list(load_task(task, path, on_error=errors.append)) == []
    assert str(errors[0]) == f"{path}, row 1: the task own cannot read it (KeyError('b'))"


def test_an_abg_coqa_row_opens_with_the_story_and_ends_with_the_question(tmp_path):
    row = {
        "id": "s|3",
        "story": "Ann and Bea ran. Ann fell.",
        "target_turn": {"turn_id": 3, "question": "Who won?", "answer": "Bea"},
        "history_turns": [{"turn_id": 2, "question": "Who ran?", "answer": "Ann and Bea"}],
        "ambiguity": "ambiguous",
        "clarification_turn": {
            "question": "Which race?",
            "answers": [{"clr_ans": "The first.", "org_ans": "Bea"}, {"clr_ans": "The last.", "org_ans": "Ann"}],
        },
    }
    [conversation] = loaded("abg-coqa", [row], tmp_path)
    assert [message.role for message in conversation.messages] == ["user", "assistant", "user"]
    assert "Ann fell." in conversation.messages[0].content
    assert conversation.messages[-1].content == "Who won?"
    assert conversation.metadata == {"ambiguous": True}
    assert "The first." in conversation.goal.text
    assert conversation.goal.reference == "Bea", "the answer to what is meant"
    clear = {**row, "ambiguity": "non_ambiguous", "clarification_turn": {}}
    [conversation] = loaded("abg-coqa", [clear], tmp_path)
    assert conversation.goal.reference == "Bea"
    errors = []
    assert loaded("abg-coqa", [{**row, "ambiguity": "maybe"}], tmp_path, on_error=errors.append) == []
    assert "non_ambiguous" in str(errors[0])


def test_the_simulator_gets_a_summary_of_the_document_and_never_the_document(tmp_path):
    article = "The sun rose over the harbour. Nobody had slept."
    [conversation] = loaded("medium-docedit", [{"title": "Dawn", "text": article}], tmp_path)
    assert conversation.goal == Goal(text="", reference=article)
    writer = FakeChatModel([json.dumps({"goal": "what: a short scene\nwhere: a harbour"})])
    goal = asyncio.run(BriefWriter(writer, engine=Engine()).awrite(conversation.goal))
    assert goal == Goal(text="what: a short scene\nwhere: a harbour", reference=article)
    assert "The sun rose over the harbour." in writer.requests[0].messages[-1].content


def test_articles_that_are_too_long_are_left_out(tmp_path):
    errors = []
    rows = [{"title": "Long", "text": "word " * 600}]
    assert loaded("medium-docedit", rows, tmp_path, on_error=errors.append) == []
    assert "over 512 tokens" in str(errors[0])
    assert isinstance(errors[0], LeftOutError), "by a rule: no failure"


def test_rows_come_as_lines_an_array_an_object_or_a_table(tmp_path):
    rows = [{"question": f"{n} + 0?", "answer": f"#### {n}"} for n in range(3)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json").write_text(json.dumps({"version": 1, "data": rows}))
    (tmp_path / "c.csv").write_text("question,answer\n0 + 0?,#### 0\n1 + 0?,#### 1\n2 + 0?,#### 2\n")
    for name in ("a.json", "b.json", "c.csv"):
        found = list(load_task(get_task("math-chat"), tmp_path / name, on_error=raise_))
        assert [conversation.goal.reference for conversation in found] == ["0", "1", "2"]
        assert len({conversation.id for conversation in found}) == 3


def test_the_same_row_twice_is_two_conversations_with_the_same_ids_in_every_run(tmp_path):
    row = {"question": "2 + 2?", "answer": "#### 4"}
    ids = [conversation.id for conversation in loaded("math-chat", [row, row], tmp_path)]
    assert len(set(ids)) == 2
    assert ids == [conversation.id for conversation in loaded("math-chat", [row, row], tmp_path)]


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'math-chat'.*abg-coqa, bigcodebench-chat, logs"):
        get_task("maths-chat")
    assert "medium-docedit" in task_names()


def test_a_data_set_that_cannot_be_loaded_points_to_the_local_file_and_says_no_more(monkeypatch, capsys):
    from huggingface_hub.utils.logging import get_logger

    def offline(*_, **__):
        get_logger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(InputError, match=r"lighteval/MATH-Hard cannot be loaded: no network.*--data FILE"):
        next(load_task(get_task("math-chat"), on_error=raise_))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("task", ["logs", "abg-coqa"])
def test_tasks_that_are_on_no_hub_ask_for_a_file(task):
    with pytest.raises(UsageError, match="--data FILE"):
        next(iter(load_task(get_task(task), on_error=raise_)))


def test_data_that_are_not_there_come_with_their_source_and_licence(tmp_path):
    for task in ("abg-coqa", "bigcodebench-chat", "math-chat", "medium-docedit"):
        with pytest.raises(InputError, match=r"nix.jsonl: cannot be read: .*https://.*(MIT|Apache-2.0|no licence)"):
            next(load_task(get_task(task), tmp_path / "nix.jsonl", on_error=raise_))
    with pytest.raises(UsageError, match=r"on no hub: give its file with --data FILE. Abg-CoQA is at https://"):
        next(load_task(get_task("abg-coqa"), on_error=raise_))


def test_a_file_of_another_task_is_recognised(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"title": "Dawn", "text": "Nobody slept."}))
    others = [get_task(name) for name in task_names()]
    error = str(no_rows(get_task("math-chat"), path, others))
    assert (
        "which reads problem or question, and answer or solution; its rows look like those of medium-docedit" in error
    )
    path.write_text("{}")
    assert "look like" not in str(no_rows(get_task("math-chat"), path, others))


def test_a_split_is_one_of_the_hub(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("datasets.load_dataset", lambda name, **options: asked.append((name, options["split"])) or [])
    assert list(load_task(get_task("math-chat"), split="train", on_error=raise_)) == []
    assert list(load_task(get_task("math-chat"), on_error=raise_)) == []
    assert asked == [("lighteval/MATH-Hard", "train"), ("lighteval/MATH-Hard", "test")]
    for task, data in (("abg-coqa", None), ("math-chat", tmp_path / "rows.jsonl")):
        with pytest.raises(UsageError, match="has none: leave --split out"):
            next(iter(load_task(get_task(task), data, split="train", on_error=raise_)))


def test_a_file_that_is_missing_is_named(tmp_path):
    for name in ("nowhere.jsonl", "nowhere.csv"):
        with pytest.raises(InputError, match="nowhere"):
            next(load_task(get_task("math-chat"), tmp_path / name, on_error=raise_))
