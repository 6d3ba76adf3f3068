"""The tasks' metrics, each value worked out by hand."""

import asyncio

import pytest
from support.sandboxes import as_this_user

from collab_sdk import Evidence, Goal
from collab_sdk.errors import SandboxError, UsageError
from collab_sdk.metrics import Judgement, as_metric
from collab_sdk.metrics.accuracy import compare
from collab_sdk.metrics.expressions import same_function
from collab_sdk.metrics.pass_rate import ANSWER_HERE, PassRate, code_in
from collab_sdk.sandbox.process import ProgramEnd, ProgramRun


def evidence(artefact, reference):
    goal = Goal(text="as said", reference=reference)
    return Evidence(messages=(), goal=goal, tokens={}, judgement=None, artefact=artefact)


def test_bleu_counts_words_not_characters():
    # 1- to 4-grams found again: 5 of 6, 3 of 5, 2 of 4, 1 of 3; the lengths are the same.
    by_hand = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    value = as_metric("bleu").value(evidence("the cat sat on the mat", "the cat sat on a mat"))
    assert value == pytest.approx(by_hand)


def test_bleu_is_sacrebleus_own_value():
    import sacrebleu

    document, reference = "Dawn broke; nobody slept.", "The sun rose over the harbour. Nobody had slept."
    own = sacrebleu.sentence_bleu(document, [reference]).score / 100
    value = as_metric("bleu").value(evidence(document, reference))
    assert value == pytest.approx(own)
    assert value < 0.15  # over characters it would be high


@pytest.mark.parametrize(("document", "value"), [("", 0.0), ("the very same words", 1.0)])
def test_bleu_is_between_no_document_and_the_same_one(document, value):
    assert as_metric("bleu").value(evidence(document, "the very same words")) == pytest.approx(value)


@pytest.mark.parametrize("name", ["bleu", "pass_rate"])
def test_a_goal_without_reference_is_refused_before_anything_is_paid_for(name):
    metric = as_metric("bleu") if name == "bleu" else PassRate(NoSandbox())
    with pytest.raises(UsageError, match="reference"):
        metric.check(Goal(text="as said"))


class NoSandbox:
    """In the sandbox's place: notes the programs, and lets all of them finish."""

    def __init__(self):
        self.programs = []

    async def arun(self, program):
        self.programs.append(program)
        return ProgramRun(end=ProgramEnd.FINISHED, output="", seconds=0.0)


def test_the_delivered_code_takes_its_place_in_the_tests():
    sandbox = NoSandbox()
    metric = PassRate(sandbox)
    tests = f"import math\n{ANSWER_HERE}\nassert f(1) == 2"
    asyncio.run(metric.value(evidence("```python\ndef f(x): return 2 * x\n```", tests)))
    asyncio.run(metric.value(evidence("def f(x): return 2 * x", "assert f(1) == 2")))
    assert sandbox.programs[0] == "import math\ndef f(x): return 2 * x\n\n\nassert f(1) == 2"
    assert sandbox.programs[1] == "def f(x): return 2 * x\n\nassert f(1) == 2"


def test_no_code_is_a_failure_that_needs_no_sandbox():
    sandbox = NoSandbox()
    assert asyncio.run(PassRate(sandbox).value(evidence(" ", "assert True"))) == 0
    assert sandbox.programs == []


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("def f(x):\n    return 2 * x", 1.0),
        ("Here it is:\n```python\ndef f(x):\n    return 2 * x\n```\nEnjoy!", 1.0),
        ("def f(x):\n    return 2 * x\n\nif __name__ == '__main__':\n    print(f(int(input())))", 1.0),
        ("def f(x):\n    return x", 0.0),
        ("import os; os._exit(0)", 0.0),
        ("Sorry, I cannot.", 0.0),
    ],
)
def test_code_passes_if_it_runs_to_the_end_of_its_tests(answer, value):
    try:
        as_this_user("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    assert asyncio.run(PassRate().value(evidence(answer, "assert f(2) == 4"))) == value


def test_code_in_several_fences_belongs_together():
    assert code_in("a\n```python\nx = 1\n```\nthen\n```\ny = 2\n```") == "x = 1\n\ny = 2\n"
    assert code_in("x = 1") == "x = 1"


SAME = [
    ("x+1", "1 + x"),
    (r"\frac{1}{2}", "0.5"),
    (r"$\dfrac{\sqrt{3}}{2}$", "sqrt(3)/2"),
    (r"\boxed{2x}", "x*2"),
    ("(x+1)^2", r"x^{2} + 2x + 1"),
    (r"2\pi r", "2*pi*r"),
    ("3(x+1)", "3x + 3"),
]


@pytest.mark.parametrize(("reference", "answer"), SAME)
def test_the_same_formula_in_another_notation_is_right_without_a_judge(reference, answer):
    assert compare(reference, answer) == Judgement(value=1.0)


@pytest.mark.parametrize(("reference", "answer"), [("x+1", "x-1"), ("x", "y"), ("x^2", "2x"), ("1/x", "x")])
def test_other_formulas_are_left_to_the_judge(reference, answer):
    assert compare(reference, answer) is None


@pytest.mark.parametrize("answer", [r"3\sqrt{3}", r"3\pi", "√3", "3x", "x^3", "3 pi", "3 + x", "3*y"])
def test_a_number_in_a_formula_is_not_the_answer(answer):
    assert compare("3", answer) is None


@pytest.mark.parametrize(("reference", "answer"), [("2", r"\sqrt{4}"), ("4", "2 + 2"), ("1000", "10^3")])
def test_a_formula_of_the_right_number_is_right_without_a_judge(reference, answer):
    assert compare(reference, answer) == Judgement(value=1.0)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/x')",
        "9**9**9**9**9",
        "x" * 100_000,
        "(" * 250 + ")" * 250,
        "[].__class__",
        "1/0",
        "lambda: 0",
        r"\frac{\frac{\frac",
        "",
        "\0",
    ],
)
def test_hostile_formulas_are_never_run_and_never_equal(text):
    assert not same_function("1", text)
    assert not same_function(text, text)
