"""The locks of mailboxes, watched from outside: who works under which lock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shared.transfer.activities.mailbox_locks import Lock, MailboxLocks
from shared.transfer.activities.mailbox_queue import Refused, Use, Waiter
from shared.transfer.retry_policy import LOCK_LEASE, LONGEST_ACTIVITY


@dataclass
class Holders:
    """The locks that were granted and not given back. A lock that was replaced or expired is gone.

    ``crowds`` are the times at which two transfers had a lock of one item.
    """

    clock: Callable[[], datetime]
    held: dict[tuple[str, int], tuple[str, str, datetime]] = field(default_factory=dict)
    crowds: list[str] = field(default_factory=list)
    latest: dict[str, int] = field(default_factory=dict)
    requests: dict[str, datetime] = field(default_factory=dict)

    def granted(self, mailbox: str, asking: Waiter, fence: int, began: datetime) -> None:
        """Note a lock that was granted at that time or later, unless it is gone already."""
        expires = began + LOCK_LEASE
        if (since := self.requests.get(asking.transfer_id, began)) > began:
            # This delivery stalled in its request, and another one came meanwhile.
            expires = min(expires, since + LONGEST_ACTIVITY)
        if fence < self.latest.get(asking.transfer_id, 0) or expires <= self.clock():
            return
        self.latest[asking.transfer_id] = fence
        self.held = {
            key: each
            for key, each in self.held.items()
            if each[0] != asking.transfer_id and each[2] > self.clock()
        }
        for other, item, _ in self.held.values():
            if item == asking.item:
                self.crowds.append(f"{asking.transfer_id} and {other} write to one item")
        self.held[mailbox, fence] = asking.transfer_id, asking.item, expires

    def requested(self, transfer_id: str) -> None:
        """Note another request of a holder: its earlier delivery counts as dead before long."""
        self.requests[transfer_id] = self.clock()
        soon = self.clock() + LONGEST_ACTIVITY
        self.held = {
            key: (id_, item, min(expires, soon) if id_ == transfer_id else expires)
            for key, (id_, item, expires) in self.held.items()
        }

    def given_back(self, mailbox: str, fence: int) -> None:
        """Note the end of a lock, by its own holder."""
        self.held.pop((mailbox, fence), None)

    def killed(self, transfer_id: str) -> None:
        """Note that nobody works under the lock of a transfer any more."""
        self.held = {key: each for key, each in self.held.items() if each[0] != transfer_id}


@dataclass(frozen=True)
class WatchedLocks(MailboxLocks):
    """The locks, with every grant and every release noted."""

    locks: MailboxLocks
    holders: Holders

    def acquire(self, mailbox: str, asking: Waiter) -> Lock | Refused:
        began = self.holders.clock()
        self.holders.requested(asking.transfer_id)
        lock = self.locks.acquire(mailbox, asking)
        if isinstance(lock, Lock):
            self.holders.granted(mailbox, asking, lock.fence, began)
        return lock

    def release(self, lock: Lock, use: Use) -> tuple[str, ...]:
        self.holders.given_back(lock.mailbox, lock.fence)
        return self.locks.release(lock, use)
