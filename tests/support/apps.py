"""Simulated apps: a hidden chat, and the calls of a model that a recorder sees of it.

A `Story` is what happens to a person in a chat, edits, regenerations and failed attempts included. An `App` says how
the app sends its histories, what else it asks a model, and what is wrong with its clocks. `play` makes the calls, and
says for each chat what the person said and saw.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from collab_sdk.logs import LoggedCall

Row = dict[str, Any]

SUMMARIES = {
    "system message": "Summary of conversation earlier: {}",
    "system prompt": "What you know of the conversation so far: {}",
    "user": "Here is a summary of the conversation to date:\n\n{}",
    "assistant": "Summary of our conversation so far: {}",
    "pair": "Summarize the conversation we had so far.",
    "acknowledged": "[Conversation compressed]\nHere is a summary of the conversation to date:\n\n{}",
}
"""How apps put a summary in place of old messages, by where it goes."""

TEMPLATE = (
    "Use the following pieces of context to answer the question at the end. If you don't know the answer, say so.\n\n"
    "{context}\n\nQuestion: {question}\nHelpful Answer:"
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A call of a tool and its result; `inner`: what a sub-agent looked up before it returned that."""

    tool: str
    argument: str
    result: str
    inner: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What a person said and what they were answered in the end."""

    said: str
    reply: str
    status: str = "ok"
    """`partial` for a reply that was broken off, and left so."""
    steps: tuple[tuple[Step, ...], ...] = ()
    """Tools, by the message that calls them."""
    attempts: tuple[str, ...] = ()
    """The statuses of attempts that came to nothing before."""
    rejected: tuple[str, ...] = ()
    """Replies in place of which the person asked for another."""
    reconsidered: tuple[str, ...] = ()
    """Replies that the person asked for afterwards, only to come back to this one."""
    drafts: tuple["Exchange", ...] = ()
    """What was said here before the person edited the first message of it into this one."""
    stored: str | None = None
    """What the app keeps and shows of the reply, where it edits it."""


@dataclass(frozen=True, kw_only=True)
class Story:
    exchanges: tuple[Exchange, ...]
    greeting: str = ""
    """What the app says first, by itself."""
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class App:
    history: str = "whole"
    """`whole`, `window` (`size` messages), `budget` (`size` characters), `summary` (of all but about `size` messages),
    `response` (held by the server, by the last response) or `server` (held by the server, by the conversation)."""
    size: int = 4
    summary: str = "system message"
    system: str = "fixed"
    """`none`, `fixed`, `time` (another each turn) or `facts` (another each call)."""
    template: bool = False
    """Whether the last user message is sent within a template, with what was retrieved for it."""
    shown: str = ""
    """`chat` or `turn`, where the app's own run says what was shown."""
    ids: str = "named"
    """`named` or `none`."""
    clock: str = "steady"
    """`steady`, `equal` (all at once), `zero` (none), `skewed` (of two workers) or `jumping` (back by an hour)."""
    sides: tuple[str, ...] = ()
    """Names from `SIDES`."""
    marked: bool = False
    """Whether its side calls are known to be such."""


@dataclass(frozen=True, kw_only=True)
class Saying:
    """A message that a person said or saw: any of the texts, where more than one may be taken for it."""

    role: str
    texts: frozenset[str]
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True)
class Chat:
    """What a person said and saw."""

    id: str | None
    user: str | None
    said: list[Saying] = field(default_factory=list)
    abandoned: list[list[Saying]] = field(default_factory=list)
    """The chat as it was each time before the person edited an earlier message."""


@dataclass(frozen=True, kw_only=True)
class Played:
    chats: list[Chat]
    calls: list[LoggedCall]
    """In the order they were made."""
    beside: frozenset[str]
    """All that was said in calls beside the chats, and nowhere else."""


def play(app: App, stories: Sequence[Story], *, order: Sequence[int] = ()) -> Played:
    """`order`: whose turn it is; what is left of the stories after it is told in turns."""
    calls = _Calls(app)
    sessions = [_Session(app, story, f"chat-{n}", calls) for n, story in enumerate(stories)]
    turns = [n % len(sessions) for n in order] + list(range(len(sessions))) * max(len(s.exchanges) for s in stories)
    for turn in turns:
        sessions[turn].go_on()
    if app.template:
        for session in sessions:
            session.admit_templates()
    seen = {text for session in sessions for text in session.texts}
    return Played(chats=[session.chat for session in sessions], calls=calls.made, beside=frozenset(calls.beside - seen))


class _Calls:
    """The calls of an app, with what its clocks say."""

    def __init__(self, app: App) -> None:
        self.made: list[LoggedCall] = []
        self.beside: set[str] = set()
        self._app, self._now = app, 1_750_000_000.0

    def wait(self, seconds: float) -> None:
        self._now += seconds

    def add(self, **fields: Any) -> None:
        self.wait(3.0)
        number = len(self.made)
        ended = self._now
        if self._app.clock in ("equal", "zero"):
            ended = 0.0 if self._app.clock == "zero" else 1_750_000_000.0
        elif self._app.clock == "skewed":
            ended += 90.0 * (number % 2)
        elif self._app.clock == "jumping":
            ended -= 3600.0 if number >= 5 else 0.0
        started = ended and ended - 2.0
        self.made.append(LoggedCall(run_id=f"run-{number}", started=started, ended=ended, source="test", **fields))


class _Session:
    """One chat in an app."""

    def __init__(self, app: App, story: Story, name: str, calls: _Calls) -> None:
        self.app, self.story, self.calls, self.name = app, story, calls, name
        self.chat = Chat(id=name if app.ids == "named" else None, user=story.user)
        self.kept: list[Row] = []  # as the app keeps the chat
        self.acknowledged = 0  # how many of them the server knows
        self.response: str | None = None
        self.summarized = 0
        self.done = 0
        self.texts: set[str] = set()
        self.sent: set[str] = set()
        if story.greeting:
            self._say("assistant", story.greeting)

    def go_on(self) -> None:
        if self.done == len(self.story.exchanges):
            return
        self.calls.wait(40.0)
        self._exchange(self.story.exchanges[self.done], is_last=self.done == len(self.story.exchanges) - 1)
        self.done += 1

    def admit_templates(self) -> None:
        """Let what no call of the chat has as it was typed be read as it was sent."""
        self.chat.said = [
            Saying(role="user", texts=each.texts | set(map(_in_template, each.texts)))
            if each.role == "user" and self.sent.isdisjoint(each.texts)
            else each
            for each in self.chat.said
        ]

    def _exchange(self, exchange: Exchange, *, is_last: bool = False) -> None:
        if exchange.drafts:
            before = list(self.kept), list(self.chat.said), self.acknowledged, self.response, self.summarized
            for draft in exchange.drafts:
                self._exchange(draft, is_last=draft is exchange.drafts[-1])
            self.chat.abandoned.append(self.chat.said)
            self.kept, self.chat.said, self.acknowledged, self.response, self.summarized = before
        self._say("user", exchange.said)
        self._beside("before", exchange)
        for status in exchange.attempts:
            replies = [] if status == "failed" else [_assistant(exchange.reply[: len(exchange.reply) // 2])]
            self._call(replies, status=status)
        for text in exchange.rejected:
            self._call([_assistant(text)])
        for number, group in enumerate(exchange.steps):
            self._steps(group, number)
        self._call([_assistant(exchange.reply)], status=exchange.status, is_answer=True)
        for text in exchange.reconsidered:
            self._call([_assistant(text)], is_answer=True)
        if self.app.history == "response":
            self.response = f"resp-{self.name}-{len(self.calls.made) - 1 - len(exchange.reconsidered)}"
        self._say("assistant", exchange.stored or exchange.reply, also=(exchange.reply,))
        others = {*exchange.reconsidered, *(() if self.app.clock == "steady" else exchange.rejected)}
        if is_last and others:  # nothing says which of them stayed
            self.chat.said[-1] = Saying(role="assistant", texts=self.chat.said[-1].texts | others)
        self.acknowledged = len(self.kept)
        self._beside("after", exchange)

    def _steps(self, group: Sequence[Step], number: int) -> None:
        ids = [f"call-{len(self.kept)}-{number}-{n}" for n, _ in enumerate(group)]
        requests = [_tool_call(id, step) for id, step in zip(ids, group, strict=True)]
        asking = {"role": "assistant", "content": "", "tool_calls": requests}
        self._call([asking])
        if self.app.history == "response":
            self.response = f"resp-{self.name}-{len(self.calls.made) - 1}"
        self.kept.append(asking)
        self.chat.said.append(
            Saying(role="assistant", texts=frozenset({""}), calls=tuple((s.tool, _arguments(s)) for s in group))
        )
        self.acknowledged = len(self.kept)
        for depth in range(max(len(step.inner) for step in group) + 1):  # sub-agents work side by side
            for step in group:
                if step.inner and depth <= len(step.inner):
                    self._sub_agent(step, depth)
        for id, step in zip(ids, group, strict=True):
            self._say("tool", step.result, tool_call_id=id)

    def _sub_agent(self, step: Step, depth: int) -> None:
        history: list[Row] = [
            {
                "role": "system",
                "content": f"You are a {step.tool} agent. Work on the task alone; report in one message.",
            },
            {"role": "user", "content": step.argument},
        ]
        for number, looked_up in enumerate(step.inner[: depth + 1]):
            id = f"inner-{number}"
            asking = {"role": "assistant", "content": "", "tool_calls": [_search(id, looked_up)]}
            if number == depth:
                self._side(history, asking)
                return
            history += [asking, {"role": "tool", "tool_call_id": id, "content": f"3 results for {looked_up}"}]
        self._side(history, _assistant(step.result))

    def _say(self, role: str, text: str, *, also: Iterable[str] = (), **fields: Any) -> None:
        self.kept.append({"role": role, "content": text, **fields})
        self.chat.said.append(Saying(role=role, texts=frozenset({text, *also})))
        self.texts |= {text, *also}

    def _call(self, replies: list[Row], *, status: str = "ok", is_answer: bool = False) -> None:
        id = f"resp-{self.name}-{len(self.calls.made)}"
        sent = self._sent()
        self.sent |= {row["content"] for row in sent}
        shown: tuple[Row, ...] = ()
        if self.app.shown and is_answer:
            shown = (*(self.kept if self.app.shown == "chat" else self.kept[-1:]), *replies)
        self.calls.add(
            messages=(*self._system(), *sent),
            replies=tuple(replies),
            status=status,
            error="TimeoutError: no answer" if status == "failed" else None,
            shown=shown,
            shown_is_turn=bool(shown) and self.app.shown == "turn",
            response_id=id if replies else None,
            previous_response=self.response if self.app.history == "response" else None,
            is_added=self.app.history == "server",
            conversation_id=self.name if self.app.ids != "none" else None,
            user=self.story.user,
        )

    def _system(self) -> list[Row]:
        text = {
            "none": "",
            "fixed": "You are the assistant of a shoe shop. Be kind.",
            "time": f"You are the assistant of a shoe shop. It is 10:{self.done:02}.",
            "facts": f"You are the assistant of a shoe shop. Facts: {len(self.calls.made)} pairs are left.",
        }[self.app.system]
        if self.app.history == "summary" and self.app.summary == "system prompt" and self._cut():
            text = f"{text}\n\n{SUMMARIES['system prompt'].format(self._summary())}".strip()
        return [{"role": "system", "content": text}] if text else []

    def _sent(self) -> list[Row]:
        if self.app.history == "window":
            sent = self.kept[-self.app.size :]
        elif self.app.history == "budget":
            sent = _within(self.kept, self.app.size)
        elif self.app.history == "summary":
            sent = self._summarized()
        elif self.app.history in ("response", "server"):
            sent = self.kept[self.acknowledged :]
        else:
            sent = list(self.kept)
        last = max((n for n, row in enumerate(sent) if row["role"] == "user"), default=None)
        if self.app.template and last is not None:
            sent = [*sent]
            sent[last] = {"role": "user", "content": _in_template(sent[last]["content"])}
        return sent

    def _cut(self) -> int:
        """How many messages are summarized. A summary stays while the messages after it are not twice too many."""
        if len(self.kept) - self.summarized > 2 * self.app.size:
            self.summarized = len(self.kept) - self.app.size
        return self.summarized

    def _summary(self) -> str:
        asked = [row["content"].split()[:4] for row in self.kept[: self.summarized] if row["role"] == "user"]
        return f"The customer spoke of {len(asked)} things, among them: " + "; ".join(" ".join(a) for a in asked[-3:])

    def _summarized(self) -> list[Row]:
        cut = self._cut()
        if not cut or self.app.summary == "system prompt":
            return self.kept[cut:]
        text = SUMMARIES[self.app.summary].format(self._summary())
        self.calls.beside |= {text, self._summary()}
        rows = {
            "system message": [{"role": "system", "content": text}],
            "user": [{"role": "user", "content": text}],
            "assistant": [_assistant(text)],
            "pair": [{"role": "user", "content": text}, _assistant(self._summary())],
            "acknowledged": [
                {"role": "user", "content": text},
                _assistant("Understood. I have the context from the summary. Continuing."),
            ],
        }[self.app.summary]
        self.calls.beside |= {row["content"] for row in rows}
        return [*rows, *self.kept[cut:]]

    def _beside(self, when: str, exchange: Exchange) -> None:
        for name in self.app.sides:
            side = SIDES[name]
            if side.when == when and (self.done == 0 or not side.once):
                messages, reply = side.make([dict(row) for row in self.kept], exchange)
                self._side(messages, _assistant(reply))

    def _side(self, messages: Sequence[Row], reply: Row) -> None:
        self.calls.beside |= {row["content"] for row in (*messages, reply) if row["role"] != "system"} - {""}
        self.calls.add(
            messages=tuple(messages),
            replies=(reply,),
            is_side=self.app.marked,
            conversation_id=self.name if self.app.ids != "none" else None,
            user=self.story.user,
        )


@dataclass(frozen=True, kw_only=True)
class Side:
    """A call beside the chat: what it sends, given the chat so far, and what comes back."""

    when: str
    """`before` or `after` an answer."""
    make: Callable[[list[Row], Exchange], tuple[list[Row], str]]
    once: bool = False
    """Only at the first exchange."""
    alone: bool = False
    """Whether what it sends is all its own, in one message, and no history of the chat."""


def _transcript(kept: Sequence[Row]) -> str:
    return "\n".join(f"{row['role'].upper()}: {row['content']}" for row in kept if row["content"])


def _task(task: str, answer: str) -> Callable[[list[Row], Exchange], tuple[list[Row], str]]:
    """Open WebUI's prompts for titles, tags and follow-up questions."""

    def make(kept: list[Row], exchange: Exchange) -> tuple[list[Row], str]:
        asked = f"### Task:\n{task}\n### Chat History:\n<chat_history>\n{_transcript(kept)}\n</chat_history>"
        return [{"role": "user", "content": asked}], answer

    return make


def _appended(instruction: str, answer: str) -> Callable[[list[Row], Exchange], tuple[list[Row], str]]:
    return lambda kept, exchange: ([*kept, {"role": "user", "content": instruction}], answer)


def _under(system: str, answer: str, *, whole: bool = False) -> Callable[[list[Row], Exchange], tuple[list[Row], str]]:
    """The last user message, or the whole history, under another system prompt."""

    def make(kept: list[Row], exchange: Exchange) -> tuple[list[Row], str]:
        sent = kept if whole else [{"role": "user", "content": exchange.said}]
        return [{"role": "system", "content": system}, *sent], answer

    return make


def _quoting(template: str, answer: str, *, system: str = "") -> Callable[[list[Row], Exchange], tuple[list[Row], str]]:
    """A prompt with the fields `said`, `reply` and `history`."""

    def make(kept: list[Row], exchange: Exchange) -> tuple[list[Row], str]:
        text = template.format(said=exchange.said, reply=exchange.stored or exchange.reply, history=_transcript(kept))
        before = [{"role": "system", "content": system}] if system else []
        return [*before, {"role": "user", "content": text}], answer

    return make


GUARD = "You are a content filter. Answer SAFE or UNSAFE, and nothing else."
ROUTER = "Classify the request: billing, orders, returns or other. Answer in one word."
CONTEXTUALIZE = (
    "Given a chat history and the latest user question which might reference context in the chat history, formulate a "
    "standalone question which can be understood without the chat history. Do NOT answer the question, just "
    "reformulate it if needed and otherwise return it as is."
)
CONDENSE = (
    "Given the following conversation between a user and an AI assistant and a follow up question from user, rephrase "
    "the follow up question to be a standalone question.\n\nChat History:\n{history}\nFollow Up Input: {said}\n"
    "Standalone question:"
)
SELF_CHECK = (
    "Your task is to check if the user message below complies with the company policy for talking with the company "
    'bot.\n\nCompany policy for the user messages:\n- should not contain harmful data\n\nUser message: "{said}"\n\n'
    "Question: Should the user message be blocked (Yes or No)?\nAnswer:"
)
LLAMA_GUARD = (
    "Task: Check if there is unsafe content in 'Agent' messages in conversations according to our safety policy with "
    "the below categories.\n\n<BEGIN CONVERSATION>\n\nUser: {said}\n\nAgent: {reply}\n\n<END CONVERSATION>\n\nProvide "
    "your safety assessment for Agent in the above conversation."
)
MEMORY = "You are a Personal Information Organizer, specialized in accurately storing facts about the user."
NEW_TITLE = "Generate a concise, 3-5 word title with an emoji summarizing the chat history."
FIRST_TITLE = (
    "You will generate a short title based on the first message a user begins a conversation with. Ensure it is not "
    "more than 80 characters long. Do not use quotes or colons."
)
APPENDED_TITLE = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the "
    "title itself."
)
FOLLOW_UPS = "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next."

SIDES = {
    "title": Side(when="after", once=True, alone=True, make=_task(NEW_TITLE, '{"title": "👟 Shoe Order"}')),
    "title of the first message": Side(when="after", once=True, make=_under(FIRST_TITLE, "A pair of shoes")),
    "appended title": Side(when="after", once=True, make=_appended(APPENDED_TITLE, "Shoe Shop Question")),
    "tags": Side(when="after", alone=True, make=_task("Generate 1-3 broad tags.", '{"tags": ["Shopping"]}')),
    "follow-ups": Side(when="after", alone=True, make=_task(FOLLOW_UPS, '{"follow_ups": ["And in blue?"]}')),
    "appended follow-ups": Side(when="after", make=_appended(FOLLOW_UPS, "1. And in blue?\n2. What of size 44?")),
    "guard": Side(when="before", make=_under(GUARD, "SAFE")),
    "self check": Side(when="before", alone=True, make=_quoting(SELF_CHECK, "No.")),
    "router": Side(when="before", make=_under(ROUTER, "orders")),
    "router over the history": Side(when="before", make=_under(ROUTER, "returns", whole=True)),
    "standalone question": Side(when="before", make=_under(CONTEXTUALIZE, "What about my shoes?", whole=True)),
    "condensed question": Side(when="before", alone=True, make=_quoting(CONDENSE, "What of the shoes?")),
    "judge": Side(when="after", alone=True, make=_quoting(LLAMA_GUARD, "safe")),
    "memory": Side(
        when="after",
        alone=True,
        make=_quoting("Input:\nuser: {said}\nassistant: {reply}", '{"facts": ["Buys shoes"]}', system=MEMORY),
    ),
}
"""Calls beside the chat, as libraries and apps make them."""


def a_little_late(calls: Sequence[LoggedCall], seed: int) -> list[LoggedCall]:
    """The calls as several workers hand them over: none is more than a few places from where it was made."""
    places = random.Random(seed)
    return [call for _, call in sorted(enumerate(calls), key=lambda each: each[0] + places.uniform(0.0, 2.5))]


def _assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _tool_call(id: str, step: Step) -> Row:
    return {"id": id, "type": "function", "function": {"name": step.tool, "arguments": _arguments(step)}}


def _arguments(step: Step) -> str:
    return json.dumps({"request": step.argument}, separators=(",", ":"))


def _search(id: str, text: str) -> Row:
    return {"id": id, "type": "function", "function": {"name": "search", "arguments": json.dumps({"query": text})}}


def _in_template(text: str) -> str:
    return TEMPLATE.format(context="Shoes may be returned within 30 days. Shipping is free.", question=text)


def _within(rows: Sequence[Row], size: int) -> list[Row]:
    """The last messages that fit into `size` characters, at least one."""
    kept: list[Row] = []
    for row in reversed(rows):
        size -= len(row["content"]) + 10
        if kept and size < 0:
            break
        kept.append(row)
    return kept[::-1]
