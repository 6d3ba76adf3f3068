"""Programs with tests: BigCodeBench, or HumanEval in its own schema."""

from collab_sdk.metrics.pass_rate import ANSWER_HERE
from collab_sdk.tasks.base import Hub, Row, Task, first_text
from collab_sdk.types import Conversation, Goal

UNITTEST = "import unittest\nassert unittest.main(exit=False).result.wasSuccessful()"


def read(row: Row) -> Conversation:
    """The brief is what the function has to do; the reference is a program that tests it."""
    wanted, tests = first_text(row, "instruct_prompt", "prompt"), first_text(row, "test")
    name = first_text(row, "entry_point")
    # HumanEval's prompt is a function without a body, behind imports and helpers that its tests may use.
    before, check = ("", UNITTEST) if wanted == row.get("instruct_prompt") else (wanted, f"check({name})")
    goal = Goal(
        text=f"task: {wanted}\nwanted: Python code that can be run",
        reference=f"{before}\n{ANSWER_HERE}\n{tests}\n{check}",
    )
    return Conversation(id=str(row.get("task_id") or ""), messages=(), goal=goal)


TASK = Task(
    name="bigcodebench-chat",
    metric="pass_rate",
    read=read,
    hub=Hub(dataset="bigcode/bigcodebench", split="v0.1.2"),
    fields="instruct_prompt or prompt, entry_point and test",
    source="BigCodeBench is at https://huggingface.co/datasets/bigcode/bigcodebench (Apache-2.0).",
)
