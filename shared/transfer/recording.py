"""``record_attachment``: how a transfer ended, into the blob's metadata."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.errors import BlobDeleted, Permanent, StorageUnavailable, UnsupportedBlob
from shared.outlook.answers import Answer, Lost
from shared.storage.attachment_record import (
    AttachmentRecord,
    ascii_only,
    fingerprint,
    merge_record,
    read_record,
)
from shared.storage.blob_source import BlobSource, SourceBlob
from shared.storage.session_store import SessionStore
from shared.storage.storage_errors import BlobChanged
from shared.transfer.decisions import Action, Call, decide
from shared.transfer.instance_id import is_of
from shared.transfer.payloads import Failure, RecordAttachment, Step

_LOG = logging.getLogger(__name__)

# Somebody else may be writing metadata at the same moment; never this often.
_WRITES_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes records. A second delivery finds its own record there, and leaves it."""

    source: BlobSource
    sessions: SessionStore

    def record(self, work: RecordAttachment) -> Step:
        """Merge the record into the metadata, if the blob still has the transfer's content.

        The end is logged whether or not there is a blob to write it to; only storage that does
        not answer is worth another try.
        """
        try:
            recognisable = self._write(work)
            if work.record == "attached":
                self._forget(work.transfer_id, recognisable=recognisable)
        except StorageUnavailable as error:
            _LOG.warning("transfer %s could not be recorded: %s", work.transfer_id, error)
            return Step(outcome="retry", failure=Failure.of(error))
        except Permanent as error:
            _LOG.warning("transfer %s leaves no record: %s", work.transfer_id, error.sentence)
            self.sessions.delete(work.transfer_id)
        _log_end(work)
        return Step(outcome="recorded")

    def _forget(self, transfer_id: str, *, recognisable: bool) -> None:
        """Delete the notes, unless they are all that a duplicate could know the transfer by."""
        notes = None if recognisable else self.sessions.get(transfer_id)
        if notes is None:
            self.sessions.delete(transfer_id)
        else:
            self.sessions.put(transfer_id, replace(notes, upload_url=""))

    def _write(self, work: RecordAttachment) -> bool:
        """Write the record if it is due; whether a duplicate will recognise it."""
        container = self.source.container
        for _ in range(_WRITES_AT_MOST):
            blob = self.source.look(work.status.blob)
            earlier = read_record(blob.metadata)
            if not self._is_due(work, blob, earlier):
                return True
            metadata = merge_record(blob.metadata, self._merged(work, blob, earlier))
            try:
                self.source.write_metadata(blob.name, blob.etag, metadata)
            except (BlobChanged, BlobDeleted, StorageUnavailable) as error:
                row = decide(Call.METADATA_WRITE, _answer(error))
                if row.action is Action.RESYNCHRONISE:
                    continue
                if row.action is Action.GIVE_UP and not isinstance(error, BlobDeleted):
                    raise UnsupportedBlob(f"Its record cannot be written: {error}") from None
                raise
            return read_record(metadata).is_about(container, blob, work.item)
        raise StorageUnavailable(f"The metadata of {work.status.blob} changes all the time.")

    def _is_due(self, work: RecordAttachment, blob: SourceBlob, earlier: AttachmentRecord) -> bool:
        if not is_of(work.transfer_id, self.source, blob, work.item):
            _LOG.warning(
                "transfer %s: blob %r has other content now; its record is not written",
                work.transfer_id,
                blob.name,
            )
            return False
        if (earlier.transfer_id, earlier.status) == (work.transfer_id, work.record):
            return False
        if work.record == "attached":
            return True
        # A duplicate that failed does not take back what is attached.
        container = self.source.container
        claimed = work.record == "unaddressed" and earlier.is_about(container, blob, work.item)
        return not (claimed or earlier.proves_attached(container, blob, work.item))

    def _merged(
        self, work: RecordAttachment, blob: SourceBlob, earlier: AttachmentRecord
    ) -> AttachmentRecord:
        attached = work.record == "attached"
        own = fingerprint(self.source.container, blob, work.item)
        sources = tuple(source for source in earlier.sources if source != own)
        error = work.status.error
        return AttachmentRecord(
            status=work.record,
            attachment_id=work.status.attachment_id or "",
            item=ascii_only(work.item),
            sources=(own, *sources) if attached else earlier.sources,
            transfer_id=work.transfer_id,
            attached_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if attached else "",
            error_code=error.code if error else "",
            error_message=error.message if error else "",
        )


def _answer(error: BlobChanged | BlobDeleted | StorageUnavailable) -> Answer:
    """What the storage said, in the terms of the decision table."""
    if isinstance(error, BlobChanged):
        return Answer(status=412)
    if isinstance(error, BlobDeleted):
        return Answer(status=404)
    if error.status is None:
        return Answer(lost=Lost.UNKNOWN)
    return Answer(status=error.status, code=error.storage_code)


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
