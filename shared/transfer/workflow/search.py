"""The search for an attachment whose outcome is unknown: how long it takes, and what follows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.retry_policy import MAX_UNREAD_SEARCHES
from shared.transfer.workflow.stages import Event

_ANYWAY = {"failed": Event.FAILED_ANYWAY, "superseded": Event.SUPERSEDED_ANYWAY}


@dataclass(frozen=True, slots=True)
class Search:
    """A search for an attachment whose outcome is unknown.

    It takes until ``until``, since Outlook may commit late. ``otherwise`` is what the result that
    led to it would have been if nothing is attached. ``look_once``: that result is published to
    come before the work. ``unread`` counts the searches that found attachments whose bytes could
    not be read.
    """

    until: datetime
    otherwise: ActivityResult | None = None
    look_once: bool = False
    unread: int = 0

    @classmethod
    def after(cls, result: ActivityResult | None, now: datetime, seconds: float) -> Self:
        """The search that a result leads to, which Outlook may have ``seconds`` to commit."""
        if result is None:
            return cls(now + timedelta(seconds=seconds))
        until = now if result.look_once else now + timedelta(seconds=seconds)
        return cls(until, result.otherwise, result.look_once)

    def events_of(self, result: ActivityResult, now: datetime) -> Iterator[Event]:
        """The special cases that a result of its activity can stand for."""
        if result.outcome == "failed" and self.look_once:
            yield Event.SEARCH_REFUSED
        if result.outcome == "not_attached":
            if self.goes_on(now, unread=result.failure is not None):
                yield Event.NOT_YET
            if self.otherwise and self.otherwise.outcome in _ANYWAY:
                yield _ANYWAY[self.otherwise.outcome]

    def left(self, now: datetime) -> float:
        """Seconds until its time is over; negative after it."""
        return (self.until - now).total_seconds()

    def goes_on(self, now: datetime, *, unread: bool) -> bool:
        """Whether a search that found nothing, or something ``unread``, is to be repeated."""
        return self.left(now) > 0 or (unread and self.unread < MAX_UNREAD_SEARCHES)

    def repeated(self, now: datetime) -> Self:
        """The search after one more try: after its time, it went on for a candidate's bytes."""
        return self if self.left(now) > 0 else replace(self, unread=self.unread + 1)
