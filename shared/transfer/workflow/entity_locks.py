"""The locks of transfers that began under version 1.0: entities, held by the orchestrator.

Their histories hold these calls, so they never change.
"""

import hashlib
from datetime import UTC, datetime

from durabletask.entities import EntityInstanceId
from durabletask.task import OrchestrationContext, when_all

from shared.outlook.item import OutlookItem
from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.payloads import Payload
from shared.transfer.workflow.locks import WAKE, Orchestration
from shared.transfer.workflow.mailbox_budget import (
    ACQUIRE,
    ITEM,
    MAILBOX,
    RELEASE,
    AcquireLock,
    LockResult,
    ReleaseLock,
)

_KEY_DIGITS = 32


class EntityLocks:
    """Both locks of one transfer.

    The transfer that began first is first in either queue.

    ``waited``: seconds from the first request for the locks until they were granted.
    """

    def __init__(self, ctx: OrchestrationContext, item: OutlookItem) -> None:
        self._ctx = ctx
        # Durable's times are UTC, but naive.
        self._since = ctx.current_utc_datetime.replace(tzinfo=UTC)
        # By the item's id alone: one mailbox can have several addresses.
        self._item = _entity(ITEM, item.id)
        self._mailbox = _entity(MAILBOX, item.mailbox.lower())
        # Whether the entities may hold or queue this transfer, and whether others wait for it.
        self._known = False
        self._awaited = False
        self._sent, self._retry_after = 0, 0.0
        self._waiting_since: datetime | None = None
        self.waited = 0.0

    @property
    def is_queued(self) -> bool:
        """An activity runs under the locks only."""
        return False

    def note(self, result: ActivityResult) -> float:
        """Note the bytes sent under the locks, and the Retry-After of the response."""
        self._sent, self._retry_after = result.sent, result.retry_after or 0.0
        return 0.0

    def acquire(self, size: int) -> Orchestration[float]:
        """Request both locks, to send ``size`` bytes: 0.0, or the seconds until the next request.

        It releases the locks held so far. The item's lock is kept during a wait for the mailbox's,
        but the mailbox's is not kept during a wait for the item's: others can use the mailbox.
        """
        self._known = True
        id_, since = self._ctx.instance_id, self._since
        item_lock = AcquireLock(transfer_id=id_, since=since)
        mailbox_lock = AcquireLock(
            transfer_id=id_,
            since=since,
            size=size,
            sent=self._sent,
            retry_after=self._retry_after,
        )
        self._sent, self._retry_after = 0, 0.0
        item, mailbox = yield from self._call(
            ACQUIRE, (self._item, item_lock), (self._mailbox, mailbox_lock)
        )
        self._awaited = item.awaited or mailbox.awaited
        if mailbox.granted and not item.granted:
            yield from self._call(RELEASE, (self._mailbox, ReleaseLock(transfer_id=id_)))
        wait = max(item.retry_after, mailbox.retry_after)
        self._note_wait(over=not wait)
        return wait

    def _note_wait(self, *, over: bool) -> None:
        now = self._ctx.current_utc_datetime
        since = self._waiting_since or now
        self.waited = (now - since).total_seconds()
        self._waiting_since = None if over else since

    def release(self) -> Orchestration[None]:
        """Release the locks, or end the wait for them, and report the bytes sent."""
        if not self._known:
            return
        id_ = self._ctx.instance_id
        mailbox_lock = ReleaseLock(transfer_id=id_, sent=self._sent, retry_after=self._retry_after)
        releases = (
            (self._item, ReleaseLock(transfer_id=id_)),
            (self._mailbox, mailbox_lock),
        )
        if self._awaited:
            yield from self._call(RELEASE, *releases)
        else:
            # No transfer has to be woken, so no result is needed.
            for entity, release in releases:
                self._ctx.signal_entity(entity, RELEASE, release.to_json())
        self._known = False
        self._sent, self._retry_after = 0, 0.0

    def _call(
        self, operation: str, *inputs: tuple[EntityInstanceId, Payload]
    ) -> Orchestration[list[LockResult]]:
        responses = yield when_all(
            [
                self._ctx.call_entity(entity, operation, value.to_json(), return_type=dict)
                for entity, value in inputs
            ]
        )
        results = [LockResult.from_json(each) for each in responses]
        for transfer_id in dict.fromkeys(each for result in results for each in result.wake):
            self._ctx.send_event(transfer_id, WAKE)
        return results


def _entity(name: str, key: str) -> EntityInstanceId:
    # Hashed: an entity key does not allow every character of an address or an id.
    return EntityInstanceId(name, hashlib.sha256(key.encode()).hexdigest()[:_KEY_DIGITS])
