"""``inspect_blob``: decides whether there is something to do, and whether it is allowed."""

import logging
from dataclasses import dataclass, replace

from shared.errors import OutcomeUnknown, Permanent, StorageUnavailable, Superseded
from shared.settings import Settings
from shared.storage.attachment_record import AttachmentRecord, Removed, read_record
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.listing import Listing
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import MD5_CHANGED, ContentUncertain
from shared.transfer.activities.claims import later_run
from shared.transfer.activity_payloads import (
    SMALL_FILE_BYTES,
    Inspect,
    Inspection,
    Job,
)
from shared.transfer.admission import (
    check_blob,
    check_copied,
    check_mailbox,
    has_expected_size,
)
from shared.transfer.payloads import Failure, State, TransferRequest, TransferStatus
from shared.transfer.retry_policy import SAME_PATH_SECONDS
from shared.transfer.run_token import run_before
from shared.transfer.same_path import SamePath
from shared.transfer.summaries import at_end, list_if_possible
from shared.transfer.transfer_id import matches, may_match

_LOG = logging.getLogger(__name__)

_STATES: dict[str, State] = {"attached": "attached", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class Inspector:
    """Inspects blobs of the source container. Changes none of them, so it can run repeatedly."""

    settings: Settings
    source: SourceContainer
    ledger: Ledger
    listing: Listing

    def inspect(self, work: Inspect) -> Inspection:
        """The job to do, or the end of a transfer that needs none.

        A final record of the same content ends the transfer: it was attached or refused before.
        """
        found = self._with_earlier_run(work, self._inspect(work))
        if found.ended and not found.record:
            # The transfer ends here: nothing is recorded.
            row = at_end(work.transfer_id, found.ended, self.listing.clock())
            list_if_possible(self.listing.end, row)
        return found

    def _inspect(self, work: Inspect) -> Inspection:
        request = work.request
        item = str(request.item or "")
        try:
            blob = self.source.look(request.blob)
            if not may_match(work.transfer_id, blob, item, request.content):
                return _superseded(work)
            check_copied(blob)
            if not matches(work.transfer_id, blob, item):
                raise ContentUncertain(MD5_CHANGED)
            entry = self.ledger.get(work.transfer_id)
            if known := self._known_end(work, blob, entry):
                return known
            if request.refused:
                return _refused(work, request.refused, unaddressed=request.unaddressed)
            check_mailbox(self.settings, request.mailbox or "")
            check_blob(self.settings, blob)
        except StorageUnavailable as error:
            _LOG.warning("transfer %s cannot inspect its blob: %s", work.transfer_id, error)
            return Inspection(unavailable=Failure.of(error))
        except Permanent as error:
            return _refused(work, Failure.of(error))
        return self._ready(work, blob, entry)

    def _with_earlier_run(self, work: Inspect, found: Inspection) -> Inspection:
        """The end that is also true if an earlier run of the transfer has sent the file.

        The earlier run is over, since its orchestration was replaced: its row is closed, and this
        run deletes its session. A second delivery finds the row closed as *unsure*.
        """
        if found.ended is None or found.ended.state == "attached":
            return found
        try:
            entry = self.ledger.get(work.transfer_id)
            if not (work.request.item and work.run) or (entry and entry.run > work.run):
                return found
            # Late deliveries of earlier runs find it. This run can still go on, if the result of
            # this delivery gets lost and the next one decides otherwise.
            fence = run_before(work.run)
            if entry is None or (entry.state == "open" and entry.run < fence):
                before = entry or LedgerEntry(work.transfer_id)
                closed = before.closed(fence, unsure=entry is not None)
                entry = replace(closed, upload_url=before.upload_url)
                self.ledger.put(entry)
        except StorageUnavailable as error:
            return Inspection(unavailable=Failure.of(error))
        update: dict[str, object]
        if entry.state == "attached":
            update = {"state": "attached", "attachment_id": entry.attachment_id, "error": None}
        elif entry.state == "ended" and entry.unsure and entry.run == fence:
            update = {"state": "failed", "error": Failure.of(OutcomeUnknown())}
        else:
            return found
        ended = found.ended.model_copy(update=update)
        return Inspection(ended=ended, session_left=entry.upload_url is not None)

    def _known_end(
        self, work: Inspect, blob: SourceBlob, entry: LedgerEntry | None
    ) -> Inspection | None:
        """The end of an earlier transfer of the same content, by the ledger or by its record."""
        if work.request.force:
            return None
        status = work.request.status.model_copy(update={"size": blob.size})
        record = read_record(blob.metadata)
        # A row of this very run is a second delivery's. A later one is of a host whose clock is
        # ahead, or of a removal.
        if entry is not None and (entry.run != work.run or not work.run):
            if entry.state == "removed" and not work.request.explicit:
                removed = {"state": "cancelled", "error": Failure.of(Removed())}
                return Inspection(ended=status.model_copy(update=removed))
            if entry.state == "attached" and not record.proves_attached(blob, str(status.item)):
                attached = {"state": "attached", "attachment_id": entry.attachment_id}
                return _without_record(blob, status.model_copy(update=attached))
        if self._is_done(work.request, record, blob):
            return Inspection(ended=as_recorded(record, status))
        return None

    def _is_done(
        self, request: TransferRequest, record: AttachmentRecord, blob: SourceBlob
    ) -> bool:
        """Whether the record ends the transfer; a requested one is ended by a success only."""
        item = str(request.item or "")
        if request.explicit:
            return record.proves_attached(blob, item)
        return record.is_about(blob, item)

    def _ready(self, work: Inspect, blob: SourceBlob, entry: LedgerEntry | None) -> Inspection:
        """The job, unless it is worth waiting before the file is sent."""
        waits = self.settings.empty_blob_seconds and not (work.waited or has_expected_size(blob))
        if blob.size == 0 and waits:
            return self._empty(blob)
        try:
            others = self._same_path(work, blob)
            job = self._job(work, blob, entry)
        except StorageUnavailable as error:
            return Inspection(unavailable=Failure.of(error))
        if any(each.state == "open" for each in others) and not work.waited:
            busy = StorageUnavailable(
                f"Another transfer of the blob {blob.name} to this item is under way."
            )
            return Inspection(unavailable=Failure.of(busy), patience=SAME_PATH_SECONDS)
        known = [each for each in others if each.state == "attached" or each.unsure]
        update = {"same_path": tuple(each.transfer_id for each in known)}
        return Inspection(job=job.model_copy(update=update))

    def _same_path(self, work: Inspect, blob: SourceBlob) -> list[LedgerEntry]:
        item = work.request.item
        if not item or work.request.force or not work.run:
            return []
        return SamePath(self.ledger, self.listing).others(work.transfer_id, blob.name, item)

    def _empty(self, blob: SourceBlob) -> Inspection:
        """Wait: some clients create a blob empty and fill it later, which makes other content."""
        error = StorageUnavailable(f"The blob {blob.name} is empty, and may yet be filled.")
        return Inspection(unavailable=Failure.of(error), patience=self.settings.empty_blob_seconds)

    def _job(self, work: Inspect, blob: SourceBlob, entry: LedgerEntry | None) -> Job:
        request, run = work.request, work.run
        if entry is not None and run and entry.run > run:
            # That run is over, since this one has its id; its host's clock was ahead.
            run = later_run(entry)
        return Job(
            transfer_id=work.transfer_id,
            run=run,
            content_doubted=entry is not None and entry.state == "attached",
            blob=blob.name,
            etag=blob.etag,
            created=blob.created,
            md5=blob.md5,
            size=blob.size,
            file_name=request.file_name,
            content_type=request.content_type or blob.content_type,
            content_id=request.content_id,
            small_file_bytes=SMALL_FILE_BYTES,
            range_bytes=self.settings.range_bytes,
            activity_bytes=self.settings.range_bytes * self.settings.ranges_per_activity,
            queue_seconds=self.settings.queue_deadline_hours * 3_600,
            deadline_seconds=self.settings.transfer_deadline_minutes * 60,
            reconcile_seconds=self.settings.reconcile_seconds,
            session_at_last=True,
            **request.fields_of(request.item),
        )


def _without_record(blob: SourceBlob, attached: TransferStatus) -> Inspection | None:
    """The ledger says that the content is attached, and the metadata do not."""
    if blob.md5:
        # Another program has replaced the metadata.
        return Inspection(ended=attached, record="attached")
    # Or the blob was overwritten within a second: the item is searched for the bytes.
    return None


def _superseded(work: Inspect) -> Inspection:
    error = Superseded(work.request.blob)
    _LOG.info("transfer %s: %s", work.transfer_id, error.sentence)
    update = {"state": "superseded", "error": Failure.of(error)}
    return Inspection(ended=work.request.status.model_copy(update=update))


def _refused(work: Inspect, reason: Failure, *, unaddressed: bool = False) -> Inspection:
    # Not a warning: a transfer of a blob without an address can be requested later.
    _LOG.log(
        logging.INFO if unaddressed else logging.WARNING,
        "transfer %s of blob %r refused: %s: %s",
        work.transfer_id,
        work.request.blob,
        reason.code,
        reason.message,
    )
    ended = work.request.status.model_copy(update={"state": "failed", "error": reason})
    return Inspection(ended=ended, record="unaddressed" if unaddressed else "failed")


def as_recorded(record: AttachmentRecord, status: TransferStatus) -> TransferStatus:
    """The end of an earlier transfer of the same content, from its record."""
    error = None
    if record.error_code:
        error = Failure(code=record.error_code, message=record.error_message)
    return status.model_copy(
        update={
            "state": _STATES.get(record.status, "failed"),
            "attachment_id": record.attachment_id or None,
            "error": error,
            "recorded": True,
        }
    )
