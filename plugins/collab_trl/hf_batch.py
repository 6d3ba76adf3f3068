"""Which requests are answered together, and what becomes of them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from collab_sdk.errors import ModelCallError
from collab_sdk.models import ChatReply
from collab_trl.hf_chat_format import ChatFormat
from collab_trl.hf_files import Folder
from collab_trl.hf_generate import Row, generate
from collab_trl.hf_memory import free_memory, ran_out_of_memory, token_budget
from collab_trl.hf_sampling import Truncation
from collab_trl.hf_worker import Job

REPLY_TOKENS = 2048
"""The longest reply where neither the request nor the model's generation config sets a limit."""


class AnyWeights(Protocol):
    """A model in memory, and the adapters it can wear."""

    @property
    def truncation(self) -> Truncation: ...

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""

    @property
    def reply_limit(self) -> int | None:
        """Tokens of a reply, where the request sets no limit."""

    def adapted(self, adapter: Folder | None) -> AbstractContextManager[Any]:
        """The model with that adapter, or with none."""

    def chat_format(self, adapter: Folder | None) -> ChatFormat: ...


class Batcher:
    """Answers jobs in batches that fit into memory. Once `is_ending`, nobody waits for any of them."""

    def __init__(self, weights: AnyWeights, *, is_ending: Callable[[], bool]) -> None:
        self._weights = weights
        self._is_ending = is_ending
        with weights.adapted(None) as model:
            self._budget = token_budget(model)

    def answer(self, jobs: Sequence[Job]) -> None:
        """Settle one batch of `jobs`, the first of them in it. What memory did not hold stays for a smaller batch."""
        for job in jobs:
            if not job.prompt and not job.reply.done():
                self._read(job)
        ready = [job for job in jobs if not job.reply.done()]
        if not ready:
            return
        batch = next_batch(ready, self._budget, size=self._size)
        if self._runs_out_of_memory(batch):
            free_memory()  # outside of the handler, whose traceback holds the tensors
            self._shrink(batch)

    def _read(self, job: Job) -> None:
        """Turn a job into tokens; one that cannot be answered is settled."""
        try:
            prompt = self._weights.chat_format(job.adapter).prompt(job.request.messages)
        except ModelCallError as error:
            job.settle(error)
            return
        if len(prompt) >= self._weights.context:
            job.settle(ModelCallError(f"A chat of {len(prompt):,} tokens; the model takes {self._weights.context:,}."))
        job.prompt = prompt

    def _limit(self, job: Job) -> int:
        """Tokens of the reply: what was asked for, or else a bound, and what the prompt leaves of the context."""
        limit = job.request.max_tokens or self._weights.reply_limit or REPLY_TOKENS
        return min(limit, self._weights.context - len(job.prompt))

    def _size(self, batch: Sequence[Job]) -> int:
        """Tokens whose keys and values the batch may come to hold."""
        return len(batch) * (max(len(job.prompt) for job in batch) + max(map(self._limit, batch)))

    def _runs_out_of_memory(self, batch: Sequence[Job]) -> bool:
        adapter = batch[0].adapter
        chat_format = self._weights.chat_format(adapter)
        rows = {self._row(job, chat_format): job for job in batch}
        try:
            with self._weights.adapted(adapter) as model:
                ends, truncation = chat_format.ends, self._weights.truncation
                for row in generate(model, list(rows), ends=ends, truncation=truncation):
                    rows[row].answer = row.tokens
                    rows[row].settle(_reply(row, chat_format))
        except Exception as error:
            if ran_out_of_memory(error):
                return True
            raise
        return False

    def _row(self, job: Job, chat_format: ChatFormat) -> Row:
        return Row(
            prompt=job.prompt,
            temperature=job.request.temperature,
            seed=job.seed,
            limit=self._limit(job),
            is_complete=partial(self._is_complete, job, chat_format),
        )

    def _is_complete(self, job: Job, chat_format: ChatFormat, row: Row) -> bool:
        if self._is_ending() or job.reply.cancelled():
            return True
        return job.request.json_reply and chat_format.is_json(row.tokens)

    def _shrink(self, batch: Sequence[Job]) -> None:
        """Make the next batches half as large; a job that fails alone cannot be answered here."""
        self._budget = self._size(batch) // 2
        if len(batch) == 1:
            batch[0].settle(ModelCallError(f"A chat of {len(batch[0].prompt):,} tokens does not fit into memory."))


def next_batch(jobs: Sequence[Job], budget: int, *, size: Callable[[Sequence[Job]], int]) -> Sequence[Job]:
    """The first job, and as many as the budget holds of those that are nearest to it in length, for little padding."""
    first = jobs[0]
    alike = [job for job in jobs if job.adapter == first.adapter]
    alike.sort(key=lambda job: abs(len(job.prompt) - len(first.prompt)))
    n = 1
    while n < len(alike) and size(alike[: n + 1]) <= budget:
        n += 1
    return alike[:n]


def _reply(row: Row, chat_format: ChatFormat) -> ChatReply:
    return ChatReply(
        content=chat_format.text(row.tokens),
        finish_reason=row.finish_reason,
        prompt_tokens=len(row.prompt),
        completion_tokens=len(row.tokens),
        usd=0.0,
    )
