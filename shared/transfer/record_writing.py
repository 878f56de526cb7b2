"""Writing a blob's record: conditional on the ETag, read and merged again when it has changed."""

from collections.abc import Callable

from shared.errors import BlobDeleted, StorageUnavailable, UnsupportedBlob
from shared.outlook.graph_response import GraphResponse, Lost
from shared.storage.attachment_record import AttachmentRecord, merge_record, read_record
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.retry_policy import MAX_RECORD_WRITES, Action, Call, decide

type Change = Callable[[SourceBlob, AttachmentRecord], AttachmentRecord | None]


def write_record(source: SourceContainer, name: str, change: Change) -> AttachmentRecord | None:
    """Put the record that ``change`` makes of the present one in its place; None if it makes none.

    It is given back as it stands there now: as much of it as there was room for.

    Raises :class:`BlobDeleted`, :class:`UnsupportedBlob` when the blob can have no such record,
    and :class:`StorageUnavailable`.
    """
    for _ in range(MAX_RECORD_WRITES):
        blob = source.look(name)
        try:
            record = change(blob, read_record(blob.metadata))
        except BlobChanged:
            continue
        if record is None:
            return None
        metadata = merge_record(blob.metadata, record)
        try:
            source.write_metadata(blob.name, blob.etag, metadata)
        except (BlobChanged, BlobDeleted, StorageUnavailable) as error:
            row = decide(Call.METADATA_WRITE, _answer(error))
            if row.action is Action.RESYNCHRONISE:
                continue
            if row.action is Action.GIVE_UP and not isinstance(error, BlobDeleted):
                raise UnsupportedBlob(f"Its record cannot be written: {error}") from None
            raise
        return read_record(metadata)
    raise StorageUnavailable(f"The metadata of {name} changes all the time.")


def _answer(error: BlobChanged | BlobDeleted | StorageUnavailable) -> GraphResponse:
    """What the storage said, in the terms of the decision table."""
    if isinstance(error, BlobChanged):
        return GraphResponse(status=412)
    if isinstance(error, BlobDeleted):
        return GraphResponse(status=404)
    if error.status is None:
        return GraphResponse(lost=Lost.UNKNOWN)
    return GraphResponse(status=error.status, code=error.storage_code)
