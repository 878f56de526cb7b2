"""Calls of activities within one orchestration, and those that are repeated on their own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from durabletask.task import OrchestrationContext, Task

from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    Job,
)
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import (
    CLEANUP_PATIENCE,
    LONGEST_ACTIVITY,
    MAX_CLEANUP_TRIES,
    STORAGE_PATIENCE,
)
from shared.transfer.workflow.backoff import Pause, Waits, exactly
from shared.transfer.workflow.locks import Locks, Orchestration


class ActivityCalls:
    """The activities as one transfer calls them."""

    def __init__(self, ctx: OrchestrationContext, waits: Waits) -> None:
        self._ctx = ctx
        self._waits = waits

    def run[Result: Payload](
        self, name: str, work: Payload, kind: type[Result]
    ) -> Orchestration[Result]:
        """One call, and its result."""
        due = self._ctx.current_utc_datetime + LONGEST_ACTIVITY
        response = yield self._ctx.call_activity(name, input=work.to_json(), return_type=dict)
        self._waits.note_outage(due)
        return kind.from_json(response)

    def until_available[Result: Payload](
        self,
        name: str,
        work: Payload,
        kind: type[Result],
        *,
        unavailable: Callable[[Result], bool],
        cancelled: Task[Any] | None = None,
        patience: Callable[[Result], float | None] = lambda _: None,
    ) -> Orchestration[Result]:
        """Repeat a call while storage is unavailable, or until ``cancelled``; the last result.

        ``patience`` is how many seconds a result is worth, None as many as storage's.
        """
        begun = self._waits.app_time
        tries = 0
        while True:
            result = yield from self.run(name, work, kind)
            seconds = patience(result)
            most = STORAGE_PATIENCE if seconds is None else timedelta(seconds=seconds)
            left = (begun + most - self._waits.app_time).total_seconds()
            if not unavailable(result) or left <= 0 or (cancelled and cancelled.is_complete):
                return result
            pause = Pause(tries, at_most=left)
            yield from self._waits.pause(pause) if cancelled else self._waits.pause_fully(pause)
            tries += 1

    def clean_up(
        self, job: Job, locks: Locks, *, is_unknown: bool = False
    ) -> Orchestration[ActivityResult]:
        """Delete the upload session, when the mailbox can be called; close the ledger's row.

        *reconcile*: another run of the transfer may have sent the file.
        """
        until = self._waits.app_time + CLEANUP_PATIENCE
        tries = 0
        while True:
            retry_after = self._waits.retry_after
            wait = retry_after or (yield from locks.acquire(0))
            left = (until - self._waits.app_time).total_seconds()
            must_wait = wait > 0 or left <= 0
            last = tries == MAX_CLEANUP_TRIES - 1 or wait > left or left <= 0
            result = yield from self.clean_up_once(
                job, must_wait=must_wait, last=last, is_unknown=is_unknown
            )
            locked = locks.note(result)
            over = not locked and (last or result.outcome != "retry")
            if over or not wait:
                yield from locks.release()
            if over:
                return result
            self._waits.note_retry_after(result)
            if locked:
                yield from self._waits.wait_for_lock(min(locked, max(left, 0.0)))
            elif not wait:
                tries += 1
                yield from self._waits.pause_fully(Pause(tries, self._waits.retry_after))
            elif retry_after:
                yield from self._waits.pause_fully(exactly(retry_after))
            else:
                yield from self._waits.wait_for_lock(wait)

    def cancel_earlier_session(self, run: str) -> Orchestration[None]:
        """Delete the session that an earlier run has left, or leave it to expire."""
        for tries in range(1, MAX_CLEANUP_TRIES + 1):
            retry_after = self._waits.retry_after
            must_wait = retry_after > CLEANUP_PATIENCE.total_seconds()
            last = must_wait or tries == MAX_CLEANUP_TRIES
            if tries > 1 and not must_wait:
                yield from self._waits.pause_fully(Pause(tries, retry_after))
            result = yield from self.clean_up_once(None, run=run, must_wait=must_wait, last=last)
            if last or result.outcome != "retry":
                return
            self._waits.note_retry_after(result)

    def clean_up_once(
        self,
        job: Job | None,
        *,
        must_wait: bool,
        last: bool,
        run: str | None = None,
        is_unknown: bool = False,
    ) -> Orchestration[ActivityResult]:
        """Delete it; without a call to Outlook if ``must_wait``, and at ``last`` in any case.

        Without a job, that of a run before ``run``.
        """
        work = CancelUploadSession(
            transfer_id=self._ctx.instance_id,
            job=job,
            run=run,
            delete_notes=True,
            must_wait=must_wait,
            best_effort=last,
            is_unknown=is_unknown or None,
        )
        result: ActivityResult = yield from self.run("cancel_upload_session", work, ActivityResult)
        return result
