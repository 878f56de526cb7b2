"""Whose turn it is: what a mailbox may still receive now, and one writer at a time per item.

Outlook takes 4 requests at once and 150 MB in 5 minutes per mailbox (protocol §5), and an item
takes one writer. Entities keep both, so that any number of workers and transfers see the same: a
turn is for one activity. The oldest transfer comes first, so that files come to their end one
after the other instead of all at the last moment, and none is passed by for ever.
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

MAILBOX = "mailbox_budget"
ITEM = "item_turn"


class ReleaseLock(Payload):
    """The input of ``release``: so many bytes went out; Outlook asked for so long a rest."""

    transfer_id: str
    sent: int = 0
    retry_after: float = Field(default=0.0, alias="restSeconds")


class AcquireLock(ReleaseLock):
    """The input of ``ask``: a transfer under way ``since`` then wants to send ``size`` bytes.

    A turn that it still holds is given back by it.
    """

    since: datetime
    size: int = 0


class LockResult(Payload):
    """The answer to both: granted, or to be asked for again in so many seconds.

    ``awaited``: others wait for this turn to end. ``wake``: the transfers that had better ask
    again now than when they were told to.
    """

    granted: bool = False
    awaited: bool = False
    retry_after: float = Field(default=0.0, alias="waitSeconds")
    wake: tuple[str, ...] = ()


type Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Limits:
    """Turns at once, and bytes within a window; ``window_bytes`` None is without limit."""

    at_once: int
    window_bytes: int | None = None
    window: timedelta = timedelta()


ONE_WRITER = Limits(at_once=1)


def mailbox_limits(settings: Settings) -> Limits:
    """The limits of a mailbox, by the app settings."""
    window = timedelta(seconds=settings.mailbox_window_seconds)
    return Limits(settings.mailbox_concurrency, settings.mailbox_window_bytes, window)


class _Held(BaseModel):
    until: datetime
    size: int
    # Whether its holder was told that others wait for it.
    is_awaited: bool = False


class _Waiting(BaseModel):
    since: datetime
    transfer_id: str
    size: int
    asks_at: datetime

    @property
    def place(self) -> tuple[datetime, str]:
        return self.since, self.transfer_id


class _Spent(BaseModel):
    at: datetime
    size: int


class Budget(BaseModel):
    """The state of one entity: turns that are held, those who wait, bytes that still count."""

    model_config = ConfigDict(populate_by_name=True)

    held: dict[str, _Held] = {}
    line: list[_Waiting] = []
    spent: list[_Spent] = []
    retry_after_until: datetime | None = Field(default=None, alias="closed_until")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.held or self.line or self.spent or self.retry_after_until)

    def acquire(self, acquire: AcquireLock, limits: Limits, now: datetime) -> LockResult:
        """Grant a turn if one is free for the asker and for all who come before it."""
        self._end_lock(acquire, now)
        self.expire(limits, now)
        own = _Waiting(
            since=acquire.since, transfer_id=acquire.transfer_id, size=acquire.size, asks_at=now
        )
        ahead = [each for each in self.line if each.place < own.place]
        wait = self._wait(own, ahead, limits, now)
        if wait <= 0:
            awaited = bool(self.line)
            held = _Held(until=now + LOCK_LEASE, size=acquire.size, is_awaited=awaited)
            self.held[acquire.transfer_id] = held
            return LockResult(granted=True, awaited=awaited, wake=self._wake(limits, now))
        own.asks_at = now + timedelta(seconds=wait)
        self.line = sorted([*self.line, own], key=lambda each: each.place)
        return LockResult(retry_after=wait, wake=self._wake(limits, now))

    def release(self, release: ReleaseLock, limits: Limits, now: datetime) -> LockResult:
        """End a turn, or the wait for one; the bytes that were sent count from now on."""
        self._end_lock(release, now)
        self.expire(limits, now)
        return LockResult(wake=self._wake(limits, now))

    def _end_lock(self, release: ReleaseLock, now: datetime) -> None:
        self.line = [each for each in self.line if each.transfer_id != release.transfer_id]
        if self.held.pop(release.transfer_id, None) and release.sent:
            self.spent.append(_Spent(at=now, size=release.sent))
        if release.retry_after:
            retry_at = now + timedelta(seconds=release.retry_after)
            self.retry_after_until = max(self.retry_after_until or retry_at, retry_at)

    def expire(self, limits: Limits, now: datetime) -> None:
        """Forget what counts no more; a turn that ran out counts with all its bytes."""
        for transfer_id, held in list(self.held.items()):
            if held.until <= now:
                del self.held[transfer_id]
                self.spent.append(_Spent(at=held.until, size=held.size))
        self.line = [each for each in self.line if each.asks_at + WAITER_PATIENCE > now]
        self.spent = [each for each in self.spent if each.size and each.at + limits.window > now]
        if self.retry_after_until and self.retry_after_until <= now:
            self.retry_after_until = None

    def _wake(self, limits: Limits, now: datetime) -> tuple[str, ...]:
        """Those who can have their turn now, and the first who cannot, if it can sooner."""
        woken = []
        for place, each in enumerate(self.line):
            wait = self._wait(each, self.line[:place], limits, now)
            asks_at = now + timedelta(seconds=wait)
            # Who would only ask by itself sooner than it was to is not worth the steps.
            only_polls = wait >= LOCK_POLL_SECONDS and self._is_full(place, limits)
            if asks_at < each.asks_at and not only_polls:
                each.asks_at = asks_at
                woken.append(each.transfer_id)
            if wait:
                break
        return tuple(woken)

    def _wait(self, own: _Waiting, ahead: list[_Waiting], limits: Limits, now: datetime) -> float:
        """Seconds until it is worth asking again; 0 when the turn is free."""
        if self.retry_after_until:
            return (self.retry_after_until - now).total_seconds()
        if self._is_full(len(ahead), limits):
            return self._poll(len(ahead), limits)
        if limits.window_bytes is None or not own.size:
            return 0.0
        return self._wait_for_room(own.size, limits.window_bytes, ahead, limits, now)

    def _is_full(self, ahead: int, limits: Limits) -> bool:
        """Whether no turn is left for who has so many others ahead."""
        return len(self.held) + ahead >= limits.at_once

    def _poll(self, ahead: int, limits: Limits) -> float:
        """Seconds until who has so many ahead asks by itself."""
        if not ahead and not all(each.is_awaited for each in self.held.values()):
            return FIRST_LOCK_POLL_SECONDS
        rounds = 1 + ahead // limits.at_once
        return min(LOCK_POLL_SECONDS * rounds, LOCK_LEASE.total_seconds())

    def _wait_for_room(
        self, size: int, most: int, ahead: list[_Waiting], limits: Limits, now: datetime
    ) -> float:
        """Seconds until so many bytes fit into the window; 0 when they do now."""
        before = sum(each.size for each in ahead)
        before += sum(each.size for each in self.held.values())
        over = before + sum(each.size for each in self.spent) + size - most
        # More than the window ever holds goes when it is empty.
        if over <= 0 or not (before or self.spent):
            return 0.0
        for each in sorted(self.spent, key=lambda spent: spent.at):
            over -= each.size
            if over <= 0:
                return (each.at + limits.window - now).total_seconds()
        return limits.window.total_seconds() if self.spent else LOCK_POLL_SECONDS


type Entity = Callable[[EntityContext, object], object]


def lock_entities(settings: Settings, clock: Clock) -> tuple[Entity, ...]:
    """The entities of items and of mailboxes, by the limits of the app settings."""
    return _entity(ITEM, ONE_WRITER, clock), _entity(MAILBOX, mailbox_limits(settings), clock)


def _entity(name: str, limits: Limits, clock: Clock) -> Entity:
    def entity(context: EntityContext, payload: object) -> object:
        budget = Budget.model_validate(context.get_state(dict, {}))
        if context.operation == "ask":
            turn = budget.acquire(AcquireLock.from_json(payload), limits, clock())
        else:
            turn = budget.release(ReleaseLock.from_json(payload), limits, clock())
        # An entity without a state is deleted.
        context.set_state(
            None if budget.is_empty else budget.model_dump(mode="json", by_alias=True)
        )
        return turn.to_json()

    entity.__name__ = name
    return entity
