"""The tasks' metrics, each value worked out by hand."""

import asyncio

import pytest
from support.sandboxes import as_this_user

from collab_sdk import Evidence, Goal
from collab_sdk.errors import SandboxError, UsageError
from collab_sdk.metrics import as_metric
from collab_sdk.metrics.pass_rate import ANSWER_HERE, PassRate, code_in, in_its_place
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
    tests = f"import math\n{ANSWER_HERE}\nassert f(1) == 2"
    assert in_its_place("def f(x): return 2 * x", tests) == (
        "import math\n",
        "def f(x): return 2 * x",
        "\nassert f(1) == 2",
    )
    assert in_its_place("x = 1", "assert x == 1") == ("", "x = 1", "assert x == 1")


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
