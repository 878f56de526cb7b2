"""The lock of one transfer, as its orchestrator sees it."""

from collections.abc import Generator
from datetime import datetime
from typing import Any, Protocol

from durabletask.task import OrchestrationContext

from shared.transfer.activity_payloads import ActivityResult

# The external event after which a waiting transfer requests its lock again. Histories hold this
# name, so it never changes.
WAKE = "turn"

type Orchestration[T] = Generator[Any, Any, T]


class Locks(Protocol):
    """Who acquires the lock: the orchestrator, before an activity, or the activity itself."""

    @property
    def waited(self) -> float:
        """Seconds of the present wait, or of the one that is just over."""

    @property
    def is_queued(self) -> bool:
        """Whether the last activity got no lock."""

    def acquire(self, size: int) -> Orchestration[float]:
        """Acquire it, to send ``size`` bytes: 0.0, or the seconds until the next request."""

    def note(self, result: ActivityResult) -> float:
        """Note the result of an activity: 0.0, or the seconds to wait if it got no lock."""

    def release(self) -> Orchestration[None]:
        """Release it, or end the wait for it."""


class ActivityLocks:
    """The lock from version 1.1 on: each activity acquires and releases it."""

    def __init__(self, ctx: OrchestrationContext) -> None:
        self._ctx = ctx
        self._waiting_since: datetime | None = None

    @property
    def waited(self) -> float:
        """Seconds since the first activity that got no lock, while none has."""
        now = self._ctx.current_utc_datetime
        return (now - (self._waiting_since or now)).total_seconds()

    @property
    def is_queued(self) -> bool:
        """Whether the last activity got no lock."""
        return self._waiting_since is not None

    def acquire(self, size: int) -> Orchestration[float]:  # noqa: ARG002 (the activity knows)
        """Nothing to do."""
        yield from ()
        return 0.0

    def note(self, result: ActivityResult) -> float:
        """Wake those that wait for what the activity released, and measure an own wait."""
        for transfer_id in dict.fromkeys(result.wake):
            self._ctx.send_event(transfer_id, WAKE)
        if result.outcome != "locked":
            self._waiting_since = None
            return 0.0
        self._waiting_since = self._waiting_since or self._ctx.current_utc_datetime
        return result.retry_after or 0.0

    def release(self) -> Orchestration[None]:
        """Nothing to do."""
        yield from ()
