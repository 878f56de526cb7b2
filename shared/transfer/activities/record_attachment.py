"""``record_attachment``: writes how a transfer ended to the blob's metadata."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.errors import Permanent, StorageUnavailable
from shared.storage.attachment_record import (
    FINGERPRINT_DIGITS,
    AttachmentRecord,
    ascii_only,
    fingerprint,
    write_record,
)
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.listed import Listed
from shared.storage.listing import Listing
from shared.storage.session_store import SessionStore
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import RestartRequired
from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import Failure
from shared.transfer.storage_policy import RECORD_WRITES
from shared.transfer.summaries import at_end, list_if_possible
from shared.transfer.transfer_id import may_match

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes how a transfer ended: to the ledger, by which the app decides, and to the metadata.

    A second delivery finds its own record and changes nothing. ``notes`` are those of version 1.0,
    for its transfers that still run.
    """

    source: SourceContainer
    ledger: Ledger
    notes: SessionStore
    listing: Listing

    def record(self, work: RecordAttachment) -> ActivityResult:
        """Note the end, and merge the record into the metadata if the blob has the content still.

        The end is logged even if the record cannot be written; then the result says why. Only
        unavailable storage is worth another try. Without the ledger, the metadata are written at
        least: people see the end, and a later event is recognised by it. *start_over*: the blob
        may have other content by now, and its event has joined this transfer.
        """
        no_ledger: StorageUnavailable | None = None
        try:
            if not self._note_end(work):
                _LOG.info("transfer %s has gone on since; nothing is recorded", work.transfer_id)
                return ActivityResult(outcome="recorded")
        except StorageUnavailable as error:
            no_ledger = error
        try:
            failure = self._write(work)
            if no_ledger:
                raise no_ledger
        except RestartRequired:
            _LOG.info("transfer %s: its blob was written to since it was read", work.transfer_id)
            return ActivityResult(outcome="start_over")
        except StorageUnavailable as error:
            _LOG.warning("transfer %s could not be recorded: %s", work.transfer_id, error)
            return ActivityResult(outcome="retry", failure=Failure.of(error), storage_failed=True)
        _log_end(work)
        list_if_possible(self.listing.end, self._listed(work, failure))
        return ActivityResult(outcome="recorded", failure=failure)

    def _listed(self, work: RecordAttachment, failure: Failure | None) -> Listed:
        update = {"state": work.record, "error": work.status.error or failure}
        status = work.status.model_copy(update=update)
        return at_end(work.transfer_id, status, self.listing.clock())

    def _note_end(self, work: RecordAttachment) -> bool:
        """Note in the ledger what is attached; False if this end is not the latest truth.

        A later run has the last word, and so has a removal: a run that attaches the file again
        has claimed the row since.
        """
        entry = self.ledger.get(work.transfer_id) or LedgerEntry(work.transfer_id, work.run)
        if not work.run:
            self.notes.delete(work.transfer_id)
        if entry.run > work.run:
            return False
        if entry.state == "removed" and (entry.run == work.run or work.record == "attached"):
            return False
        attached = (entry.state, entry.attachment_id) == ("attached", work.status.attachment_id)
        if work.record == "attached" and not attached:
            self.ledger.put(
                replace(
                    entry,
                    run=work.run,
                    state="attached",
                    attachment_id=work.status.attachment_id or "",
                    upload_url=None,
                )
            )
        return True

    def _write(self, work: RecordAttachment) -> Failure | None:
        """Write the record if it is due; why it can never be written, if so."""

        def change(blob: SourceBlob, earlier: AttachmentRecord) -> AttachmentRecord | None:
            if not self._is_due(work, blob, earlier):
                return None
            own = self._own(work, blob) if work.record == "attached" else ()
            return self._merged(work, own, earlier)

        try:
            write_record(self.source, work.status.blob, change, RECORD_WRITES)
        except Permanent as error:
            _LOG.warning("transfer %s writes no record: %s", work.transfer_id, error.sentence)
            return Failure.of(error)
        return None

    def _is_due(self, work: RecordAttachment, blob: SourceBlob, earlier: AttachmentRecord) -> bool:
        if not may_match(work.transfer_id, blob, work.item, work.content):
            _LOG.warning(
                "transfer %s: blob %r has other content now; the record is not written",
                work.transfer_id,
                blob.name,
            )
            return False
        recorded = (earlier.transfer_id, earlier.status, earlier.attachment_id)
        if recorded == (work.transfer_id, work.record, work.status.attachment_id or ""):
            return False
        if work.record == "attached":
            if work.etag and work.etag != blob.etag and not blob.md5:
                raise RestartRequired(blob.etag)
            return True
        # A failed duplicate does not replace the record of a success.
        claimed = work.record == "unaddressed" and earlier.is_about(blob, work.item)
        return not (claimed or earlier.proves_attached(blob, work.item))

    def _merged(
        self, work: RecordAttachment, own: tuple[str, ...], earlier: AttachmentRecord
    ) -> AttachmentRecord:
        attached = work.record == "attached"
        sources = tuple(source for source in earlier.sources if source not in own)
        error = work.status.error
        return AttachmentRecord(
            status=work.record,
            attachment_id=work.status.attachment_id or "",
            item=ascii_only(work.item),
            sources=(*own, *sources),
            transfer_id=work.transfer_id,
            attached_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if attached else "",
            error_code=error.code if error else "",
            error_message=error.message if error else "",
        )

    def _own(self, work: RecordAttachment, blob: SourceBlob) -> tuple[str, ...]:
        """The fingerprints of what was attached: two, if the MD5 was set or cleared since.

        Raises what :meth:`SourceContainer.md5_of` does.
        """
        then = work.transfer_id[:FINGERPRINT_DIGITS]
        now = fingerprint(blob, work.item)
        md5 = work.content.md5 if work.content else ""
        if now == then or (md5 and self.source.md5_of(blob) != md5):
            # Unchanged, or overwritten within the same second: that has its own transfer.
            return (then,)
        return now, then


def _log_end(work: RecordAttachment) -> None:
    error = work.status.error
    _LOG.log(
        logging.INFO if work.record in {"attached", "unaddressed"} else logging.WARNING,
        "transfer %s of blob %r to %s ended: %s%s",
        work.transfer_id,
        work.status.blob,
        work.item or "no item",
        work.record,
        f": {error.code}: {error.message}" if error else "",
    )
