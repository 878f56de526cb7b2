"""How long a transfer waits and how often it repeats: its timers, its counts and its deadlines."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from durabletask.task import OrchestrationContext, Task, when_any

from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.retry_policy import (
    EVENT_TIMER,
    LATENESS_ALLOWANCE,
    MAX_ATTEMPTS,
    backoff_seconds,
)
from shared.transfer.workflow.locks import WAKE, Orchestration

# A transfer is near its deadline in this last part of its time.
_LAST_PART = 0.2


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait before the next activity, in seconds: a backoff that grows with the tries.

    Never less than ``retry_after``, which Outlook or Graph gave, and otherwise never more than
    ``at_most``.
    """

    tries: int
    retry_after: float = 0.0
    at_most: float = float("inf")


def exactly(seconds: float) -> Pause:
    """A wait of so many seconds, without backoff."""
    return Pause(0, retry_after=seconds, at_most=0.0)


class Waits:
    """The durable timers of one orchestration; ``cancelled`` ends most waits early.

    ``app_time`` is the time for deadlines: it stands still while the app does not run, so that an
    outage of the app is not counted as trouble of a transfer. Not in a transfer of version 1.0,
    whose history was made without it.
    """

    def __init__(
        self, ctx: OrchestrationContext, cancelled: Task[Any], *, counts_outages: bool
    ) -> None:
        self._ctx = ctx
        self._cancelled = cancelled
        self._counts_outages = counts_outages
        self._outages = timedelta()
        self._retry_after_until = ctx.current_utc_datetime
        self._woken: Task[Any] = ctx.wait_for_external_event(WAKE)

    @property
    def app_time(self) -> datetime:
        """Durable's time, without the outages so far."""
        return self._ctx.current_utc_datetime - self._outages

    def note_outage(self, due: datetime) -> None:
        """Note that what was expected by then, in Durable's time, is there now."""
        late = self._ctx.current_utc_datetime - due
        if self._counts_outages and late > LATENESS_ALLOWANCE:
            self._outages += late

    @property
    def retry_after(self) -> float:
        """Seconds until the last Retry-After of this transfer is over."""
        left = self._retry_after_until - self._ctx.current_utc_datetime
        return max(0.0, left.total_seconds())

    def note_retry_after(self, result: ActivityResult) -> None:
        """Keep the Retry-After of a result, if it has one."""
        if result.retry_after:
            until = self._ctx.current_utc_datetime + timedelta(seconds=result.retry_after)
            self._retry_after_until = max(self._retry_after_until, until)

    def pause(self, pause: Pause) -> Orchestration[None]:
        """Wait; a cancellation ends it, but not the pauses that come after the cancellation."""
        yield from self._wait(pause, *self._unless_cancelled())

    def pause_fully(self, pause: Pause) -> Orchestration[None]:
        """Wait; a cancellation does not end it."""
        yield from self._wait(pause)

    def wait_for_event(
        self, event: Task[Any], patience: timedelta, *, ignore_cancel: bool = False
    ) -> Orchestration[None]:
        """Wait for an external event, for so long at most."""
        until = self.app_time + patience
        # An outage in the middle of a long timer is not noticed.
        longest = EVENT_TIMER if self._counts_outages else patience
        ends = [event] if ignore_cancel else [event, self._cancelled]
        while not event.is_complete:
            left = min(until - self.app_time, longest)
            yield from self._wait(exactly(left.total_seconds()), *ends)
            if self.app_time >= until or any(each.is_complete for each in ends):
                return

    def wait_for_lock(self, seconds: float) -> Orchestration[None]:
        """Wait until a lock is released, has to be requested again, or is no longer needed."""
        if self._woken.is_complete:
            # By the release of an earlier lock, or of this one.
            self._woken = self._ctx.wait_for_external_event(WAKE)
        yield from self._wait(exactly(seconds), self._woken, *self._unless_cancelled())

    def _unless_cancelled(self) -> list[Task[Any]]:
        return [] if self._cancelled.is_complete else [self._cancelled]

    def _wait(self, pause: Pause, *ends: Task[Any]) -> Orchestration[None]:
        """Wait with a timer, or until one of the tasks is complete."""
        due = self._ctx.current_utc_datetime + timedelta(seconds=self._seconds(pause))
        timer = self._ctx.create_timer(due)
        yield when_any([timer, *ends])
        timer.cancel()
        self.note_outage(due)

    def _seconds(self, pause: Pause) -> float:
        """It grows with each try, with jitter, within the pause's own bounds."""
        # Jitter must be the same at every replay, and differ between transfers.
        digest = hashlib.sha256(f"{self._ctx.instance_id}/{pause.tries}".encode()).digest()
        backoff = backoff_seconds(pause.tries) * (0.75 + digest[0] / 512)
        return max(min(backoff, pause.at_most), pause.retry_after)


class Patience:
    """Counts what one transfer repeats without progress.

    Progress is a byte that Outlook never had before: every count starts anew.
    """

    def __init__(self) -> None:
        # Waits of this stage; its refusals by code, for those that are bounded.
        self._tries = 0
        self._refusals: Counter[str] = Counter()
        self._attempts = 1
        self._most_sent = 0

    def note(self, offset: int) -> None:
        """Outlook has the bytes before this offset."""
        if offset > self._most_sent:
            self._most_sent = offset
            self._attempts = 1
            self.renew()

    def renew(self) -> None:
        """Another stage, or progress: the waits and refusals so far do not count."""
        self._tries = 0
        self._refusals.clear()

    def reset_backoff(self) -> None:
        """The session got further, even if the transfer did not."""
        self._tries = 0

    def allows(self, result: ActivityResult) -> bool:
        """Whether to repeat an activity after this result: refusals are counted by their code."""
        if result.tries is None:
            return True
        code = result.failure.code if result.failure else ""
        self._refusals[code] += 1
        return self._refusals[code] < result.tries

    def pause(self, retry_after: float = 0.0, at_most: float = float("inf")) -> Pause:
        """The next wait of this stage: longer each time."""
        self._tries += 1
        return Pause(self._tries - 1, retry_after, at_most)

    @property
    def has_attempts(self) -> bool:
        """Whether another attempt to attach the file makes sense."""
        return self._attempts < MAX_ATTEMPTS

    def new_attempt(self, retry_after: float) -> Pause:
        """The wait before another attempt: longer, since the service itself may have failed."""
        self._attempts += 1
        return Pause(self._attempts + 1, retry_after)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a transfer ends at the latest; ``near_from`` is when that is announced, once."""

    at: datetime
    near_from: datetime | None = None

    @classmethod
    def after(cls, seconds: float, now: datetime) -> Self:
        """So many seconds from now."""
        at = now + timedelta(seconds=seconds)
        return cls(at, at - timedelta(seconds=_LAST_PART * seconds))

    def left(self, now: datetime) -> float:
        """Seconds until then; negative after it."""
        return (self.at - now).total_seconds()

    def is_near(self, now: datetime) -> bool:
        """Whether it is to be announced as near."""
        return self.near_from is not None and now >= self.near_from
