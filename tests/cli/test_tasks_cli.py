"""`collab tasks`: what is shown of each task, and its rows as chats for the commands that train."""

import hashlib
import json

import pytest
from support.cli import collab

from collab_sdk import read_conversations
from collab_sdk.tasks import task_names

MATHS = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(1, 7)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def question(number, *, ambiguous):
    reading = {"clr_ans": "The first.", "org_ans": "red"}
    return {
        "id": f"q-{number}",
        "story": f"Story {number}. There were two books.",
        "target_turn": {"question": "What colour was it?", "answer": "green"},
        "history_turns": [],
        "ambiguity": "ambiguous" if ambiguous else "non_ambiguous",
        "clarification_turn": {"question": "Which?", "answers": [reading]} if ambiguous else {},
    }


@pytest.fixture
def maths(tmp_path):
    return write(tmp_path / "maths.jsonl", MATHS)


@pytest.fixture
def questions(tmp_path):
    """Ambiguous ones first, as in the data set's own files."""
    return write(tmp_path / "questions.jsonl", [question(n, ambiguous=n < 6) for n in range(12)])


def test_every_task_is_listed_with_where_its_data_are_and_their_licence():
    result = collab("tasks", "list")
    assert result.exit_code == 0
    for name in task_names():
        assert f"{name}: " in result.stdout
    assert "lighteval/MATH-Hard, split test" in result.stdout
    assert "https://github.com/MeiqiGuo/AKBC2021-Abg-CoQA (MIT" in result.stdout


def test_openings_are_chats_with_goals_that_begin_with_the_user(maths, tmp_path):
    target = tmp_path / "openings.jsonl"
    result = collab("tasks", "export", "math-chat", "--data", maths, "--model", "offline", "-o", target)
    assert result.exit_code == 0, result.output
    chats = list(read_conversations([target], unanswered=True))
    assert [[message.role for message in chat.messages] for chat in chats] == [["user"]] * 6
    assert [chat.goal.reference for chat in chats] == [str(2 * n) for n in range(1, 7)]
    assert "Wrote 6 chats" in result.stderr
    assert "assistant" not in result.stderr, "nobody but the user is asked"


def test_played_conversations_become_pairs(maths, tmp_path):
    chats, prefs = tmp_path / "chats.jsonl", tmp_path / "prefs.jsonl"
    played = ("--play", "--exchanges", 2, "--limit", 4, "--model", "offline", "-o", chats)
    assert collab("tasks", "export", "math-chat", "--data", maths, *played).exit_code == 0
    assert all(1 <= len(list(chat.turns())) <= 2 for chat in read_conversations([chats]))
    paper = ("--metric", "accuracy=1", "--metric", "interactivity=1", "--samples", 1, "--min-confidence", 0)
    result = collab("export-prefs", chats, "--model", "offline", *paper, "-o", prefs)
    assert result.exit_code == 0, result.output
    assert prefs.read_text()


def test_half_of_a_limit_is_ambiguous_and_no_model_is_needed(questions):
    result = collab("tasks", "export", "abg-coqa", "--data", questions, "--limit", 4)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["metadata"]["ambiguous"] for row in rows] == [True, False, True, False]
    assert rows[0]["goal"]["reference"] == "red"


def test_evaluate_takes_both_kinds_too_in_the_order_of_the_seed(questions, tmp_path):
    found = []
    for more in ((), ("--shuffle",), ("--shuffle", "--seed", 1), ("--skip", 4)):
        target = tmp_path / "result.json"
        rows = ("-t", "abg-coqa", "--data", questions, "--limit", 4, *more)
        assert collab("evaluate", "-a", "offline", "--model", "offline", *rows, "-o", target).exit_code == 0
        [bot] = json.loads(target.read_text())["results"]
        assert [chat["is_ambiguous"] for chat in bot["conversations"]].count(True) == 2
        found.append({chat["conversation_id"] for chat in bot["conversations"]})
    assert len(set(map(frozenset, found))) == 4
    assert not found[0] & found[3]


def test_evaluations_of_other_rows_have_another_provenance(maths, tmp_path):
    found = []
    again = write(tmp_path / "again.jsonl", [*MATHS[:-1], {"question": "What is 0 + 0?", "answer": "#### 0"}])
    for data, *more in (
        (maths, "--limit", 2, "--shuffle"),
        (maths, "--limit", 2, "--shuffle", "--seed", 1),
        (maths, "--limit", 2),
        (maths, "--limit", 2, "--skip", 1),
        (again, "--limit", 2),
    ):
        target = tmp_path / "result.json"
        rows = ("-t", "math-chat", "--data", data, *more)
        assert collab("evaluate", "-a", "offline", "--model", "offline", *rows, "-o", target).exit_code == 0
        found.append(json.loads(target.read_text())["made_with"])
    assert len({json.dumps(each) for each in found}) == len(found)
    rows = found[1]["rows"]
    chosen = {"task": "math-chat", "file": "maths.jsonl", "limit": 2, "skip": 0, "shuffle": True, "seed": 1}
    assert {name: rows[name] for name in chosen} == chosen
    assert rows["file_sha256"] == hashlib.sha256(maths.read_bytes()).hexdigest()
    assert found[2]["rows"]["sha256"] == found[4]["rows"]["sha256"], "both files begin alike"


def test_exported_chats_say_what_they_were_made_of_and_readers_keep_it(maths, questions, tmp_path):
    chats, prefs = tmp_path / "chats.jsonl", tmp_path / "prefs.jsonl"
    made = ("tasks", "export", "math-chat", "--data", maths, "--limit", 3, "--model", "offline", "-o", chats)
    assert collab(*made, "--play", "--exchanges", 1).exit_code == 0
    for chat in read_conversations([chats]):
        told = chat.metadata
        assert (told["task"], told["row"], told["simulated"]) == ("math-chat", chat.id, True)
        assert {role["model"] for role in told["made_with"]["models"].values()} == {"offline"}
        assert told["made_with"]["exchanges"] == 1
        assert told["made_with"]["rows"]["file"] == "maths.jsonl"
    assert collab("export-prefs", chats, "--model", "offline", "--samples", 1, "-o", prefs).exit_code in (0, 1, 3)
    turns = [json.loads(line) for line in prefs.with_name("prefs.turns.jsonl").read_text().splitlines()]
    assert [(turn["task"], turn["simulated"]) for turn in turns] == [("math-chat", True)] * 3
    collab("tasks", "export", "abg-coqa", "--data", questions, "--limit", 1, "-o", chats)
    [row] = [json.loads(line) for line in chats.read_text().splitlines()]
    assert row["metadata"]["simulated"] is False, "all of it stands in the data set"
    assert row["metadata"]["made_with"]["rows"]["task"] == "abg-coqa"


def test_rows_that_were_not_chosen_or_are_left_out_by_a_rule_are_no_failures(questions, tmp_path):
    lines = questions.read_text() + '{"story": "x"}\n'
    broken = tmp_path / "broken.jsonl"
    broken.write_text(lines)
    export = ("tasks", "export", "abg-coqa", "--data", broken, "-o", tmp_path / "out.jsonl")
    chosen = collab(*export, "--limit", 4, "--shuffle")
    assert chosen.exit_code == 0
    assert "1 x rows that cannot be used, none of them chosen; the first is " in chosen.stderr
    assert "broken.jsonl:13" in chosen.stderr
    assert collab(*export, "--limit", 13, "--shuffle").exit_code == 3, "too few are left"
    assert collab(*export, "--shuffle").exit_code == 3
    articles = write(tmp_path / "articles.jsonl", [{"title": "a", "text": "word " * n} for n in (3, 600)])
    made = ("tasks", "export", "medium-docedit", "--data", articles, "--model", "offline", "-o", tmp_path / "out.jsonl")
    assert "1 x articles over 512 tokens, left out" in collab(*made, "--shuffle").stderr
    assert collab(*made).exit_code == 0


def test_a_dry_run_shows_who_would_be_asked_what(maths):
    export = ("tasks", "export", "math-chat", "--data", maths, "--model", "openai/gpt-4o-mini", "--dry-run")
    openings, played = collab(*export), collab(*export, "--play", "--exchanges", 3)
    assert openings.exit_code == played.exit_code == 0
    assert [line.split()[:2] for line in openings.stdout.splitlines()[1:]] == [["simulator", "6"], ["total", "6"]]
    assert [line.split()[:2] for line in played.stdout.splitlines()[1:]] == [
        ["assistant", "18"],
        ["simulator", "18"],
        ["total", "36"],
    ]


def test_a_second_run_asks_for_nothing_again(maths, tmp_path):
    export = ("tasks", "export", "math-chat", "--data", maths, "--model", "offline", "--cache", tmp_path / "cache")
    assert collab(*export, "-o", tmp_path / "a.jsonl").exit_code == 0
    result = collab(*export, "-o", tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    [total] = [line for line in result.stderr.splitlines() if line.startswith("total")]
    assert total.split()[1:3] == ["0", "6"], "no call, six from the cache"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("math-chat", "--data", "MATHS"), "It writes what the rows of math-chat lack"),
        (("abg-coqa", "--data", "QUESTIONS", "--play"), "It writes what the rows of abg-coqa lack"),
        (("math-chat", "--data", "QUESTIONS", "--model", "offline"), "its rows look like those of abg-coqa"),
        (("math-chat", "--data", "MATHS", "--skip", "6"), "--skip 6 leaves none of its 6 rows"),
        (("math-chat", "--data", "MATHS", "--split", "train"), "has none: leave --split out"),
        (("abg-coqa", "--limit", "3"), "https://github.com/MeiqiGuo/AKBC2021-Abg-CoQA (MIT"),
        (("logs", "--data", "MATHS"), "The rows of logs are chats already"),
        (("maths-chat",), "Did you mean 'math-chat'?"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_no_file(arguments, said, maths, questions, tmp_path):
    places = {"MATHS": maths, "QUESTIONS": questions}
    target = tmp_path / "out.jsonl"
    result = collab("tasks", "export", *(places.get(one, one) for one in arguments), "-o", target)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line
    assert not target.exists()
