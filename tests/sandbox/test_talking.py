"""A program in the sandbox that is asked one thing after another."""

import pytest
from support.sandboxes import as_this_user

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox import ISOLATIONS, ProgramLimits, TalkingProgram

KEEPS = """
kept = []

def answer(question):
    if question == "hang":
        while True:
            pass
    if question == "die":
        raise SystemExit(3)
    kept.append(question)
    return kept
"""


@pytest.fixture(params=["bubblewrap", "namespaces"])
def talking(request):
    """Makes programs, and ends them."""
    try:
        as_this_user(request.param)
    except SandboxError as error:
        pytest.skip(str(error))
    made = []

    def make(program, **limits):
        isolation = ISOLATIONS[request.param]
        made.append(TalkingProgram(program, limits=ProgramLimits(seconds=600, **limits), isolation=isolation))
        return made[-1]

    yield make
    for program in made:
        program.close()


def test_it_keeps_its_state_from_one_question_to_the_next(talking):
    one, other = talking(KEEPS), talking(KEEPS)
    assert [one.ask(n, seconds=60) for n in ("ä\n", {"b": [1]})] == [["ä\n"], ["ä\n", {"b": [1]}]]
    assert other.ask(None, seconds=60) == [None]


@pytest.mark.parametrize(
    ("program", "question", "problem"),
    [
        (KEEPS, "die", "failed"),
        ("1 / 0", "x", "ZeroDivisionError"),
        ("def answer(question):\n    return 'x' * 3_000_000", "x", "its answer is too long"),
        ("def answer(question):\n    print('x' * 3_000_000)", "x", "too much output"),
        ("def answer(question):\n    return object()", "x", "not JSON serializable"),
    ],
)
def test_a_program_that_ends_says_why(talking, program, question, problem):
    with pytest.raises(SandboxError, match=problem):
        talking(program).ask(question, seconds=60)


def test_one_that_hangs_is_left_and_ended(talking):
    program = talking(KEEPS)
    program.ask(1, seconds=60)
    with pytest.raises(TimeoutError):
        program.ask("hang", seconds=0.1)
    program.close()  # at once, and not after the ten minutes that it may live


def test_it_finds_no_file_open_but_its_own(talking):
    program = talking("import os\n\ndef answer(question):\n    return os.listdir('/proc/self/fd')")
    with open("/dev/null"), open("/dev/zero"):
        # stdin, stdout, stderr, what stands for stdin, the report, questions, answers, and the folder that is listed
        assert len(program.ask(None, seconds=60)) == 8
