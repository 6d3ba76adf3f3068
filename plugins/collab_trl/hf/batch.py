"""Which requests are answered together, and what becomes of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from collab_sdk.errors import ModelCallError
from collab_sdk.models import ChatReply, ReplyFormat
from collab_trl.chat_template import ChatTemplate
from collab_trl.device_memory import available_bytes, free_memory, ran_out_of_memory
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.folders import Folder
from collab_trl.hf.generation import BatchRow, KeyValues, generate
from collab_trl.hf.grammar import ANY_OBJECT, Constraint
from collab_trl.hf.pending import PendingReply
from collab_trl.hf.prefixes import PrefixTree
from collab_trl.hf.sampling import Truncation

REPLY_TOKENS = 2048
"""The longest reply where neither the request nor the model's generation config sets a limit."""
OWN_TEMPERATURE = 1.0
"""Where none is asked for: the model's own distribution."""
BATCH_SHARE, PREFIX_SHARE = 0.4, 0.1
"""Of the free memory that the keys and values of a batch may fill, and those kept for later ones; the rest is for
activations and copies."""


class AnyWeights(Protocol):
    """A model in memory, and the adapters it can wear."""

    @property
    def truncation(self) -> Truncation: ...

    @property
    def is_fixed(self) -> bool:
        """Whether it stays as it is from one batch to the next."""

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""

    @property
    def reply_limit(self) -> int | None:
        """Tokens of a reply, where the request sets no limit."""

    def adapted(self, adapter: Folder | None) -> AbstractContextManager[Any]:
        """The model with that adapter, or with none."""

    def chat_format(self, adapter: Folder | None, chat_template: ChatTemplate) -> ChatFormat: ...


class Batcher:
    """Answers requests in batches that fit into memory. Once `is_ending`, nobody waits for any of them."""

    def __init__(self, weights: AnyWeights, *, is_ending: Callable[[], bool]) -> None:
        self._weights = weights
        self._is_ending = is_ending
        with weights.adapted(None) as model:
            known = KeyValues.of(model)
        available = available_bytes()
        self._budget = int(BATCH_SHARE * available / known.bytes_per_token)
        self._reads_prefixes = known.reads_prefixes
        self._prefix_bytes = int(PREFIX_SHARE * available) if weights.is_fixed else 0
        self._prefixes: dict[Folder | None, PrefixTree] = {}

    def answer(self, waiting: Sequence[PendingReply]) -> None:
        """Settle one batch of `waiting`, with the first in it; what memory cannot hold waits for a smaller batch."""
        for pending in waiting:
            if not pending.prompt and not pending.reply.done():
                self._read(pending)
        ready = [pending for pending in waiting if not pending.reply.done()]
        if not ready:
            return
        batch = next_batch(ready, self._budget, size=self._size)
        if self._runs_out_of_memory(batch):
            self._prefixes.clear()
            free_memory()  # outside of the handler, whose traceback holds the tensors
            self._shrink(batch)

    def _read(self, pending: PendingReply) -> None:
        """Turn a request into tokens; one that cannot be answered is settled."""
        try:
            chat_format = self._weights.chat_format(pending.adapter, pending.chat_template)
            prompt = chat_format.prompt(pending.request.fitted().messages, tools=_tools(pending))
            pending.opening = chat_format.opening(prompt)
            _constraint(pending, chat_format)
        except ModelCallError as error:
            pending.settle(error)
            return
        if len(prompt) >= self._weights.context:
            tokens, context = len(prompt), self._weights.context
            pending.settle(ModelCallError(f"A chat of {tokens:,} tokens; the model takes {context:,}."))
        pending.prompt = prompt

    def _limit(self, pending: PendingReply) -> int:
        """Tokens of the reply: what was asked for, or else a bound, and what the prompt leaves of the context."""
        limit = pending.request.settings.max_tokens or self._weights.reply_limit or REPLY_TOKENS
        return min(limit, self._weights.context - len(pending.prompt))

    def _size(self, batch: Sequence[PendingReply]) -> int:
        """Tokens whose keys and values the batch may come to hold, its prompts' twice: they are joined from pieces."""
        return len(batch) * (2 * max(len(pending.prompt) for pending in batch) + max(map(self._limit, batch)))

    def _runs_out_of_memory(self, batch: Sequence[PendingReply]) -> bool:
        adapter = batch[0].adapter
        chat_format = self._weights.chat_format(adapter, batch[0].chat_template)
        rows = {self._row(pending, chat_format): pending for pending in batch}
        prefixes = self._prefixes_with(adapter)
        try:
            with self._weights.adapted(adapter) as model:
                ends, truncation = chat_format.ends, self._weights.truncation
                for row in generate(model, list(rows), ends=ends, truncation=truncation, prefixes=prefixes):
                    rows[row].answer = row.tokens
                    rows[row].settle(_reply(row, rows[row], chat_format))
        except Exception as error:
            if ran_out_of_memory(error):
                return True
            raise
        finally:
            for tree in self._prefixes.values():
                tree.trim(self._prefix_bytes // len(self._prefixes))
        return False

    def _prefixes_with(self, adapter: Folder | None) -> PrefixTree | None:
        """Keys and values are those of one adapter."""
        if not self._reads_prefixes:
            return None
        return self._prefixes.setdefault(adapter, PrefixTree())

    def _row(self, pending: PendingReply, chat_format: ChatFormat) -> BatchRow:
        temperature = pending.request.settings.temperature
        return BatchRow(
            prompt=tuple(pending.prompt),
            temperature=OWN_TEMPERATURE if temperature is None else temperature,
            seed=pending.seed,
            limit=self._limit(pending),
            is_abandoned=partial(self._is_abandoned, pending),
            constraint=_constraint(pending, chat_format),
        )

    def _is_abandoned(self, pending: PendingReply) -> bool:
        return self._is_ending() or pending.reply.cancelled()

    def _shrink(self, batch: Sequence[PendingReply]) -> None:
        """Make the next batches half as large; a request that fails alone cannot be answered here."""
        self._budget = self._size(batch) // 2
        if len(batch) == 1:
            batch[0].settle(ModelCallError(f"A chat of {len(batch[0].prompt):,} tokens does not fit into memory."))


def next_batch(
    waiting: Sequence[PendingReply], budget: int, *, size: Callable[[Sequence[PendingReply]], int]
) -> Sequence[PendingReply]:
    """The first, and as many as the budget holds of those that are nearest to it in length, for little padding."""
    first = waiting[0]
    alike = [pending for pending in waiting if pending.answered_by == first.answered_by]
    alike.sort(key=lambda pending: abs(len(pending.prompt) - len(first.prompt)))
    n = 1
    while n < len(alike) and size(alike[: n + 1]) <= budget:
        n += 1
    return alike[:n]


def _constraint(pending: PendingReply, chat_format: ChatFormat) -> Constraint | None:
    """A fresh one for each try. It lets a thought end first that the template has begun."""
    request = pending.request
    asked = request.dialect.response_format(request.reply_schema)
    if asked is None or request.reply_schema is None:
        return None
    schema = request.reply_schema if asked["type"] == ReplyFormat.SCHEMA else ANY_OBJECT
    after = partial(chat_format.closes_thought, opening=pending.opening) if pending.opening else None
    return chat_format.grammars.constraint(schema, after=after)


def _tools(pending: PendingReply) -> list[dict[str, Any]]:
    """What the model is offered. Raises ModelCallError for a choice that it cannot be held to."""
    offered = pending.request.offered()
    choice = offered.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise ModelCallError("A local model (hf:) cannot be held to call a tool: leave tool_choice out.")
    return [] if choice == "none" else offered.get("tools", [])


def _reply(row: BatchRow, pending: PendingReply, chat_format: ChatFormat) -> ChatReply:
    calls: Sequence[Mapping[str, Any]] = ()
    if (tools := _tools(pending)) and row.finish_reason == "stop":
        content, calls = chat_format.calls(row.tokens, tools, opening=pending.opening)
    else:
        content = chat_format.text(row.tokens, opening=pending.opening)
    return ChatReply(
        content=content,
        tool_calls=tuple(calls),
        finish_reason="tool_calls" if calls else row.finish_reason,
        prompt_tokens=len(row.prompt),
        completion_tokens=len(row.tokens),
        usd=0.0,
    )
