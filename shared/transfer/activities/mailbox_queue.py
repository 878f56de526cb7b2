"""Who may send to a mailbox now: its locks, its queue and its budget of bytes, as one value.

Outlook takes 4 requests at once and 150 MB in 5 minutes per mailbox, and an item takes one writer
(docs/protocol.md, "Limits of the service"). A lock is for one activity. The oldest transfer comes
first, so that files are finished one after the other and none starves.

How long a transfer waits is bounded by what goes before it. With ``b`` bytes that older transfers
request locks for, and ``t`` seconds in which they hold them, one after the other, it waits at most
``window * (2 * b / window_bytes + 1) + t`` seconds while the app runs: of any two windows that
follow each other, the bytes exceed one window's. A transfer that sends nothing, such as one to an
item that does not exist, uses nothing of the window: where nobody sends, it adds to ``t`` alone.
One of another mailbox adds nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel

from shared.settings import Settings
from shared.transfer.retry_policy import (
    LOCK_LEASE,
    LOCK_POLL_SECONDS,
    LONGEST_ACTIVITY,
    WAITER_PATIENCE,
    backoff_seconds,
)

# Waiters in the row. Those that come when it is full poll, and get in as it empties.
MAX_WAITERS = 1_500


@dataclass(frozen=True, slots=True)
class Limits:
    """Locks at once, and bytes within a window."""

    at_once: int
    window_bytes: int
    window: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits of a mailbox, by the app settings."""
        window = timedelta(seconds=settings.mailbox_window_seconds)
        return cls(settings.mailbox_concurrency, settings.mailbox_window_bytes, window)


class Waiter(BaseModel):
    """A transfer that wants to send up to ``size`` bytes to ``item``, under way ``since`` then.

    ``back_at``: when it comes back by itself; ``refused``: how often it has come so far.
    """

    transfer_id: str
    item: str
    since: datetime
    size: int = 0
    back_at: datetime | None = None
    refused: int = 0

    @property
    def place(self) -> tuple[datetime, str]:
        """Its place in the order of arrival."""
        return self.since, self.transfer_id


class Holder(BaseModel):
    """A lock: up to ``size`` bytes to ``item``, until ``expires_at``.

    ``fence`` is greater than that of every lock before it.
    """

    transfer_id: str
    item: str
    size: int
    fence: int
    expires_at: datetime


class Sent(BaseModel):
    """Bytes that went out and count until the window has passed."""

    at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The lock, to be given back by its ``fence``. ``wake``: others who can send now, too."""

    fence: int
    wake: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """What a lock was used for.

    ``sent`` are the bytes that went out, ``retry_after`` the seconds for which Outlook wants no
    request to this mailbox.
    """

    transfer_id: str
    fence: int
    sent: int = 0
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """No lock yet: come back in so many seconds, or when woken."""

    retry_after: float


class MailboxQueue(BaseModel):
    """The state of one mailbox, as it is kept in its row."""

    last_fence: int = 0
    holders: list[Holder] = []
    waiters: list[Waiter] = []
    sent: list[Sent] = []
    retry_at: datetime | None = None

    def acquire(self, asking: Waiter, limits: Limits, now: datetime) -> Granted | Refused:
        """Grant a lock if one is free for this transfer and for all that came before it.

        Under a lock that it holds already, an earlier delivery may be dead or may still work. That
        does not keep this one waiting, but others for as long as an activity takes.
        """
        self._expire(limits, now)
        for each in self.holders:
            if each.transfer_id == asking.transfer_id:
                each.expires_at = min(each.expires_at, now + LONGEST_ACTIVITY)
        refused = sum(
            each.refused for each in self.waiters if each.transfer_id == asking.transfer_id
        )
        self.waiters = [each for each in self.waiters if each.transfer_id != asking.transfer_id]
        wait = self._wait(asking, limits, now, refused)
        if wait > 0:
            if len(self.waiters) < MAX_WAITERS:
                back_at = now + timedelta(seconds=wait)
                queued = asking.model_copy(update={"back_at": back_at, "refused": refused + 1})
                self.waiters = sorted([*self.waiters, queued], key=lambda each: each.place)
            return Refused(wait)
        self.last_fence += 1
        holder = Holder(
            transfer_id=asking.transfer_id,
            item=asking.item,
            size=asking.size,
            fence=self.last_fence,
            expires_at=now + LOCK_LEASE,
        )
        self.holders = [*self.holders, holder]
        return Granted(self.last_fence, self._wake(limits, now))

    def release(self, use: Use, limits: Limits, now: datetime) -> tuple[str, ...]:
        """Give back a lock after its use; whom to wake.

        A lock that was replaced meanwhile, or has expired, is not touched.
        """
        self._expire(limits, now)
        own = (use.transfer_id, use.fence)
        kept = [each for each in self.holders if (each.transfer_id, each.fence) != own]
        if len(kept) < len(self.holders) and use.sent:
            self.sent = [*self.sent, Sent(at=now, size=use.sent)]
        self.holders = kept
        if use.retry_after:
            retry_at = now + timedelta(seconds=use.retry_after)
            self.retry_at = max(self.retry_at or retry_at, retry_at)
        return self._wake(limits, now)

    def _expire(self, limits: Limits, now: datetime) -> None:
        """Drop what counts no more. A lock that expired counts with all that it may have sent."""
        for each in self.holders:
            if each.expires_at <= now:
                self.sent = [*self.sent, Sent(at=each.expires_at, size=each.size)]
        self.holders = [each for each in self.holders if each.expires_at > now]
        self.waiters = [
            each for each in self.waiters if (each.back_at or now) + WAITER_PATIENCE > now
        ]
        self.sent = [each for each in self.sent if each.size and each.at + limits.window > now]
        if self.retry_at and self.retry_at <= now:
            self.retry_at = None

    def _wake(self, limits: Limits, now: datetime) -> tuple[str, ...]:
        """Those that can have a lock now and do not know it."""
        woken = []
        for each in self.waiters:
            if self._wait(each, limits, now) <= 0 and (each.back_at or now) > now:
                each.back_at = now
                woken.append(each.transfer_id)
            if len(self.holders) + len(woken) >= limits.at_once:
                break
        return tuple(woken)

    def _wait(self, asking: Waiter, limits: Limits, now: datetime, refused: int = 0) -> float:
        """Seconds until it is worth coming back; 0 when the lock is free."""
        ahead = list(self._ahead(asking))
        others = {each.transfer_id for each in self._others(asking)}
        if self._is_busy(asking) or len(others) + len(ahead) >= limits.at_once:
            # Somebody's release wakes it. It comes back in case that event is lost, the less
            # often the longer it waits, since every time adds to its history.
            rounds = 1 + len(ahead) // limits.at_once
            poll = max(LOCK_POLL_SECONDS * rounds, backoff_seconds(refused))
            return min(poll, LOCK_LEASE.total_seconds())
        if self.retry_at:
            return (self.retry_at - now).total_seconds()
        return self._wait_for_bytes(asking, ahead, limits, now)

    def _others(self, asking: Waiter) -> list[Holder]:
        """The locks of other transfers."""
        return [each for each in self.holders if each.transfer_id != asking.transfer_id]

    def _is_busy(self, asking: Waiter) -> bool:
        """Whether its item has a writer, or an older transfer that waits for it."""
        held = any(each.item == asking.item for each in self._others(asking))
        return held or any(
            each.item == asking.item for each in self.waiters if each.place < asking.place
        )

    def _ahead(self, asking: Waiter) -> Iterator[Waiter]:
        """The older waiters that only the mailbox keeps waiting: the first of each free item."""
        taken = {each.item for each in self._others(asking)}
        for each in self.waiters:
            if each.place >= asking.place:
                return
            if each.item not in taken:
                taken.add(each.item)
                yield each

    def _wait_for_bytes(
        self, asking: Waiter, ahead: list[Waiter], limits: Limits, now: datetime
    ) -> float:
        """Seconds until its bytes fit into the window; 0 when they do now."""
        size = asking.size
        reserved = sum(each.size for each in ahead)
        reserved += sum(each.size for each in self._others(asking))
        over = reserved + sum(each.size for each in self.sent) + size - limits.window_bytes
        # More than the window ever holds goes when it is empty.
        if not size or over <= 0 or not (reserved or self.sent):
            return 0.0
        for each in sorted(self.sent, key=lambda sent: sent.at):
            over -= each.size
            if over <= 0:
                return (each.at + limits.window - now).total_seconds()
        return limits.window.total_seconds() if self.sent else LOCK_POLL_SECONDS
