"""What the plugins hand the calls of an app to."""

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.harvest.once import WarnOnce
from collab_sdk.harvest.sampling import Sample
from collab_sdk.harvest.snapshot import Snapshot
from collab_sdk.harvest.users import salted_user
from collab_sdk.harvest.writer import CallStore
from collab_sdk.harvest.writers import AT_EXIT, writer_for
from collab_sdk.logs.store import LoggedCall
from collab_sdk.suppression import suppress

RANDOM_ID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
"""A UUID says nothing of anybody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """What a consent gate decides by; the user's id as the app gave it."""

    conversation_id: str | None
    user: str | None
    source: str
    model: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecorderStats:
    """What became of the calls so far in this process; those of a file are counted together."""

    recorded: int
    queued: int
    waiting: float
    """Seconds since the oldest of the queued calls was taken."""
    dropped: int
    """The queue was full."""
    failed: int
    """The store refused them, or they were nothing that could be kept."""
    skipped: int
    """Not sampled, or without consent."""
    redaction_failures: int
    """Texts that were replaced because the redactor failed."""
    lost: int
    """Left in the queues of earlier processes that were killed."""
    unrecorded: Mapping[str, int]
    """Calls that looked like chat and could not be recorded, by reason."""


class Recorder:
    """Records calls into a conversation store: it neither waits nor raises, and keeps nothing unredacted.

    `redact` gets every text on the caller's thread, before the queue: once each, as long as it is remembered. Users
    are kept as HMAC-SHA256 under `salt`, by default COLLAB_SALT; without a salt they are not kept. A conversation id in
    which `redact` finds something is kept like a user. `consent` must return True, and nothing else, for a call to be
    recorded. `sample` is the share of conversations, 0 to 1. `sync` commits each call before `record` returns.
    """

    def __init__(
        self,
        store: CallStore | str | os.PathLike[str],
        *,
        sync: bool = False,
        sample: float = 1.0,
        consent: Callable[[CallContext], bool] | None = None,
        redact: Callable[[str], str] | None = None,
        salt: str | None = None,
        queue_size: int = 10_000,
    ) -> None:
        if not 0 <= sample <= 1:
            raise UsageError(f"sample must be between 0 and 1, not {sample}.")
        self._writer = writer_for(store)
        self._sync = sync
        self._sample = Sample(sample, self._writer.places)
        self._consent = consent
        self._snapshot = Snapshot(redact, self._redaction_failed)
        self._salt = salt or os.environ.get("COLLAB_SALT")
        # Without a salt an id is still kept apart from others, for as long as this process lives.
        self._id_salt = self._salt or secrets.token_hex()
        self._queue_size = queue_size
        self._closed = False
        self._warn_of_redactor, self._warn_of_gate = WarnOnce(), WarnOnce()

    def record(self, call: LoggedCall) -> None:
        """Record a call, with `user` as the app knows them. Never raises."""
        with self.quietly():
            if self._is_wanted(call):
                self._hand_over(self._safe(call))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """What fails inside, in making a call of what an app handed over, is counted and goes no further.

        KeyboardInterrupt and SystemExit pass: in the app's thread they are the user's, or its server's.
        """
        try:
            yield
        except Exception as error:
            self._writer.count_failure(error)

    def count_unrecorded(self, reason: str, calls: int = 1) -> None:
        """Count calls that look like chat and cannot be recorded; `reason` says why in a few words. Never raises."""
        self._writer.count_unrecorded(reason, calls)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything recorded so far is in the store; False if that takes longer than `timeout` seconds."""
        return self._writer.flush(timeout)

    def stats(self) -> RecorderStats:
        writer = self._writer
        return RecorderStats(
            recorded=writer.recorded,
            queued=writer.taken - writer.settled,
            waiting=writer.waiting,
            dropped=writer.dropped,
            failed=writer.failed,
            skipped=writer.skipped,
            redaction_failures=writer.redaction_failures,
            lost=writer.lost,
            unrecorded=dict(writer.unrecorded),
        )

    def close(self) -> None:
        """Write what is queued; calls after this are dropped."""
        self._closed = True
        self._writer.flush(AT_EXIT)

    def _is_wanted(self, call: LoggedCall) -> bool:
        if self._sample.takes(call) and self._has_consent(call):
            return True
        self._writer.count_skipped()
        return False

    def _has_consent(self, call: LoggedCall) -> bool:
        if self._consent is None:
            return True
        context = CallContext(
            conversation_id=call.conversation_id,
            user=call.user,
            source=call.source,
            model=call.model,
            metadata=call.metadata,
        )
        with suppress():
            try:
                return self._consent(context) is True
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a gate that is broken is shut
                self._warn_of_gate("The consent gate failed, so nothing is recorded: %s", type(error).__name__)
                return False

    def _safe(self, call: LoggedCall) -> LoggedCall:
        """The call as it may be kept."""
        snapshot = self._snapshot
        return replace(
            call,
            run_id=self._safe_id(call.run_id) or call.run_id,
            conversation_id=self._safe_id(call.conversation_id),
            response_id=self._safe_id(call.response_id),
            previous_response=self._safe_id(call.previous_response),
            source=snapshot.text(call.source),
            model=None if call.model is None else snapshot.text(str(call.model)),
            messages=snapshot.messages(call.messages),
            replies=snapshot.messages(call.replies),
            shown=snapshot.messages(call.shown),
            error=None if call.error is None else snapshot.text(call.error),
            parameters=snapshot.details(call.parameters),
            tools=snapshot.specs(call.tools),
            user=None if call.user is None or self._salt is None else salted_user(str(call.user), self._salt),
            metadata=snapshot.details(call.metadata),
        )

    def _safe_id(self, id: str | None) -> str | None:
        """Some apps name a conversation by its user's phone number or address."""
        if id is None or RANDOM_ID.fullmatch(id) or self._snapshot.text(id) == id:
            return id
        return salted_user(id, self._id_salt)

    def _hand_over(self, call: LoggedCall) -> None:
        if self._sync:
            self._writer.write(call)
        elif self._closed:
            self._writer.put(call, 0)
        else:
            self._writer.put(call, self._queue_size)

    def _redaction_failed(self, error: BaseException) -> None:
        self._writer.count_redaction_failure()
        self._warn_of_redactor("The redactor failed, so the text is replaced: %s", type(error).__name__)
