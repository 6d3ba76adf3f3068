"""How many replies of a small model can be read, as the simulated user and as the judge, with a schema and without.

    python benchmarks/small_model.py CHATS [--model FOLDER] [--turns 50] [--max-tokens 200] [--json out.json]
    python benchmarks/small_model.py CHATS --model FOLDER --api-base http://localhost:8000/v1 --served NAME

SmolLM2-135M-Instruct plays the user after the first turns of the chats, and judges the chats up to there, at
temperature 1: once for each turn, all at the same time. The prompts and the reader are the package's own. `hf:` is the
model in this process, `HTTP` the same behind an OpenAI-compatible server on loopback; `--api-base` measures that server
in place of both. `schema`: whether the request carries the JSON Schema of the reply; without it the prompt alone asks
for the form.

`at once` counts samples whose first reply could be read, `repaired` those whose second one could, after the model was
told what was wrong, `unreadable` those that were lost. `cut off` ran into --max-tokens, and says so: the share of
readable samples is of the others. The JSON holds what was said in those that were lost.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from table import Row, finish, judged

from collab_sdk import ChatModel, ChatReply, ChatRequest, Conversation, Engine, Simulator, Turn, as_chat_model
from collab_sdk import read_conversations as read
from collab_sdk.errors import TruncatedReplyError, UnreadableReplyError
from collab_sdk.metrics import Judge, as_metric
from collab_sdk.types import Goal

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.brain import brain_of, varied
from support.server import LoopbackServer
from support.smollm2 import smollm2_folder

TARGET = 1.0
METRICS = ("goal", "interactivity")


class Heard:
    """A model that is asked for one sample, with the schema of the reply or without; it counts what it says."""

    fingerprint = None
    """So that no reply is kept."""
    timeout = None

    def __init__(self, model: ChatModel, *, with_schema: bool) -> None:
        self.name, self.price = model.name, model.price
        self.overrides: Mapping[str, Any] = getattr(model, "overrides", {})
        self.replies: list[ChatReply] = []
        self.problem = ""
        self._model, self._with_schema = model, with_schema

    async def achat(self, request: ChatRequest) -> ChatReply:
        reply = await self._model.achat(request if self._with_schema else replace(request, reply_schema=None))
        self.replies.append(reply)
        return reply


Ask = Callable[[Heard, Engine, Turn, Goal, str], Awaitable[object]]


async def play(model: Heard, engine: Engine, turn: Turn, goal: Goal, sample: str) -> object:
    return await Simulator(model, engine=engine).areply((*turn.history, *turn.response), goal=goal, sample=sample)


async def judge(model: Heard, engine: Engine, turn: Turn, goal: Goal, sample: str) -> object:
    rubrics = {name: as_metric(name).rubric(goal) for name in METRICS}
    return await Judge(model, engine=engine).ajudge((*turn.history, *turn.response), goal=goal, rubrics=rubrics)


async def outcome(model: Heard, asked: Awaitable[object]) -> str:
    try:
        await asked
    except TruncatedReplyError:
        return "cut off"
    except UnreadableReplyError as error:
        model.problem = str(error)
        return "unreadable"
    return "at once" if len(model.replies) == 1 else "repaired"


async def measure(
    model: ChatModel, ask: Ask, turns: list[tuple[Turn, Goal]], *, with_schema: bool
) -> tuple[Row, list[dict[str, Any]]]:
    """The counts, and what was said in the samples that were lost."""
    engine = Engine()
    heard = [Heard(model, with_schema=with_schema) for _ in turns]
    started = time.perf_counter()
    samples = [
        outcome(one, ask(one, engine, turn, goal, str(number)))
        for number, (one, (turn, goal)) in enumerate(zip(heard, turns, strict=True))
    ]
    counts = Counter(await asyncio.gather(*samples))
    seconds = time.perf_counter() - started
    tokens = sum(reply.completion_tokens or 0 for one in heard for reply in one.replies)
    whole = counts.total() - counts["cut off"]
    row = {
        **{name: counts[name] for name in ("at once", "repaired", "unreadable", "cut off")},
        "readable": (counts["at once"] + counts["repaired"]) / max(1, whole),
        "seconds": seconds,
        "tokens/s": tokens / seconds,
    }
    lost = [one for one in heard if one.problem]
    return row, [{"problem": one.problem, "replies": [reply.content for reply in one.replies]} for one in lost]


def first_turns(chats: list[Conversation], n: int) -> list[tuple[Turn, Goal]]:
    turns = ((turn, chat.goal) for chat in chats if chat.goal for turn in chat.turns())
    return list(islice(turns, n))


@contextmanager
def roads(options: argparse.Namespace) -> Iterator[dict[str, ChatModel]]:
    """The model, as it can be reached, by what that is called."""
    settings = {"temperature": 1.0, "max_tokens": options.max_tokens}
    if options.api_base:
        yield {"HTTP": as_chat_model(f"openai/{options.served}", api_base=options.api_base, api_key="-", **settings)}
        return
    local = as_chat_model(f"hf:{options.model or smollm2_folder()}", **settings)
    with LoopbackServer(varied(brain_of(local))) as server:
        yield {"hf:": local, "HTTP": as_chat_model("hosted_vllm/smollm2", api_base=server.api_base, **settings)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chats", help="logged chats with their goals")
    parser.add_argument("--model", help="the folder of another model")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--api-base")
    parser.add_argument("--served", default="smollm2", help="what the server at --api-base calls its model")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    turns = first_turns(list(read([options.chats])), options.turns)

    rows: list[Row] = []
    unreadable: list[dict[str, Any]] = []
    with roads(options) as models:
        for road, model in models.items():
            for with_schema in (True, False):
                for role, ask in (("simulator", play), ("judge", judge)):
                    what = {"road": road, "role": role, "schema": with_schema}
                    row, lost = asyncio.run(measure(model, ask, turns, with_schema=with_schema))
                    rows.append({**what, **row})
                    print(rows[-1], file=sys.stderr)
                    unreadable += [{**what, **one} for one in lost]
    verdicts = [
        judged(f"readable, {row['role']} over {row['road']}", row["readable"], at_least=TARGET)
        for row in rows
        if row["schema"]
    ]
    finish(rows, verdicts, options.path, unreadable=unreadable)


if __name__ == "__main__":
    main()
