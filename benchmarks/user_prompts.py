"""Three prompts for the simulated user on the same cases: the paper's, this package's before it was rewritten, today's.

    python benchmarks/user_prompts.py CHATS [--model NAME] [--chats 5] [--max-tokens 120] [--json out.json]

The paper's is that of the code released with CollabLLM (arXiv 2502.00640; github.com/Wuyxin/collabllm at 2611521,
collabllm/prompts/user_simulator.txt, MIT), filled as that code fills it; the texts are in benchmarks/user_prompts.
By default SmolLM2-135M-Instruct plays, in this process, at temperature 1.

Each chat gives three cases: nothing said yet, its first answer, and its last one, with which the real user left. Each
is asked twice: without a schema, which tells how many first answers can be read, and under the JSON Schema of the
prompt's own form, where nearly all can, which tells what is said. Of the latter, by rules: `in character` says nothing
that only an assistant says; `no leak` has no line of the goal in it, and no four words of it in a row; `begins` opens
an empty conversation with some of what is wanted, in character, without a leak and without leaving; `stays` does not
leave after the first answer, `leaves` does after the last; `Spanish` answers the last line of a Spanish chat in
Spanish. In brackets the 95 % interval over chats.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from table import Row, finish

from collab_sdk import ChatModel, ChatReply, ChatRequest, Conversation, Engine, Message, as_chat_model
from collab_sdk import read_conversations as read
from collab_sdk.engine.asking import prompt_request
from collab_sdk.errors import SampleError
from collab_sdk.models import CallRole, Flag, Note, Record, Text, read_reply
from collab_sdk.prompts import fence, fence_goal, fence_transcript, json_line
from collab_sdk.simulator.base import Situation
from collab_sdk.simulator.prompted import FORM, prompt_fields
from collab_sdk.spec import ModelSettings
from collab_sdk.stats import estimate_share
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Goal

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.smollm2 import smollm2_folder

TEXTS = Path(__file__).with_suffix("")
SIGNAL = "[[TERMINATE CHAT]]"
PAPER_FORM = Record(fields={"current_answer": Note(), "thought": Note(), "response": Text()})
FORM_BEFORE = Record(fields={"reason": Note(), "done": Flag(null=False), "message": Text(default="")})
ASSISTANT = re.compile(
    r"how (?:can|may) i (?:help|assist)|(?:can|may) i help you|happy to (?:help|assist)|glad to (?:help|assist)"
    r"|\bas an ai\b|language model|here to help|assist you|help you (?:with|find|to)|let me know if|feel free to"
    r"|you(?:'re| are) welcome|what (?:can|would you like) (?:i|me to) |your order (?:is|has|will)"
    r"|would you like|do you want|i(?:'ll| will| can) (?:help|prepare|make you|get you|provide)",
    re.IGNORECASE,
)
WORD = re.compile(r"\w+")
RUN = 4
SPANISH = frozenset(
    "de la que el en y a los se del las un por con no una su para es al lo como más pero sus le o sí "
    "quiero gracias hola leche café favor está perfecto grande".split()
)
ENGLISH = frozenset(
    "the of and to a in is i it that you for on with my please thanks like want have can this be "
    "your me what would coffee milk yes no order".split()
)
SPANISH_CHATS = (
    ("bebida: capuchino\nleche: de avena\ntamaño: grande", "hola, quiero un capuchino", "¿Con qué leche lo quiere?"),
    ("bebida: té verde\npara: llevar", "un té verde por favor", "¿Para tomar aquí o para llevar?"),
    ("destino: Sevilla\ndía: lunes", "busco un tren a Sevilla", "Claro, ¿qué día quiere viajar?"),
    ("mesa: dos personas\nhora: las nueve", "quiero reservar una mesa", "¿Para cuántas personas y a qué hora?"),
    ("pizza: cuatro quesos\nsin: cebolla", "me apetece una pizza", "¿Qué pizza le pongo?"),
    ("libro: poesía\nautor: Lorca", "busco un libro", "¿De qué género o de qué autor?"),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    chat: str
    kind: str
    goal: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a prompt's answer comes to, whatever its form."""

    message: str
    left: bool


def paper_request(case: Case) -> tuple[str, ...]:
    history = "\n".join(f"**{message.role.capitalize()}**: {message.content}" for message in case.messages)
    task = "The user asks an assistant for something and talks with it until they have it."
    filled = (TEXTS / "paper.txt").read_text()
    # Not str.format: the text has braces of its own in no place, and chats may have some.
    for name, value in (
        ("task_desc", task),
        ("single_turn_prompt", case.goal),
        ("chat_history", history),
        ("terminal_signal", SIGNAL),
    ):
        filled = filled.replace("{" + name + "}", value)
    return (filled,)


def before_request(case: Case) -> tuple[str, ...]:
    style = [message.content for message in case.messages if message.role == "user"]
    turn = (TEXTS / "before_turn.txt").read_text().strip()
    for name, value in (
        ("goal", fence_goal(case.goal)),
        ("style", fence("examples", "\n".join(map(json_line, style)) or "(none)")),
        ("transcript", fence_transcript(case.messages)),
    ):
        turn = turn.replace(f"${name}", value)
    return (TEXTS / "before.txt").read_text().strip(), turn


def today_request(case: Case) -> tuple[str, ...]:
    style = tuple(message.content for message in case.messages if message.role == "user")
    fields = prompt_fields(Situation(messages=case.messages, goal=Goal(text=case.goal, style=style)))
    request = prompt_request(CallRole.SIMULATOR, "simulator", fields, form=FORM, settings=ModelSettings())
    return tuple(message.content for message in request.messages)


def paper_said(answer: Any) -> Said:
    said = PAPER_FORM.read(answer)["response"].strip()
    return Said(message=said.replace(SIGNAL, "").strip(), left=SIGNAL in said)


def own_said(form: Record) -> Callable[[Any], Said]:
    def read_said(answer: Any) -> Said:
        said = form.read(answer)
        if not said["message"].strip() and not said["done"]:
            raise ValueError("neither a message nor an end")
        return Said(message=said["message"].strip(), left=bool(said["done"]))

    return read_said


Prompt = tuple[Callable[[Case], tuple[str, ...]], Record, Callable[[Any], Said]]
PROMPTS: Mapping[str, Prompt] = {
    "paper": (paper_request, PAPER_FORM, paper_said),
    "before": (before_request, FORM_BEFORE, own_said(FORM_BEFORE)),
    "today": (today_request, FORM, own_said(FORM)),
}


def cases_of(chat: Conversation) -> list[Case]:
    turns = list(chat.turns())
    goal = chat.goal.text if chat.goal else ""
    ends = {
        "begin": (),
        "first": (*turns[0].history, *turns[0].response),
        "last": (*turns[-1].history, *turns[-1].response),
    }
    return [Case(chat=chat.id, kind=kind, goal=goal, messages=messages) for kind, messages in ends.items()]


def spanish_cases() -> list[Case]:
    return [
        Case(
            chat=f"es-{number}",
            kind="Spanish",
            goal=goal,
            messages=(Message(role="user", content=asked), Message(role="assistant", content=answer)),
        )
        for number, (goal, asked, answer) in enumerate(SPANISH_CHATS)
    ]


def in_character(said: Said) -> bool:
    return not ASSISTANT.search(said.message)


def keeps_goal(case: Case, said: Said) -> bool:
    message = said.message.casefold()
    if any(": " in line and line.casefold() in message for line in case.goal.splitlines()):
        return False
    return not _runs(case.goal) & _runs(said.message)


def _runs(text: str) -> set[tuple[str, ...]]:
    words = WORD.findall(text.casefold())
    return {tuple(words[place : place + RUN]) for place in range(len(words) - RUN + 1)}


def begins(case: Case, said: Said) -> bool:
    wanted = {word for line in case.goal.splitlines() for word in WORD.findall(line.partition(": ")[2].casefold())}
    asked = bool(wanted & set(WORD.findall(said.message.casefold())))
    return asked and not said.left and in_character(said) and keeps_goal(case, said)


def in_spanish(said: Said) -> bool:
    words = WORD.findall(said.message.casefold())
    return sum(word in SPANISH for word in words) > sum(word in ENGLISH for word in words)


async def answers(
    model: ChatModel, cases: Sequence[Case], prompt: Prompt, *, with_schema: bool, max_tokens: int
) -> list[Said | None]:
    """What is said in each case; None where the first answer cannot be read."""
    make, form, said = prompt
    engine = Engine()

    async def answer(number: int, case: Case) -> Said | None:
        texts = make(case)
        roles = ("system", "user") if len(texts) == 2 else ("user",)
        request = ChatRequest(
            role=CallRole.SIMULATOR,
            messages=tuple(Message(role=role, content=text) for role, text in zip(roles, texts, strict=True)),
            settings=ModelSettings(temperature=1.0, max_tokens=max_tokens),
            reply_schema=form.schema if with_schema else None,
            sample=f"{number}",
        )
        try:
            reply: ChatReply = await engine.call(model, request)
            return read_reply(reply.content, said, prompt=texts, thought=reply.reasoning)
        except (SampleError, ValueError):
            return None

    return list(await asyncio.gather(*(answer(number, case) for number, case in enumerate(cases))))


def share(values: Sequence[tuple[str, bool]]) -> str:
    """With its interval over chats, and of how many answers."""
    by_chat: dict[str, list[float]] = {}
    for chat, value in values:
        by_chat.setdefault(chat, []).append(float(value))
    found = estimate_share(list(by_chat.values()))
    return "-" if found is None else f"{found:.2f} n={len(values)}"


def measured(name: str, cases: Sequence[Case], plain: Sequence[Said | None], held: Sequence[Said | None]) -> Row:
    make = PROMPTS[name][0]
    heard = [(case, said) for case, said in zip(cases, held, strict=True) if said is not None]

    def of(kind: str, test: Callable[[Case, Said], bool]) -> str:
        return share([(case.chat, test(case, said)) for case, said in heard if kind in ("", case.kind)])

    return {
        "prompt": name,
        "tokens": fmean(sum(map(count_tokens, make(case))) for case in cases),
        "readable": share([(case.chat, said is not None) for case, said in zip(cases, plain, strict=True)]),
        "readable, schema": share([(case.chat, said is not None) for case, said in zip(cases, held, strict=True)]),
        "in character": of("", lambda case, said: in_character(said)),
        "no leak": of("", keeps_goal),
        "begins": of("begin", begins),
        "stays": of("first", lambda case, said: not said.left),
        "leaves": of("last", lambda case, said: said.left),
        "Spanish": of("Spanish", lambda case, said: in_spanish(said)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chats", help="logged chats with their goals")
    parser.add_argument("--model", help="another model, by its name")
    parser.add_argument("--chats", dest="n", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=120)
    parser.add_argument("--prompt", choices=PROMPTS, action="append", help="only this one; repeatable")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    model = as_chat_model(options.model or f"hf:{smollm2_folder()}")
    chats = (chat for chat in read([options.chats]) if chat.goal and list(chat.turns()))
    cases = [case for chat in islice(chats, options.n) for case in cases_of(chat)] + spanish_cases()

    rows: list[Row] = []
    examples: dict[str, list[dict[str, str]]] = {}
    for name in options.prompt or PROMPTS:
        prompt = PROMPTS[name]
        plain, held = (
            asyncio.run(answers(model, cases, prompt, with_schema=schema, max_tokens=options.max_tokens))
            for schema in (False, True)
        )
        rows.append(measured(name, cases, plain, held))
        print(rows[-1], file=sys.stderr)
        examples[name] = [
            {"case": case.kind, "said": said.message, "left": str(said.left)}
            for case, said in zip(cases, held, strict=True)
            if said is not None
        ]
    finish(list(_turned(rows)), [], options.path, examples=examples)


def _turned(rows: Sequence[Row]) -> Sequence[Row]:
    """A row for each figure: shares with intervals are wide."""
    return [{"": figure, **{row["prompt"]: row[figure] for row in rows}} for figure in rows[0] if figure != "prompt"]


if __name__ == "__main__":
    main()
