"""The lock of a mailbox around an activity that sends requests to it."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Protocol

from shared.errors import StorageUnavailable
from shared.transfer.activities.mailbox_locks import Lock, MailboxLocks
from shared.transfer.activities.mailbox_queue import Refused, Use, Waiter
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.payloads import Failure

_LOG = logging.getLogger(__name__)

type Work = Job | UploadRanges | FindAttachment | CancelUploadSession


class _HasLocks(Protocol):
    @property
    def locks(self) -> MailboxLocks:
        """The locks of all mailboxes."""


class _Decorator(Protocol):
    def __call__[Owner: _HasLocks, Given: Work](
        self, activity: Callable[[Owner, Given], ActivityResult], /
    ) -> Callable[[Owner, Given], ActivityResult]:
        """The activity under its lock."""


def with_lock(most: Callable[[Any], int] = lambda _: 0) -> _Decorator:
    """Run an activity under the lock of its mailbox, which sends ``most`` bytes at the most.

    Without a lock its result is *locked*, with the seconds until it is worth coming back. The
    lock is released in any case, and the mailbox's budget is charged with what was sent.
    """

    def decorate[Owner: _HasLocks, Given: Work](
        activity: Callable[[Owner, Given], ActivityResult], /
    ) -> Callable[[Owner, Given], ActivityResult]:
        @wraps(activity)
        def locked(self: Owner, work: Given) -> ActivityResult:
            job = work if isinstance(work, Job) else work.job
            sends_nothing = isinstance(work, CancelUploadSession) and work.must_wait
            if job is None or not job.run or sends_nothing:
                # The orchestrator of version 1.0 holds the locks itself.
                return activity(self, work)
            asking = _waiter(job, most(work))
            try:
                lock = self.locks.acquire(job.mailbox, asking)
            except StorageUnavailable as error:
                return _storage_failed(work, error)
            if isinstance(lock, Refused):
                return ActivityResult(outcome="locked", retry_after=lock.retry_after)
            use = Use(job.transfer_id, lock.fence, sent=asking.size)
            woken: tuple[str, ...] = ()
            try:
                result = activity(self, work)
                use = Use(job.transfer_id, lock.fence, result.sent, result.retry_after or 0.0)
            finally:
                woken = _release(self.locks, lock, use)
            return result.model_copy(update={"wake": (*lock.wake, *woken)})

        return locked

    return decorate


def _waiter(job: Job, size: int) -> Waiter:
    since = datetime.fromisoformat(job.run)
    return Waiter(transfer_id=job.transfer_id, item=job.item_id, since=since, size=size)


def _storage_failed(work: Work, error: StorageUnavailable) -> ActivityResult:
    # The position in the session is where it was.
    offset = work.offset if isinstance(work, UploadRanges) else 0
    failure = Failure.of(error)
    return ActivityResult(outcome="retry", offset=offset, failure=failure, storage_failed=True)


def _release(locks: MailboxLocks, lock: Lock, use: Use) -> tuple[str, ...]:
    try:
        return locks.release(lock, use)
    except StorageUnavailable as error:
        _LOG.warning("transfer %s: its lock expires by itself: %s", use.transfer_id, error)
        return ()
