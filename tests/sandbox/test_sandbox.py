"""What programs may do in the sandbox, and what is said where there is none."""

import ast
import asyncio
import json
from contextlib import nullcontext

import pytest
from support.paths import DATA
from support.sandboxes import as_this_user

from collab_sdk.errors import SandboxError, UsageError
from collab_sdk.sandbox import ProgramEnd, ProgramLimits, Sandbox, find_isolation
from collab_sdk.sandbox.docker import docker
from collab_sdk.sandbox.isolation import unsafe
from collab_sdk.sandbox.launch import Launch

pytestmark = pytest.mark.slow

PROBLEMS = DATA / "human_eval.jsonl"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        as_this_user("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    return Sandbox()


@pytest.fixture
def nothing_here(monkeypatch):
    """A machine without any isolation."""
    monkeypatch.setenv("PATH", "")
    find_isolation.cache_clear()
    yield
    find_isolation.cache_clear()


def test_a_program_that_comes_to_its_end_has_finished(sandbox):
    result = sandbox.run("print('hello')")
    assert result.finished
    assert result.output == "hello\n"


def test_a_program_that_raises_has_failed_and_says_why(sandbox):
    result = sandbox.run("assert 1 + 1 == 3, 'that is two'")
    assert result.end is ProgramEnd.FAILED
    assert "AssertionError: that is two" in result.output


def test_a_program_that_is_no_python_has_failed(sandbox):
    assert "SyntaxError" in sandbox.run("this is no python").output


@pytest.mark.parametrize("program", ["\0", "x = '\ud800'", ""])
def test_any_text_is_a_program(sandbox, program):
    assert sandbox.run(program).end in (ProgramEnd.FAILED, ProgramEnd.FINISHED)


def test_files_threads_processes_and_installed_packages_are_there(sandbox):
    ordinary = """
import subprocess, tempfile, threading, multiprocessing, pathlib, random, click
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x" * 1000)
pathlib.Path("here").write_text("x")
thread = threading.Thread(target=print)
thread.start(); thread.join()
assert subprocess.run(["echo", "x"], capture_output=True, check=True).stdout == b"x\\n"
assert multiprocessing.Lock().acquire()
"""
    result = sandbox.run(ordinary)
    assert result.finished, result.output


def test_the_same_program_ends_the_same_way_every_time(sandbox):
    outputs = {sandbox.run("print({'a', 'b', 'c', 'd', 'e'}, hash('x'))").output for _ in range(3)}
    assert len(outputs) == 1


def test_stdin_is_empty(sandbox):
    assert "EOFError" in sandbox.run("input()").output


def test_many_programs_run_at_once_and_none_sees_another(sandbox):
    async def all_of_them():
        return await asyncio.gather(*(sandbox.arun(f"open('x', 'x').write('{n}'); print({n})") for n in range(20)))

    results = asyncio.run(all_of_them())
    assert [result.output for result in results] == [f"{n}\n" for n in range(20)]
    assert all(result.finished for result in results)


def test_a_program_that_a_child_finishes_in_its_place_has_failed(sandbox):
    assert not sandbox.run("import os\nif os.fork(): os._exit(1)").finished
    assert not sandbox.run("import os\nif os.fork():\n    os.wait()\n    os._exit(0)").finished


def test_a_sandbox_that_does_not_start_is_no_failed_program():
    def broken(limits):
        return nullcontext(Launch(command=("/bin/sh", "-c", "echo no room >&2; exit 1")))

    with pytest.raises(SandboxError, match="no room"):
        Sandbox(isolation=broken).run("x = 1")


def test_without_any_isolation_the_sandbox_refuses_and_says_what_to_install(nothing_here):
    with pytest.raises(UsageError, match=r"apt-get install bubblewrap.*--unsafe-exec"):
        Sandbox()


def test_unsafe_execution_has_to_be_asked_for(nothing_here, monkeypatch):
    monkeypatch.setenv("SECRET_API_KEY", "very secret")
    chosen = find_isolation(unsafe_allowed=True)
    assert chosen is unsafe
    result = Sandbox(isolation=chosen).run("import os; print(dict(os.environ)); open('x', 'w').write('x')")
    assert result.finished
    assert "very secret" not in result.output
    assert Sandbox(isolation=chosen, limits=ProgramLimits(seconds=0.5)).run("while True: pass").end is ProgramEnd.TIME


def test_docker_is_told_every_limit_and_its_container_is_ended(tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    fake = tmp_path / "docker"
    fake.write_text(f"#!/bin/sh\necho $@ >> {calls}")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with docker(ProgramLimits(memory=2**30, processes=7)) as launch:
        command = launch.command
    for walls in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        f"--memory {2**30}",
        "--pids-limit 7",
        "--pull never",
    ):
        assert walls in " ".join(command)
    assert calls.read_text().startswith("kill collab-")


def with_tests(problem: dict[str, str], code: str) -> str:
    return f"{code}\n{problem['test']}\ncheck({problem['entry_point']})"


def canonical(problem: dict[str, str]) -> str:
    return problem["prompt"] + problem["canonical_solution"]


def mutated(problem: dict[str, str]) -> str:
    """The canonical solution, but it returns a list with the right value in it."""
    tree = ast.parse(canonical(problem))
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == problem["entry_point"]:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    node.value = ast.List(elts=[node.value], ctx=ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def stub(problem: dict[str, str]) -> str:
    return problem["prompt"] + "    return None\n"


@pytest.mark.skipif(not PROBLEMS.exists(), reason=f"HumanEval is not at {PROBLEMS}")
def test_the_canonical_solutions_of_human_eval_all_pass_and_mutations_do_not(sandbox):
    problems = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]

    async def passed(solve):
        runs = await asyncio.gather(*(sandbox.arun(with_tests(problem, solve(problem))) for problem in problems))
        return [result.finished for result in runs]

    assert asyncio.run(passed(canonical)) == [True] * 164
    assert asyncio.run(passed(mutated)) == [False] * 164
    assert asyncio.run(passed(stub)) == [False] * 164
