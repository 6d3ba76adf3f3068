"""A process of the cluster that works on conversations: the same job, with the same code, as on one machine."""

import asyncio
import json
import os
import time
import warnings
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError

from collab_ray.broker import MAX_INTERVAL, Grant, Report
from collab_ray.client import RateClient
from collab_ray.node import claims_of, find_sent_code, host_name, own_address, why_unfit
from collab_ray.outcomes import OutcomeCache
from collab_sdk import Conversation, Engine
from collab_sdk.cache import open_cache
from collab_sdk.engine import Ledger
from collab_sdk.errors import CollabError, RunnerError, RunStoppedError
from collab_sdk.jobs import JOBS, Roles, dumps, error_row, loads, logs_of_users, roles_of
from collab_sdk.spec import Limits

VALUE, ERROR, BROKEN = "value", "error", "broken"
"""The status of an outcome: a result, an error of the conversation or of the whole run, or a fault of the program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSetup:
    """What a worker needs to know. It travels as JSON text, so that no object of ours is pickled."""

    claims: dict[str, Any]
    """What every node must have like the command."""
    kind: str
    job: str
    cache: str
    limits: Limits
    folder: str
    """Where the command was typed: names of files may be relative to it."""
    logs_of_users: dict[str, str]
    """Digests of the logs that users speak from, there, by the users' names."""


class LedgerByConversation(Ledger):
    """Counts the samples without a result in each conversation: one whose worker dies is played again elsewhere."""

    _lost: ContextVar[list[int]] = ContextVar("samples without a result in the conversation at hand")

    @property
    def missing(self) -> int:
        """Of the conversation at hand."""
        return sum(self._lost.get([]))

    @missing.setter
    def missing(self, number: int) -> None:
        if (lost := self._lost.get(None)) is not None:
            lost.append(number - sum(lost))

    def begin_conversation(self) -> None:
        """Counts from 0 on in this task and in those that it starts."""
        self._lost.set([])


class UnfitNodeError(RunnerError):
    """A node is another than the command in what decides a result: it stays so, whatever is started there."""


class Worker:
    """An actor. Its methods are coroutines, so that it works on many conversations at once."""

    def __init__(self, setup: str, coordinator: Any, secret: str, incarnation: str) -> None:
        self._setup = setup
        self._coordinator = coordinator
        self._secret = secret
        self._incarnation = incarnation
        self._running: set[asyncio.Task[str]] = set()

    async def open(self) -> dict[str, Any]:
        """Gets ready for `work`. Returns where this is, and why it cannot; whether no process of this node could."""
        error = await self._error()
        if error is None:
            self._hear_warnings()
        return {
            "node": ray.get_runtime_context().get_node_id(),
            "host": host_name(),
            "error": None if error is None else error_row(error),
            "is_unfit": isinstance(error, UnfitNodeError),
        }

    async def _error(self) -> CollabError | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the command has said it
                await self._open(loads(WorkerSetup, self._setup))
        except RunStoppedError as error:
            return error
        except Exception as error:
            what = str(error) if isinstance(error, CollabError) else f"{type(error).__name__}: {error}"
            return RunnerError(_cannot_start(what))
        return None

    def _hear_warnings(self) -> None:
        """From now on the command says what is warned of here."""

        def tell(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            if issubclass(category, UserWarning):  # others are for who writes the program
                self._client.warn(str(message))

        warnings.simplefilter("default", UserWarning)
        warnings.filterwarnings("ignore", module=r"ray\b")
        warnings.showwarning = tell

    async def work(self, order: int, conversation: str) -> str:
        """Returns status and content of the conversation's outcome, and how many of its samples have no result."""
        task = asyncio.create_task(self._outcome(order, conversation))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await task

    async def stay(self) -> None:
        """Never returns: the call fails when the process dies, also while it has nothing to do.

        Raises what ends the reports to the coordinator, for nothing can be called without them.
        """
        await asyncio.shield(self._reporting)  # whoever no longer waits here does not end the reports

    async def settle(self) -> None:
        """Ends what is running, keeps the replies that are still on their way, and reports them."""
        for task in self._running:
            task.cancel()
        await self._engine.asettle()
        await self._client.close()

    async def _open(self, setup: WorkerSetup) -> None:
        if os.path.isdir(setup.folder):  # noqa: PTH112, ASYNC240 - once, before anything else is done
            os.chdir(setup.folder)
        find_sent_code()
        self._job = loads(JOBS[setup.kind], setup.job)
        here = logs_of_users(self._job.spec)
        if others := [name for name, digest in setup.logs_of_users.items() if here.get(name) != digest]:
            raise UnfitNodeError(
                _cannot_start(f"{others[0]} holds other chats there than where the command was typed.")
            )
        cache = own_address(setup.cache, os.environ)
        if (unfit := why_unfit(claims_of(self._job.spec, cache), setup.claims, cache)) is not None:
            raise UnfitNodeError(_cannot_start(unfit))

        async def send(report: Report) -> Grant:
            while True:
                try:
                    grant = await self._coordinator.report.remote(self._secret, self._incarnation, dumps(report))
                except ActorUnavailableError:  # the network is away; what arrives twice is counted once
                    await asyncio.sleep(MAX_INTERVAL)
                else:
                    return loads(Grant, grant)  # type: ignore[no-any-return]

        limits = setup.limits
        self._client = RateClient(
            send,
            rate_limited=limits.requests_per_minute is not None or limits.tokens_per_minute is not None,
            limited=limits.max_calls is not None or limits.max_usd is not None,
            clock=time.monotonic,
            longest=longest_timeout(roles_of(self._job.spec)),
        )
        self._engine = Engine(cache=open_cache(cache), limits=setup.limits, limiter=self._client)
        self._ledger = self._engine.ledger = LedgerByConversation()
        self._client.ledger, self._client.cache = self._engine.ledger, self._engine.cache
        self._do = self._job.work(self._engine)
        self._outcomes = OutcomeCache(self._engine.cache, self._job.result, self._job.identity())
        await self._client.report()
        self._reporting = asyncio.create_task(self._client.keep_reporting())

    async def _outcome(self, order: int, conversation: str) -> str:
        self._ledger.begin_conversation()
        try:
            if (outcome := await self._outcomes.find(conversation)) is None:
                opened = loads(Conversation, conversation)
                with self._engine.opened(opened.id, order):
                    result = await self._do(opened)
                outcome = dumps(result)
                if self._job.is_whole(result):
                    await self._outcomes.keep(conversation, outcome)
        except CollabError as error:
            return json.dumps([ERROR, error_row(error), self._ledger.missing])
        except Exception as error:
            return json.dumps([BROKEN, f"{type(error).__name__}: {error}", self._ledger.missing])
        return json.dumps([VALUE, outcome, self._ledger.missing])


def longest_timeout(roles: Roles) -> float:
    """Seconds of the longest timeout that one of the models has of its own; 0 if none has.

    One that is waited for without limit runs in this process, and burdens no server that others use.
    """
    models = (roles.assistant, roles.judge, roles.tools, *roles.simulator.models.values())
    return max(float(getattr(model, "timeout", None) or 0.0) for model in models)


def _cannot_start(what: str) -> str:
    return f"A worker on {host_name()} cannot start: {what}"
