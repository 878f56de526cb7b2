"""The locks of mailboxes, in rows of a table of the app's own storage account.

One row per mailbox. It is read, changed and written on the condition that nobody else has written
it meanwhile, so that any number of workers and apps on the same account see the same locks.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from azure.data.tables import TableServiceClient
from pydantic import ValidationError

from shared.errors import StorageUnavailable
from shared.storage.documents import Document, DocumentConflict, DocumentTable, Key
from shared.transfer.activities.mailbox_queue import (
    Limits,
    MailboxQueue,
    Refused,
    Use,
    Waiter,
)

TABLE = "mailboxes"
# Writes of one change, when others write the same row at the same time.
MAX_LOCK_WRITES = 8

type Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held, and the row as it was when it was granted."""

    mailbox: str
    fence: int
    wake: tuple[str, ...]
    row: Document = field(repr=False)


class MailboxLocks:
    """Acquires and releases locks."""

    def __init__(self, service: TableServiceClient, limits: Limits, clock: Clock) -> None:
        self._rows = DocumentTable(service, TABLE)
        self._limits = limits
        self._clock = clock

    def acquire(self, mailbox: str, asking: Waiter) -> Lock | Refused:
        """A lock for this transfer, or when to come back.

        Raises :class:`StorageUnavailable`.
        """
        result, row = self._change(
            mailbox, lambda queue: queue.acquire(asking, self._limits, self._clock())
        )
        if isinstance(result, Refused):
            return result
        return Lock(mailbox, result.fence, result.wake, row)

    def release(self, lock: Lock, use: Use) -> tuple[str, ...]:
        """Give a lock back; the transfers to wake.

        Raises :class:`StorageUnavailable`: the lock then expires by itself.
        """
        # Mostly nobody has written the row since, so that it need not be read again.
        woken, _ = self._change(
            lock.mailbox, lambda queue: queue.release(use, self._limits, self._clock()), lock.row
        )
        return woken

    def _change[Result](
        self,
        mailbox: str,
        change: Callable[[MailboxQueue], Result],
        row: Document | None = None,
    ) -> tuple[Result, Document]:
        key = mailbox_key(mailbox)
        for _ in range(MAX_LOCK_WRITES):
            row = row or self._rows.read(key) or Document("{}", "")
            try:
                queue = MailboxQueue.model_validate_json(row.text)
            except ValidationError:
                raise StorageUnavailable(
                    f"The row {key} in the table {TABLE} cannot be read. "
                    "If another program wrote it, delete it."
                ) from None
            result = change(queue)
            text = queue.model_dump_json()
            try:
                return result, Document(text, self._rows.write(key, text, row.etag))
            except DocumentConflict:
                row = None
        raise DocumentConflict(key)


def mailbox_key(mailbox: str) -> Key:
    """The key of a mailbox's row; an address may hold characters that a key may not."""
    return Key("mailbox", hashlib.sha256(mailbox.lower().encode()).hexdigest()[:32])
