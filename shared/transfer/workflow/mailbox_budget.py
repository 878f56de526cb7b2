"""The locks of a mailbox and of an item: who may send, how much, and in which order.

Outlook accepts 4 requests at once and 150 MB in 5 minutes per mailbox, and an item allows one
writer (docs/protocol.md, "Limits of the service"). Entities hold the locks, so that all workers
and transfers see the same. A lock is for one activity. The transfer that began first gets it
first: files are finished one after the other instead of all at the end, and no transfer starves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from durabletask.entities import EntityContext
from pydantic import BaseModel, ConfigDict, Field

from shared.settings import Settings
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import (
    FIRST_LOCK_POLL_SECONDS,
    LOCK_LEASE,
    LOCK_POLL_SECONDS,
    WAITER_PATIENCE,
)

# Names of entities and operations, as histories have them.
MAILBOX = "mailbox_budget"
ITEM = "item_turn"
ACQUIRE, RELEASE = "ask", "give_back"


class ReleaseLock(Payload):
    """The input of ``release``: the bytes that were sent, and the Retry-After of the response."""

    transfer_id: str
    sent: int = 0
    retry_after: float = Field(default=0.0, alias="restSeconds")


class AcquireLock(ReleaseLock):
    """The input of ``acquire``, to send ``size`` bytes; ``since``: when the transfer began.

    It releases a lock that the transfer still holds.
    """

    since: datetime
    size: int = 0


class LockResult(Payload):
    """The result of both: granted, or to be requested again after ``retry_after`` seconds.

    ``awaited``: others wait for this lock. ``wake``: the transfers that should request again now
    instead of at the time they were given.
    """

    granted: bool = False
    awaited: bool = False
    retry_after: float = Field(default=0.0, alias="waitSeconds")
    wake: tuple[str, ...] = ()


type Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Limits:
    """Locks at once, and bytes within a window; ``window_bytes`` None is without limit."""

    at_once: int
    window_bytes: int | None = None
    window: timedelta = timedelta()


ONE_WRITER = Limits(at_once=1)


def mailbox_limits(settings: Settings) -> Limits:
    """The limits of a mailbox, by the app settings."""
    window = timedelta(seconds=settings.mailbox_window_seconds)
    return Limits(settings.mailbox_concurrency, settings.mailbox_window_bytes, window)


class _State(BaseModel):
    """A part of an entity's state; an alias is the key in stored states."""

    model_config = ConfigDict(populate_by_name=True)


class _Held(_State):
    until: datetime
    size: int
    # Whether its holder knows that others wait for it.
    is_awaited: bool = False


class _Waiting(_State):
    since: datetime
    transfer_id: str
    size: int
    retry_at: datetime = Field(alias="asks_at")

    @property
    def place(self) -> tuple[datetime, str]:
        return self.since, self.transfer_id


class _Sent(_State):
    at: datetime
    size: int


class Budget(_State):
    """The state of one entity: the locks held, the queue for them, the bytes that still count."""

    held: dict[str, _Held] = {}
    queue: list[_Waiting] = Field(default=[], alias="line")
    sent: list[_Sent] = Field(default=[], alias="spent")
    retry_after_until: datetime | None = Field(default=None, alias="closed_until")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.held or self.queue or self.sent or self.retry_after_until)

    def acquire(self, acquire: AcquireLock, limits: Limits, now: datetime) -> LockResult:
        """Grant a lock if one is free for the transfer and for all that are ahead of it."""
        self._end_lock(acquire, now)
        self.expire(limits, now)
        own = _Waiting(
            since=acquire.since, transfer_id=acquire.transfer_id, size=acquire.size, retry_at=now
        )
        ahead = [each for each in self.queue if each.place < own.place]
        wait = self._wait(own, ahead, limits, now)
        if wait <= 0:
            awaited = bool(self.queue)
            held = _Held(until=now + LOCK_LEASE, size=acquire.size, is_awaited=awaited)
            self.held[acquire.transfer_id] = held
            return LockResult(granted=True, awaited=awaited, wake=self._wake(limits, now))
        own.retry_at = now + timedelta(seconds=wait)
        self.queue = sorted([*self.queue, own], key=lambda each: each.place)
        return LockResult(retry_after=wait, wake=self._wake(limits, now))

    def release(self, release: ReleaseLock, limits: Limits, now: datetime) -> LockResult:
        """End a lock, or the wait for one; the bytes that were sent count from now on."""
        self._end_lock(release, now)
        self.expire(limits, now)
        return LockResult(wake=self._wake(limits, now))

    def _end_lock(self, release: ReleaseLock, now: datetime) -> None:
        self.queue = [each for each in self.queue if each.transfer_id != release.transfer_id]
        if self.held.pop(release.transfer_id, None) and release.sent:
            self.sent.append(_Sent(at=now, size=release.sent))
        if release.retry_after:
            retry_at = now + timedelta(seconds=release.retry_after)
            self.retry_after_until = max(self.retry_after_until or retry_at, retry_at)

    def expire(self, limits: Limits, now: datetime) -> None:
        """Drop what no longer counts; an expired lock counts as if all its bytes were sent."""
        for transfer_id, held in list(self.held.items()):
            if held.until <= now:
                del self.held[transfer_id]
                self.sent.append(_Sent(at=held.until, size=held.size))
        self.queue = [each for each in self.queue if each.retry_at + WAITER_PATIENCE > now]
        self.sent = [each for each in self.sent if each.size and each.at + limits.window > now]
        if self.retry_after_until and self.retry_after_until <= now:
            self.retry_after_until = None

    def _wake(self, limits: Limits, now: datetime) -> tuple[str, ...]:
        """Those that can have a lock now, and the next one if its wait has become shorter."""
        woken = []
        for place, each in enumerate(self.queue):
            wait = self._wait(each, self.queue[:place], limits, now)
            retry_at = now + timedelta(seconds=wait)
            # Not worth an event if it would only poll earlier.
            only_polls = wait >= LOCK_POLL_SECONDS and self._is_full(place, limits)
            if retry_at < each.retry_at and not only_polls:
                each.retry_at = retry_at
                woken.append(each.transfer_id)
            if wait:
                break
        return tuple(woken)

    def _wait(self, own: _Waiting, ahead: list[_Waiting], limits: Limits, now: datetime) -> float:
        """Seconds until another request makes sense; 0 when the lock is free."""
        if self.retry_after_until:
            return (self.retry_after_until - now).total_seconds()
        if self._is_full(len(ahead), limits):
            return self._poll(len(ahead), limits)
        if limits.window_bytes is None or not own.size:
            return 0.0
        return self._wait_for_window(own.size, limits.window_bytes, ahead, limits, now)

    def _is_full(self, ahead: int, limits: Limits) -> bool:
        """Whether no lock remains for the next, with so many ahead of it."""
        return len(self.held) + ahead >= limits.at_once

    def _poll(self, ahead: int, limits: Limits) -> float:
        """Seconds until the next request, with so many ahead, unless an event comes earlier."""
        if not ahead and not all(each.is_awaited for each in self.held.values()):
            return FIRST_LOCK_POLL_SECONDS
        rounds = 1 + ahead // limits.at_once
        return min(LOCK_POLL_SECONDS * rounds, LOCK_LEASE.total_seconds())

    def _wait_for_window(
        self, size: int, most: int, ahead: list[_Waiting], limits: Limits, now: datetime
    ) -> float:
        """Seconds until so many bytes fit into the window; 0 when they fit now."""
        before = sum(each.size for each in ahead)
        before += sum(each.size for each in self.held.values())
        over = before + sum(each.size for each in self.sent) + size - most
        # A request larger than the whole window is sent when the window is empty.
        if over <= 0 or not (before or self.sent):
            return 0.0
        for each in sorted(self.sent, key=lambda sent: sent.at):
            over -= each.size
            if over <= 0:
                return (each.at + limits.window - now).total_seconds()
        return limits.window.total_seconds() if self.sent else LOCK_POLL_SECONDS


type Entity = Callable[[EntityContext, object], object]


def lock_entities(settings: Settings, clock: Clock) -> tuple[Entity, ...]:
    """The entities of items and of mailboxes, by the limits of the app settings."""
    return _entity(ITEM, ONE_WRITER, clock), _entity(MAILBOX, mailbox_limits(settings), clock)


def _entity(name: str, limits: Limits, clock: Clock) -> Entity:
    def entity(context: EntityContext, payload: object) -> object:
        budget = Budget.model_validate(context.get_state(dict, {}))
        if context.operation == ACQUIRE:
            result = budget.acquire(AcquireLock.from_json(payload), limits, clock())
        else:
            result = budget.release(ReleaseLock.from_json(payload), limits, clock())
        # An entity without a state is deleted.
        context.set_state(
            None if budget.is_empty else budget.model_dump(mode="json", by_alias=True)
        )
        return result.to_json()

    entity.__name__ = name
    return entity
