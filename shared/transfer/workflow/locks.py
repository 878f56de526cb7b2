"""One transfer's turns at its item and its mailbox, as its orchestrator asks for them."""

import hashlib
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

from durabletask.entities import EntityInstanceId
from durabletask.task import OrchestrationContext, when_all

from shared.outlook.item import OutlookItem
from shared.transfer.payloads import Payload
from shared.transfer.workflow.mailbox_budget import (
    ITEM,
    MAILBOX,
    AcquireLock,
    LockResult,
    ReleaseLock,
)

# The external event that tells a waiting transfer to ask again.
WAKE = "turn"
_KEY_DIGITS = 32

type Orchestration[T] = Generator[Any, Any, T]


class Locks:
    """The turns of the transfer that this orchestration is, in the order in which it came.

    ``waited`` is how many seconds the turns that it got last were waited for.
    """

    def __init__(self, ctx: OrchestrationContext, item: OutlookItem) -> None:
        self._ctx = ctx
        # Durable's times are UTC, and do not say so.
        self._since = ctx.current_utc_datetime.replace(tzinfo=UTC)
        # By the item's id alone: one mailbox can have several addresses.
        self._item = _entity(ITEM, item.id)
        self._mailbox = _entity(MAILBOX, item.mailbox.lower())
        # Whether the entities may know this transfer, and what it did with its last turn.
        self._known = False
        self._awaited = False
        self._used = {"sent": 0, "retry_after": 0.0}
        self._waiting_since: datetime | None = None
        self.waited = 0.0

    def used(self, sent: int, retry_after: float) -> None:
        """Note what went out in this turn, and how long a rest the far side asked for."""
        self._used = {"sent": sent, "retry_after": retry_after}

    def acquire(self, size: int) -> Orchestration[float]:
        """Ask for both turns, to send ``size`` bytes: 0.0, or the seconds until asking again.

        The turns before are given back by it. A turn at the item is kept while the mailbox is
        waited for, but never the other way round: others could use the mailbox meanwhile.
        """
        self._known = True
        id_ = self._ctx.instance_id
        acquires = (
            (self._item, AcquireLock(transfer_id=id_, since=self._since)),
            (
                self._mailbox,
                AcquireLock(transfer_id=id_, since=self._since, size=size, **self._used),
            ),
        )
        self.used(0, 0.0)
        item, mailbox = yield from self._call("ask", *acquires)
        self._awaited = item.awaited or mailbox.awaited
        if mailbox.granted and not item.granted:
            yield from self._call("give_back", (self._mailbox, ReleaseLock(transfer_id=id_)))
        wait = max(item.retry_after, mailbox.retry_after)
        self._note_wait(over=not wait)
        return wait

    def _note_wait(self, *, over: bool) -> None:
        now = self._ctx.current_utc_datetime
        since = self._waiting_since or now
        self.waited = (now - since).total_seconds()
        self._waiting_since = None if over else since

    def release(self) -> Orchestration[None]:
        """End the turns, or the wait for them; the mailbox learns what they were used for."""
        if not self._known:
            return
        id_ = self._ctx.instance_id
        releases = (
            (self._item, ReleaseLock(transfer_id=id_)),
            (self._mailbox, ReleaseLock(transfer_id=id_, **self._used)),
        )
        if self._awaited:
            yield from self._call("give_back", *releases)
        else:
            # Nobody is to be woken: no answer is waited for.
            for entity, release in releases:
                self._ctx.signal_entity(entity, "give_back", release.to_json())
        self._known = False
        self.used(0, 0.0)

    def _call(
        self, operation: str, *inputs: tuple[EntityInstanceId, Payload]
    ) -> Orchestration[list[LockResult]]:
        answers = yield when_all(
            [
                self._ctx.call_entity(entity, operation, value.to_json(), return_type=dict)
                for entity, value in inputs
            ]
        )
        results = [LockResult.from_json(answer) for answer in answers]
        for transfer_id in dict.fromkeys(each for turn in results for each in turn.wake):
            self._ctx.send_event(transfer_id, WAKE)
        return results


def _entity(name: str, key: str) -> EntityInstanceId:
    # A key may not hold every character that an address or an id may.
    return EntityInstanceId(name, hashlib.sha256(key.encode()).hexdigest()[:_KEY_DIGITS])
