"""The record: the result of a transfer in its blob's metadata, next to the user's own keys.

Azure allows 8 KB of metadata per blob. When the user's keys take most of it, the least important
values of the record are omitted.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from shared.errors import Permanent, StorageUnavailable
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged, WriteRules

METADATA_BYTES = 8192
FINGERPRINT_DIGITS = 16

STATUS = "attachmentstatus"
ID = "attachmentid"
ITEM = "attachmentitem"
SOURCE = "attachmentsource"
TRANSFER = "attachmenttransfer"
AT = "attachedat"
ERROR = "attachmenterror"
KEYS = frozenset({STATUS, ID, ITEM, SOURCE, TRANSFER, AT, ERROR})

# The most important first.
_PRIORITY = (ID, STATUS, SOURCE, TRANSFER, ITEM, AT, ERROR)


def fingerprint(blob: SourceBlob, item: str) -> str:
    """16 hex digits that identify one content of one blob with one item as its destination.

    ``item`` is empty for a blob that names none.
    """
    # As in the record, so that the fingerprint can be computed from the record.
    shown = ascii_only(item)
    parts = (blob.container, blob.name, blob.created, str(blob.size), blob.md5, shown)
    # With lengths, so that different tuples never give the same text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


@dataclass(frozen=True, slots=True)
class AttachmentRecord:
    """The result of a transfer. Strings are empty where they do not apply.

    ``transfer_id`` begins with the fingerprint of the content that the record is about.
    ``sources`` are the fingerprints of everything that was attached, newest first.
    """

    status: str = ""
    attachment_id: str = ""
    item: str = ""
    sources: tuple[str, ...] = ()
    transfer_id: str = ""
    attached_at: str = ""
    error_code: str = ""
    error_message: str = ""

    def is_about(self, blob: SourceBlob, item: str) -> bool:
        """Whether the record is about the blob's present content, for any item.

        A record alone proves nothing: an overwrite clears it, but a copy of a blob has the
        original's. ``item`` is the one that is named now, in case the record was too large to hold
        its own.
        """
        fingerprints = [fingerprint(blob, name) for name in (self.item, item)]
        return bool(self.status) and any(map(self.holds, fingerprints))

    def holds(self, fingerprint_: str) -> bool:
        """Whether it is about the content and item with this fingerprint."""
        return fingerprint_ in (self.transfer_id[:FINGERPRINT_DIGITS], *self.sources)

    def proves_attached(self, blob: SourceBlob, item: str) -> bool:
        """Whether the blob's present content was attached to this item."""
        return fingerprint(blob, item) in self.sources


class Removed(Permanent):
    """Recorded, never raised: the attachment was removed from its item on request."""

    def __init__(self) -> None:
        super().__init__(
            "The attachment was removed from its item on request. "
            "To attach the file again, request a new transfer or upload the file again."
        )


class RecordNotWritable(Permanent, code="UnsupportedBlob"):
    """Raised when Azure Storage refuses the record as metadata of the blob, now and later."""


type Change = Callable[[SourceBlob, AttachmentRecord], AttachmentRecord | None]


def write_record(
    source: SourceContainer, name: str, change: Change, rules: WriteRules
) -> AttachmentRecord | None:
    """Replace a blob's record by the one that ``change`` returns; None: keep the present one.

    Returns the record as it was written, without the values that did not fit. The write is
    conditional on the ETag; if the blob changed meanwhile, ``change`` gets its new state.

    Raises :class:`BlobDeleted`, :class:`RecordNotWritable` and :class:`StorageUnavailable`.
    """
    for _ in range(rules.attempts):
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
        except (BlobChanged, StorageUnavailable) as error:
            if rules.is_outdated(error):
                continue
            if rules.is_refused(error, blob.has_endless_lease):
                raise RecordNotWritable(f"Its record cannot be written: {error}") from None
            raise
        return read_record(metadata)
    raise StorageUnavailable(
        f"Other clients write the metadata of {name} all the time. Try again when they are done."
    )


def read_record(metadata: Mapping[str, str]) -> AttachmentRecord:
    """The record in a blob's metadata, an empty one when there is none."""
    own = {k.lower(): v for k, v in metadata.items() if k.lower() in KEYS}
    code, _, message = unquote(own.get(ERROR, "")).partition(": ")
    return AttachmentRecord(
        status=own.get(STATUS, ""),
        attachment_id=own.get(ID, ""),
        item=own.get(ITEM, ""),
        sources=tuple(part for part in own.get(SOURCE, "").split(",") if part),
        transfer_id=own.get(TRANSFER, ""),
        attached_at=own.get(AT, ""),
        error_code=code,
        error_message=message,
    )


def merge_record(metadata: Mapping[str, str], record: AttachmentRecord) -> dict[str, str]:
    """The blob's metadata with this record instead of an earlier one.

    The user's own keys stay as they are. The record is shortened to the bytes that are free.
    """
    merged = {k: v for k, v in metadata.items() if k.lower() not in KEYS}
    free = METADATA_BYTES - sum(len(k) + len(v.encode()) for k, v in merged.items())
    values = {
        STATUS: record.status,
        ID: record.attachment_id,
        ITEM: ascii_only(record.item),
        SOURCE: ",".join(record.sources),
        TRANSFER: record.transfer_id,
        AT: record.attached_at,
        ERROR: _error_value(record),
    }
    for key in _PRIORITY:
        value = _cut(key, values[key], free - len(key))
        if value:
            merged[key] = value
            free -= len(key) + len(value)
    return merged


def _error_value(record: AttachmentRecord) -> str:
    if not record.error_code:
        return ""
    return quote(f"{record.error_code}: {record.error_message}", safe=" :,.;()'/@*{}=+")


def _cut(key: str, value: str, free: int) -> str:
    """The value, or the part of it that is useful and fits into ``free`` bytes."""
    if len(value) <= free:
        return value
    if free <= 0:
        return ""
    if key == ERROR:
        # Not in the middle of an escape.
        head = value[:free]
        return head[: head.rfind("%")] if "%" in head[-2:] else head
    if key == SOURCE:
        return value[:free].rpartition(",")[0]
    return ""


def ascii_only(text: str) -> str:
    """The text with everything but printable ASCII percent-encoded, as metadata requires."""
    return "".join(c if " " <= c <= "~" else quote(c) for c in text)
