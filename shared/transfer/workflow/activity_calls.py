"""Calls of activities within one orchestration, and those that are repeated on their own."""

from collections.abc import Callable
from typing import Any

from durabletask.task import CompletableTask, OrchestrationContext, Task

from shared.transfer.activity_payloads import ActivityResult, CancelUploadSession, Job
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import CLEANUP_PATIENCE, MAX_CLEANUP_TRIES, STORAGE_PATIENCE
from shared.transfer.workflow.backoff import Pause, Waits, exactly
from shared.transfer.workflow.locks import ActivityLocks, EntityLocks, Orchestration


class ActivityCalls:
    """The activities as one transfer calls them."""

    def __init__(self, ctx: OrchestrationContext, waits: Waits) -> None:
        self._ctx = ctx
        self._waits = waits

    def call(self, name: str, work: Payload) -> CompletableTask[Any]:
        """One call; the task gives the result as JSON."""
        return self._ctx.call_activity(name, input=work.to_json(), return_type=dict)

    def until_available[Result: Payload](
        self,
        name: str,
        work: Payload,
        kind: type[Result],
        *,
        unavailable: Callable[[Result], bool],
        cancelled: Task[Any] | None = None,
    ) -> Orchestration[Result]:
        """Repeat a call while storage is unavailable, or until ``cancelled``; the last result."""
        until = self._ctx.current_utc_datetime + STORAGE_PATIENCE
        tries = 0
        while True:
            result = kind.from_json((yield self.call(name, work)))
            left = (until - self._ctx.current_utc_datetime).total_seconds()
            if not unavailable(result) or left <= 0 or (cancelled and cancelled.is_complete):
                return result
            pause = Pause(tries, at_most=left)
            if cancelled:
                yield from self._waits.pause(pause)
            else:
                yield self._waits.timer(pause)
            tries += 1

    def _clean_up_1_0(self, job: Job, locks: EntityLocks) -> Orchestration[None]:
        """Delete the upload session, under the locks and after any Retry-After."""
        until = self._ctx.current_utc_datetime + CLEANUP_PATIENCE
        tries = 0
        while True:
            retry_after = self._waits.retry_after
            wait = retry_after or (yield from locks.acquire(0))
            left = (until - self._ctx.current_utc_datetime).total_seconds()
            last = tries == MAX_CLEANUP_TRIES - 1 or wait > left
            result = yield from self.clean_up_once(job, must_wait=wait > 0, last=last)
            over = last or result.outcome != "retry"
            locks.used(0, result.retry_after or 0.0)
            if over or not wait:
                yield from locks.release()
            if over:
                return
            self._waits.note_retry_after(result)
            if not wait:
                tries += 1
                yield self._waits.timer(Pause(tries, self._waits.retry_after))
            elif retry_after:
                yield self._waits.timer(exactly(retry_after))
            else:
                yield from self._waits.wait_for_lock(wait)

    def clean_up(self, job: Job, locks: EntityLocks | ActivityLocks) -> Orchestration[None]:
        """Delete the upload session, when the mailbox can be called; close the ledger's row."""
        if isinstance(locks, EntityLocks):
            yield from self._clean_up_1_0(job, locks)
            return
        until = self._ctx.current_utc_datetime + CLEANUP_PATIENCE
        tries = 0
        while True:
            retry_after = self._waits.retry_after
            left = (until - self._ctx.current_utc_datetime).total_seconds()
            must_wait = retry_after > left or left <= 0
            if retry_after and not must_wait:
                yield self._waits.timer(exactly(retry_after))
            last = must_wait or tries == MAX_CLEANUP_TRIES - 1
            result = yield from self.clean_up_once(job, must_wait=must_wait, last=last)
            locks.note(result)
            self._waits.note_retry_after(result)
            if result.outcome == "locked":
                yield from self._waits.wait_for_lock(min(result.retry_after or 0.0, max(left, 0.0)))
            elif last or result.outcome != "retry":
                return
            else:
                tries += 1
                yield self._waits.timer(Pause(tries, self._waits.retry_after))

    def clean_up_once(
        self, job: Job | None, *, must_wait: bool, last: bool
    ) -> Orchestration[ActivityResult]:
        """Delete it; without a call to Outlook if ``must_wait``, and at ``last`` in any case."""
        work = CancelUploadSession(
            transfer_id=self._ctx.instance_id,
            job=job,
            delete_notes=True,
            must_wait=must_wait,
            best_effort=last,
        )
        return ActivityResult.from_json((yield self.call("cancel_upload_session", work)))
