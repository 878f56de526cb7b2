"""Calls of activities within one orchestration, and those that are repeated on their own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from durabletask.task import CompletableTask, OrchestrationContext, Task

from shared.transfer.activity_payloads import ActivityResult, CancelUploadSession
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import CLEANUP_PATIENCE, MAX_CLEANUP_TRIES, STORAGE_PATIENCE
from shared.transfer.workflow.backoff import Pause, Waits, exactly
from shared.transfer.workflow.locks import Locks, Orchestration


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
        patience: Callable[[Result], float | None] = lambda _: None,
    ) -> Orchestration[Result]:
        """Repeat a call while storage is unavailable, or until ``cancelled``; the last result.

        ``patience`` is how many seconds a result is worth, None as many as storage's.
        """
        begun = self._ctx.current_utc_datetime
        tries = 0
        while True:
            result = kind.from_json((yield self.call(name, work)))
            seconds = patience(result)
            most = STORAGE_PATIENCE if seconds is None else timedelta(seconds=seconds)
            left = (begun + most - self._ctx.current_utc_datetime).total_seconds()
            if not unavailable(result) or left <= 0 or (cancelled and cancelled.is_complete):
                return result
            pause = Pause(tries, at_most=left)
            if cancelled:
                yield from self._waits.pause(pause)
            else:
                yield self._waits.timer(pause)
            tries += 1

    def delete_notes(self, locks: Locks) -> Orchestration[None]:
        """Delete the upload session and its notes, under the locks and after any Retry-After."""
        until = self._ctx.current_utc_datetime + CLEANUP_PATIENCE
        tries = 0
        while True:
            retry_after = self._waits.retry_after
            wait = retry_after or (yield from locks.acquire(0))
            left = (until - self._ctx.current_utc_datetime).total_seconds()
            last = tries == MAX_CLEANUP_TRIES - 1 or wait > left
            result = yield from self.delete_notes_once(must_wait=wait > 0, last=last)
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

    def delete_notes_once(self, *, must_wait: bool, last: bool) -> Orchestration[ActivityResult]:
        """Delete both; ``must_wait``: send nothing to Outlook, ``last``: at least the notes."""
        work = CancelUploadSession(
            transfer_id=self._ctx.instance_id,
            delete_notes=True,
            must_wait=must_wait,
            best_effort=last,
        )
        return ActivityResult.from_json((yield self.call("cancel_upload_session", work)))
