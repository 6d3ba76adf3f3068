"""What the server of a model takes, and whether its answers can be read: learnt in the run, once.

What was learnt is kept in the cache beside the replies, one lesson a row, under a key made of what was known before. So
a resumed run makes the same requests, and the same keys, without being refused again.
"""

import json
import warnings
from collections import Counter
from dataclasses import replace

from collab_sdk.cache.base import Cache
from collab_sdk.cache.record import call_key, lesson_identity
from collab_sdk.errors import EndpointError, ParameterRefusedError
from collab_sdk.models.base import ChatModel, ChatReply, ChatRequest
from collab_sdk.models.dialect import PLAIN, RESPONSE_FORMAT, SUCCESSORS, SYSTEM, Dialect, value_text
from collab_sdk.secrets import one_line

MOST_LESSONS = 64
UNREADABLE_AFTER = 20
"""Samples without one readable answer after which a model is given up."""
CONVERSATIONS, OF_FEWER = 3, 3
"""From so many conversations these must be; of fewer, there must be so many times as many samples."""
SHOWN = 200
"""Characters of an unreadable answer that are shown."""


class Negotiation:
    """Of one model, for all roles that it plays."""

    def __init__(self, model: ChatModel, cache: Cache) -> None:
        self._model = model
        self._cache = cache
        self._dialect: Dialect | None = None
        self._taken: set[tuple[str, str]] = set()
        """What the server has taken in this run, each with its value."""
        self._noted: dict[tuple[int, int, str, str], object] = {}
        self._lessons = 0
        self._told: set[str] = set()
        self._readable: set[str] = set()
        self._unreadable: Counter[str] = Counter()
        self._unreadable_in: dict[str, set[str]] = {}
        """In which conversations."""

    async def dialect(self) -> Dialect:
        """What is known now."""
        if self._dialect is None:
            recalled = await self._recall()
            if self._dialect is None:  # another call may have been faster
                self._dialect = recalled
        return self._dialect

    async def fit(self, request: ChatRequest) -> ChatRequest:
        """The request in the form that the server takes. A setting that is left out is told of, once."""
        dialect = await self.dialect()
        if dialect == request.dialect:
            return request
        for left_out in sorted({*dialect.unsent(request.settings).values()} - self._told):
            self._told.add(left_out)
            warnings.warn(f"{self._model.name} does not take {left_out}; it is left out.", stacklevel=2)
        return replace(request, dialect=dialect)

    def took(self, request: ChatRequest) -> None:
        """The server has answered `request`."""
        begins = request.messages[0].role if request.messages else ""
        kind = (id(request.settings), id(request.dialect), begins, request.template)
        if kind not in self._noted:
            self._noted[kind] = (request.settings, request.dialect)  # so that no other gets their ids
            self._taken.update(_parts(request).items())

    async def learn(self, error: ParameterRefusedError, request: ChatRequest) -> bool:
        """Take in that the server has refused `request`; returns whether it is worth asking again.

        It is not if the server has taken the very same before: then the refusal is about this one chat.
        """
        before = await self.dialect()
        if request.dialect != before:  # learnt while this call was under way
            return True
        parameter, sent = error.parameter, _parts(request)
        name, _, _ = parameter.partition("=")
        taken = {each for each, _ in self._taken}
        if self._lessons >= MOST_LESSONS or (name, sent.get(name)) in self._taken:
            return False
        if name in taken and name in (*SUCCESSORS, *SUCCESSORS.values()):
            return False  # a limit that is too high for this one
        if name in taken and name == parameter and name != RESPONSE_FORMAT:
            parameter = f"{name}={sent[name]}"  # it takes another value
        schema = request.reply_schema if RESPONSE_FORMAT in taken else None
        after = before.without(parameter, schema)
        if after == before:
            return False
        self._lessons += 1
        self._dialect = after
        if after.left_out == before.left_out:
            warnings.warn(_lesson(self._model.name, error, after, request), stacklevel=2)
        kept = await self._keep(before, after)
        if self._dialect == after:
            self._dialect = kept
        return True

    async def _recall(self) -> Dialect:
        dialect = await self._kept_from(None)
        if dialect is None:
            dialect = self._own
            if dialect != PLAIN or getattr(self._model, "dialect_takes_time", False):
                dialect = await self._keep(None, dialect)
        for _ in range(MOST_LESSONS):
            after = await self._kept_from(dialect)
            if after is None:
                break
            dialect = after
        return dialect

    @property
    def _own(self) -> Dialect:
        """What the model's adapter knows of its server."""
        known: Dialect = getattr(self._model, "dialect", PLAIN)
        return known

    async def _kept_from(self, before: Dialect | None) -> Dialect | None:
        if self._model.fingerprint is None:
            return None
        reply = await self._cache.aget(call_key(lesson_identity(self._model, before)))
        try:
            return None if reply is None else Dialect.from_dict(json.loads(reply.content))
        except (ValueError, LookupError, TypeError):  # of another version
            return None

    async def _keep(self, before: Dialect | None, after: Dialect) -> Dialect:
        """Keep a lesson; returns what is kept, which another process may have learnt first."""
        if self._model.fingerprint is not None:
            identity = lesson_identity(self._model, before)
            reply = ChatReply(content=json.dumps(after.to_dict()))
            await self._cache.aput(call_key(identity), reply, request=identity)
        return await self._kept_from(before) or after

    def read(self, request: ChatRequest) -> None:
        """An answer to this kind of request was readable."""
        self._readable.add(request.template)

    def unread(self, request: ChatRequest, said: str, problem: str) -> None:
        """Neither an answer nor its repair was readable. Raises EndpointError where that goes on from the start.

        A few conversations that a model cannot stand must not end the run of others.
        """
        kind = request.template
        if kind in self._readable:
            return
        self._unreadable[kind] += 1
        conversations = self._unreadable_in.setdefault(kind, set())
        conversations.add(request.conversation_id)
        enough = UNREADABLE_AFTER if len(conversations) >= CONVERSATIONS else OF_FEWER * UNREADABLE_AFTER
        if self._unreadable[kind] >= enough:
            raise EndpointError(
                f"{self._model.name} as {request.role} has answered {self._unreadable[kind]} times, but never in a "
                f"readable form: the run stops. The last problem: {problem}. It said: {one_line(said, SHOWN)!r}. "
                "What helps: a larger model, a server that holds a JSON schema (vLLM, llama.cpp), or more max_tokens."
            )


def _parts(request: ChatRequest) -> dict[str, str]:
    """What of a request can be refused, each as text, as it is sent."""
    sent = request.fitted()
    settings = sent.settings.sent()
    named = {**settings, **settings.get("extra_body", {})}
    parts = {name: value_text(value) for name, value in named.items() if not name.startswith("extra_")}
    if any(message.role == SYSTEM for message in sent.messages):
        parts[SYSTEM] = ""
    if (response_format := sent.dialect.response_format(sent.reply_schema)) is not None:
        parts[RESPONSE_FORMAT] = f"{response_format['type']} {value_text(sent.reply_schema)}"
    return parts


def _lesson(name: str, error: ParameterRefusedError, after: Dialect, request: ChatRequest) -> str:
    if error.parameter == SYSTEM:
        said = "the system role; its message is put at the head of the user's"
    elif error.parameter == RESPONSE_FORMAT:
        format_ = after.response_format(request.reply_schema)
        asked = f"{format_['type']} is asked for" if format_ else "the prompt alone asks for JSON"
        before = request.dialect.response_format(request.reply_schema) or {}
        said = f"response_format {before.get('type')}; {asked}"
    else:
        said = f"{error.parameter}; {SUCCESSORS.get(error.parameter, 'nothing')} is sent"
    return f"{name} does not take {said} from now on."
