"""The recipes of the paper's tables: what they set, and each of them from rows of its data set to an evaluation."""

import json
import tomllib

import pytest
from support.cli import collab
from support.options import received
from support.paths import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
PLACES = ("harbour", "station", "market", "garden", "library", "bakery")
ROWS = {
    "documents": [
        {"title": f"Dawn at the {place}", "text": f"The sun rose over the {place}. Nobody had slept."}
        for place in PLACES
    ],
    "code": [
        {
            "task_id": f"T/{n}",
            "prompt": f"def f(x):\n    '''Adds {n} to x.'''\n",
            "entry_point": "f",
            "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
        }
        for n in range(1, 7)
    ],
    "maths": [{"problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."} for n in range(1, 7)],
    "abg-coqa": [
        {
            "id": f"q-{n}",
            "story": f"There were two books in the {place}, a red one and a green one.",
            "target_turn": {"question": "What colour was it?", "answer": "green"},
            "history_turns": [],
            "ambiguity": "ambiguous" if n % 2 else "non_ambiguous",
            "clarification_turn": {"answers": [{"clr_ans": "The first.", "org_ans": "red"}]} if n % 2 else {},
        }
        for n, place in enumerate(PLACES)
    ],
}
TASK = {"documents": "medium-docedit", "code": "bigcodebench-chat", "maths": "math-chat", "abg-coqa": "abg-coqa"}
LAMBDA = {"documents": 1e-4, "code": 5e-4, "maths": 5e-4, "abg-coqa": 5e-4}
METRIC = {"documents": "bleu", "code": "pass_rate", "maths": "accuracy", "abg-coqa": "accuracy"}
RULES = ("--assistant", "offline", "--simulator", "offline", "--judge", "offline")


def name_of(recipe):
    return recipe.stem.removeprefix("collabllm-")


def call(command, recipe, monkeypatch, *variants, needed=()):
    chosen = [part for name in variants for part in ("--variant", name)]
    return received(tuple(command.split()), [*needed, "--config", recipe, *chosen], monkeypatch)


def test_there_is_a_recipe_for_each_task_of_the_paper():
    assert {name_of(recipe) for recipe in RECIPES} == {*TASK}


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_sets_what_the_paper_states(recipe, monkeypatch):
    prefs = recipe  # any file that is there
    export = call("export-prefs", recipe, monkeypatch, needed=[prefs])
    assert (export["window"], export["samples"], export["goals_per_turn"]) == (2, 3, 1)
    assert (export["min_margin"], export["min_confidence"], export["fixed_samples"]) == (0.02, 0, True)
    metrics = {metric.name: metric for metric in export["metric"]}
    assert {name: metric.weight for name, metric in metrics.items()} == {
        METRIC[name_of(recipe)]: 1.0,
        "interactivity": 1.0,
        "token_penalty": 1.0,
    }
    assert metrics["token_penalty"].options == {"rate": LAMBDA[name_of(recipe)]}
    temperatures = [dict(export[f"{role}_option"])["temperature"] for role in ("assistant", "simulator", "judge")]
    assert temperatures == [0.8, 1.0, 0.0]
    evaluated = call("evaluate", recipe, monkeypatch)
    assert evaluated["task"] == (TASK[name_of(recipe)],)
    assert evaluated["samples"] == 1
    assert evaluated["assistant_option"] == export["assistant_option"], "all bots speak at the same temperature"


TRAINED = {"sft": (1e-5, 3, 64), "offline-dpo": (5e-6, 8, 64), "online-dpo": (5e-6, 1, 32), "ppo": (2e-6, 5, 64)}


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_the_trainings_are_those_of_table_6(recipe, monkeypatch):
    variants = tomllib.loads(recipe.read_text())["variant"]
    for variant, stated in TRAINED.items():
        if variant not in variants:
            assert name_of(recipe) == "abg-coqa", "which the paper only evaluates"
            continue
        tuned = call("finetune", recipe, monkeypatch, variant, needed=[recipe])
        assert (tuned["learning_rate"], tuned["epochs"], tuned["batch_size"]) == stated
        assert (tuned["lora_r"], tuned["lora_alpha"], tuned["lora_dropout"]) == (32, 16, 0.1)
        assert (tuned["window"], tuned["samples"], dict(tuned["assistant_option"])["temperature"]) == (2, 3, 0.8)
        if variant == "offline-dpo":
            assert (tuned["loss"], tuned["beta"]) == ((("sigmoid", 1.0),), 0.1)


def test_the_ablations_change_one_thing_each(monkeypatch):
    [recipe] = [each for each in RECIPES if name_of(each) == "documents"]

    def made(*variants):
        found = call("export-prefs", recipe, monkeypatch, *variants, needed=[recipe])
        return found["window"], found["samples"], [metric.name for metric in found["metric"]]

    every = ["bleu", "interactivity", "token_penalty"]
    assert [made(f"window-{window}") for window in (0, 1, 3)] == [(window, 3, every) for window in (0, 1, 3)]
    assert made("one-future") == (2, 1, every)
    assert made("extrinsic") == (2, 3, ["bleu"])
    assert made("intrinsic", "window-1") == (1, 3, ["interactivity", "token_penalty"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_goes_from_rows_to_an_evaluation(recipe, tiny_base, tmp_path, monkeypatch):
    name = name_of(recipe)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLLAB_CONFIG", str(recipe))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS[name]))
    code = name == "code"  # no reply of the rules is code, and a sandbox would only be waited for
    metric = ("--metric", "interactivity=1") if code else ()
    few = ("--samples", 1, "--window", 1)

    def done(*arguments, codes=(0,)):
        result = collab(*arguments)
        assert result.exit_code in codes, result.output

    done("tasks", "export", TASK[name], "--data", rows, "--skip", 0, "--play", "--exchanges", 2, *RULES)
    done("export-prefs", f"{name}-chats.jsonl", *RULES, *few, *metric)
    trained = ("--variant", "offline-dpo", "--max-steps", 1, "--eval-fraction", 0)
    done("finetune", f"{name}-prefs.jsonl", "-m", tiny_base, *trained)
    bots = ("-a", f"hf:{tiny_base}", "-a", f"hf:{tiny_base}@{name}-offline-dpo")
    played = ("--exchanges", 1, "--limit", 2, "--simulator", "offline", "--judge", "offline", "--unsafe-exec")
    done("evaluate", "--data", rows, *bots, *played, "--assistant-option", "max_tokens=8", "-o", "result.json")
    [row] = [json.loads(line) for line in (tmp_path / "result.json").read_text().splitlines()]
    assert [len(bot["conversations"]) for bot in row["results"]] == [2, 2]
    assert row["made_with"]["assistants"][1]["settings"] == {"temperature": 0.8, "max_tokens": 8}


@pytest.mark.slow
def test_openings_of_a_task_are_trained_on_in_rounds(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [recipe] = [each for each in RECIPES if name_of(each) == "abg-coqa"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS["abg-coqa"]))
    assert collab("tasks", "export", "abg-coqa", "--data", rows, "-o", "openings.jsonl").exit_code == 0
    small = ("--window", 1, "--exchanges", 1, "--candidates", 4, "--metric", "token_penalty=1", "--eval-fraction", 0)
    play = ("--rounds", 1, "--max-steps", 1, "--min-margin", 0, "--samples", 1, "--assistant-option", "max_tokens=8")
    roles = ("--simulator", "offline", "--judge", "offline")
    result = collab(
        *("finetune", "openings.jsonl", "--config", recipe, "--variant", "offline-dpo", "-m", tiny_base),
        *(*small, *play, *roles, "-o", "rounds"),
    )
    assert result.exit_code == 0, result.output
    turns = [json.loads(line) for line in (tmp_path / "rounds/round-1/prefs.turns.jsonl").read_text().splitlines()]
    assert turns[0]["made_with"]["assistants"][0]["settings"] == {"temperature": 0.8, "max_tokens": 8}
