"""The ledger, as the activities use it: who may still send, and what was sent before.

A send is claimed by a conditional write of the transfer's row. Of several deliveries of the same
work, now or at any later time, one gets the claim; the others find the row changed and send
nothing. The row stays after the end, so that a late delivery finds that out, too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.errors import TransferError
from shared.secret import Secret
from shared.storage.ledger import Ledger, LedgerEntry, LedgerUnreadable
from shared.storage.session_store import SessionStore
from shared.transfer.activity_payloads import Job
from shared.transfer.retry_policy import MAX_CLAIM_SECONDS
from shared.transfer.run_token import run_after

type Stopwatch = Callable[[], float]


class StaleDelivery(TransferError):
    """Raised by a delivery whose run or attempt is over: nothing is sent."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"Transfer {transfer_id} has gone on without this activity.")


class AlreadyAttached(Exception):
    """Raised when the ledger says that the file is attached; ``attachment_id`` is Outlook's."""

    def __init__(self, attachment_id: str) -> None:
        super().__init__(attachment_id)
        self.attachment_id = attachment_id


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send once, for MAX_CLAIM_SECONDS from the write on that won it."""

    stopwatch: Stopwatch
    began: float

    @property
    def is_valid(self) -> bool:
        """Whether the delivery has not stalled since it got the claim.

        Whoever meets its claim in the ledger waits longer than this before it sends anything.
        """
        return self.stopwatch() - self.began <= MAX_CLAIM_SECONDS


@dataclass(frozen=True, slots=True)
class Claims:
    """Reads and writes the rows of transfers for activities.

    ``notes`` are those of version 1.0, for its transfers that still run.
    """

    ledger: Ledger
    notes: SessionStore
    stopwatch: Stopwatch = time.monotonic

    def entry(self, job: Job) -> LedgerEntry | None:
        """The transfer's row, or None if nothing was ever sent.

        Raises :class:`StaleDelivery` if it is of a later run or attempt, or of this run's end,
        :class:`AlreadyAttached`, and :class:`~shared.errors.StorageUnavailable`.
        """
        entry = self.ledger.get(job.transfer_id) or self._entry_1_0(job)
        if entry is None:
            return None
        own = entry.run == job.run
        if entry.state == "attached" and not (job.content_doubted and entry.run < job.run):
            raise AlreadyAttached(entry.attachment_id)
        if entry.run > job.run or (own and entry.state != "open"):
            raise StaleDelivery(job.transfer_id)
        if own and entry.attempt > job.attempt:
            raise StaleDelivery(job.transfer_id)
        return entry

    def claim(self, entry: LedgerEntry) -> Claim:
        """Claim the entry's attempt, to send it or to give it up.

        Raises :class:`~shared.storage.documents.DocumentConflict` when another delivery was first.
        """
        began = self.stopwatch()
        self.ledger.put(entry)
        return Claim(self.stopwatch, began)

    def put(self, entry: LedgerEntry) -> None:
        """Write what was found out.

        Raises :class:`~shared.storage.documents.DocumentConflict`.
        """
        self.ledger.put(entry)

    def begin_ranges(self, job: Job, offset: int) -> tuple[Secret | None, bool]:
        """Note that ranges are sent from ``offset`` on: the upload URL, and whether that is sure.

        It is not if an earlier run of ranges may have sent some whose outcome is not known: one
        that did not begin exactly one run before, also if its worker was killed. The URL is None
        if somebody has deleted the row. The note is never set back, by a late delivery.
        Raises :class:`~shared.storage.documents.DocumentConflict`.
        """
        entry = self.entry(job)
        if entry is None or not entry.upload_url or entry.run != job.run:
            return None, True
        if entry.began is None or entry.began < offset:
            self.ledger.put(replace(entry, began=offset))
        return entry.upload_url, entry.began in {None, offset - job.activity_bytes}

    def take_over(self, job: Job, entry: LedgerEntry) -> None:
        """Make the row one of this run: the run that wrote it, if it goes on, claims no more.

        Its session must have been deleted, or is left to expire.
        Raises :class:`~shared.storage.documents.DocumentConflict`.
        """
        self.ledger.put(
            replace(
                entry,
                run=job.run,
                attempt=job.attempt,
                state="open",
                unsure=True,
                upload_url=None,
                began=None,
            )
        )

    def close(self, job: Job, *, at_the_end: bool, unsure: bool = False) -> str:
        """Note that the attempt's session is closed, and at the end that the run is over.

        At the end there is a row, even if nothing was sent: a late delivery finds it. A row is not
        changed that is of a later run or attempt. ``unsure``: it may be attached. The result is
        the id of what is attached by the ledger, empty if nothing is.
        """
        try:
            entry = self.entry(job)
        except AlreadyAttached as known:
            return known.attachment_id
        except StaleDelivery:
            return ""
        if at_the_end:
            entry = entry or LedgerEntry(job.transfer_id)
            if entry.state == "removed":
                entry = replace(entry, attachment_id="")
            closed = replace(entry.closed(job.run, unsure=unsure), attempt=job.attempt)
            self.ledger.put(closed)
            return closed.attachment_id
        if entry and entry.run == job.run and entry.upload_url:
            self.ledger.put(replace(entry, upload_url=None))
        return ""

    def latest_entry(self, job: Job) -> LedgerEntry | None:
        """The row, if it is of no later run or attempt; for what only cleans up."""
        try:
            return self.entry(job)
        except (StaleDelivery, AlreadyAttached):
            return None

    def own_entry(self, job: Job) -> LedgerEntry | None:
        """The row, if it is of this very run and no later attempt."""
        entry = self.latest_entry(job)
        return entry if entry and entry.run == job.run else None

    def _entry_1_0(self, job: Job) -> LedgerEntry | None:
        """What version 1.0 noted of this transfer, from now on in the ledger."""
        notes = None if job.run else self.notes.get(job.transfer_id)
        if notes is None:
            return None
        entry = LedgerEntry(
            job.transfer_id,
            attempt=notes.attempt,
            earlier_attachments=notes.earlier_attachments,
            upload_url=notes.upload_url,
        )
        entry = self.ledger.put(entry)
        self.notes.delete(job.transfer_id)
        return entry


def later_run(entry: LedgerEntry) -> str:
    """The next run that counts as later than the row's.

    Raises :class:`~shared.storage.ledger.LedgerUnreadable` if another program wrote the row.
    """
    try:
        return run_after(entry.run)
    except ValueError:
        raise LedgerUnreadable(entry.transfer_id) from None
