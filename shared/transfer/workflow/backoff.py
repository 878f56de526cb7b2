"""The waits of one transfer: durable timers, and the rest that the far side asked for."""

import hashlib
from datetime import timedelta
from typing import Any

from durabletask.task import OrchestrationContext, Task, TimerTask, when_any

from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.retry_policy import MAX_BACKOFF_SECONDS
from shared.transfer.workflow.locks import WAKE, Orchestration
from shared.transfer.workflow.stages import Pause


class Waits:
    """Waits within one orchestration, which ``cancelled`` may cut short."""

    def __init__(self, ctx: OrchestrationContext, cancelled: Task[Any]) -> None:
        self._ctx = ctx
        self._cancelled = cancelled
        self._retry_after_until = ctx.current_utc_datetime
        self._woken: Task[Any] = ctx.wait_for_external_event(WAKE)

    @property
    def retry_after(self) -> float:
        """Seconds for which the far side still wants no request of this transfer."""
        left = self._retry_after_until - self._ctx.current_utc_datetime
        return max(0.0, left.total_seconds())

    def note_retry_after(self, result: ActivityResult) -> None:
        """Keep what a step was told to wait."""
        if result.retry_after:
            rest = self._ctx.current_utc_datetime + timedelta(seconds=result.retry_after)
            self._retry_after_until = max(self._retry_after_until, rest)

    def pause(self, pause: Pause) -> Orchestration[None]:
        """Wait; a cancellation cuts it short, unless the truth about one is waited for."""
        timer = self.timer(pause)
        if self._cancelled.is_complete:
            yield timer
            return
        yield when_any([timer, self._cancelled])
        timer.cancel()

    def wait_for_event(
        self, event: Task[Any], patience: timedelta, *, ignore_cancel: bool = False
    ) -> Orchestration[None]:
        """Wait for an external event, so long at most; a cancellation cuts it short or not."""
        if event.is_complete:
            return
        timer = self.timer(exactly(patience.total_seconds()))
        yield when_any([event, timer] if ignore_cancel else [event, timer, self._cancelled])
        timer.cancel()

    def wait_for_lock(self, seconds: float) -> Orchestration[None]:
        """Wait for a turn: until it is free, or worth asking for again, or not wanted any more."""
        if self._woken.is_complete:
            # An earlier turn's, or this one's.
            self._woken = self._ctx.wait_for_external_event(WAKE)
        timer = self.timer(exactly(seconds))
        ends = [timer, self._woken]
        yield when_any(ends if self._cancelled.is_complete else [*ends, self._cancelled])
        timer.cancel()

    def timer(self, pause: Pause) -> TimerTask:
        """Twice as long each time, with jitter, within the pause's own bounds."""
        # Jitter must be the same at every replay, and differ between transfers.
        digest = hashlib.sha256(f"{self._ctx.instance_id}/{pause.tries}".encode()).digest()
        backoff = min(MAX_BACKOFF_SECONDS, 2.0 ** min(pause.tries, 6)) * (0.75 + digest[0] / 512)
        seconds = max(min(backoff, pause.at_most), pause.retry_after)
        return self._ctx.create_timer(timedelta(seconds=seconds))


def exactly(seconds: float) -> Pause:
    """A wait of so many seconds, without backoff."""
    return Pause(0, retry_after=seconds, at_most=0.0)
